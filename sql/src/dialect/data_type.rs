//! Types in SQL: sqlparser's type can't hold all of Flink's, so ours travel in it as text.

use sqlparser::ast;
use sqlparser::ast::{Ident, ObjectName};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;
use weir_protocol::job_graph::DataType;

use crate::script::SqlError;

/// The type that a cast in a parsed expression names. The error says what is wrong with it.
pub fn cast_type(data_type: &ast::DataType) -> Result<DataType, String> {
    data_type.to_string().parse()
}

/// Our type as sqlparser's.
pub(super) fn custom(data_type: &DataType) -> ast::DataType {
    ast::DataType::Custom(ObjectName::from(vec![Ident::new(data_type.to_string())]), vec![])
}

/// Reads a type's text.
pub(super) fn parse_type(text: &str) -> Result<DataType, SqlError> {
    let first = text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_ascii_uppercase();
    if matches!(first.as_str(), "INTERVAL" | "RAW" | "VARIANT" | "BITMAP" | "GEOMETRY") {
        return Err(SqlError::unsupported(format!("the type {first}")));
    }
    text.parse().map_err(|what: String| SqlError::new("SQL-TYPE", format!("{text}: {what}")))
}

/// The number of tokens of the type that begins with token 0.
pub(super) fn type_length<'t>(token: impl Fn(usize) -> Option<&'t Token>) -> Option<usize> {
    let Some(Token::Word(first)) = token(0) else { return None };
    let mut at = 1;
    let word = |at: usize, wanted: &str| matches!(token(at), Some(Token::Word(w)) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(wanted));
    if first.keyword == Keyword::DOUBLE && word(at, "PRECISION") {
        at += 1;
    }
    at = group(&token, at, &Token::LParen)?;
    at = group(&token, at, &Token::Lt)?;
    let zones: [&[&str]; 3] = [&["WITHOUT", "TIME", "ZONE"], &["WITH", "TIME", "ZONE"], &["WITH", "LOCAL", "TIME", "ZONE"]];
    let zone = zones.into_iter().find(|words| words.iter().enumerate().all(|(i, wanted)| word(at + i, wanted)));
    at += zone.map_or(0, <[_]>::len);
    while word(at, "ARRAY") || word(at, "MULTISET") {
        at += 1;
    }
    Some(at)
}

/// The position after a bracketed group that begins at `at`; `at` if none does, nothing if it does not end.
fn group<'t>(token: &impl Fn(usize) -> Option<&'t Token>, at: usize, open: &Token) -> Option<usize> {
    let first = token(at);
    if *open == Token::Lt && first == Some(&Token::Neq) {
        // `ROW<>`
        return Some(at + 1);
    }
    if first != Some(open) {
        return Some(at);
    }
    let (mut round, mut angle, mut i) = (0_i64, 0_i64, at);
    loop {
        match token(i)? {
            Token::LParen => round += 1,
            Token::RParen => round -= 1,
            Token::Lt => angle += 1,
            Token::Gt => angle -= 1,
            Token::ShiftRight => angle -= 2,
            Token::SemiColon => return None,
            _ => {}
        }
        i += 1;
        if round <= 0 && angle <= 0 {
            return Some(i);
        }
    }
}

/// The text of these tokens.
pub(super) fn type_text<'t>(tokens: impl Iterator<Item = &'t Token>) -> String {
    let mut text = String::new();
    for token in tokens {
        let tight = matches!(
            token,
            Token::LParen | Token::RParen | Token::Lt | Token::Gt | Token::ShiftRight | Token::Comma | Token::Neq
        );
        if !text.is_empty() && !tight && !text.ends_with(['(', '<']) {
            text.push(' ');
        }
        text.push_str(&token.to_string());
    }
    text
}
