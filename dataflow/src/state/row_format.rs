//! Encodes rows of columns as bytes: the keys of keyed state, and values that are stored by row.
//!
//! The encoding is part of the state format, so it must never change. Each column begins with a byte: 0 for NULL, else 1. After a
//! 1 follows the value: whole numbers, timestamps and doubles little-endian, booleans as one byte, text as its length in 4 bytes
//! and the text.

use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};

use crate::key_group::canonical_double;
use crate::operator::OperatorError;
use crate::schema;
use crate::state::StateReader;

/// The encoding of rows with given column types.
#[derive(Debug, Clone)]
pub struct RowFormat {
    types: Vec<DataType>,
    canonical: bool,
}

/// Encoded rows, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Rows {
    /// The bytes of one row.
    pub fn row(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl RowFormat {
    /// Creates a format for keys: equal keys have equal bytes, so -0 becomes 0 and every NaN the same. Error: `SCHEMA-TYPE`.
    pub fn of_keys(types: Vec<DataType>) -> Result<Self, OperatorError> {
        Self::new(types, true)
    }

    /// Creates a format for values: decoding returns exactly the same bits. Error: `SCHEMA-TYPE`.
    pub fn of_values(types: Vec<DataType>) -> Result<Self, OperatorError> {
        Self::new(types, false)
    }

    fn new(types: Vec<DataType>, canonical: bool) -> Result<Self, OperatorError> {
        if let Some(foreign) = types.iter().find(|data_type| schema::column_type(data_type).is_none()) {
            return Err(OperatorError::fatal(
                "SCHEMA-TYPE",
                format!("a column of type {foreign} can't be stored in state; cast it"),
            ));
        }
        Ok(Self { types, canonical })
    }

    /// The column types of a row.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// The encoded row in which every column is NULL.
    pub fn null_row(&self) -> Vec<u8> {
        vec![0; self.types.len()]
    }

    /// Encodes the rows of these columns, which must have the format's types.
    pub fn encode(&self, columns: &[ArrayRef], rows: usize) -> Rows {
        let mut ends = vec![0; rows];
        for column in columns {
            add_lengths(column.as_ref(), &mut ends);
        }
        // Replace each length by the start of the row. Writing a row then moves its entry to the row's end.
        let mut total = 0;
        for end in &mut ends {
            let length = *end;
            *end = total;
            total += length;
        }
        let mut bytes = vec![0; total];
        for column in columns {
            write_column(column.as_ref(), self.canonical, &mut ends, &mut bytes);
        }
        Rows { bytes, ends }
    }

    /// Decodes rows into columns. Error: `STATE-CORRUPT` for bytes that `encode` did not write.
    pub fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, OperatorError> {
        let mut builders: Vec<_> = self.types.iter().map(ColumnBuilder::new).collect();
        for row in rows {
            let mut reader = StateReader::over(row);
            for builder in &mut builders {
                builder.read(&mut reader)?;
            }
            reader.end()?;
        }
        Ok(builders.into_iter().map(ColumnBuilder::finish).collect())
    }
}

fn add_lengths(column: &dyn Array, lengths: &mut [usize]) {
    let width = match column.data_type() {
        DataType::Boolean => 1,
        DataType::Int32 => 4,
        DataType::Utf8 => {
            let strings = column.as_string::<i32>();
            for (row, length) in lengths.iter_mut().enumerate() {
                *length += if strings.is_null(row) { 1 } else { 5 + strings.value_length(row) as usize };
            }
            return;
        }
        _ => 8,
    };
    match column.nulls() {
        None => lengths.iter_mut().for_each(|length| *length += 1 + width),
        Some(nulls) => lengths.iter_mut().zip(nulls).for_each(|(length, valid)| *length += if valid { 1 + width } else { 1 }),
    }
}

fn write_column(column: &dyn Array, canonical: bool, cursors: &mut [usize], bytes: &mut [u8]) {
    macro_rules! each {
        ($array:expr, $to_bytes:expr) => {{
            let array = $array;
            for (row, cursor) in cursors.iter_mut().enumerate() {
                if array.is_null(row) {
                    *cursor += 1;
                    continue;
                }
                let value = $to_bytes(array.value(row));
                bytes[*cursor] = 1;
                bytes[*cursor + 1..*cursor + 1 + value.len()].copy_from_slice(&value);
                *cursor += 1 + value.len();
            }
        }};
    }
    match column.data_type() {
        DataType::Boolean => each!(column.as_boolean(), |v| [u8::from(v)]),
        DataType::Int32 => each!(column.as_primitive::<Int32Type>(), i32::to_le_bytes),
        DataType::Int64 => each!(column.as_primitive::<Int64Type>(), i64::to_le_bytes),
        DataType::Timestamp(..) => each!(column.as_primitive::<TimestampMillisecondType>(), i64::to_le_bytes),
        DataType::Float64 => {
            each!(column.as_primitive::<Float64Type>(), |v| if canonical { canonical_double(v) } else { v }.to_le_bytes());
        }
        _ => {
            let strings = column.as_string::<i32>();
            for (row, cursor) in cursors.iter_mut().enumerate() {
                if strings.is_null(row) {
                    *cursor += 1;
                    continue;
                }
                let text = strings.value(row).as_bytes();
                bytes[*cursor] = 1;
                bytes[*cursor + 1..*cursor + 5].copy_from_slice(&(text.len() as u32).to_le_bytes());
                bytes[*cursor + 5..*cursor + 5 + text.len()].copy_from_slice(text);
                *cursor += 5 + text.len();
            }
        }
    }
}

enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int(PrimitiveBuilder<Int32Type>),
    Bigint(PrimitiveBuilder<Int64Type>),
    Double(PrimitiveBuilder<Float64Type>),
    Timestamp(PrimitiveBuilder<TimestampMillisecondType>),
    Text(StringBuilder),
}

impl ColumnBuilder {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int32 => Self::Int(PrimitiveBuilder::new()),
            DataType::Int64 => Self::Bigint(PrimitiveBuilder::new()),
            DataType::Float64 => Self::Double(PrimitiveBuilder::new()),
            DataType::Timestamp(TimeUnit::Millisecond, None) => Self::Timestamp(PrimitiveBuilder::new()),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    fn read(&mut self, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        let present = match reader.array::<1>()? {
            [0] => false,
            [1] => true,
            _ => return Err(StateReader::corrupt("unknown tag in a row")),
        };
        match self {
            Self::Boolean(builder) if present => match reader.array::<1>()? {
                [value @ (0 | 1)] => builder.append_value(value == 1),
                _ => return Err(StateReader::corrupt("a boolean is neither 0 nor 1")),
            },
            Self::Int(builder) if present => builder.append_value(reader.array().map(i32::from_le_bytes)?),
            Self::Bigint(builder) if present => builder.append_value(reader.i64()?),
            Self::Timestamp(builder) if present => builder.append_value(reader.i64()?),
            Self::Double(builder) if present => builder.append_value(reader.array().map(f64::from_le_bytes)?),
            Self::Text(builder) if present => {
                let text = std::str::from_utf8(reader.prefixed()?).map_err(|_| StateReader::corrupt("text is not UTF-8"))?;
                builder.append_value(text);
            }
            Self::Boolean(builder) => builder.append_null(),
            Self::Int(builder) => builder.append_null(),
            Self::Bigint(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
            Self::Double(builder) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::Int(mut builder) => Arc::new(builder.finish()),
            Self::Bigint(mut builder) => Arc::new(builder.finish()),
            Self::Double(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder) => Arc::new(builder.finish()),
            Self::Text(mut builder) => Arc::new(builder.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{BooleanArray, Float64Array, Int32Array, Int64Array, StringArray, TimestampMillisecondArray};
    use proptest::prelude::*;

    use super::*;

    fn all_types() -> Vec<DataType> {
        use weir_protocol::job_graph::DataType as Column;
        [Column::Boolean, Column::Int, Column::Bigint, Column::Double, Column::String, Column::Timestamp(3)]
            .map(|data_type| schema::arrow_type(&data_type))
            .to_vec()
    }

    type Row = (Option<bool>, Option<i32>, Option<i64>, Option<f64>, Option<String>, Option<i64>);

    fn columns(rows: &[Row]) -> Vec<ArrayRef> {
        vec![
            Arc::new(rows.iter().map(|r| r.0).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|r| r.1).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|r| r.2).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| r.3).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|r| r.4.clone()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|r| r.5).collect::<TimestampMillisecondArray>()),
        ]
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let double = prop::option::of(-1e9f64..1e9);
        let row = (
            any::<Option<bool>>(),
            any::<Option<i32>>(),
            any::<Option<i64>>(),
            double,
            any::<Option<String>>(),
            any::<Option<i64>>(),
        );
        prop::collection::vec(row, 0..30)
    }

    proptest! {
        #[test]
        fn rows_decode_to_what_was_encoded(rows in rows()) {
            let format = RowFormat::of_values(all_types()).unwrap();
            let columns = columns(&rows);
            let encoded = format.encode(&columns, rows.len());
            let decoded = format.decode((0..encoded.len()).map(|row| encoded.row(row))).unwrap();
            prop_assert_eq!(decoded, columns);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let format = RowFormat::of_values(all_types()).unwrap();
            let _ = format.decode(std::iter::once(bytes.as_slice()));
        }
    }

    #[test]
    fn equal_keys_have_equal_bytes() {
        let format = RowFormat::of_keys(vec![DataType::Float64]).unwrap();
        let column: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        let rows = format.encode(&[column], 4);
        assert_eq!(rows.row(0), rows.row(1));
        assert_eq!(rows.row(2), rows.row(3));
    }

    #[test]
    fn the_null_row_is_null_everywhere() {
        let format = RowFormat::of_values(all_types()).unwrap();
        let row = format.null_row();
        let decoded = format.decode(std::iter::once(row.as_slice())).unwrap();
        assert!(decoded.iter().all(|column| column.len() == 1 && column.is_null(0)));
    }
}
