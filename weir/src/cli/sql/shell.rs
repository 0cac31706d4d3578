//! The interactive shell.

use std::path::Path;
use std::time::{Duration, Instant};

use rustyline::error::ReadlineError;
use tokio::runtime::Runtime;
use weir_client::sql_client::{Outcome, SqlClient};
use weir_sql::completion::Names;
use weir_sql::script::{ScriptStatement, split};
use weir_world::{err_line, out_line, output};

use super::editor::{COMMANDS, ShellEditor, command, editor};
use super::help::{HELP, WELCOME};
use super::history::HistoryFile;
use super::interrupt::or_interrupted;
use super::screen::Screen;
use super::{answer, query, waiting};
use crate::cli::exit_code::Failure;
use crate::cli::output::duration_text;

const PROMPT: &str = "weir sql> ";
/// How long the prompt waits for the cluster's tables, which Tab then completes.
const REFRESH: Duration = Duration::from_millis(300);
/// The answer to Ctrl-C while a statement is carried out.
const STOPPED: &str = "stopped; SHOW JOBS tells whether a job was submitted, SHOW TABLES whether a table or view was changed";

/// Reads and runs statements until the user ends the shell. Failed statements do not end it.
pub(super) fn run(client: &mut SqlClient, runtime: &Runtime, screen: &Screen, history: Option<&Path>) -> Result<(), Failure> {
    let (history, entries) = match history.map(HistoryFile::open).transpose() {
        Ok(opened) => opened.map_or_else(|| (None, Vec::new()), |(file, entries)| (Some(file), entries)),
        Err(error) => {
            err_line!("weir: what is entered will not be remembered: {}: {error}", history.unwrap_or(Path::new("")).display());
            (None, Vec::new())
        }
    };
    let mut editor = editor(&entries, screen.colors).map_err(Failure::error)?;
    out_line!("{WELCOME}");
    loop {
        // Without an answer, the names are as of the last statement.
        drop(runtime.block_on(client.refresh_catalog(REFRESH)));
        if let Some(assistant) = editor.helper_mut() {
            assistant.names = Names { commands: COMMANDS.map(str::to_owned).to_vec(), ..client.names() };
        }
        let entered = match editor.readline(PROMPT) {
            Ok(entered) => entered,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(Failure::error(format!("can't read from the terminal: {error}"))),
        };
        remember(&mut editor, history.as_ref(), &entered);
        match command(&entered) {
            Some("help") => out_line!("{HELP}"),
            Some("clear") => editor.clear_screen().map_err(Failure::error)?,
            Some(_) => return Ok(()),
            None => run_all(client, runtime, screen, &entered),
        }
        if output::reader_is_gone() {
            return Ok(());
        }
    }
}

/// Keeps what was entered, so that it can be recalled.
fn remember(editor: &mut ShellEditor, history: Option<&HistoryFile>, entered: &str) {
    if entered.trim().is_empty() {
        return;
    }
    // The entry is recalled as it is. Only the file goes without secrets. A history that can't be kept is no reason to stop.
    drop(editor.add_history_entry(entered.trim()));
    if let Some(Err(error)) = history.map(|file| file.append(entered)) {
        err_line!("weir: the history can't be written: {error}");
    }
}

/// Runs what was entered, up to the first statement that fails.
fn run_all(client: &mut SqlClient, runtime: &Runtime, screen: &Screen, entered: &str) {
    let statements = match split(entered) {
        Ok(statements) => statements,
        Err(error) => return screen.error(&error.render(entered)),
    };
    for statement in &statements {
        let started = Instant::now();
        match runtime.block_on(run_one(client, screen, statement)) {
            Ok(said) => {
                let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                // For programs, standard output holds nothing but results.
                if screen.is_for_people() {
                    out_line!("{said} ({})\n", duration_text(took));
                }
            }
            Err(message) => return screen.error(&message(entered)),
        }
    }
}

/// Makes the message about a failure from what was entered.
type Message = Box<dyn FnOnce(&str) -> String>;

/// Runs one statement, and waits for its job if that is wanted. Returns what to say at the end.
async fn run_one(client: &mut SqlClient, screen: &Screen, statement: &ScriptStatement) -> Result<String, Message> {
    let outcome = match or_interrupted(client.run(statement)).await {
        Some(outcome) => outcome.map_err(|error| -> Message { Box::new(move |entered| error.render(entered)) })?,
        None => return Err(Box::new(|_| STOPPED.to_owned())),
    };
    answer::show(&outcome, screen);
    match outcome {
        Outcome::Table(result) => Ok(answer::row_count(&result)),
        Outcome::Query(query) => {
            let shown = query::show(client, &query, screen).await;
            shown.map_err(|failure| -> Message { Box::new(move |_| failure.to_string()) })
        }
        Outcome::Submitted(submission) if submission.is_awaited => {
            match or_interrupted(waiting::wait_for(client, &submission)).await {
                Some(Ok(end)) => Ok(waiting::ending(&end)),
                Some(Err(failure)) => Err(Box::new(move |_| failure.to_string())),
                None => Ok(format!("Stopped waiting; {}", waiting::goes_on(submission.job_id))),
            }
        }
        _ => Ok("OK".to_owned()),
    }
}
