//! Parses JSON: a row is an object whose members have the names of the columns. Unknown members are skipped, missing ones are null.
//!
//! Numbers reach their columns as they are written, so that decimals are exact. serde_json would make doubles of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memchr2;
use serde::de::IgnoredAny;

use crate::rows::RowBuffer;
use crate::rows::column::{BadValue, Column, Values, end};

/// What is a bad row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct JsonRules {
    /// A row without a member for each column, and for each field of its rows, is bad.
    pub(crate) fail_on_missing_field: bool,
    /// A value that can't be read is null.
    pub(crate) ignore_errors: bool,
}

/// Parses one line and pushes its values. The caller then commits the row, or rolls it back after an error.
#[inline]
pub(crate) fn parse_json_row(line: &[u8], rows: &mut RowBuffer, rules: JsonRules) -> Result<(), BadValue> {
    let mut parser = Parser::new(line, 0, rules);
    let complete = rows.rows();
    match parser.peek() {
        Some(b'{') => parser.row(rows.columns_mut(), complete)?,
        Some(_) => return Err(parser.bad("expected an object")),
        None => return Err(parser.bad("EOF before the object")),
    }
    parser.end()
}

/// Parses a message, which is one row, or an array of rows as Flink has it. Completes the rows and returns how many there are. After an
/// error some may be complete.
#[inline]
pub(super) fn parse_json_message(message: &[u8], rows: &mut RowBuffer, rules: JsonRules) -> Result<usize, BadValue> {
    let mut parser = Parser::new(message, 0, rules);
    if parser.peek() != Some(b'[') {
        parse_json_row(message, rows, rules)?;
        rows.commit_row(message.len());
        return Ok(1);
    }
    parser.at += 1;
    let mut count = 0;
    if parser.peek() == Some(b']') {
        parser.at += 1;
    } else {
        loop {
            let start = parser.at;
            let complete = rows.rows();
            parser.row(rows.columns_mut(), complete)?;
            rows.commit_row(parser.at - start);
            count += 1;
            if !parser.another(b']')? {
                break;
            }
        }
    }
    parser.end().map(|()| count)
}

/// Reads one value after the other.
pub(super) struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    rules: JsonRules,
}

impl<'a> Parser<'a> {
    /// Reads from this byte on.
    pub(super) fn new(bytes: &'a [u8], at: usize, rules: JsonRules) -> Self {
        Self { bytes, at, rules }
    }

    /// Error: more follows.
    pub(super) fn end(&mut self) -> Result<(), BadValue> {
        if self.peek().is_some() { Err(self.bad("trailing characters")) } else { Ok(()) }
    }

    /// Where the next value begins, if it is an object.
    pub(super) fn place_of_object(&mut self) -> Option<usize> {
        (self.peek() == Some(b'{')).then_some(self.at)
    }

    fn bad(&self, what: &str) -> BadValue {
        BadValue(format!("{what} at byte {}", self.at + 1))
    }

    /// The next byte that is no space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), BadValue> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.bad(&format!("expected {:?}", char::from(byte)))),
            None => Err(self.bad(&format!("EOF, expected {:?}", char::from(byte)))),
        }
    }

    /// After an element or member: whether another one follows. If not, `close` was read.
    #[inline]
    fn another(&mut self, close: u8) -> Result<bool, BadValue> {
        match self.peek() {
            Some(b',') => self.at += 1,
            _ => return self.expect(close).map(|()| false),
        }
        Ok(true)
    }

    /// Reads an object. `each` reads the value of a member.
    pub(super) fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), BadValue>,
    ) -> Result<(), BadValue> {
        self.expect(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.string()?;
            self.expect(b':')?;
            each(self, name)?;
            if !self.another(b'}')? {
                return Ok(());
            }
        }
    }

    /// Reads an object and pushes one value into each of the columns, which have `complete` values.
    pub(super) fn row(&mut self, columns: &mut [Column], complete: usize) -> Result<(), BadValue> {
        self.expect(b'{')?;
        let (mut expected, ended) = self.members_in_order(columns)?;
        if ended && expected == columns.len() {
            return Ok(());
        }
        let mut more = !ended;
        if expected == 0 && self.peek() == Some(b'}') {
            self.at += 1;
            more = false;
        }
        while more {
            match self.column_of_member(columns, expected)? {
                None => self.skip()?,
                Some(index) => {
                    let column = &mut columns[index];
                    if column.len() > complete {
                        return Err(self.bad(&format!("member {:?} appears twice", column.name())));
                    }
                    expected = index + 1;
                    column.mark_seen();
                    self.value(column)?;
                }
            }
            more = self.another(b'}')?;
        }
        for column in columns.iter_mut().filter(|column| column.len() <= complete) {
            if self.rules.fail_on_missing_field {
                return Err(BadValue(format!("there is no member {:?}", column.name())));
            }
            let pushed = column.push_null();
            checked(column, pushed)?;
        }
        Ok(())
    }

    /// Reads members as long as they are those of the first columns, in their order and without spaces, as most writers have them.
    /// Returns how many these were, and whether the object ended with them. What it reads needs no look at which columns have a value.
    #[inline]
    fn members_in_order(&mut self, columns: &mut [Column]) -> Result<(usize, bool), BadValue> {
        for (index, column) in columns.iter_mut().enumerate() {
            let Some(length) = column.member_prefix(&self.bytes[self.at..]) else { return Ok((index, false)) };
            self.at += length;
            column.mark_seen();
            if let Values::Bigint(values) = column.values_mut()
                && let Some((integer, length)) = integer(&self.bytes[self.at..])
            {
                self.at += length;
                values.push(integer);
            } else {
                self.value(column)?;
            }
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok((index + 1, true));
                }
                _ if self.another(b'}')? => {}
                _ => return Ok((index + 1, true)),
            }
        }
        Ok((columns.len(), false))
    }

    /// Reads the name of a member and the colon behind it. Returns the position of its column. Members are usually in the order of the
    /// columns, so the next column is tried first.
    fn column_of_member(&mut self, columns: &[Column], expected: usize) -> Result<Option<usize>, BadValue> {
        self.peek();
        if let Some(length) = columns.get(expected).and_then(|column| column.member_prefix(&self.bytes[self.at..])) {
            self.at += length;
            return Ok(Some(expected));
        }
        let name = self.string()?;
        self.expect(b':')?;
        Ok(columns.iter().position(|column| column.member() == name))
    }

    /// Reads a value and pushes it into its column.
    fn value(&mut self, column: &mut Column) -> Result<(), BadValue> {
        if column.takes_integers()
            && let Some((integer, length)) = integer(&self.bytes[self.at..])
        {
            self.at += length;
            let pushed = column.push_i64(integer);
            return self.settle(column, pushed);
        }
        self.any_value(column)
    }

    fn any_value(&mut self, column: &mut Column) -> Result<(), BadValue> {
        match self.peek() {
            Some(b'"') => {
                let text = self.string()?;
                let pushed = column.push_str(&text);
                self.settle(column, pushed)
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                let pushed = push_number(column, number);
                self.settle(column, pushed)
            }
            Some(b't') => {
                self.word("true")?;
                let pushed = column.push_bool(true);
                self.settle(column, pushed)
            }
            Some(b'f') => {
                self.word("false")?;
                let pushed = column.push_bool(false);
                self.settle(column, pushed)
            }
            Some(b'n') => {
                self.word("null")?;
                let pushed = column.push_null();
                checked(column, pushed)
            }
            Some(open @ (b'[' | b'{')) => self.nested(column, open),
            Some(_) => Err(self.bad("expected a value")),
            None => Err(self.bad("EOF before a value")),
        }
    }

    fn nested(&mut self, column: &mut Column, open: u8) -> Result<(), BadValue> {
        match (column.values_mut(), open) {
            (Values::List { ends, items }, b'[') => {
                self.at += 1;
                if self.peek() == Some(b']') {
                    self.at += 1;
                } else {
                    self.value(items)?;
                    while self.another(b']')? {
                        self.value(items)?;
                    }
                }
                ends.push(end(items.len())?);
            }
            (Values::Row(fields, rows), b'{') => {
                self.row(fields, *rows)?;
                *rows += 1;
            }
            (Values::Map { ends, keys, values }, b'{') => {
                self.entries(keys, values)?;
                ends.push(end(keys.len())?);
            }
            (Values::Text { .. }, _) => {
                let start = self.at;
                self.skip()?;
                let pushed = column.push_text(&compact(&self.bytes[start..self.at]));
                self.settle(column, pushed)?;
            }
            (wanted, _) => {
                let wanted = match wanted {
                    Values::List { .. } => "an array",
                    Values::Map { .. } | Values::Row(..) => "an object",
                    _ => "a scalar",
                };
                let found = if open == b'[' { "an array" } else { "an object" };
                let reason = BadValue(format!("found {found}, expected {wanted} for column {:?}", column.name()));
                if !self.rules.ignore_errors {
                    return Err(reason);
                }
                self.skip()?;
                self.settle(column, Err(reason))?;
            }
        }
        Ok(())
    }

    /// Reads the entries of a map. Of several entries with one key, the last counts.
    fn entries(&mut self, keys: &mut Column, values: &mut Column) -> Result<(), BadValue> {
        let mut places: BTreeMap<Cow<'a, str>, usize> = BTreeMap::new();
        let mut starts = Vec::new();
        self.members(|parser, key| {
            parser.peek();
            let start = parser.at;
            parser.skip()?;
            let place = *places.entry(key).or_insert(starts.len());
            if place == starts.len() {
                starts.push(start);
            } else {
                starts[place] = start;
            }
            Ok(())
        })?;
        let after = self.at;
        let mut in_order: Vec<_> = places.into_iter().collect();
        in_order.sort_unstable_by_key(|(_, place)| *place);
        for (key, place) in in_order {
            let pushed = keys.push_text(key.as_bytes());
            checked(keys, pushed)?;
            self.at = starts[place];
            self.value(values)?;
        }
        self.at = after;
        Ok(())
    }

    /// Takes the outcome of a push. If errors are ignored, the value is null instead.
    #[inline]
    fn settle(&self, column: &mut Column, pushed: Result<(), BadValue>) -> Result<(), BadValue> {
        let settled = if pushed.is_err() && self.rules.ignore_errors { column.push_null() } else { pushed };
        checked(column, settled)
    }

    /// Skips a value.
    pub(super) fn skip(&mut self) -> Result<(), BadValue> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ()),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            // serde_json does not recurse over what it ignores.
            Some(b'[' | b'{') => {
                let mut values = serde_json::Deserializer::from_slice(&self.bytes[self.at..]).into_iter::<IgnoredAny>();
                match values.next() {
                    Some(Err(error)) => return Err(BadValue(error.to_string())),
                    Some(Ok(IgnoredAny)) | None => self.at += values.byte_offset(),
                }
                Ok(())
            }
            Some(_) => Err(self.bad("expected a value")),
            None => Err(self.bad("EOF before a value")),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), BadValue> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.bad("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Reads a text in quotes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, BadValue> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let Some(length) = memchr2(b'"', b'\\', &self.bytes[self.at..]) else {
                self.at = self.bytes.len();
                return Err(self.bad("EOF in a text"));
            };
            self.at += length;
            if self.bytes[self.at] == b'"' {
                break;
            }
            escaped = true;
            self.at = (self.at + 2).min(self.bytes.len());
        }
        let text = &self.bytes[start..self.at];
        self.at += 1;
        if escaped {
            let quoted = &self.bytes[start - 1..self.at];
            return serde_json::from_slice(quoted).map(Cow::Owned).map_err(|error| BadValue(error.to_string()));
        }
        // Without an early end, the compiler compares many bytes at once.
        if text.iter().fold(false, |found, byte| found | (*byte < b' ')) {
            return Err(self.bad("control character in the text before"));
        }
        std::str::from_utf8(text).map(Cow::Borrowed).map_err(|_| self.bad("not valid UTF-8 in the text before"))
    }

    /// Reads a number, and returns it as it is written.
    fn number(&mut self) -> Result<&'a str, BadValue> {
        let start = self.at;
        self.at += usize::from(self.bytes[start] == b'-');
        let first = self.bytes.get(self.at).copied();
        let whole = self.digits();
        let mut sound = whole > 0 && (whole == 1 || first != Some(b'0'));
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            sound &= self.digits() > 0;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            sound &= self.digits() > 0;
        }
        match std::str::from_utf8(&self.bytes[start..self.at]) {
            Ok(number) if sound => Ok(number),
            _ => Err(self.bad("the number before is not valid")),
        }
    }

    /// Skips digits and returns how many there are.
    fn digits(&mut self) -> usize {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }
}

fn checked(column: &Column, pushed: Result<(), BadValue>) -> Result<(), BadValue> {
    pushed.map_err(|reason| BadValue(format!("column {:?}: {}", column.name(), reason.0)))
}

/// An array or an object without spaces between its parts.
fn compact(json: &[u8]) -> Vec<u8> {
    let (mut in_text, mut escaped) = (false, false);
    let keeps = |byte: &u8| {
        let is_space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r') && !in_text;
        if *byte == b'"' && !escaped {
            in_text = !in_text;
        }
        escaped = *byte == b'\\' && !escaped;
        !is_space
    };
    json.iter().copied().filter(keeps).collect()
}

/// The fast path for numbers: the plain integer at the start of `rest`, which something other than a number follows, and its length. It
/// has at most 18 digits, so that it can't overflow.
#[inline]
fn integer(rest: &[u8]) -> Option<(i64, usize)> {
    let negative = rest.first() == Some(&b'-');
    let start = usize::from(negative);
    let (mut value, mut length) = (0_i64, start);
    while let Some(digit) = rest.get(length).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        length += 1;
    }
    let digits = length - start;
    let is_plain = (1..=18).contains(&digits) && (digits == 1 || rest[start] != b'0');
    let ends = !matches!(rest.get(length), Some(b'.' | b'e' | b'E'));
    if is_plain && ends { Some((if negative { -value } else { value }, length)) } else { None }
}

fn push_number(column: &mut Column, number: &str) -> Result<(), BadValue> {
    if column.wants_numbers_as_text() {
        return column.push_text(number.as_bytes());
    }
    if column.takes_integers()
        && let Ok(integer) = number.parse()
    {
        return column.push_i64(integer);
    }
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() => column.push_f64(value),
        _ => Err(BadValue(format!("{number} is out of range"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{DataType, Field, Schema, TimeUnit};
    use proptest::prelude::*;

    use super::*;

    fn rows() -> RowBuffer {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, false),
            Field::new("x", DataType::Float64, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("ok", DataType::Boolean, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        ]);
        RowBuffer::new(Arc::new(schema)).unwrap()
    }

    fn round_trip(line: &str) -> Result<String, String> {
        let mut rows = rows();
        parse_json_row(line.as_bytes(), &mut rows, JsonRules::default()).map_err(|reason| reason.0)?;
        rows.commit_row(line.len());
        let mut out = Vec::new();
        crate::formats::json::append_json(&mut out, &rows.finish().unwrap(), Default::default()).unwrap();
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn members_are_matched_by_name_and_missing_ones_are_null() {
        assert_eq!(
            round_trip(r#" {"ok":true,"other":{"deep":[1,{}]},"n":5,"name":"a\n\u00e9","at":"2013-01-01T05:00:00Z","x":2} "#)
                .unwrap(),
            "{\"n\":5,\"x\":2.0,\"name\":\"a\\né\",\"ok\":true,\"at\":\"2013-01-01T05:00:00Z\"}\n"
        );
        assert_eq!(
            round_trip(r#"{"n":-1,"x":null,"at":1357016400000}"#).unwrap(),
            "{\"n\":-1,\"x\":null,\"name\":null,\"ok\":null,\"at\":\"2013-01-01T05:00:00Z\"}\n"
        );
        assert!(round_trip(r#"{"n":1,"x":"NaN"}"#).unwrap().contains("\"x\":\"NaN\""));
    }

    #[test]
    fn bad_rows_are_refused_with_a_reason() {
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        assert!(round_trip(&format!("{{\"n\":1,\"other\":{open}{close}}}")).is_ok());
        assert!(round_trip(&format!("{{\"n\":1,\"name\":{open}{close}}}")).is_ok());
        let deep = format!("{{\"n\":1,\"x\":{open}{close}}}");
        for (line, reason) in [
            ("", "EOF"),
            ("[1]", "expected an object"),
            ("{\"n\":1} x", "trailing"),
            ("{\"x\":1}", "column \"n\": no value"),
            ("{\"n\":1.5}", "column \"n\": 1.5"),
            ("{\"n\":\"1.5\"}", "column \"n\": \"1.5\""),
            ("{\"n\":1,\"n\":2}", "twice"),
            ("{\"n\":9223372036854775808}", "column \"n\""),
            ("{\"n\":1,\"x\":1e999}", "out of range"),
            ("{\"n\":{}}", "a scalar for column"),
            ("{\"n\":null}", "not nullable"),
            ("{\"n\":1,\"name\":\"\\ud800\"}", "hex escape"),
            (deep.as_str(), "a scalar for column"),
        ] {
            let error = round_trip(line).unwrap_err();
            assert!(error.contains(reason), "{}: {error}", &line[..line.len().min(60)]);
        }
    }

    /// Reads a row with one column of this type, and writes it.
    fn through(data_type: &str, value: &str, rules: JsonRules) -> Result<String, String> {
        let field = weir_protocol::job_graph::Field { name: "c".into(), data_type: data_type.parse().unwrap(), nullable: true };
        let mut rows = RowBuffer::new(weir_dataflow::schema::to_arrow(&[field]).unwrap()).unwrap();
        parse_json_row(format!("{{\"c\":{value}}}").as_bytes(), &mut rows, rules).map_err(|reason| reason.0)?;
        rows.commit_row(0);
        let mut out = Vec::new();
        crate::formats::json::append_json(&mut out, &rows.finish().unwrap(), crate::rows::times::TimestampFormat::Sql).unwrap();
        Ok(String::from_utf8(out).unwrap().trim_end().strip_prefix("{\"c\":").unwrap().strip_suffix('}').unwrap().to_owned())
    }

    #[test]
    fn every_type_has_flinks_form() {
        for (data_type, value, expected) in [
            ("TINYINT", "-128", "-128"),
            ("SMALLINT", "\" 7 \"", "7"),
            ("FLOAT", "16777217", "16777216.0"),
            ("FLOAT", "1.1", "1.1"),
            ("DOUBLE", "-0", "-0.0"),
            ("DECIMAL(38, 2)", "123456789012345678901234567890123456.789", "123456789012345678901234567890123456.79"),
            ("DECIMAL(5, 2)", "\"1.255\"", "1.26"),
            ("DECIMAL(5, 2)", "99999999", "null"),
            ("BYTES", "\"AQI=\"", "\"AQI=\""),
            ("DATE", "\"2020-01-02\"", "\"2020-01-02\""),
            ("TIME(3)", "\"01:02:03.500\"", "\"01:02:03.5\""),
            ("TIMESTAMP(6)", "\"2020-01-02T03:04:05.678901\"", "\"2020-01-02 03:04:05.678901\""),
            ("TIMESTAMP(6)", "1", "\"1970-01-01 00:00:00.001\""),
            ("TIMESTAMP_LTZ(3)", "\"2020-01-02 03:04:05+01:00\"", "\"2020-01-02 02:04:05Z\""),
            ("STRING", "1.50", "\"1.50\""),
            ("STRING", "true", "\"true\""),
            ("STRING", r#"{ "a" : [1.50, "b \" c", {}] }"#, r#""{\"a\":[1.50,\"b \\\" c\",{}]}""#),
            ("STRING", "[ ]", "\"[]\""),
            ("BOOLEAN", "\"TRUE\"", "true"),
            ("ARRAY<INT>", "[1, null , 2]", "[1,null,2]"),
            ("ARRAY<ARRAY<INT>>", "[[],null,[3]]", "[[],null,[3]]"),
            ("MAP<STRING, INT>", "{\"k\":1,\"l\":5,\"k\": 2}", "{\"k\":2,\"l\":5}"),
            ("MAP<INT, STRING>", "{\"7\":null}", "{\"7\":null}"),
            ("ROW<x INT, y ROW<z STRING>>", "{\"y\":{\"w\":[{}]},\"x\":1}", "{\"x\":1,\"y\":{\"z\":null}}"),
            ("ROW<>", "{\"x\":1}", "{}"),
        ] {
            assert_eq!(through(data_type, value, JsonRules::default()).as_deref(), Ok(expected), "{data_type} {value}");
        }
    }

    #[test]
    fn a_value_that_does_not_fit_names_its_place_or_is_null_if_errors_are_ignored() {
        for (data_type, value, reason, ignored) in [
            ("TINYINT", "128", "column \"c\": 128 is not in the range of TINYINT", "null"),
            ("TIMESTAMP(9)", "\"3000-01-01\"", "1677 to 2262", "null"),
            ("DATE", "18000", "is a number, but the column is DATE", "null"),
            ("BYTES", "\"A\"", "base64", "null"),
            ("INT", "[[1],{}]", "found an array, expected a scalar for column \"c\"", "null"),
            ("INT", "{\"a\":[]}", "found an object", "null"),
            ("ARRAY<INT>", "[1,\"x\",3]", "column \"c[]\"", "[1,null,3]"),
            ("ARRAY<INT>", "1", "is a number, but the column is ARRAY<INT>", "null"),
            ("ROW<x INT>", "{\"x\":\"y\"}", "column \"c.x\"", "{\"x\":null}"),
            (
                "MAP<STRING, DATE>",
                "{\"k\":\"l\",\"m\":\"2020-01-02\"}",
                "column \"c value\"",
                "{\"k\":null,\"m\":\"2020-01-02\"}",
            ),
        ] {
            let error = through(data_type, value, JsonRules::default()).unwrap_err();
            assert!(error.contains(reason), "{data_type} {value}: {error}");
            let ignoring = JsonRules { ignore_errors: true, ..JsonRules::default() };
            assert_eq!(through(data_type, value, ignoring).as_deref(), Ok(ignored), "{data_type} {value}");
        }
        let strict = JsonRules { fail_on_missing_field: true, ..JsonRules::default() };
        assert!(through("ROW<x INT>", "{}", strict).unwrap_err().contains("no member \"c.x\""));
        for broken in ["", "01", "1.", "-", "1e", "tru", "\"\u{1}\"", "[1,]", "[1 2]", "{\"x\"}", "{\"x\":1,}", "{1:2}", "\"a"] {
            for data_type in ["INT", "ARRAY<INT>", "MAP<STRING, INT>", "ROW<x INT>"] {
                assert!(
                    through(data_type, broken, JsonRules { ignore_errors: true, ..JsonRules::default() }).is_err(),
                    "{data_type} {broken}"
                );
            }
            let line = format!("{{\"other\":{broken}}}");
            let mut rows = rows();
            assert!(parse_json_row(line.as_bytes(), &mut rows, JsonRules::default()).is_err(), "{line}");
        }
    }

    #[test]
    fn names_and_numbers_have_the_same_meaning_in_every_spelling() {
        let names = ["a", "a\"b", "a\\", "é", "ab"];
        let fields = names.map(|name| Field::new(name, DataType::Int64, true));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let read = |line: &str| {
            let mut rows = RowBuffer::new(Arc::clone(&schema)).unwrap();
            parse_json_row(line.as_bytes(), &mut rows, JsonRules::default()).map_err(|reason| reason.0)?;
            rows.commit_row(0);
            let batch = rows.finish().unwrap();
            let value = |column: &arrow_array::ArrayRef| {
                let column = arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(column);
                column.iter().next().unwrap()
            };
            Ok::<_, String>(batch.columns().iter().map(value).collect::<Vec<_>>())
        };
        let all = [Some(1), Some(2), Some(3), Some(4), Some(5)];
        assert_eq!(read(r#"{"a":1,"a\"b":2,"a\\":3,"é":4,"ab":5}"#).unwrap(), all);
        assert_eq!(read(r#"{"ab":5 , "\u00e9" :4,"\u0061":1,"a\u0022b":2,"a\u005c":3}"#).unwrap(), all);
        assert_eq!(read(r#"{"abc":9,"b":9,"":9,"a":1}"#).unwrap(), [Some(1), None, None, None, None]);
        for (number, value) in [
            ("0", 0),
            ("-0", 0),
            ("-7", -7),
            ("1e2", 100),
            ("2.0", 2),
            ("999999999999999999", 999_999_999_999_999_999),
            ("-1000000000000000000", -1_000_000_000_000_000_000),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            let found = read(&format!("{{\"a\":{number}}}"));
            if number.contains(['e', '.']) {
                assert!(found.unwrap_err().contains("is a floating-point number"), "{number}");
            } else {
                assert_eq!(found.unwrap()[0], Some(value), "{number}");
            }
        }
        for broken in ["00", "01", "-01", "-", "1x", "1-", "9223372036854775808", "99999999999999999999999999999999999999999999"]
        {
            assert!(read(&format!("{{\"a\":{broken}}}")).is_err(), "{broken}");
        }
    }

    /// A finite double, as often from all bit patterns as from the numbers that people write.
    fn double() -> impl Strategy<Value = f64> {
        let bits = any::<u64>().prop_map(f64::from_bits);
        let decimal = (any::<i64>(), 0_i32..20).prop_map(|(digits, places)| digits as f64 / 10_f64.powi(places));
        prop_oneof![bits, decimal].prop_filter("not finite", |value| value.is_finite())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn every_finite_double_that_is_written_is_read_back_to_the_bit(value in double()) {
            let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, false)]));
            let mut written = RowBuffer::new(Arc::clone(&schema)).unwrap();
            written.column(0).push_f64(value).unwrap();
            written.commit_row(8);
            let mut line = Vec::new();
            crate::formats::json::append_json(&mut line, &written.finish().unwrap(), Default::default()).unwrap();
            let mut read = RowBuffer::new(schema).unwrap();
            parse_json_row(line.trim_ascii_end(), &mut read, JsonRules::default()).map_err(|reason| TestCaseError::fail(reason.0))?;
            read.commit_row(8);
            let read = read.finish().unwrap();
            let read = arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Float64Type>(read.column(0)).value(0);
            prop_assert_eq!(read.to_bits(), value.to_bits(), "{:?} was read as {:?}", value, read);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_give_a_complete_row_or_an_error(lines in proptest::collection::vec(
            prop_oneof!["\\{\"n\":[0-9a-z\",:{}]{0,20}\\}", "\\PC{0,30}"], 0..10)) {
            let mut rows = rows();
            let mut good = 0;
            for line in &lines {
                match parse_json_row(line.as_bytes(), &mut rows, JsonRules::default()) {
                    Ok(()) => { rows.commit_row(line.len()); good += 1; }
                    Err(_) => rows.rollback_row(),
                }
            }
            prop_assert_eq!(rows.finish().unwrap().num_rows(), good);
        }
    }
}
