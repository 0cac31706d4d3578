//! The Avro schema of a table's columns, as Flink derives it.

use std::fmt::Write;

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use weir_dataflow::operator::OperatorError;
use weir_dataflow::schema::type_name;

/// The name that Flink gives to records. Those inside of it have names such as `record_person`.
const RECORD: &str = "record";
const NAMESPACE: &str = "org.apache.flink.avro.generated";

/// Which logical types times have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimestampMapping {
    /// `TIMESTAMP` is a `timestamp-millis`, and `TIMESTAMP_LTZ` has no form.
    Legacy,
    /// `TIMESTAMP` is a `local-timestamp-*`, and `TIMESTAMP_LTZ` a `timestamp-*`.
    Correct,
}

/// The schema of rows with these columns. Error: `CONN-TYPE` for names and types that Avro has no form for.
pub(super) fn schema_of(columns: &Fields, mapping: TimestampMapping) -> Result<String, OperatorError> {
    let mut schema = Derived { out: String::new(), mapping };
    schema.record(RECORD, columns)?;
    Ok(schema.out)
}

/// The schema of changes of such rows.
pub(super) fn schema_of_changes(columns: &Fields) -> Result<String, OperatorError> {
    let row = |name: &str| Field::new(name, DataType::Struct(columns.clone()), true);
    let change = Fields::from(vec![row("before"), row("after"), Field::new("op", DataType::Utf8, true)]);
    let mut schema = Derived { out: String::new(), mapping: TimestampMapping::Legacy };
    // To Flink, a change as a whole can be null.
    schema.out.push_str("[\"null\",");
    schema.record(RECORD, &change)?;
    schema.out.push(']');
    Ok(schema.out)
}

struct Derived {
    out: String,
    mapping: TimestampMapping,
}

impl Derived {
    fn record(&mut self, name: &str, columns: &Fields) -> Result<(), OperatorError> {
        self.add(format_args!("{{\"type\":\"record\",\"name\":\"{name}\","));
        if name == RECORD {
            self.add(format_args!("\"namespace\":\"{NAMESPACE}\","));
        }
        self.out.push_str("\"fields\":[");
        for (index, column) in columns.iter().enumerate() {
            if !is_name(column.name()) {
                let message = format!(
                    "{:?} can't be the name of a field in Avro: it must begin with a letter or an underscore, and have only those and digits",
                    column.name()
                );
                return Err(OperatorError::fatal("CONN-TYPE", message));
            }
            let comma = if index > 0 { "," } else { "" };
            self.add(format_args!("{comma}{{\"name\":\"{}\",\"type\":", column.name()));
            self.value(&format!("{name}_{}", column.name()), column)?;
            self.out.push_str(if column.is_nullable() { ",\"default\":null}" } else { "}" });
        }
        self.out.push_str("]}");
        Ok(())
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a text can't fail.
        let _ = self.out.write_fmt(text);
    }

    /// The type of a column, or of what it holds. `name` is that of a record in it.
    fn value(&mut self, name: &str, column: &Field) -> Result<(), OperatorError> {
        if column.is_nullable() {
            self.out.push_str("[\"null\",");
        }
        match column.data_type() {
            DataType::Boolean => self.out.push_str("\"boolean\""),
            DataType::Int8 | DataType::Int16 | DataType::Int32 => self.out.push_str("\"int\""),
            DataType::Int64 => self.out.push_str("\"long\""),
            DataType::Float32 => self.out.push_str("\"float\""),
            DataType::Float64 => self.out.push_str("\"double\""),
            DataType::Utf8 => self.out.push_str("\"string\""),
            DataType::Binary => self.out.push_str("\"bytes\""),
            DataType::Date32 => self.logical("int", "date"),
            DataType::Time32(TimeUnit::Millisecond) => self.logical("int", "time-millis"),
            DataType::Timestamp(unit, zone) => {
                let logical = self.timestamp(*unit, zone.is_some()).ok_or_else(|| self.no_form(name, column))?;
                self.logical("long", &logical);
            }
            DataType::Decimal128(precision, scale) => self.add(format_args!(
                "{{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":{precision},\"scale\":{scale}}}"
            )),
            DataType::List(item) => {
                self.out.push_str("{\"type\":\"array\",\"items\":");
                self.value(name, item)?;
                self.out.push('}');
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 && *fields[0].data_type() == DataType::Utf8 => {
                    self.out.push_str("{\"type\":\"map\",\"values\":");
                    self.value(name, &fields[1])?;
                    self.out.push('}');
                }
                _ => return Err(self.no_form(name, column)),
            },
            DataType::Struct(fields) => self.record(name, fields)?,
            _ => return Err(self.no_form(name, column)),
        }
        if column.is_nullable() {
            self.out.push(']');
        }
        Ok(())
    }

    fn logical(&mut self, primitive: &str, logical: &str) {
        self.add(format_args!("{{\"type\":\"{primitive}\",\"logicalType\":\"{logical}\"}}"));
    }

    fn timestamp(&self, unit: TimeUnit, zoned: bool) -> Option<String> {
        let digits = match unit {
            TimeUnit::Millisecond => "millis",
            TimeUnit::Microsecond if self.mapping == TimestampMapping::Correct => "micros",
            _ => return None,
        };
        match (self.mapping, zoned) {
            (TimestampMapping::Legacy, true) => None,
            (TimestampMapping::Correct, false) => Some(format!("local-timestamp-{digits}")),
            _ => Some(format!("timestamp-{digits}")),
        }
    }

    fn no_form(&self, name: &str, column: &Field) -> OperatorError {
        let place = name.strip_prefix("record_").unwrap_or(name);
        let why = match column.data_type() {
            DataType::Map(..) => "; the keys of maps must be texts",
            DataType::Timestamp(..) if self.mapping == TimestampMapping::Legacy => {
                "; it has one for TIMESTAMP with up to 3 digits. Format avro has one for TIMESTAMP_LTZ and up to 6 digits too, with \
                 'avro.timestamp_mapping.legacy' = 'false'"
            }
            DataType::Timestamp(..) => "; it has one for times with up to 6 digits",
            _ => "",
        };
        let message =
            format!("column {place:?} has type {}, which format avro has no form for{why}", type_name(column.data_type()));
        OperatorError::fatal("CONN-TYPE", message)
    }
}

fn is_name(name: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(begins) && name.chars().all(|c| begins(c) || c.is_ascii_digit())
}
