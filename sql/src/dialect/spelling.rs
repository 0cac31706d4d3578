//! What is said when a token is not what the grammar expects.

use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};
use weir_protocol::job_graph::catalog::closest;

use crate::script::limits::MAX_DEPTH;
use crate::script::{ScriptToken, SqlError};

/// The words that a user may have meant where the grammar does not go on.
const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "ORDER",
    "HAVING",
    "UNION",
    "JOIN",
    "INNER",
    "LEFT",
    "RIGHT",
    "CROSS",
    "LIMIT",
    "INSERT",
    "INTO",
    "VALUES",
    "CREATE",
    "TABLE",
    "VIEW",
    "DATABASE",
    "WATERMARK",
    "PRIMARY",
    "PARTITIONED",
    "COMMENT",
    "WITH",
    "EXPLAIN",
    "DESCRIBE",
    "SHOW",
    "TABLES",
    "VIEWS",
    "DATABASES",
    "CATALOGS",
    "DROP",
    "ALTER",
    "RESET",
    "EXECUTE",
    "STATEMENT",
    "BETWEEN",
    "DISTINCT",
    "INTERVAL",
    "CATALOG",
    "FUNCTIONS",
    "COLUMNS",
    "TEMPORARY",
    "METADATA",
    "VIRTUAL",
    "INCLUDING",
    "EXCLUDING",
    "OVERWRITING",
    "SAVEPOINT",
];

/// The error that `token` is not what is expected. `end` stands for the end of the tokens.
pub(super) fn encountered(token: &TokenWithSpan, previous: Option<&Token>, end: &TokenWithSpan, expected: &str) -> SqlError {
    let token = if token.token == Token::EOF { end } else { token };
    let error =
        SqlError::new("SQL-PARSE", format!("Encountered \"{}\"; expected {expected}", shown(&token.token))).at(token.span.start);
    // The typo may be the word before: in `SELECT a FORM t` the parser stumbles over t.
    match misspelt(&token.token).or_else(|| previous.and_then(misspelt)) {
        Some(word) => error.hint(format!("did you mean {word}?")),
        None => error,
    }
}

fn misspelt(token: &Token) -> Option<&'static str> {
    let Token::Word(word) = token else { return None };
    let upper = word.value.to_ascii_uppercase();
    if word.quote_style.is_some()
        || word.value.len() < 3
        || WORDS.contains(&upper.as_str())
        || word.keyword != Keyword::NoKeyword && upper != "FORM"
    {
        return None;
    }
    closest(&upper, WORDS.iter().copied())
}

/// A token as an error shows it: not too long, and the end by Flink's name, by which clients know that a statement goes on.
fn shown(token: &Token) -> String {
    match token {
        Token::EOF => "<EOF>".to_owned(),
        other => {
            let text = other.to_string();
            let mut short: String = text.chars().take(40).collect();
            if short.len() < text.len() {
                short.push('…');
            }
            short
        }
    }
}

/// sqlparser's error in our words.
pub(super) fn translate(error: &ParserError, parser: &Parser, end: &TokenWithSpan) -> SqlError {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            let message = format!("the statement is nested too deeply: more than about {MAX_DEPTH} levels");
            let place = parser.peek_token_ref();
            let place = if place.token == Token::EOF { end } else { place };
            return SqlError::new("SQL-LIMIT", message)
                .at(place.span.start)
                .hint("name inner queries with WITH, or create views");
        }
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
    };
    let (what, location) = located(text);
    let Some((expected, found)) = what.strip_prefix("Expected: ").and_then(|what| what.rsplit_once(", found: ")) else {
        let place = location.unwrap_or_else(|| parser.peek_token_ref().span.start);
        let place = if place.line == 0 { end.span.start } else { place };
        return SqlError::new("SQL-PARSE", lower_first(what)).at(place);
    };
    // The token at the place, and the one before it for the hint.
    let at = location.and_then(|location| (0..).map_while(|i| token(parser, i)).position(|token| token.span.start == location));
    match at.and_then(|i| token(parser, i)) {
        Some(found) => {
            let previous = at.and_then(|i| i.checked_sub(1)).and_then(|i| token(parser, i));
            encountered(found, previous.map(|token| &token.token), end, expected)
        }
        None if found == "EOF" => encountered(end, None, end, expected),
        None => SqlError::new("SQL-PARSE", format!("Encountered \"{found}\"; expected {expected}"))
            .at(location.unwrap_or(end.span.start)),
    }
}

fn token<'p>(parser: &'p Parser, i: usize) -> Option<&'p TokenWithSpan> {
    Some(parser.token_at(i)).filter(|token| token.token != Token::EOF)
}

/// Splits ` at Line: 1, Column: 2` off a message.
fn located(text: &str) -> (&str, Option<Location>) {
    let parsed = text.rsplit_once(" at Line: ").and_then(|(what, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((what, Location::new(line.parse().ok()?, column.parse().ok()?)))
    });
    match parsed {
        Some((what, location)) => (what, Some(location)),
        None => (text, None),
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Words that are no names unless they are quoted.
pub(super) fn is_reserved(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::SELECT
            | Keyword::FROM
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::ORDER
            | Keyword::UNION
            | Keyword::EXCEPT
            | Keyword::INTERSECT
            | Keyword::AND
            | Keyword::OR
            | Keyword::NOT
            | Keyword::AS
            | Keyword::ON
            | Keyword::IN
            | Keyword::IS
            | Keyword::LIKE
            | Keyword::BETWEEN
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE
            | Keyword::END
            | Keyword::WITH
            | Keyword::JOIN
            | Keyword::INNER
            | Keyword::CROSS
            | Keyword::FULL
            | Keyword::NATURAL
            | Keyword::BY
            | Keyword::INTO
            | Keyword::CREATE
            | Keyword::DROP
            | Keyword::ALTER
            | Keyword::INSERT
            | Keyword::VALUES
            | Keyword::TABLE
            | Keyword::CASE
            | Keyword::CAST
            | Keyword::NULL
            | Keyword::TRUE
            | Keyword::FALSE
            | Keyword::PRIMARY
            | Keyword::CONSTRAINT
            | Keyword::SET
            | Keyword::FOR
            | Keyword::EXISTS
            | Keyword::USING
            | Keyword::DISTINCT
            | Keyword::FETCH
            | Keyword::LATERAL
    )
}

/// Refuses tokens that sqlparser would read and Flink does not have, and clauses that are recognised by a word.
pub(super) fn check_tokens(tokens: &[ScriptToken], text: &str) -> Result<(), SqlError> {
    for (i, token) in tokens.iter().enumerate() {
        let next = tokens.get(i + 1).map(|token| &token.token.token);
        let previous = i.checked_sub(1).map(|i| &tokens[i].token.token);
        let refused = match &token.token.token {
            Token::DoubleQuotedString(_) => {
                Some((SqlError::new("SQL-PARSE", "Encountered \"\\\"\""), "texts stand in single quotes, names in backticks"))
            }
            Token::NationalStringLiteral(_) => Some((SqlError::unsupported("N'…'"), "leave the N out: texts are Unicode")),
            Token::HexStringLiteral(hex) => bad_hex(hex, &text[token.bytes.clone()]),
            Token::Number(_, true) => Some((SqlError::new("SQL-PARSE", "a number can't end in L"), "write CAST(1 AS BIGINT)")),
            Token::Placeholder(_) | Token::Question => {
                Some((SqlError::unsupported("a parameter (?)"), "write the value into the statement"))
            }
            Token::Word(word) if word.quote_style.is_none() => refused_clause(word.keyword, &word.value, previous, next),
            _ => None,
        };
        if let Some((error, hint)) = refused {
            let error = error.at(token.token.span.start);
            return Err(if hint.is_empty() { error } else { error.hint(hint) });
        }
    }
    Ok(())
}

fn bad_hex(hex: &str, written: &str) -> Option<(SqlError, &'static str)> {
    if !written.starts_with(['x', 'X']) {
        return Some((
            SqlError::new("SQL-PARSE", format!("Encountered \"{written}\"; numbers are decimal")),
            "write bytes as x'1F'",
        ));
    }
    if hex.len() % 2 == 1 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some((SqlError::new("SQL-PARSE", "bytes are written as pairs of hexadecimal digits"), "write x'0A1F'"));
    }
    None
}

/// Clauses that Weir does not have, and that sqlparser would take for something else.
fn refused_clause(
    keyword: Keyword,
    word: &str,
    previous: Option<&Token>,
    next: Option<&Token>,
) -> Option<(SqlError, &'static str)> {
    let after_bracket = previous == Some(&Token::RParen);
    let opens = next == Some(&Token::LParen);
    match keyword {
        Keyword::MATCH_RECOGNIZE if opens => Some((SqlError::unsupported("MATCH_RECOGNIZE"), "")),
        Keyword::PIVOT | Keyword::UNPIVOT | Keyword::TABLESAMPLE if opens => {
            Some((SqlError::unsupported(word.to_ascii_uppercase()), ""))
        }
        // sqlparser would drop the word.
        Keyword::FILTER if after_bracket && !opens => Some((
            SqlError::new("SQL-PARSE", "Encountered \"FILTER\"; expected FILTER (WHERE condition)"),
            "quote a name FILTER with backticks",
        )),
        Keyword::NoKeyword if word.eq_ignore_ascii_case("UESCAPE") => {
            Some((SqlError::unsupported("UESCAPE"), "write \\ before the digits"))
        }
        _ => None,
    }
}
