//! The regular expressions of SIMILAR TO.

use regex::Regex;

use super::java::build;

/// A compiled pattern of SIMILAR TO.
pub(in crate::functions) struct Similar(Regex);

/// What can be escaped in a pattern.
const SPECIAL: &str = "[]()|^-+*_%?{}";

impl Similar {
    /// Compiles a pattern. There is no escape character unless one is given. The error says what is wrong with the pattern.
    pub(in crate::functions) fn compile(pattern: &str, escape: Option<char>) -> Result<Self, String> {
        let invalid = |what: &str| format!("the pattern {pattern:?} of SIMILAR TO {what}");
        let mut java = String::from("^(?:");
        let chars: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        while let Some(c) = chars.get(at).copied() {
            at += 1;
            match c {
                _ if Some(c) == escape => {
                    java.push_str(&escaped(chars.get(at).copied(), c).ok_or_else(|| invalid("escapes what needs no escape"))?);
                    at += 1;
                }
                '_' => java.push('.'),
                '%' => java.push_str("(?s:.*)"),
                '[' => at = enumeration(&chars, at, escape, &mut java).map_err(invalid)?,
                ']' => return Err(invalid("has a ] without [")),
                '\\' => java.push_str("\\\\"),
                '$' => java.push_str("\\$"),
                c => java.push(c),
            }
        }
        java.push_str(")\\z");
        build(&java).map(Self).map_err(|error| invalid(&error.to_string()))
    }

    pub(in crate::functions) fn fits(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// An escaped character as Java writes it; `None` if it can't be escaped.
fn escaped(next: Option<char>, escape: char) -> Option<String> {
    let next = next?;
    match next {
        '_' | '%' => Some(next.to_string()),
        _ if SPECIAL.contains(next) => Some(format!("\\{next}")),
        _ if next == escape => Some(if next.is_alphanumeric() { next.to_string() } else { format!("\\{next}") }),
        _ => None,
    }
}

/// Rewrites `[...]`, whose content begins at `at`. Returns the place behind it.
fn enumeration(chars: &[char], mut at: usize, escape: Option<char>, java: &mut String) -> Result<usize, &'static str> {
    java.push('[');
    while let Some(c) = chars.get(at).copied() {
        at += 1;
        match c {
            ']' => {
                java.push(']');
                return Ok(at);
            }
            _ if Some(c) == escape => {
                java.push_str(&escaped(chars.get(at).copied(), c).ok_or("escapes what needs no escape")?);
                at += 1;
            }
            '-' | '^' => java.push(c),
            '[' => {
                let rest: String = chars[at..].iter().take(14).collect();
                let (name, class) = CLASSES.iter().find(|(name, _)| rest.starts_with(name)).ok_or("has an unknown class")?;
                java.push_str(class);
                at += name.len();
            }
            _ if SPECIAL.contains(c) => return Err("has a special character in brackets; escape it"),
            '\\' | '&' => {
                java.push('\\');
                java.push(c);
            }
            c => java.push(c),
        }
    }
    Err("has a [ without ]")
}

/// The classes as they are written behind the outer bracket, and in Java.
const CLASSES: &[(&str, &str)] = &[
    (":ALPHA:]", "\\p{Alpha}"),
    (":alpha:]", "\\p{Alpha}"),
    (":UPPER:]", "\\p{Upper}"),
    (":upper:]", "\\p{Upper}"),
    (":LOWER:]", "\\p{Lower}"),
    (":lower:]", "\\p{Lower}"),
    (":DIGIT:]", "\\d"),
    (":digit:]", "\\d"),
    (":SPACE:]", " "),
    (":space:]", " "),
    (":WHITESPACE:]", "\\s"),
    (":whitespace:]", "\\s"),
    (":ALNUM:]", "\\p{Alnum}"),
    (":alnum:]", "\\p{Alnum}"),
];
