//! Parses JSON lines: each line is one object whose members have the names of the columns. Unknown members are skipped, missing
//! ones are null.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::rows::RowBuffer;
use crate::rows::buffer::{BadValue, Column};

/// Parses one line and pushes its values. The caller then commits the row, or rolls it back after an error.
pub(crate) fn parse_json_row(line: &[u8], rows: &mut RowBuffer) -> Result<(), BadValue> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let done = deserializer.deserialize_map(RowVisitor { rows: &mut *rows });
    done.and_then(|()| deserializer.end()).map_err(|error| BadValue(error.to_string()))?;
    let complete = rows.rows() + 1;
    for index in 0..rows.width() {
        let column = rows.column(index);
        if column.len() < complete {
            column.push_null().map_err(|reason| BadValue(format!("column {:?}: {}", column.name(), reason.0)))?;
        }
    }
    Ok(())
}

struct RowVisitor<'a> {
    rows: &'a mut RowBuffer,
}

impl<'de> Visitor<'de> for RowVisitor<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        // Members are usually in the order of the columns, so try the next column first.
        let mut expected = 0;
        while let Some(found) = members.next_key_seed(NameSeed { rows: &*self.rows, expected })? {
            let Some(index) = found else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let complete = self.rows.rows();
            let column = self.rows.column(index);
            if column.len() > complete {
                return Err(A::Error::custom(format!("member {:?} appears twice", column.name())));
            }
            members.next_value_seed(ValueSeed(column))?;
            expected = index + 1;
        }
        Ok(())
    }
}

/// Finds the column with the name of a member.
struct NameSeed<'a> {
    rows: &'a RowBuffer,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        if self.rows.column_name(self.expected) == Some(name) {
            return Ok(Some(self.expected));
        }
        Ok((0..self.rows.width()).find(|index| self.rows.column_name(*index) == Some(name)))
    }
}

/// Pushes a member's value into its column.
struct ValueSeed<'a>(&'a mut Column);

impl ValueSeed<'_> {
    fn checked<E: Error>(name: &str, pushed: Result<(), BadValue>) -> Result<(), E> {
        pushed.map_err(|reason| E::custom(format!("column {name:?}: {}", reason.0)))
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! visit {
    ($($visit:ident($type:ty) = $push:ident),* $(,)?) => {
        $(fn $visit<E: Error>(self, value: $type) -> Result<(), E> {
            let pushed = self.0.$push(value);
            Self::checked(self.0.name(), pushed)
        })*
    };
}

impl Visitor<'_> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "a scalar for column {:?}", self.0.name())
    }

    visit!(visit_bool(bool) = push_bool, visit_i64(i64) = push_i64, visit_f64(f64) = push_f64, visit_str(&str) = push_str);

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        let pushed = match i64::try_from(value) {
            Ok(value) => self.0.push_i64(value),
            Err(_) => self.0.push_f64(value as f64),
        };
        Self::checked(self.0.name(), pushed)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        let pushed = self.0.push_null();
        Self::checked(self.0.name(), pushed)
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
        parse_json_row(line.as_bytes(), &mut rows).map_err(|reason| reason.0)?;
        rows.commit_row(line.len());
        let mut out = Vec::new();
        crate::rows::text::append_json(&mut out, &rows.finish().unwrap()).unwrap();
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
        let deep = format!("{{\"n\":1,\"name\":{open}{close}}}");
        for (line, reason) in [
            ("", "EOF"),
            ("[1]", "expected an object"),
            ("{\"n\":1} x", "trailing"),
            ("{\"x\":1}", "column \"n\": no value"),
            ("{\"n\":1.5}", "column \"n\": 1.5"),
            ("{\"n\":\"1\"}", "column \"n\": \"1\""),
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
            crate::rows::text::append_json(&mut line, &written.finish().unwrap()).unwrap();
            let mut read = RowBuffer::new(schema).unwrap();
            parse_json_row(line.trim_ascii_end(), &mut read).map_err(|reason| TestCaseError::fail(reason.0))?;
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
                match parse_json_row(line.as_bytes(), &mut rows) {
                    Ok(()) => { rows.commit_row(line.len()); good += 1; }
                    Err(_) => rows.rollback_row(),
                }
            }
            prop_assert_eq!(rows.finish().unwrap().num_rows(), good);
        }
    }
}
