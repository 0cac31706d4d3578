//! Hints: comments that begin with a plus sign.
//!
//! A hint after SELECT stays in sqlparser's `Select::optimizer_hints`. A hint after the name of a table becomes the last part of that
//! name, because sqlparser's tree has no better place for it: [`table_name`] takes it off again.

use sqlparser::ast::{Ident, ObjectName};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use super::flink::FlinkDialect;
use crate::script::{ScriptToken, SqlError};

/// Begins the part of a table's name that is a hint. The hint's text follows.
const PREFIX: &str = "$hint ";

/// One hint: its name in upper case, and its arguments: each a key and a value (`'k' = 'v'`), or a value only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    pub name: String,
    pub arguments: Vec<(Option<String>, String)>,
}

/// The name of a table without the hint, and the options of that hint (`/*+ OPTIONS('k' = 'v') */`).
pub fn table_name(name: &ObjectName) -> Result<(ObjectName, Vec<(String, String)>), SqlError> {
    let mut parts = name.0.clone();
    let Some(part) = parts.last().and_then(|part| part.as_ident()).filter(|part| is_hint(part)).cloned() else {
        return Ok((name.clone(), vec![]));
    };
    parts.pop();
    let mut options = Vec::new();
    for hint in parse_hints(&part.value[PREFIX.len()..]).map_err(|error| error.at(part.span.start))? {
        if hint.name != "OPTIONS" {
            let error = SqlError::unsupported(format!("the hint {} after the name of a table", hint.name));
            return Err(error.at(part.span.start).hint("OPTIONS can stand there; other hints follow SELECT"));
        }
        for (key, value) in hint.arguments {
            let Some(key) = key else {
                let error = SqlError::new("SQL-PARSE", "an option in OPTIONS has the form 'key' = 'value'");
                return Err(error.at(part.span.start));
            };
            options.push((key, value));
        }
    }
    Ok((ObjectName(parts), options))
}

/// Whether this part of a table's name is a hint.
pub(super) fn is_hint(part: &Ident) -> bool {
    part.value.starts_with(PREFIX)
}

/// Reads the text of hints: `NAME(arguments), NAME(arguments)`. The commas may be missing.
pub fn parse_hints(text: &str) -> Result<Vec<Hint>, SqlError> {
    let malformed =
        || SqlError::new("SQL-PARSE", format!("the hint {:?} does not have the form NAME('key' = 'value', …)", text.trim()));
    let dialect = FlinkDialect::default();
    let tokens = Tokenizer::new(&dialect, text).tokenize().map_err(|_| malformed())?;
    let mut tokens = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).peekable();
    let mut hints = Vec::new();
    while let Some(token) = tokens.next() {
        let Token::Word(Word { value: name, .. }) = token else { return Err(malformed()) };
        let mut arguments = Vec::new();
        if tokens.next_if_eq(&Token::LParen).is_some() {
            while tokens.next_if_eq(&Token::RParen).is_none() {
                let mut first = argument(tokens.next()).ok_or_else(malformed)?;
                // A key without quotes may have dots.
                while tokens.next_if_eq(&Token::Period).is_some() {
                    first = format!("{first}.{}", argument(tokens.next()).ok_or_else(malformed)?);
                }
                let argument = match tokens.next_if_eq(&Token::Eq) {
                    Some(_) => (Some(first), argument(tokens.next()).ok_or_else(malformed)?),
                    None => (None, first),
                };
                arguments.push(argument);
                if tokens.next_if_eq(&Token::Comma).is_none() && tokens.peek() != Some(&Token::RParen) {
                    return Err(malformed());
                }
            }
        }
        hints.push(Hint { name: name.to_ascii_uppercase(), arguments });
        let _ = tokens.next_if_eq(&Token::Comma);
    }
    if hints.is_empty() { Err(malformed()) } else { Ok(hints) }
}

fn argument(token: Option<Token>) -> Option<String> {
    match token? {
        Token::SingleQuotedString(text) | Token::Number(text, false) => Some(text),
        Token::Word(word) => Some(word.value),
        _ => None,
    }
}

/// The tokens with each hint after a table's name turned into a part of that name. Hints elsewhere are refused.
pub(super) fn attach(tokens: &[ScriptToken]) -> Result<Vec<ScriptToken>, SqlError> {
    let mut attached: Vec<ScriptToken> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let Token::Whitespace(Whitespace::MultiLineComment(comment)) = &token.token.token else {
            attached.push(token.clone());
            continue;
        };
        let span = token.token.span;
        let text = comment.trim_start_matches('+');
        let follows_select = match attached.last().map(|last| &last.token.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() && word.keyword == Keyword::SELECT => true,
            Some(Token::Word(word)) if word.quote_style.is_some() || !is_clause(word.keyword) => false,
            _ => {
                let error = SqlError::new("SQL-PARSE", "a hint can't stand here: hints follow SELECT or the name of a table");
                return Err(error.at(span.start));
            }
        };
        parse_hints(text).map_err(|error| error.at(span.start))?;
        if follows_select {
            attached.push(token.clone());
        } else {
            let part = |inner: Token| ScriptToken { token: TokenWithSpan { token: inner, span }, bytes: token.bytes.clone() };
            attached.push(part(Token::Period));
            attached.push(part(hint_word(text)));
        }
    }
    Ok(attached)
}

fn hint_word(text: &str) -> Token {
    Token::Word(Word { value: format!("{PREFIX}{text}"), quote_style: Some('`'), keyword: Keyword::NoKeyword })
}

/// Words after which no table's name has ended.
fn is_clause(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::FROM
            | Keyword::WHERE
            | Keyword::JOIN
            | Keyword::ON
            | Keyword::AS
            | Keyword::GROUP
            | Keyword::BY
            | Keyword::HAVING
            | Keyword::ORDER
            | Keyword::UNION
            | Keyword::ALL
            | Keyword::AND
            | Keyword::OR
            | Keyword::INTO
            | Keyword::INSERT
            | Keyword::WITH
            | Keyword::DISTINCT
            | Keyword::VALUES
            | Keyword::LIMIT
    )
}
