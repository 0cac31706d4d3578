//! Flink's format raw: a message is the value of the only column. Numbers have a fixed width, texts are UTF-8, and a null is null.

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use serde::Deserialize;
use weir_dataflow::operator::OperatorError;
use weir_dataflow::schema::type_name;

use super::{Messages, RowDecoder, RowEncoder};
use crate::options;
use crate::rows::RowBuffer;
use crate::rows::column::BadValue;

/// The options of format raw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawOptions {
    #[serde(default)]
    pub endianness: Endianness,
}

/// The order of a number's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endianness {
    /// The first byte is the most significant one.
    #[default]
    BigEndian,
    LittleEndian,
}

/// What the column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Tinyint,
    Smallint,
    Int,
    Bigint,
    Float,
    Double,
    Text,
    Bytes,
}

impl Kind {
    /// The kind of the only column. Errors: `CONN-OPTION` if there are more, `CONN-TYPE` if its type has no such form.
    fn of(schema: &SchemaRef) -> Result<Self, OperatorError> {
        let [field] = schema.fields().as_ref() else {
            let message = format!("a message is one column, but there are {}", schema.fields().len());
            return Err(options::invalid("format raw", message));
        };
        Ok(match field.data_type() {
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::Tinyint,
            DataType::Int16 => Self::Smallint,
            DataType::Int32 => Self::Int,
            DataType::Int64 => Self::Bigint,
            DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Utf8 => Self::Text,
            DataType::Binary => Self::Bytes,
            other => {
                let message = format!(
                    "column {:?} has type {}, which format raw has no form for; it has one for STRING, BYTES, BOOLEAN, TINYINT, \
                     SMALLINT, INT, BIGINT, FLOAT and DOUBLE",
                    field.name(),
                    type_name(other)
                );
                return Err(OperatorError::fatal("CONN-TYPE", message));
            }
        })
    }
}

pub(super) struct RawDecoder {
    kind: Kind,
    endianness: Endianness,
    /// Whether the rows have the column.
    is_wanted: bool,
}

impl RawDecoder {
    pub(super) fn new(options: &RawOptions, schema: &SchemaRef, is_wanted: bool) -> Result<Self, OperatorError> {
        Ok(Self { kind: Kind::of(schema)?, endianness: options.endianness, is_wanted })
    }

    fn push(&self, message: &[u8], rows: &mut RowBuffer) -> Result<(), BadValue> {
        if !self.is_wanted {
            return Ok(());
        }
        let column = rows.column(0);
        match self.kind {
            Kind::Text => column.push_text(message),
            Kind::Bytes => column.push_bytes(message),
            Kind::Boolean => column.push_bool(self.number::<1>(message, "BOOLEAN")? != [0]),
            Kind::Tinyint => column.push_i64(i8::from_be_bytes(self.number(message, "TINYINT")?).into()),
            Kind::Smallint => column.push_i64(i16::from_be_bytes(self.number(message, "SMALLINT")?).into()),
            Kind::Int => column.push_i64(i32::from_be_bytes(self.number(message, "INT")?).into()),
            Kind::Bigint => column.push_i64(i64::from_be_bytes(self.number(message, "BIGINT")?)),
            Kind::Float => column.push_f64(f32::from_be_bytes(self.number(message, "FLOAT")?).into()),
            Kind::Double => column.push_f64(f64::from_be_bytes(self.number(message, "DOUBLE")?)),
        }
    }

    /// The bytes of a number, the most significant one first.
    fn number<const N: usize>(&self, message: &[u8], name: &str) -> Result<[u8; N], BadValue> {
        let wrong = |_| BadValue(format!("the message has {} bytes; {name} has {N}", message.len()));
        let mut bytes: [u8; N] = message.try_into().map_err(wrong)?;
        if self.endianness == Endianness::LittleEndian {
            bytes.reverse();
        }
        Ok(bytes)
    }
}

impl RowDecoder for RawDecoder {
    fn decode(&mut self, message: &[u8], rows: &mut RowBuffer) -> Result<usize, BadValue> {
        rows.push_row(message.len(), |rows| self.push(message, rows)).map(|()| 1)
    }

    fn decode_null(&mut self, rows: &mut RowBuffer) -> Result<usize, BadValue> {
        rows.push_row(0, |rows| if self.is_wanted { rows.column(0).push_null() } else { Ok(()) }).map(|()| 1)
    }
}

pub(super) struct RawEncoder {
    kind: Kind,
    endianness: Endianness,
}

impl RawEncoder {
    pub(super) fn new(options: &RawOptions, schema: &SchemaRef) -> Result<Self, OperatorError> {
        Ok(Self { kind: Kind::of(schema)?, endianness: options.endianness })
    }

    fn numbers<T: ArrowPrimitiveType, const N: usize>(
        &self,
        array: &dyn Array,
        out: &mut Messages,
        big_endian: impl Fn(T::Native) -> [u8; N],
    ) {
        let little = self.endianness == Endianness::LittleEndian;
        append(array.as_primitive::<T>().iter(), out, |value, bytes| {
            let mut number = big_endian(value);
            if little {
                number.reverse();
            }
            bytes.extend_from_slice(&number);
        });
    }
}

impl RowEncoder for RawEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Messages) -> Result<(), OperatorError> {
        let array = batch.column(0).as_ref();
        match self.kind {
            Kind::Text => append(array.as_string::<i32>().iter(), out, |text, bytes| bytes.extend_from_slice(text.as_bytes())),
            Kind::Bytes => append(array.as_binary::<i32>().iter(), out, |value, bytes| bytes.extend_from_slice(value)),
            Kind::Boolean => append(array.as_boolean().iter(), out, |value, bytes| bytes.push(value.into())),
            Kind::Tinyint => self.numbers::<Int8Type, 1>(array, out, i8::to_be_bytes),
            Kind::Smallint => self.numbers::<Int16Type, 2>(array, out, i16::to_be_bytes),
            Kind::Int => self.numbers::<Int32Type, 4>(array, out, i32::to_be_bytes),
            Kind::Bigint => self.numbers::<Int64Type, 8>(array, out, i64::to_be_bytes),
            Kind::Float => self.numbers::<Float32Type, 4>(array, out, f32::to_be_bytes),
            Kind::Double => self.numbers::<Float64Type, 8>(array, out, f64::to_be_bytes),
        }
        Ok(())
    }
}

fn append<V>(values: impl Iterator<Item = Option<V>>, out: &mut Messages, write: impl Fn(V, &mut Vec<u8>)) {
    for value in values {
        match value {
            Some(value) => {
                write(value, out.buffer());
                out.end_message();
            }
            None => out.push_null(),
        }
    }
}
