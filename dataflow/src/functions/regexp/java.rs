//! Rewrites Java's regular expressions for the `regex` crate, which takes time linear in the text for every pattern.
//!
//! What cannot be rewritten is refused: look-around, back references, possessive quantifiers, atomic groups, comments. There is one
//! difference: `$` and `\Z` match only at the very end of a text, while Java's also match before a line end there.

use std::fmt;

use regex::{Regex, RegexBuilder};

use super::class::{Class, property};

/// Longest pattern, in characters.
const MAX_PATTERN: usize = 16_384;
/// Most memory of a compiled pattern, in bytes.
const MAX_COMPILED: usize = 2 << 20;
/// Deepest nesting of groups and classes.
pub(super) const MAX_NESTING: usize = 50;

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::functions) enum PatternError {
    /// Java refuses it too.
    Invalid(String),
    /// Java takes it.
    Unsupported(String),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(what) | Self::Unsupported(what) => f.write_str(what),
        }
    }
}

pub(super) fn invalid<T>(what: impl Into<String>) -> Result<T, PatternError> {
    Err(PatternError::Invalid(what.into()))
}

pub(super) fn unsupported<T>(what: &str) -> Result<T, PatternError> {
    Err(PatternError::Unsupported(format!("has {what}, which Weir does not support; rewrite it")))
}

/// Compiles a pattern of Java.
pub(in crate::functions) fn build(java: &str) -> Result<Regex, PatternError> {
    if java.chars().take(MAX_PATTERN + 1).count() > MAX_PATTERN {
        return Err(PatternError::Unsupported(format!("is longer than {MAX_PATTERN} characters; shorten it")));
    }
    let rewritten = Translator::new(java).translate()?;
    RegexBuilder::new(&rewritten).size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED).build().map_err(|error| {
        PatternError::Unsupported(match error {
            regex::Error::CompiledTooBig(_) => format!("needs more than {MAX_COMPILED} bytes of memory; simplify it"),
            _ => "has something that Weir does not support; rewrite it".to_owned(),
        })
    })
}

/// The flags that are in force.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) insensitive: bool,
    pub(super) unicode_case: bool,
    dot_all: bool,
    multi_line: bool,
}

/// Reads a pattern from front to back, and writes its rewriting.
pub(super) struct Translator {
    chars: Vec<char>,
    at: usize,
    pub(super) out: String,
    pub(super) flags: Flags,
    /// The flags before each open group.
    groups: Vec<Flags>,
    /// Whether a quantifier may follow.
    atom: bool,
}

impl Translator {
    fn new(java: &str) -> Self {
        let chars = java.chars().collect();
        Self { chars, at: 0, out: String::new(), flags: Flags::default(), groups: Vec::new(), atom: false }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    pub(super) fn peek_after(&self, n: usize) -> Option<char> {
        self.chars.get(self.at + n).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    pub(super) fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn translate(mut self) -> Result<String, PatternError> {
        while let Some(c) = self.next() {
            match c {
                '(' => self.group()?,
                ')' => {
                    let Some(flags) = self.groups.pop() else { return invalid("has a ) without (") };
                    self.flags = flags;
                    self.out.push(')');
                    self.atom = true;
                }
                '|' => {
                    self.out.push('|');
                    self.atom = false;
                }
                '*' | '+' | '?' => self.quantifier(c.to_string())?,
                '{' => {
                    let bounds = self.bounds()?;
                    self.quantifier(bounds)?;
                }
                '.' => self.push(if self.flags.dot_all { "(?s:.)" } else { "[^\\n\\r\\x{85}\\x{2028}\\x{2029}]" }),
                '^' => self.push(if self.flags.multi_line { "(?m:^)" } else { "\\A" }),
                '$' => self.push(if self.flags.multi_line { "(?m:$)" } else { "\\z" }),
                '[' => {
                    let class = Class::read(&mut self, 0)?;
                    self.push(&class);
                }
                '\\' => self.escape()?,
                c => self.literal(c),
            }
        }
        if self.groups.is_empty() { Ok(self.out) } else { invalid("has a ( without )") }
    }

    fn push(&mut self, part: &str) {
        self.out.push_str(part);
        self.atom = true;
    }

    fn literal(&mut self, c: char) {
        let escaped = regex::escape(c.encode_utf8(&mut [0; 4]));
        if self.flags.insensitive && c.is_ascii_alphabetic() && !self.flags.unicode_case {
            let (lower, upper) = (c.to_ascii_lowercase(), c.to_ascii_uppercase());
            return self.push(&format!("[{lower}{upper}]"));
        }
        if self.flags.insensitive && self.flags.unicode_case {
            return self.push(&format!("(?i:{escaped})"));
        }
        self.push(&escaped);
    }

    fn group(&mut self) -> Result<(), PatternError> {
        if self.groups.len() == MAX_NESTING {
            return unsupported("too deeply nested groups");
        }
        self.atom = false;
        let before = self.flags;
        if !self.eat('?') {
            self.out.push('(');
            self.groups.push(before);
            return Ok(());
        }
        match self.peek() {
            Some(':') => {
                self.at += 1;
                self.out.push_str("(?:");
            }
            Some('=' | '!') => return unsupported("look-ahead"),
            Some('>') => return unsupported("an atomic group"),
            Some('<') if matches!(self.peek_after(1), Some('=' | '!')) => return unsupported("look-behind"),
            Some('<') => {
                self.at += 1;
                let name: String = std::iter::from_fn(|| self.next_if(|c| c.is_ascii_alphanumeric())).collect();
                if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !self.eat('>') {
                    return invalid("has a malformed name of a group");
                }
                self.out.push_str(&format!("(?<{name}>"));
            }
            _ => {
                // `(?i)` holds to the end of the group around it.
                if self.set_flags()? {
                    return Ok(());
                }
                self.out.push_str("(?:");
            }
        }
        self.groups.push(before);
        Ok(())
    }

    fn next_if(&mut self, fits: impl Fn(char) -> bool) -> Option<char> {
        let next = self.peek().filter(|c| fits(*c))?;
        self.at += 1;
        Some(next)
    }

    /// Reads flags up to `)` or `:`. Returns whether it was `)`.
    fn set_flags(&mut self) -> Result<bool, PatternError> {
        let mut on = true;
        loop {
            match self.next() {
                Some('-') => on = false,
                Some('i') => self.flags.insensitive = on,
                Some('u') => self.flags.unicode_case = on,
                Some('s') => self.flags.dot_all = on,
                Some('m') => self.flags.multi_line = on,
                Some('x' | 'd' | 'U') => return unsupported("one of the flags x, d and U"),
                Some(')') => return Ok(true),
                Some(':') => return Ok(false),
                _ => return invalid("has an unknown construct after (?"),
            }
        }
    }

    fn quantifier(&mut self, quantifier: String) -> Result<(), PatternError> {
        if !self.atom {
            return invalid("has a quantifier with nothing before it");
        }
        self.out.push_str(&quantifier);
        self.atom = false;
        match self.peek() {
            Some('?') => {
                self.at += 1;
                self.out.push('?');
                Ok(())
            }
            Some('+') => unsupported("a possessive quantifier"),
            _ => Ok(()),
        }
    }

    /// Reads `n}`, `n,}` or `n,m}`.
    fn bounds(&mut self) -> Result<String, PatternError> {
        let number = |this: &mut Self| {
            let digits: String = std::iter::from_fn(|| this.next_if(|c| c.is_ascii_digit())).collect();
            digits.parse::<u32>().ok()
        };
        let Some(least) = number(self) else { return invalid("has a { that is not followed by a number") };
        if self.eat('}') {
            return Ok(format!("{{{least}}}"));
        }
        if !self.eat(',') {
            return invalid("has a { that is not closed");
        }
        if self.eat('}') {
            return Ok(format!("{{{least},}}"));
        }
        match number(self) {
            Some(most) if self.eat('}') && least <= most => Ok(format!("{{{least},{most}}}")),
            _ => invalid("has malformed bounds in braces"),
        }
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        let Some(c) = self.next() else { return invalid("ends with a backslash") };
        match c {
            'Q' => {
                while let Some(c) = self.next() {
                    if c == '\\' && self.eat('E') {
                        return Ok(());
                    }
                    self.literal(c);
                }
            }
            'E' => {}
            'b' if self.peek() == Some('{') => return unsupported("\\b{g}"),
            'b' | 'B' => self.push(if c == 'b' { "\\b" } else { "\\B" }),
            'A' => self.push("\\A"),
            'z' | 'Z' => self.push("\\z"),
            'R' => self.push("(?:\\r\\n|[\\n\\x0B\\f\\r\\x{85}\\x{2028}\\x{2029}])"),
            'G' | 'X' | 'N' => return unsupported("one of \\G, \\X and \\N"),
            'k' | '1'..='9' => return unsupported("a back reference"),
            'p' | 'P' => {
                let class = property(self, c == 'P')?;
                self.push(&format!("[{class}]"));
            }
            _ => match class_escape(c) {
                Some(class) => self.push(&format!("[{class}]")),
                None => {
                    let c = self.char_escape(c)?;
                    self.literal(c);
                }
            },
        }
        Ok(())
    }

    /// The character that an escape stands for; `c` follows the backslash.
    pub(super) fn char_escape(&mut self, c: char) -> Result<char, PatternError> {
        Ok(match c {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            'a' => '\u{7}',
            'e' => '\u{1b}',
            'c' => match self.next() {
                Some(letter) if letter.is_ascii() => char::from(letter as u8 ^ 64),
                _ => return invalid("has a malformed \\c"),
            },
            '0' => self.octal()?,
            'x' if self.eat('{') => {
                let digits: String = std::iter::from_fn(|| self.next_if(|c| c.is_ascii_hexdigit())).collect();
                let value = u32::from_str_radix(&digits, 16).ok().filter(|_| self.eat('}'));
                return value.and_then(char::from_u32).map_or_else(|| invalid("has a malformed \\x"), Ok);
            }
            'x' => {
                let value = self.hex(2)?;
                return char::from_u32(value).map_or_else(|| invalid("has a malformed \\x"), Ok);
            }
            'u' => {
                let first = self.hex(4)?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first).map_or_else(|| unsupported("half of a surrogate pair"), Ok);
                }
                if !(self.eat('\\') && self.eat('u')) {
                    return unsupported("half of a surrogate pair");
                }
                let pair = [first as u16, self.hex(4)? as u16];
                match char::decode_utf16(pair).next() {
                    Some(Ok(c)) => c,
                    _ => return unsupported("half of a surrogate pair"),
                }
            }
            c if c.is_ascii_alphabetic() => return invalid(format!("has the unknown escape \\{c}")),
            c => c,
        })
    }

    fn hex(&mut self, digits: usize) -> Result<u32, PatternError> {
        let text: String = std::iter::from_fn(|| self.next_if(|c| c.is_ascii_hexdigit())).take(digits).collect();
        match u32::from_str_radix(&text, 16) {
            Ok(value) if text.len() == digits => Ok(value),
            _ => invalid("has a malformed \\x or \\u"),
        }
    }

    /// Up to three octal digits, at most 0377.
    fn octal(&mut self) -> Result<char, PatternError> {
        let mut value = 0;
        let mut digits = 0;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) {
            if digits == 3 || value * 8 + digit > 0o377 {
                break;
            }
            value = value * 8 + digit;
            digits += 1;
            self.at += 1;
        }
        if digits == 0 { invalid("has a malformed \\0") } else { Ok(char::from(value as u8)) }
    }
}

/// What `\d` and the like stand for, inside of brackets. In Java they are ASCII.
pub(super) fn class_escape(c: char) -> Option<&'static str> {
    Some(match c {
        'd' => "0-9",
        'D' => "[^0-9]",
        'w' => "0-9A-Za-z_",
        'W' => "[^0-9A-Za-z_]",
        's' => " \\t\\n\\x0B\\f\\r",
        'S' => "[^ \\t\\n\\x0B\\f\\r]",
        'h' => " \\t\\x{A0}\\x{1680}\\x{180e}\\x{2000}-\\x{200a}\\x{202f}\\x{205f}\\x{3000}",
        'H' => "[^ \\t\\x{A0}\\x{1680}\\x{180e}\\x{2000}-\\x{200a}\\x{202f}\\x{205f}\\x{3000}]",
        'v' => "\\n\\x0B\\f\\r\\x{85}\\x{2028}\\x{2029}",
        'V' => "[^\\n\\x0B\\f\\r\\x{85}\\x{2028}\\x{2029}]",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(java: &str) -> bool {
        matches!(build(java), Err(PatternError::Unsupported(_)))
    }

    fn wrong(java: &str) -> bool {
        matches!(build(java), Err(PatternError::Invalid(_)))
    }

    #[test]
    fn what_cannot_be_rewritten_is_refused_rather_than_misunderstood() {
        for java in [
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<!a)",
            "(a)\\1",
            "(?<n>a)\\k<n>",
            "a*+",
            "a++",
            "a?+",
            "a{1}+",
            "(?>a)",
            "(?x)a",
            "(?U)a",
            "\\X",
            "\\G",
            "\\p{InGreek}",
            "\\p{javaLowerCase}",
            "(\\w{200}){200}",
        ] {
            assert!(refused(java), "{java}");
        }
        assert!(refused(&"(".repeat(100)) && refused(&"a".repeat(20_000)) && refused(&format!("[{}", "[".repeat(100))));
    }

    #[test]
    fn what_java_refuses_is_invalid() {
        for java in [
            "(", ")", "[", "*a", "a**", "a{", "a{1,0}", "\\y", "\\", "[b-a]", "(?<1>a)", "(?q)", "a{x}", "\\xg", "\\u12", "[\\",
            "|*",
        ] {
            assert!(wrong(java), "{java}");
        }
    }

    #[test]
    fn classes_escapes_and_flags_mean_what_they_mean_in_java() {
        let found = |java: &str, text: &str| build(java).unwrap().find(text).map(|found| found.as_str().to_owned());
        for (java, text, expected) in [
            ("(?i)b", "ABC", "B"),
            ("[a-z&&[^b]]+", "abc", "a"),
            ("\\p{Alpha}\\s", "a b", "a "),
            ("\\w", "äb", "b"),
            ("\\d", "٣3", "3"),
            ("a{2}", "aaa", "aa"),
            ("\\bw", "hello world", "w"),
            ("\\x61", "a", "a"),
            ("\\Qa+b\\E", "a+b", "a+b"),
            ("[]]", "a]b", "]"),
            ("[a\\-]+", "a-b", "a-"),
            ("(?iu)äb", "ÄB", "ÄB"),
            ("\\#", "a#b", "#"),
            ("[\\d]", "a1", "1"),
            ("[\\w&&[^a]]+", "aB1", "B1"),
            ("(?i)[A-B]+", "abc", "ab"),
            ("[a^]+", "a^b", "a^"),
            ("a}", "a}b", "a}"),
            ("a]", "a]b", "a]"),
            ("\\p{Lu}+", "AZ", "AZ"),
            ("\\p{IsLatin}+", "AZ", "AZ"),
            ("\\p{Lower}", "Az", "z"),
            ("\\P{Lower}", "Az", "A"),
            ("\\pL", "1a", "a"),
            ("[[a]b]", "a", "a"),
            ("\\uD83D\\uDE00", "a😀", "😀"),
            ("a.b", "a\nb a b", "a b"),
            ("(?s)a.b", "a\nb", "a\nb"),
            ("(?m)^b", "a\nb", "b"),
            ("(a(?i)b)B", "aBb aBB", "aBB"),
            ("(?i:A)b", "ab", "ab"),
            ("\\0101", "A", "A"),
            ("[^\\W\\d]+", "1ab_", "ab_"),
            ("a|", "b", ""),
            ("[a-]", "-", "-"),
            ("[&&a]|x", "x", "x"),
            ("[~#]+", "#~", "#~"),
            ("\\cA", "\u{1}", "\u{1}"),
        ] {
            assert_eq!(found(java, text).as_deref(), Some(expected), "{java}");
        }
        assert_eq!(found("(?i)ä", "Ä"), None);
        assert_eq!(found("\\bb", "éb"), None);
    }
}
