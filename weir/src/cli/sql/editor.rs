//! The line editor: statements over several lines, completion, and the prompt.

use std::borrow::Cow;

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, Helper};
use weir_sql::completion::{Names, complete};
use weir_sql::script::split;

/// The commands of the shell itself.
pub(super) const COMMANDS: [&str; 4] = ["clear", "exit", "help", "quit"];
/// Most entries that can be recalled.
const HISTORY_ENTRIES: usize = 2_000;
/// Longer lists of candidates are shown only after a question.
const QUESTION_FROM: usize = 100;

/// The editor of the shell.
pub(super) type ShellEditor = Editor<Assistant, MemHistory>;

/// An editor whose history holds these entries.
pub(super) fn editor(history: &[String], colors: bool) -> rustyline::Result<ShellEditor> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .completion_prompt_limit(QUESTION_FROM)
        .max_history_size(HISTORY_ENTRIES)?
        .history_ignore_dups(true)?
        .color_mode(if colors { ColorMode::Enabled } else { ColorMode::Disabled })
        .build();
    let mut editor = Editor::with_history(config.clone(), MemHistory::with_config(&config))?;
    editor.set_helper(Some(Assistant { names: Names::default(), colors }));
    for entry in history {
        editor.add_history_entry(entry.as_str())?;
    }
    Ok(editor)
}

/// The shell's command that this text is, if it is one. Its semicolon may be missing.
pub(super) fn command(text: &str) -> Option<&'static str> {
    let word = text.trim().trim_end_matches(';').trim_end();
    COMMANDS.into_iter().find(|command| word.eq_ignore_ascii_case(command))
}

/// Whether Enter ends the input: all statements have their semicolons.
fn is_complete(text: &str) -> bool {
    // If the text can't be cut into statements, running it says why.
    command(text).is_some() || split(text).map_or(true, |statements| statements.last().is_none_or(|last| last.is_complete()))
}

/// What helps the user to type.
#[derive(Debug)]
pub(super) struct Assistant {
    pub(super) names: Names,
    colors: bool,
}

impl Helper for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(line.get(..position).map_or_else(|| (position, Vec::new()), |before| complete(before, &self.names)))
    }
}

impl Highlighter for Assistant {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        if self.colors { Cow::Owned(format!("\u{1b}[1m{prompt}\u{1b}[0m")) } else { Cow::Borrowed(prompt) }
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_ends_the_input_only_after_the_semicolon() {
        for text in [
            "SELECT 1",
            "SELECT ';",
            "SELECT 1; SELECT 2",
            "EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1;",
            "/* ;",
            "quit x",
        ] {
            assert!(!is_complete(text), "{text}");
        }
        for text in
            ["", "  ", "-- a comment", "SELECT 1;", "SELECT ';';", "SELECT 1; -- done", "quit", "HELP;", "SELECT 1; SELECT 2;"]
        {
            assert!(is_complete(text), "{text}");
        }
    }

    #[test]
    fn commands_are_known_with_and_without_their_semicolon() {
        assert_eq!(command(" Quit ; "), Some("quit"));
        assert_eq!(command("exit"), Some("exit"));
        assert_eq!(command("quit the job;"), None);
    }
}
