//! Patterns of dates and times in the two forms that Flink takes from Java.

/// What a pattern consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Literal(String),
    /// A letter, and how often it stands in a row.
    Field(char, usize),
    /// `[`: what follows up to `]` may be missing when a text is read.
    OptionalStart,
    OptionalEnd,
}

/// The form of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `java.time.format.DateTimeFormatter`: DATE_FORMAT of a time, TO_TIMESTAMP.
    Modern,
    /// `java.text.SimpleDateFormat`: DATE_FORMAT of a text, FROM_UNIXTIME, UNIX_TIMESTAMP, TO_DATE, CONVERT_TZ.
    Legacy,
}

impl Form {
    /// The letters that stand for fields, with the most of each in a row.
    fn most(self, letter: char) -> Option<usize> {
        let any = 64;
        Some(match (self, letter) {
            (Self::Legacy, 'G' | 'y' | 'Y' | 'M' | 'L' | 'w' | 'W' | 'D' | 'd' | 'F' | 'E' | 'u') => any,
            (Self::Legacy, 'a' | 'H' | 'k' | 'K' | 'h' | 'm' | 's' | 'S' | 'z' | 'Z') => any,
            (Self::Legacy, 'X') => 3,
            (Self::Modern, 'u' | 'y' | 'Y') => 19,
            (Self::Modern, 'n' | 'N' | 'A') => 19,
            (Self::Modern, 'G' | 'Q' | 'q' | 'M' | 'L' | 'E' | 'e' | 'c') => 5,
            (Self::Modern, 'D') => 3,
            (Self::Modern, 'd' | 'h' | 'H' | 'k' | 'K' | 'm' | 's' | 'w') => 2,
            (Self::Modern, 'F' | 'a' | 'W') => 1,
            (Self::Modern, 'S') => 9,
            (Self::Modern, 'X' | 'x' | 'Z') => 5,
            (Self::Modern, 'V') => 2,
            (Self::Modern, 'z' | 'O') => 4,
            _ => return None,
        })
    }
}

/// Reads a pattern. The error says what is wrong with it.
pub(super) fn parse(pattern: &str, form: Form) -> Result<Vec<Item>, String> {
    let wrong = |what: &str| Err(format!("the pattern {pattern:?} of a time {what}"));
    let mut items: Vec<Item> = Vec::new();
    let mut depth = 0;
    let mut chars = pattern.chars().peekable();
    let literal = |items: &mut Vec<Item>, c: char| match items.last_mut() {
        Some(Item::Literal(text)) => text.push(c),
        _ => items.push(Item::Literal(c.into())),
    };
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let mut quoted = 0;
                loop {
                    match chars.next() {
                        Some('\'') if chars.peek() == Some(&'\'') && quoted > 0 => {
                            chars.next();
                            literal(&mut items, '\'');
                        }
                        // Two quotes in a row stand for one.
                        Some('\'') if quoted == 0 => {
                            literal(&mut items, '\'');
                            break;
                        }
                        Some('\'') => break,
                        Some(c) => literal(&mut items, c),
                        None => return wrong("has a quote that is not closed"),
                    }
                    quoted += 1;
                }
            }
            'a'..='z' | 'A'..='Z' => {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                match form.most(c) {
                    Some(most) if count <= most => items.push(Item::Field(c, count)),
                    Some(_) => return wrong(&format!("has too many letters {c} in a row")),
                    None => return wrong(&format!("has the unknown letter {c}; put text in quotes")),
                }
            }
            '[' if form == Form::Modern => {
                depth += 1;
                items.push(Item::OptionalStart);
            }
            ']' if form == Form::Modern => {
                if depth == 0 {
                    return wrong("has a ] without [");
                }
                depth -= 1;
                items.push(Item::OptionalEnd);
            }
            '{' | '}' | '#' if form == Form::Modern => {
                return wrong(&format!("has the reserved character {c}; put it in quotes"));
            }
            c => literal(&mut items, c),
        }
    }
    items.extend(std::iter::repeat_n(Item::OptionalEnd, depth));
    Ok(items)
}

pub(super) const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// The names of the days, from Monday on.
pub(super) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_read_into_letters_and_texts() {
        let literal = |text: &str| Item::Literal(text.into());
        assert_eq!(
            parse("yyyy-MM'T''x'''", Form::Modern),
            Ok(vec![Item::Field('y', 4), literal("-"), Item::Field('M', 2), literal("T'x'")])
        );
        assert_eq!(parse("''", Form::Legacy), Ok(vec![literal("'")]));
        let optional = vec![Item::Field('y', 1), Item::OptionalStart, Item::Field('M', 1), Item::OptionalEnd];
        assert_eq!(parse("y[M", Form::Modern), Ok(optional));
        for wrong in ["bad", "'x", "]", "{", "hhh", "aa", "SSSSSSSSSS"] {
            assert!(parse(wrong, Form::Modern).is_err(), "{wrong}");
        }
        for wrong in ["b", "Q", "'", "XXXX"] {
            assert!(parse(wrong, Form::Legacy).is_err(), "{wrong}");
        }
    }
}
