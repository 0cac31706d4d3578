//! Writes rows as delimited text.

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use weir_dataflow::operator::OperatorError;

use crate::rows::text::members_of;
use crate::rows::times::TimestampFormat;
use crate::rows::view::Values;

/// How CSV is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CsvStyle {
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
    /// Precedes quotes in quoted fields, and itself. Without it, quotes are doubled.
    pub(crate) escape: Option<u8>,
    /// The field of a null; the empty field by default.
    pub(crate) null_literal: String,
    pub(crate) timestamps: TimestampFormat,
}

impl Default for CsvStyle {
    fn default() -> Self {
        let timestamps = TimestampFormat::default();
        Self { delimiter: b',', quote: b'"', escape: None, null_literal: String::new(), timestamps }
    }
}

/// Appends the header row.
pub(crate) fn append_csv_header(out: &mut Vec<u8>, schema: &Schema, style: &CsvStyle) {
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            out.push(style.delimiter);
        }
        // Readers trim names without quotes.
        if field.name().trim() == field.name() {
            append_csv_text(out, field.name(), style);
        } else {
            append_quoted(out, field.name().as_bytes(), style);
        }
    }
    out.push(b'\n');
}

/// Appends the rows as CSV (RFC 4180, but rows end with a line feed alone). An empty text is `""`, as are
/// empty bytes. Bytes are base64.
pub(crate) fn append_csv(out: &mut Vec<u8>, batch: &RecordBatch, style: &CsvStyle) -> Result<(), OperatorError> {
    append_rows(out, batch, style, |out| out.push(b'\n'))
}

/// Appends each row without its end, and calls `end` after each.
pub(super) fn append_rows(
    out: &mut Vec<u8>,
    batch: &RecordBatch,
    style: &CsvStyle,
    mut end: impl FnMut(&mut Vec<u8>),
) -> Result<(), OperatorError> {
    let columns = members_of(batch)?;
    // A value that is not text can contain such a delimiter.
    let quote_all =
        matches!(style.delimiter, b':' | b'.' | b' ' | b'+' | b'-' | b'/' | b'=') || style.delimiter.is_ascii_alphanumeric();
    for row in 0..batch.num_rows() {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.push(style.delimiter);
            }
            if column.view.is_null(row) {
                out.extend_from_slice(style.null_literal.as_bytes());
                continue;
            }
            match column.view.values() {
                Values::Text(values) => append_csv_text(out, values.value(row), style),
                Values::Bytes(values) if values.value(row).is_empty() => append_quoted(out, b"", style),
                _ if quote_all => {
                    out.push(style.quote);
                    column.view.append_plain(out, row, style.timestamps);
                    out.push(style.quote);
                }
                _ => column.view.append_plain(out, row, style.timestamps),
            }
        }
        end(out);
    }
    Ok(())
}

fn append_csv_text(out: &mut Vec<u8>, text: &str, style: &CsvStyle) {
    let bytes = text.as_bytes();
    let escape = style.escape.unwrap_or(style.quote);
    // Without an early end, the compiler compares many bytes at once.
    let is_special = |special: bool, byte: &u8| {
        special | matches!(byte, b'\n' | b'\r') | (*byte == style.delimiter) | (*byte == style.quote) | (*byte == escape)
    };
    // At the start of a file, a reader takes U+FEFF for a byte order mark.
    if !bytes.is_empty() && !text.starts_with('\u{feff}') && !bytes.iter().fold(false, is_special) {
        out.extend_from_slice(bytes);
    } else {
        append_quoted(out, bytes, style);
    }
}

fn append_quoted(out: &mut Vec<u8>, text: &[u8], style: &CsvStyle) {
    out.push(style.quote);
    for byte in text {
        if *byte == style.quote || Some(*byte) == style.escape {
            out.push(style.escape.unwrap_or(style.quote));
        }
        out.push(*byte);
    }
    out.push(style.quote);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::text::tests::batch;

    #[test]
    fn csv_quotes_only_if_needed_and_distinguishes_null_from_empty_text() {
        let mut out = Vec::new();
        append_csv_header(&mut out, batch().schema_ref(), &CsvStyle::default());
        append_csv(&mut out, &batch(), &CsvStyle::default()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "ok,n,x,\"te,xt\",at\ntrue,-9223372036854775808,1e300,\"a \"\"b\"\", c\",2013-01-01T05:00:00Z\n\
             ,,NaN,\"\",9223372036854775807\n"
        );
    }
}
