//! LIKE and SIMILAR TO.

use std::sync::Arc;

use memchr::memmem;
use weir_protocol::job_graph::DataType;

use super::texts;
use crate::functions::operand::{eval_error, joint_nulls, kernel_of, map_boolean};
use crate::functions::regexp::similar::Similar;
use crate::functions::typing::{Resolve, typing};
use crate::functions::{Function, Kernel};
use crate::operator::OperatorError;

const MATCHES: Resolve = |given| typing(given, 2, 3)?.texts()?.gives(DataType::Boolean);

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "like",
        "text LIKE pattern [ESCAPE character]",
        "Whether the text fits the pattern, in which `%` stands for any characters and `_` for one.",
        MATCHES,
        |_, _| Ok(matching(Like::compile, Like::fits)),
    ),
    Function::first(
        "similar",
        "text SIMILAR TO pattern [ESCAPE character]",
        "Whether the text fits the regular expression of SQL, in which `%` stands for any characters and `_` for one.",
        MATCHES,
        |_, _| Ok(matching(Similar::compile, Similar::fits)),
    ),
];

/// Matches texts against patterns. The last pattern is kept compiled: most calls have a constant one.
fn matching<P: Send + 'static>(
    compile: fn(&str, Option<char>) -> Result<P, String>,
    fits: fn(&P, &str) -> bool,
) -> Box<dyn Kernel> {
    let mut last: Option<(String, Option<char>, P)> = None;
    kernel_of(move |operands, rows, _| {
        let (text, pattern) = (texts(operands, 0)?, texts(operands, 1)?);
        let escape = if operands.len() > 2 { Some(texts(operands, 2)?) } else { None };
        let nulls = joint_nulls(operands, rows);
        let column = map_boolean(rows, nulls, |row| {
            let escape = escape.as_ref().map(|escape| escape_character(escape.value(row))).transpose()?;
            let pattern = pattern.value(row);
            let compiled = match last.take() {
                Some(known) if known.0 == pattern && known.1 == escape => known,
                _ => (pattern.to_owned(), escape, compile(pattern, escape).map_err(eval_error)?),
            };
            Ok(Some(fits(&last.insert(compiled).2, text.value(row))))
        })?;
        Ok(Arc::new(column))
    })
}

fn escape_character(text: &str) -> Result<char, OperatorError> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(c),
        _ => Err(eval_error(format!("ESCAPE takes one character, not {text:?}"))),
    }
}

/// A compiled pattern of LIKE.
enum Like {
    Exactly(String),
    StartsWith(String),
    EndsWith(String),
    Contains(Box<memmem::Finder<'static>>),
    Tokens(Vec<Token>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    Char(char),
    /// Any one character: `_`.
    One,
    /// Any number of characters: `%`.
    Any,
}

impl Like {
    /// Compiles a pattern. There is no escape character unless one is given. The error says what is wrong with the pattern.
    fn compile(pattern: &str, escape: Option<char>) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                _ if Some(c) == escape => match chars.next() {
                    Some(next) if next == c || matches!(next, '%' | '_') => Token::Char(next),
                    _ => return Err(format!("the pattern {pattern:?} has {c:?} before a character that needs no escape")),
                },
                '%' => Token::Any,
                '_' => Token::One,
                c => Token::Char(c),
            });
        }
        tokens.dedup_by(|a, b| *a == Token::Any && *b == Token::Any);
        let text = |tokens: &[Token]| {
            let char = |token: &Token| if let Token::Char(c) = token { Some(*c) } else { None };
            tokens.iter().map(char).collect::<Option<String>>()
        };
        Ok(match tokens.as_slice() {
            [Token::Any, middle @ .., Token::Any] if let Some(text) = text(middle) => {
                Self::Contains(Box::new(memmem::Finder::new(text.as_bytes()).into_owned()))
            }
            [Token::Any, end @ ..] if let Some(text) = text(end) => Self::EndsWith(text),
            [start @ .., Token::Any] if let Some(text) = text(start) => Self::StartsWith(text),
            all if let Some(text) = text(all) => Self::Exactly(text),
            _ => Self::Tokens(tokens),
        })
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exactly(whole) => text == whole,
            Self::StartsWith(start) => text.starts_with(start.as_str()),
            Self::EndsWith(end) => text.ends_with(end.as_str()),
            Self::Contains(part) => part.find(text.as_bytes()).is_some(),
            Self::Tokens(tokens) => fits_tokens(tokens, text),
        }
    }
}

/// Goes back only to the last `%`, so that the time is at most the product of both lengths.
fn fits_tokens(tokens: &[Token], text: &str) -> bool {
    let (mut at, mut rest) = (0, text.chars());
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let next = rest.clone().next();
        match (tokens.get(at), next) {
            (Some(Token::Any), _) => {
                at += 1;
                retry = Some((at, rest.clone()));
                continue;
            }
            (Some(Token::One), Some(c)) if !is_line_end(c) => {
                at += 1;
                rest.next();
                continue;
            }
            (Some(Token::Char(expected)), Some(c)) if *expected == c => {
                at += 1;
                rest.next();
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        // The last `%` takes one more character.
        let Some((after, from)) = &mut retry else { return false };
        if from.next().is_none() {
            return false;
        }
        (at, rest) = (*after, from.clone());
    }
}

/// `_` becomes a `.` of Java, which does not match the end of a line.
fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        Like::compile(pattern, None).unwrap().fits(text)
    }

    #[test]
    fn patterns_that_are_one_text_with_percent_signs_need_no_search_by_tokens() {
        assert!(matches!(Like::compile("abc", None), Ok(Like::Exactly(_))));
        assert!(matches!(Like::compile("abc%", None), Ok(Like::StartsWith(_))));
        assert!(matches!(Like::compile("%%abc", None), Ok(Like::EndsWith(_))));
        assert!(matches!(Like::compile("%abc%", None), Ok(Like::Contains(_))));
        assert!(matches!(Like::compile("a_c", None), Ok(Like::Tokens(_))));
    }

    #[test]
    fn a_percent_sign_takes_as_much_as_the_rest_of_the_pattern_needs() {
        assert!(like("abab", "a%ab") && like("aab", "a%ab") && !like("ab", "a%ab"));
        assert!(like("mississippi", "m%iss%i_pi") && !like("mississippi", "m%iss%i_p"));
        assert!(like("", "%") && !like("", "_") && like("ä😀", "__"));
        assert!(!like("a\nb", "a_b") && like("a\nb", "a%b"));
        let long = "a".repeat(5_000);
        assert!(!like(&long, "%a%a%a%a%a%a%a%a%a%a%b"));
    }
}
