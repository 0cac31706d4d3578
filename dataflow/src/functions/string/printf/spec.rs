//! Reads a format: texts and conversions, each with flags, width and precision.

/// A part of a format.
pub(super) enum Piece {
    Text(String),
    Spec(Spec),
}

/// Which value a conversion writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    /// The one behind those that conversions without a number have written.
    Next,
    /// That of the conversion before.
    Last,
    /// Counted from 1.
    Number(usize),
}

/// A conversion, such as `%-5.2f`.
pub(super) struct Spec {
    pub(super) argument: Argument,
    /// In lower case.
    pub(super) conversion: char,
    pub(super) upper: bool,
    pub(super) alternate: bool,
    pub(super) precision: Option<usize>,
    left: bool,
    zeros: bool,
    plus: bool,
    blank: bool,
    groups: bool,
    brackets: bool,
    width: usize,
}

/// The pieces of a format; `None` if Java refuses it.
pub(super) fn parse(format: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some(start) = rest.find('%') {
        if start > 0 {
            pieces.push(Piece::Text(rest[..start].to_owned()));
        }
        let (spec, after) = conversion(&rest[start + 1..])?;
        pieces.push(Piece::Spec(spec));
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Some(pieces)
}

/// A number at the start of the text, if there is one, and what follows. The outer `None` is a number that is too large.
fn number(text: &str) -> Option<(Option<usize>, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    if digits.is_empty() {
        return Some((None, rest));
    }
    let value: i32 = digits.parse().ok()?;
    Some((usize::try_from(value).ok(), rest))
}

/// The conversion behind a percent sign, and what follows it.
fn conversion(text: &str) -> Option<(Spec, &str)> {
    let mut argument = Argument::Next;
    let mut rest = text;
    if let Some(after) = rest.strip_prefix('<') {
        (argument, rest) = (Argument::Last, after);
    } else if !rest.starts_with('0')
        && let (Some(position), after) = number(rest)?
        && let Some(after) = after.strip_prefix('$')
    {
        (argument, rest) = (Argument::Number(position), after);
    }
    let flags_end = rest.find(|c| !"-#+ 0,(".contains(c)).unwrap_or(rest.len());
    let (flags, after) = rest.split_at(flags_end);
    let (width, after) = number(after)?;
    let (precision, after) = match after.strip_prefix('.') {
        Some(after) => {
            let (precision, after) = number(after)?;
            (Some(precision?), after)
        }
        None => (None, after),
    };
    let letter = after.chars().next()?;
    let upper = "SBXEGCHAT".contains(letter);
    let has = |flag| flags.contains(flag);
    let repeated = flags.chars().enumerate().any(|(index, flag)| flags[..index].contains(flag));
    let spec = Spec {
        argument,
        conversion: if upper { letter.to_ascii_lowercase() } else { letter },
        upper,
        alternate: has('#'),
        precision,
        left: has('-'),
        zeros: has('0'),
        plus: has('+'),
        blank: has(' '),
        groups: has(','),
        brackets: has('('),
        width: width.unwrap_or(0),
    };
    let padded = (spec.left || spec.zeros) && width.is_none();
    let contradictory = (spec.left && spec.zeros) || (spec.plus && spec.blank);
    (spec.fits(flags) && !repeated && !padded && !contradictory).then(|| (spec, &after[letter.len_utf8()..]))
}

impl Spec {
    /// Whether the conversion exists and takes these flags and a precision.
    fn fits(&self, flags: &str) -> bool {
        let only = |allowed: &str| flags.chars().all(|flag| allowed.contains(flag));
        let exact = self.precision.is_none();
        match self.conversion {
            's' | 'b' => only("-"),
            'c' => only("-") && exact,
            'd' => only("-+ 0,(") && exact,
            'x' | 'o' => only("-#0") && exact,
            'f' => only("-+ 0,(#"),
            'g' => only("-+ 0,("),
            'e' => only("-+ 0(#"),
            '%' => only("-") && exact && !self.upper,
            'n' => flags.is_empty() && exact && self.width == 0,
            'a' | 'h' | 't' => true,
            _ => false,
        }
    }

    /// What stands for itself: a percent sign, or the end of a line.
    pub(super) fn literal(&self) -> Option<&'static str> {
        match self.conversion {
            '%' => Some("%"),
            'n' => Some("\n"),
            _ => None,
        }
    }

    /// An upper bound of what width and precision add to a text.
    pub(super) fn largest(&self) -> usize {
        self.width.saturating_add(self.precision.unwrap_or(0)).saturating_mul(2)
    }

    /// Appends the text, with blanks up to the width.
    pub(super) fn pad(&self, text: String, out: &mut String) {
        let missing = self.width.saturating_sub(text.chars().count());
        if self.left {
            out.push_str(&text);
        }
        out.extend(std::iter::repeat_n(' ', missing));
        if !self.left {
            out.push_str(&text);
        }
    }

    /// Digits with a comma between thousands, if that was asked for, and what follows the point.
    pub(super) fn grouped(&self, whole: String, fraction: &str) -> String {
        let mut text = String::with_capacity(whole.len() * 2);
        for (index, digit) in whole.chars().enumerate() {
            if self.groups && index > 0 && (whole.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text.push_str(fraction);
        text
    }

    /// The digits with their sign, and zeros up to the width if those were asked for.
    pub(super) fn signed(&self, negative: bool, digits: String) -> String {
        let (before, behind) = self.sign(negative);
        let missing = if self.zeros { self.width.saturating_sub(before.len() + digits.len() + behind.len()) } else { 0 };
        format!("{before}{}{digits}{behind}", "0".repeat(missing))
    }

    /// A word such as Infinity with its sign. It is never filled with zeros.
    pub(super) fn signed_word(&self, negative: bool, word: &str) -> String {
        let (before, behind) = if word == "NaN" { ("", "") } else { self.sign(negative) };
        format!("{before}{word}{behind}")
    }

    pub(super) fn zero_filled(&self, digits: String) -> String {
        let missing = if self.zeros { self.width.saturating_sub(digits.len()) } else { 0 };
        format!("{}{digits}", "0".repeat(missing))
    }

    fn sign(&self, negative: bool) -> (&'static str, &'static str) {
        match (negative, self.brackets) {
            (true, true) => ("(", ")"),
            (true, false) => ("-", ""),
            (false, _) if self.plus => ("+", ""),
            (false, _) if self.blank => (" ", ""),
            (false, _) => ("", ""),
        }
    }
}
