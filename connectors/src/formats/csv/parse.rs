//! Parses rows of delimited text (RFC 4180, or another dialect).
//!
//! A quoted field may hold delimiters, line ends and doubled quotes. A blank line is skipped, except in a file with one field: there
//! it is a row whose field is empty.

use memchr::{memchr, memchr2};

use super::dialect::{CsvDialect, unescaped};
use crate::rows::RowBuffer;
use crate::rows::column::{BadValue, Column};

/// What fields mean beside their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CsvRules {
    /// The field, quoted or not, that is null.
    pub(crate) null_literal: Option<Vec<u8>>,
    /// Whether an empty field of a column of text or bytes, without quotes, is null. Empty fields of other columns always are.
    pub(crate) empty_text_is_null: bool,
    /// Whether a value that can't be read is null, as are missing fields, and further fields are ignored.
    pub(crate) ignore_errors: bool,
}

impl Default for CsvRules {
    fn default() -> Self {
        Self { null_literal: None, empty_text_is_null: true, ignore_errors: false }
    }
}

/// Parses lines into rows.
pub(crate) struct CsvParser {
    dialect: CsvDialect,
    rules: CsvRules,
    /// For each field of a line, the index of its column, if it has one.
    targets: Vec<Option<usize>>,
    /// Whether a plain integer can't be the null literal.
    integers_are_values: bool,
    scratch: Vec<u8>,
}

impl CsvParser {
    /// Creates a parser for files without a header, from the index of the column of each field. Fields without one are skipped.
    pub(crate) fn positional(dialect: CsvDialect, rules: CsvRules, targets: Vec<Option<usize>>) -> Self {
        let literal = rules.null_literal.as_ref().and_then(|literal| literal.first());
        let integers_are_values = literal.is_none_or(|byte| !byte.is_ascii_digit() && *byte != b'-');
        Self { dialect, rules, targets, integers_are_values, scratch: Vec::new() }
    }

    /// Creates a parser for files with a header. Columns are found by name, ignoring case if no name matches exactly. Other
    /// fields are skipped. The error says which column is missing or ambiguous.
    pub(crate) fn from_header(dialect: CsvDialect, rules: CsvRules, header: &[u8], columns: &[&str]) -> Result<Self, String> {
        let mut names = Vec::new();
        let mut rest = Some(header);
        let mut scratch = Vec::new();
        while let Some(text) = rest {
            let (field, quoted, length) = split_field(text, dialect, &mut scratch).map_err(|reason| reason.0)?;
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
        Ok(Self::positional(dialect, rules, targets))
    }

    /// Whether a blank line is a row.
    pub(crate) fn blank_is_row(&self) -> bool {
        self.targets.len() == 1
    }

    /// Refuses text in which another row follows the first.
    pub(super) fn check_one_row(&mut self, text: &[u8]) -> Result<(), BadValue> {
        if memchr(b'\n', text).is_none() {
            return Ok(());
        }
        let mut rest = text;
        loop {
            let (_, quoted, length) = split_field(rest, self.dialect, &mut self.scratch)?;
            let field = &rest[..length];
            let is_escaped = |at: usize| self.dialect.escape.is_some() && at > 0 && Some(field[at - 1]) == self.dialect.escape;
            if !quoted && memchr::memchr_iter(b'\n', field).any(|at| !is_escaped(at)) {
                return Err(BadValue("a line ends within the message, which must be one row".to_owned()));
            }
            match rest.get(length + 1..) {
                Some(more) => rest = more,
                None => return Ok(()),
            }
        }
    }

    /// Parses one row and pushes its values. The caller then commits the row, or rolls it back after an error.
    pub(crate) fn parse(&mut self, line: &[u8], rows: &mut RowBuffer) -> Result<(), BadValue> {
        let mut rest = line;
        let last = self.targets.len().saturating_sub(1);
        for (position, target) in self.targets.iter().enumerate() {
            let length = match target {
                Some(index) => {
                    let column = rows.column(*index);
                    let integer =
                        if self.integers_are_values { column.push_integer_prefix(rest, self.dialect.delimiter) } else { None };
                    match integer {
                        Some(length) => length,
                        None => {
                            let (field, quoted, length) = split_field(rest, self.dialect, &mut self.scratch)?;
                            push(&self.rules, column, field, quoted).map_err(|reason| in_column(column, &reason))?;
                            length
                        }
                    }
                }
                None => skip_field(rest, self.dialect)?,
            };
            match (length == rest.len(), position == last) {
                (false, false) => rest = &rest[length + 1..],
                (true, true) => return Ok(()),
                (true, false) if self.rules.ignore_errors => return self.push_missing(position + 1, rows),
                (true, false) => return Err(BadValue(format!("the row has {} fields, expected {}", position + 1, last + 1))),
                (false, true) if self.rules.ignore_errors => return Ok(()),
                (false, true) => return Err(BadValue(format!("the row has more than {} fields", last + 1))),
            }
        }
        Ok(())
    }

    /// Pushes nulls for the fields from this position on.
    fn push_missing(&self, from: usize, rows: &mut RowBuffer) -> Result<(), BadValue> {
        for index in self.targets[from..].iter().flatten() {
            let column = rows.column(*index);
            column.push_null().map_err(|reason| in_column(column, &reason))?;
        }
        Ok(())
    }
}

fn in_column(column: &Column, reason: &BadValue) -> BadValue {
    BadValue(format!("column {:?}: {}", column.name(), reason.0))
}

fn push(rules: &CsvRules, column: &mut Column, field: &[u8], quoted: bool) -> Result<(), BadValue> {
    let empty = match column.has_empty_value() {
        true => field.is_empty() && !quoted && rules.empty_text_is_null,
        false => field.trim_ascii().is_empty(),
    };
    if empty || rules.null_literal.as_deref() == Some(field) {
        return column.push_null();
    }
    let pushed = column.push_text(field);
    if pushed.is_err() && rules.ignore_errors { column.push_null() } else { pushed }
}

/// The length of the field at the start of `rest`, after which a delimiter or the end follows.
#[inline]
fn skip_field(rest: &[u8], dialect: CsvDialect) -> Result<usize, BadValue> {
    if dialect.escape.is_none() && (dialect.quote.is_none() || rest.first().copied() != dialect.quote) {
        return Ok(memchr(dialect.delimiter, rest).unwrap_or(rest.len()));
    }
    split_field(rest, dialect, &mut Vec::new()).map(|(_, _, length)| length)
}

/// Returns the field at the start of `rest`, whether it was quoted, and its length in `rest`, after which a delimiter or the end
/// follows.
fn split_field<'a>(rest: &'a [u8], dialect: CsvDialect, scratch: &'a mut Vec<u8>) -> Result<(&'a [u8], bool, usize), BadValue> {
    match (dialect.quote, dialect.escape) {
        (Some(quote), escape) if rest.first() == Some(&quote) => {
            let length = unquote(rest, dialect.delimiter, quote, escape, scratch)?;
            Ok((scratch, true, length))
        }
        (_, None) => {
            let length = memchr(dialect.delimiter, rest).unwrap_or(rest.len());
            Ok((&rest[..length], false, length))
        }
        (_, Some(escape)) => {
            scratch.clear();
            let mut position = 0;
            while let Some(length) = memchr2(dialect.delimiter, escape, &rest[position..]) {
                scratch.extend_from_slice(&rest[position..position + length]);
                position += length;
                if rest[position] == dialect.delimiter {
                    return Ok((scratch, false, position));
                }
                let byte = rest.get(position + 1).ok_or_else(|| BadValue("an escape character is the last".to_owned()))?;
                scratch.push(unescaped(*byte));
                position += 2;
            }
            scratch.extend_from_slice(&rest[position..]);
            Ok((scratch, false, rest.len()))
        }
    }
}

/// Replaces `scratch` by the contents of the quoted field at the start of `rest`. Returns its length in `rest`.
fn unquote(rest: &[u8], delimiter: u8, quote: u8, escape: Option<u8>, scratch: &mut Vec<u8>) -> Result<usize, BadValue> {
    scratch.clear();
    let mut position = 1;
    loop {
        let found = match escape {
            None => memchr(quote, &rest[position..]),
            Some(escape) => memchr2(quote, escape, &rest[position..]),
        };
        let length = found.ok_or_else(|| BadValue("a quote is not closed".to_owned()))?;
        scratch.extend_from_slice(&rest[position..position + length]);
        position += length + 1;
        match rest.get(position) {
            byte if rest[position - 1] != quote => {
                scratch.push(unescaped(*byte.ok_or_else(|| BadValue("a quote is not closed".to_owned()))?));
                position += 1;
            }
            Some(byte) if *byte == quote => {
                scratch.push(quote);
                position += 1;
            }
            Some(byte) if *byte != delimiter => return Err(BadValue("there is text after a closing quote".to_owned())),
            Some(_) | None => return Ok(position),
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
        CsvParser::positional(CsvDialect::plain(b','), CsvRules::default(), (0..3).map(Some).collect())
            .parse(line.as_bytes(), &mut rows)
            .map_err(|reason| reason.0)?;
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
            ("x,a,", "column \"n\": \"x\" is not a BIGINT"),
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

    /// The rows as the print sink shows them.
    fn shown(dialect: CsvDialect, rules: CsvRules, line: &str) -> Result<String, String> {
        let mut rows = rows();
        let mut parser = CsvParser::positional(dialect, rules, (0..3).map(Some).collect());
        parser.parse(line.as_bytes(), &mut rows).map_err(|reason| reason.0)?;
        rows.commit_row(0);
        let mut out = Vec::new();
        crate::rows::text::append_print(&mut out, "", &rows.finish().unwrap()).unwrap();
        Ok(String::from_utf8(out).unwrap().trim_end().to_owned())
    }

    #[test]
    fn other_quotes_and_an_escape_character_are_understood() {
        let dialect = CsvDialect { delimiter: b'|', quote: Some(b'\''), escape: Some(b'\\') };
        for (line, expected) in [
            ("1|a\\|b\\n\\\\|0", "+I[1, a|b\n\\, 1970-01-01T00:00:00Z]"),
            ("1|'a|\"b''\\'c'|", "+I[1, a|\"b''c, null]"),
            ("1|\"a\"|", "+I[1, \"a\", null]"),
        ] {
            assert_eq!(shown(dialect, CsvRules::default(), line).as_deref(), Ok(expected), "{line}");
        }
        assert!(shown(dialect, CsvRules::default(), "1|'a\\").unwrap_err().contains("not closed"));
        let none = CsvDialect { delimiter: b',', quote: None, escape: None };
        assert_eq!(shown(none, CsvRules::default(), "1,\"a,0").as_deref(), Ok("+I[1, \"a, 1970-01-01T00:00:00Z]"));
    }

    #[test]
    fn a_null_literal_is_null_in_quotes_too_and_an_empty_text_can_be_a_text() {
        let rules = CsvRules { null_literal: Some(b"0".to_vec()), empty_text_is_null: false, ignore_errors: false };
        let plain = CsvDialect::plain(b',');
        assert_eq!(shown(plain, rules.clone(), "1,,0").as_deref(), Ok("+I[1, , null]"));
        assert_eq!(shown(plain, rules.clone(), "1,\"0\",").as_deref(), Ok("+I[1, null, null]"));
        assert!(shown(plain, rules, "0,a,").unwrap_err().contains("column \"n\": no value"));
    }

    #[test]
    fn errors_that_are_ignored_leave_nulls() {
        let rules = CsvRules { ignore_errors: true, ..CsvRules::default() };
        for (line, expected) in [
            ("1,a,yesterday", Ok("+I[1, a, null]")),
            ("1", Ok("+I[1, null, null]")),
            ("1,a,0,2,3", Ok("+I[1, a, 1970-01-01T00:00:00Z]")),
            ("x,a,0", Err("column \"n\": no value")),
            ("1,\"a", Err("not closed")),
        ] {
            match (shown(CsvDialect::plain(b','), rules.clone(), line), expected) {
                (Ok(row), Ok(expected)) => assert_eq!(row, expected),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_header_assigns_fields_to_columns_and_other_fields_are_skipped() {
        let mut parser =
            CsvParser::from_header(CsvDialect::plain(b';'), CsvRules::default(), b"extra;AT;\"name\";n", &["n", "name", "at"])
                .unwrap();
        let mut rows = rows();
        parser.parse(b"\"x;y\";5;bob;7", &mut rows).unwrap();
        rows.commit_row(0);
        let batch = rows.finish().unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 7);
        assert_eq!(batch.column(1).as_string::<i32>().value(0), "bob");
        let error = CsvParser::from_header(CsvDialect::plain(b','), CsvRules::default(), b"a,b", &["n"]).err().unwrap();
        assert!(error.contains("no column \"n\"; its columns are: a, b"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_lines_give_a_complete_row_or_an_error_and_never_panic(
            lines in proptest::collection::vec(proptest::collection::vec(
                prop_oneof![3 => proptest::sample::select(b",,\"\"-0123456789 a:TZ\xff".to_vec()), 1 => any::<u8>()], 0..40), 0..20)
        ) {
            let mut parser = CsvParser::positional(CsvDialect::plain(b','), CsvRules::default(), (0..3).map(Some).collect());
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
                match name { Some(text) => rows.column(1).push_text(text.as_bytes()).unwrap(), None => rows.column(1).push_null().unwrap() }
                rows.column(2).push_null().unwrap();
                rows.commit_row(0);
            }
            let written = rows.finish().unwrap();
            let mut text = Vec::new();
            crate::formats::csv::append_csv(&mut text, &written, &Default::default()).unwrap();
            let mut parser = CsvParser::positional(CsvDialect::plain(b','), CsvRules::default(), (0..3).map(Some).collect());
            for line in text.split(|byte| *byte == b'\n').take(values.len()) {
                parser.parse(line, &mut rows).unwrap();
                rows.commit_row(line.len());
            }
            prop_assert_eq!(rows.finish().unwrap(), written);
        }
    }
}
