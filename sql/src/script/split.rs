//! Cuts a script into statements.

use std::ops::Range;

use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Whitespace};

use super::{Place, SqlError, limits};
use crate::dialect::FlinkDialect;

/// One statement of a script: its tokens, which know their places in the whole script, and its text.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptStatement {
    tokens: Vec<ScriptToken>,
    text: String,
    start: Location,
    end: Location,
    is_complete: bool,
    problem: Option<SqlError>,
}

/// A token that counts: neither white space nor a comment, unless the comment is a hint.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScriptToken {
    pub(crate) token: TokenWithSpan,
    /// Where it stands in the text of its statement.
    pub(crate) bytes: Range<usize>,
}

impl ScriptStatement {
    /// The text from the first token to the last, without the semicolon.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the statement begins in the script.
    pub fn place(&self) -> Place {
        Place { line: self.start.line, column: self.start.column }
    }

    /// Whether a semicolon ends the statement. A shell reads on if it is missing; at the end of a script it may be missing.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(crate) fn tokens(&self) -> &[ScriptToken] {
        &self.tokens
    }

    /// Where the statement's text ends in the script.
    pub(crate) fn end(&self) -> Location {
        self.end
    }

    /// Why the text can't be cut into tokens.
    pub(crate) fn problem(&self) -> Option<&SqlError> {
        self.problem.as_ref()
    }
}

/// Cuts a script at the semicolons that stand outside texts, comments and statement sets. Empty statements are left out.
///
/// If a text, a comment or a name is never closed, the last statement is incomplete, and parsing it gives the error.
pub fn split(script: &str) -> Result<Vec<ScriptStatement>, SqlError> {
    if script.len() > limits::MAX_SCRIPT {
        let message = format!("the script is {} bytes long; the maximum is {}", script.len(), limits::MAX_SCRIPT);
        return Err(SqlError::new("SQL-LIMIT", message).hint("run it in parts"));
    }
    let (tokens, problem, end) = tokens(script);
    let mut statements = Vec::new();
    let mut begin = 0;
    let mut set = SetState::default();
    for (i, token) in tokens.iter().enumerate() {
        if set.ends_at(&token.token.token) {
            if i > begin {
                statements.push(statement(script, &tokens[begin..i], token.token.span.start, true, None));
            }
            begin = i + 1;
            set = SetState::default();
        }
    }
    if begin < tokens.len() || problem.is_some() {
        statements.push(statement(script, &tokens[begin..], end, false, problem));
    }
    Ok(statements)
}

/// The tokens of a text that is one statement or a part of one, such as the query of a stored view.
pub(crate) fn fragment(text: &str) -> Result<ScriptStatement, SqlError> {
    limits::check_length(text.len(), Location::new(1, 1))?;
    let (tokens, problem, end) = tokens(text);
    match problem {
        Some(problem) => Err(problem),
        None => Ok(statement(text, &tokens, end, true, None)),
    }
}

/// Knows whether a semicolon stands in a statement set.
#[derive(Default)]
struct SetState {
    /// The last words, upper case; other tokens are the empty word.
    last: [String; 3],
    seen: usize,
    inside: bool,
}

impl SetState {
    /// Whether the statement ends before this token.
    fn ends_at(&mut self, token: &Token) -> bool {
        let word = match token {
            Token::SemiColon if !self.inside => return true,
            Token::SemiColon => {
                let before_end = self.last[1].as_str();
                if self.last[2] == "END" && matches!(before_end, ";" | "BEGIN") {
                    return true;
                }
                ";".to_owned()
            }
            Token::Word(word) if word.quote_style.is_none() && word.value.len() <= 16 => word.value.to_ascii_uppercase(),
            Token::Whitespace(_) => return false,
            _ => String::new(),
        };
        self.last.rotate_left(1);
        self.last[2] = word;
        self.seen += 1;
        let words = self.last.each_ref().map(String::as_str);
        if words == ["STATEMENT", "SET", "BEGIN"] || (self.seen == 3 && words == ["BEGIN", "STATEMENT", "SET"]) {
            self.inside = true;
        }
        false
    }
}

/// The tokens that count, why the rest can't be read, and the place of the end.
fn tokens(script: &str) -> (Vec<ScriptToken>, Option<SqlError>, Location) {
    let dialect = FlinkDialect::default();
    let mut raw = Vec::new();
    let outcome = Tokenizer::new(&dialect, script).tokenize_with_location_into_buf(&mut raw);
    let mut walk = Walk { rest: script.chars(), line: 1, column: 1, bytes: 0 };
    let mut tokens = Vec::with_capacity(raw.len() / 2);
    for token in raw {
        let counts = match &token.token {
            Token::Whitespace(Whitespace::MultiLineComment(comment)) => comment.starts_with('+'),
            Token::Whitespace(_) => false,
            _ => true,
        };
        if counts {
            let from = walk.to(token.span.start);
            let until = walk.to(token.span.end);
            tokens.push(ScriptToken { token, bytes: from..until });
        }
    }
    walk.to(Location::new(u64::MAX, u64::MAX));
    let end = Location::new(walk.line, walk.column);
    let problem = outcome.err().map(|error| {
        // What is wrong where the text ends is that something is not closed.
        let what = match error.message.as_str() {
            message if message.starts_with("Unterminated string") => Some("a text that begins here is not closed"),
            message if message.contains("multi-line comment") => Some("a comment is not closed"),
            message if message.contains("close delimiter") => Some("a quoted name that begins here is not closed"),
            _ => None,
        };
        match what {
            Some(what) => SqlError::new("SQL-PARSE", format!("Encountered \"<EOF>\"; {what}")).at(error.location),
            None => SqlError::new("SQL-PARSE", lower_first(&error.message)).at(error.location),
        }
    });
    (tokens, problem, end)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Walks through a text as the tokenizer counts lines and columns.
struct Walk<'a> {
    rest: std::str::Chars<'a>,
    line: u64,
    column: u64,
    bytes: usize,
}

impl Walk<'_> {
    /// Walks on to a place; the byte there.
    fn to(&mut self, place: Location) -> usize {
        while (self.line, self.column) < (place.line, place.column) {
            let Some(next) = self.rest.next() else { break };
            self.bytes += next.len_utf8();
            if next == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.bytes
    }
}

fn statement(
    script: &str,
    tokens: &[ScriptToken],
    end: Location,
    is_complete: bool,
    problem: Option<SqlError>,
) -> ScriptStatement {
    let first = tokens.first().map_or(0, |token| token.bytes.start);
    // After a text that is not closed there are no tokens, but the text still belongs to the statement.
    let last = if problem.is_some() { script.len() } else { tokens.last().map_or(0, |token| token.bytes.end) };
    let shifted = |token: &ScriptToken| ScriptToken {
        token: token.token.clone(),
        bytes: token.bytes.start - first..token.bytes.end - first,
    };
    ScriptStatement {
        text: script.get(first..last).unwrap_or_default().to_owned(),
        start: tokens.first().map_or(end, |token| token.token.span.start),
        end,
        tokens: tokens.iter().map(shifted).collect(),
        is_complete,
        problem,
    }
}

/// The place of a statement's end, as a token.
pub(crate) fn end_of(end: Location) -> TokenWithSpan {
    TokenWithSpan { token: Token::EOF, span: Span::new(end, end) }
}
