//! Delimited text (RFC 4180, or another dialect).

pub(crate) mod dialect;
mod parse;
mod write;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde::Deserialize;
use weir_dataflow::operator::OperatorError;

pub(crate) use self::dialect::CsvDialect;
pub(crate) use self::parse::{CsvParser, CsvRules};
pub(crate) use self::write::{CsvStyle, append_csv, append_csv_header};
use super::{Messages, RowDecoder, RowEncoder, TimestampFormat};
use crate::options;
use crate::rows::column::BadValue;
use crate::rows::{RowBuffer, text};

/// The options of format CSV.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CsvOptions {
    pub delimiter: char,
    /// Encloses fields that hold delimiters or line ends. Empty: no character does.
    pub quote: String,
    /// Takes its meaning from the next character.
    pub escape: Option<String>,
    /// The field that means null. When rows are written, the default is the empty field.
    pub null_literal: Option<String>,
    /// What an empty field of a text column means. By default it is null, and a text if there is a `null_literal`.
    pub empty_text: Option<EmptyText>,
    /// A value that can't be read is null, as are missing fields, and further fields are ignored.
    pub ignore_parse_errors: bool,
    /// How times are written. All forms are read.
    pub timestamp_format: TimestampFormat,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: ',',
            quote: "\"".to_owned(),
            escape: None,
            null_literal: None,
            empty_text: None,
            ignore_parse_errors: false,
            timestamp_format: TimestampFormat::default(),
        }
    }
}

/// What an empty field of a text column means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmptyText {
    Null,
    Text,
}

impl CsvOptions {
    /// Error: `CONN-OPTION` for characters that can't have their meaning.
    pub(crate) fn dialect(&self, kind: &str) -> Result<CsvDialect, OperatorError> {
        CsvDialect::new(kind, self.delimiter, &self.quote, self.escape.as_deref())
    }

    pub(crate) fn rules(&self) -> CsvRules {
        // Rows with a null literal have no need for another text that means null.
        let empty_text = self.empty_text.unwrap_or(match self.null_literal {
            None => EmptyText::Null,
            Some(_) => EmptyText::Text,
        });
        CsvRules {
            null_literal: self.null_literal.clone().map(String::into_bytes),
            empty_text_is_null: empty_text == EmptyText::Null,
            ignore_errors: self.ignore_parse_errors,
        }
    }

    /// How rows are written. Error: `CONN-OPTION` for options with which rows could not be read again.
    pub(crate) fn style(&self, kind: &str) -> Result<CsvStyle, OperatorError> {
        let CsvDialect { delimiter, quote, escape } = self.dialect(kind)?;
        let quote = quote.ok_or_else(|| options::invalid(kind, "quote is empty; a sink needs one"))?;
        let null_literal = self.null_literal.clone().unwrap_or_default();
        if null_literal.bytes().any(|byte| matches!(byte, b'\n' | b'\r') || byte == delimiter || byte == quote) {
            return Err(options::invalid(kind, "null_literal has a delimiter, quote or line end"));
        }
        Ok(CsvStyle { delimiter, quote, escape, null_literal, timestamps: self.timestamp_format })
    }
}

pub(super) struct CsvDecoder {
    parser: CsvParser,
}

impl CsvDecoder {
    pub(super) fn new(options: &CsvOptions, schema: &SchemaRef, wanted: &[usize]) -> Result<Self, OperatorError> {
        text::check_flat(schema)?;
        let target = |column: usize| wanted.iter().position(|wanted| *wanted == column);
        let targets = (0..schema.fields().len()).map(target).collect();
        Ok(Self { parser: CsvParser::positional(options.dialect("format csv")?, options.rules(), targets) })
    }
}

impl RowDecoder for CsvDecoder {
    fn decode(&mut self, message: &[u8], rows: &mut RowBuffer) -> Result<usize, BadValue> {
        let line = message.strip_suffix(b"\n").unwrap_or(message);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        rows.push_row(message.len(), |rows| {
            self.parser.check_one_row(line)?;
            self.parser.parse(line, rows)
        })?;
        Ok(1)
    }
}

pub(super) struct CsvEncoder {
    style: CsvStyle,
}

impl CsvEncoder {
    pub(super) fn new(options: &CsvOptions, schema: &SchemaRef) -> Result<Self, OperatorError> {
        text::check_flat(schema)?;
        Ok(Self { style: options.style("format csv")? })
    }
}

impl RowEncoder for CsvEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Messages) -> Result<(), OperatorError> {
        let (bytes, ends) = out.parts();
        write::append_rows(bytes, batch, &self.style, |bytes| ends.push(bytes.len()))
    }
}
