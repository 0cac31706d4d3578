//! Character classes: `[...]` and `\p{...}`.

use super::java::{MAX_NESTING, PatternError, Translator, class_escape, invalid, unsupported};

/// A class in brackets as it is rewritten.
pub(super) struct Class {
    out: String,
    insensitive: bool,
    unicode_case: bool,
}

impl Class {
    /// Reads a class, whose opening bracket was read. Returns its rewriting.
    pub(super) fn read(pattern: &mut Translator, depth: usize) -> Result<String, PatternError> {
        if depth == MAX_NESTING {
            return unsupported("too deeply nested classes");
        }
        let flags = pattern.flags;
        let mut class = Self { out: "[".into(), insensitive: flags.insensitive, unicode_case: flags.unicode_case };
        if pattern.eat('^') {
            class.out.push('^');
        }
        let mut first = true;
        loop {
            let Some(c) = pattern.next() else { return invalid("has a [ without ]") };
            match c {
                ']' if !first => break,
                '[' => {
                    let nested = Self::read(pattern, depth + 1)?;
                    class.out.push_str(&nested);
                }
                '&' if pattern.eat('&') => class.out.push_str("&&"),
                '\\' => {
                    let Some(escape) = pattern.next() else { return invalid("ends with a backslash") };
                    match escape {
                        'p' | 'P' => {
                            let property = property(pattern, escape == 'P')?;
                            class.out.push_str(&property);
                        }
                        'Q' => class.quoted(pattern),
                        'E' => {}
                        _ => match class_escape(escape) {
                            Some(escape) => class.out.push_str(escape),
                            None => {
                                let c = pattern.char_escape(escape)?;
                                class.range(pattern, c)?;
                            }
                        },
                    }
                }
                c => class.range(pattern, c)?,
            }
            first = false;
        }
        if class.out.len() == 1 || class.out == "[^" {
            return invalid("has an empty class");
        }
        class.out.push(']');
        Ok(if class.insensitive && class.unicode_case { format!("(?i:{})", class.out) } else { class.out })
    }

    fn quoted(&mut self, pattern: &mut Translator) {
        while let Some(c) = pattern.next() {
            if c == '\\' && pattern.eat('E') {
                return;
            }
            self.add(c, c);
        }
    }

    /// Adds a character, or a range that starts with it.
    fn range(&mut self, pattern: &mut Translator, start: char) -> Result<(), PatternError> {
        if pattern.peek() != Some('-') || matches!(pattern.peek_after(1), None | Some(']' | '[')) {
            self.add(start, start);
            return Ok(());
        }
        pattern.next();
        let end = match pattern.next() {
            Some('\\') => {
                let Some(escape) = pattern.next() else { return invalid("ends with a backslash") };
                if class_escape(escape).is_some() || matches!(escape, 'p' | 'P') {
                    return invalid("has a range that ends with a class");
                }
                pattern.char_escape(escape)?
            }
            Some(end) => end,
            None => return invalid("has a [ without ]"),
        };
        if end < start {
            return invalid("has a range whose end comes before its start");
        }
        self.add(start, end);
        Ok(())
    }

    fn add(&mut self, start: char, end: char) {
        let mut push = |start: u32, end: u32| self.out.push_str(&format!("\\x{{{start:X}}}-\\x{{{end:X}}}"));
        let (start, end) = (u32::from(start), u32::from(end));
        push(start, end);
        // Without the flag u, only the letters of ASCII ignore case.
        if self.insensitive && !self.unicode_case {
            for (from, to) in [('a', 'A'), ('A', 'a')] {
                let (from, to) = (u32::from(from), u32::from(to));
                let (least, most) = (start.max(from), end.min(from + 25));
                if least <= most {
                    push(least - from + to, most - from + to);
                }
            }
        }
    }
}

/// Reads the name of a property behind `\p` or `\P`, and returns what it stands for, inside of brackets.
pub(super) fn property(pattern: &mut Translator, negated: bool) -> Result<String, PatternError> {
    let name: String = if pattern.eat('{') {
        let mut name = String::new();
        loop {
            match pattern.next() {
                Some('}') => break name,
                Some(c) => name.push(c),
                None => return invalid("has a malformed \\p"),
            }
        }
    } else {
        match pattern.next() {
            Some(c) if c.is_ascii_alphabetic() => c.to_string(),
            _ => return invalid("has a malformed \\p"),
        }
    };
    let ascii = match name.as_str() {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "ASCII" => "\\x00-\\x7F",
        "Alpha" => "A-Za-z",
        "Digit" => "0-9",
        "Alnum" => "0-9A-Za-z",
        "Punct" => "!-/:-@\\[-`\\{-~",
        "Graph" => "!-~",
        "Print" => " -~",
        "Blank" => " \\t",
        "Cntrl" => "\\x00-\\x1F\\x7F",
        "XDigit" => "0-9A-Fa-f",
        "Space" => " \\t\\n\\x0B\\f\\r",
        _ => {
            let plain = ["general_category=", "gc=", "script=", "sc=", "Is"].iter().find_map(|prefix| name.strip_prefix(prefix));
            let known = match plain.unwrap_or(&name) {
                "Alphabetic" => "Alphabetic",
                "Letter" => "L",
                "Digit" => "Nd",
                "Uppercase" => "Uppercase",
                "Lowercase" => "Lowercase",
                "White_Space" | "WhiteSpace" => "White_Space",
                "Punctuation" => "P",
                other if other.len() <= 2 || plain.is_some() => other,
                _ => return unsupported("an unknown property behind \\p"),
            };
            if !known.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') || known.is_empty() {
                return invalid("has a malformed \\p");
            }
            return Ok(format!("\\{}{{{known}}}", if negated { 'P' } else { 'p' }));
        }
    };
    Ok(if negated { format!("[^{ascii}]") } else { ascii.to_owned() })
}
