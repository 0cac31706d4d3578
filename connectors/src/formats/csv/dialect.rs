//! The characters that have a meaning in a CSV file.

use weir_dataflow::operator::OperatorError;

use crate::options;

/// The delimiter of fields, and the characters that take their meaning from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CsvDialect {
    pub(crate) delimiter: u8,
    /// Encloses fields that hold delimiters or line ends.
    pub(crate) quote: Option<u8>,
    /// Takes its meaning from the next character, inside and outside quotes.
    pub(crate) escape: Option<u8>,
}

impl CsvDialect {
    /// Reads the options `delimiter`, `quote` (empty: none) and `escape`. Error: `CONN-OPTION`.
    pub(crate) fn new(kind: &str, delimiter: char, quote: &str, escape: Option<&str>) -> Result<Self, OperatorError> {
        let invalid = |reason: String| options::invalid(kind, reason);
        if !delimiter.is_ascii() || matches!(delimiter, '"' | '\n' | '\r' | '-' | '0'..='9') {
            let reason = "the delimiter must be one ASCII character, not a quote, line end, digit or minus";
            return Err(invalid(reason.to_owned()));
        }
        let special = |name: &str, text: &str| match text.as_bytes() {
            [byte] if byte.is_ascii_punctuation() && *byte != b'-' && *byte != delimiter as u8 => Ok(*byte),
            _ => Err(invalid(format!("{name} is {text:?}; it must be one punctuation character, not a minus or the delimiter"))),
        };
        let quote = if quote.is_empty() { None } else { Some(special("quote", quote)?) };
        let escape = escape.filter(|escape| !escape.is_empty()).map(|escape| special("escape", escape)).transpose()?;
        if quote.is_some() && quote == escape {
            return Err(invalid("quote and escape must differ".to_owned()));
        }
        Ok(Self { delimiter: delimiter as u8, quote, escape })
    }

    /// RFC 4180 with this delimiter.
    #[cfg(test)]
    pub(crate) fn plain(delimiter: u8) -> Self {
        Self { delimiter, quote: Some(b'"'), escape: None }
    }

    /// Whether every line feed ends a row.
    pub(crate) fn is_one_line(self) -> bool {
        self.quote.is_none() && self.escape.is_none()
    }
}

/// The character that an escape character before `byte` stands for.
pub(crate) fn unescaped(byte: u8) -> u8 {
    match byte {
        b'0' => 0,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        other => other,
    }
}
