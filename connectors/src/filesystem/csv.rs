//! Parses rows of delimited text (RFC 4180).
//!
//! A quoted field may hold delimiters, line ends and doubled quotes. A blank line is skipped, except in a file with one field: there
//! it is a row whose field is empty.

use memchr::memchr;

use crate::rows::RowBuffer;
use crate::rows::buffer::BadValue;

/// Parses lines into rows.
pub(crate) struct CsvParser {
    delimiter: u8,
    /// For each field of a line, the index of its column, if it has one.
    targets: Vec<Option<usize>>,
    scratch: Vec<u8>,
}

impl CsvParser {
    /// Creates a parser for files without a header: the fields are the columns, in order.
    pub(crate) fn positional(delimiter: u8, columns: usize) -> Self {
        Self { delimiter, targets: (0..columns).map(Some).collect(), scratch: Vec::new() }
    }

    /// Creates a parser for files with a header. Columns are found by name, ignoring case if no name matches exactly. Other
    /// fields are skipped. The error says which column is missing or ambiguous.
    pub(crate) fn from_header(delimiter: u8, header: &[u8], columns: &[&str]) -> Result<Self, String> {
        let mut names = Vec::new();
        let mut rest = Some(header);
        let mut scratch = Vec::new();
        while let Some(text) = rest {
            let (field, quoted, length) = split_field(text, delimiter, &mut scratch).map_err(|reason| reason.0)?;
            let name = String::from_utf8_lossy(field);
            names.push(if quoted { name.into_owned() } else { name.trim().to_owned() });
            rest = text.get(length + 1..);
        }
        let mut targets = vec![None; names.len()];
        for (index, column) in columns.iter().enumerate() {
            let position = names
                .iter()
                .position(|name| name == column)
                .or_else(|| names.iter().position(|name| name.eq_ignore_ascii_case(column)))
                .ok_or_else(|| {
                    let shown: String = names.join(", ").chars().take(200).collect();
                    format!("the header has no column {column:?}; its columns are: {shown}")
                })?;
            if targets[position].replace(index).is_some() {
                return Err(format!("two columns of the schema match the header's column {:?}", names[position]));
            }
        }
        Ok(Self { delimiter, targets, scratch })
    }

    /// Whether a blank line is a row.
    pub(crate) fn blank_is_row(&self) -> bool {
        self.targets.len() == 1
    }

    /// Parses one row and pushes its values. The caller then commits the row, or rolls it back after an error.
    pub(crate) fn parse(&mut self, line: &[u8], rows: &mut RowBuffer) -> Result<(), BadValue> {
        let mut rest = line;
        let last = self.targets.len().saturating_sub(1);
        for (position, target) in self.targets.iter().enumerate() {
            let length = match target {
                Some(index) => {
                    let column = rows.column(*index);
                    match column.push_integer_prefix(rest, self.delimiter) {
                        Some(length) => length,
                        None => {
                            let (field, quoted, length) = split_field(rest, self.delimiter, &mut self.scratch)?;
                            column
                                .push_field(field, quoted)
                                .map_err(|reason| BadValue(format!("column {:?}: {}", column.name(), reason.0)))?;
                            length
                        }
                    }
                }
                None => split_field(rest, self.delimiter, &mut self.scratch)?.2,
            };
            match (length == rest.len(), position == last) {
                (false, false) => rest = &rest[length + 1..],
                (true, true) => return Ok(()),
                (true, false) => return Err(BadValue(format!("the row has {} fields, expected {}", position + 1, last + 1))),
                (false, true) => return Err(BadValue(format!("the row has more than {} fields", last + 1))),
            }
        }
        Ok(())
    }
}

/// Returns the field at the start of `rest`, whether it was quoted, and its length in `rest`, after which a delimiter or the end
/// follows.
fn split_field<'a>(rest: &'a [u8], delimiter: u8, scratch: &'a mut Vec<u8>) -> Result<(&'a [u8], bool, usize), BadValue> {
    if rest.first() != Some(&b'"') {
        let length = memchr(delimiter, rest).unwrap_or(rest.len());
        return Ok((&rest[..length], false, length));
    }
    scratch.clear();
    let mut position = 1;
    loop {
        let Some(length) = memchr(b'"', &rest[position..]) else {
            return Err(BadValue("a quote is not closed".to_owned()));
        };
        scratch.extend_from_slice(&rest[position..position + length]);
        position += length + 1;
        match rest.get(position) {
            Some(b'"') => {
                scratch.push(b'"');
                position += 1;
            }
            Some(byte) if *byte != delimiter => return Err(BadValue("there is text after a closing quote".to_owned())),
            Some(_) | None => return Ok((scratch, true, position)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_schema::{DataType, Field, Schema, TimeUnit};
    use proptest::prelude::*;

    use super::*;

    fn rows() -> RowBuffer {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        ]);
        RowBuffer::new(Arc::new(schema)).unwrap()
    }

    fn parse(line: &str) -> Result<(Option<i64>, Option<String>), String> {
        let mut rows = rows();
        CsvParser::positional(b',', 3).parse(line.as_bytes(), &mut rows).map_err(|reason| reason.0)?;
        rows.commit_row(line.len());
        let batch = rows.finish().unwrap();
        let name = batch.column(1).as_string::<i32>().iter().next().unwrap().map(str::to_owned);
        Ok((batch.column(0).as_primitive::<Int64Type>().iter().next().unwrap(), name))
    }

    #[test]
    fn fields_are_read_by_type_with_quotes_and_nulls() {
        assert_eq!(parse("1,a,0"), Ok((Some(1), Some("a".into()))));
        assert_eq!(parse("-1,,"), Ok((Some(-1), None)));
        assert_eq!(parse("\"12\",\"a \"\"b\"\", c\",2013-01-01T05:00:00Z"), Ok((Some(12), Some("a \"b\", c".into()))));
        assert_eq!(parse("1,\"\","), Ok((Some(1), Some(String::new()))));
    }

    #[test]
    fn a_bad_row_gives_its_reason() {
        for (line, reason) in [
            (",a,", "column \"n\": no value"),
            ("x,a,", "column \"n\": \"x\" is not a bigint"),
            ("1,a", "2 fields, expected 3"),
            ("1,a,,", "more than 3 fields"),
            ("1,\"a,", "not closed"),
            ("1,\"a\"b,", "after a closing quote"),
            ("1,a,2013-02-30", "is not a timestamp"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn a_header_assigns_fields_to_columns_and_other_fields_are_skipped() {
        let mut parser = CsvParser::from_header(b';', b"extra;AT;\"name\";n", &["n", "name", "at"]).unwrap();
        let mut rows = rows();
        parser.parse(b"\"x;y\";5;bob;7", &mut rows).unwrap();
        rows.commit_row(0);
        let batch = rows.finish().unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 7);
        assert_eq!(batch.column(1).as_string::<i32>().value(0), "bob");
        let error = CsvParser::from_header(b',', b"a,b", &["n"]).err().unwrap();
        assert!(error.contains("no column \"n\"; its columns are: a, b"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_lines_give_a_complete_row_or_an_error_and_never_panic(
            lines in proptest::collection::vec(proptest::collection::vec(
                prop_oneof![3 => proptest::sample::select(b",,\"\"-0123456789 a:TZ\xff".to_vec()), 1 => any::<u8>()], 0..40), 0..20)
        ) {
            let mut parser = CsvParser::positional(b',', 3);
            let mut rows = rows();
            let mut good = 0;
            for line in &lines {
                match parser.parse(line, &mut rows) {
                    Ok(()) => { rows.commit_row(line.len()); good += 1; }
                    Err(_) => rows.rollback_row(),
                }
            }
            prop_assert_eq!(rows.finish().unwrap().num_rows(), good);
        }

        #[test]
        fn rows_that_the_sink_writes_are_read_back(values in proptest::collection::vec((any::<i64>(), proptest::option::of("[^\n]{0,12}")), 1..20)) {
            let mut rows = rows();
            for (n, name) in &values {
                rows.column(0).push_i64(*n).unwrap();
                match name { Some(text) => rows.column(1).push_str(text).unwrap(), None => rows.column(1).push_null().unwrap() }
                rows.column(2).push_null().unwrap();
                rows.commit_row(0);
            }
            let written = rows.finish().unwrap();
            let mut text = Vec::new();
            crate::rows::text::append_csv(&mut text, &written).unwrap();
            let mut parser = CsvParser::positional(b',', 3);
            for line in text.split(|byte| *byte == b'\n').take(values.len()) {
                parser.parse(line, &mut rows).unwrap();
                rows.commit_row(line.len());
            }
            prop_assert_eq!(rows.finish().unwrap(), written);
        }
    }
}
