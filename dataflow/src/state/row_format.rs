//! Encodes rows of columns as bytes: the keys of keyed state, and values that are stored by row.
//!
//! The encoding is part of the state format, so it must never change. Each column begins with a byte: 0 for NULL, else 1. After a
//! 1 follows the value:
//!
//! - numbers, decimals (16 bytes, without their point), dates, times and timestamps little-endian, in the width of their column
//! - booleans as one byte
//! - text and bytes as their length in 4 bytes, then themselves
//! - lists as the number of elements in 4 bytes, then the elements, each with its byte 0 or 1
//! - maps as the number of entries in 4 bytes, then key and value of each, each with its byte 0 or 1
//! - rows as their fields, each with its byte 0 or 1
//!
//! Lists, maps and rows can be values but not keys.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use crate::fixed_width;
use crate::key_group::{canonical_double, canonical_float, no_key};
use crate::operator::OperatorError;
use crate::schema;
use crate::state::StateReader;
use crate::state::row_reader::ColumnBuilder;

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
        &self.bytes[self.start(index)..self.ends[index]]
    }

    fn start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.ends[index - 1] }
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
    /// Creates a format for keys: equal keys have equal bytes, so -0 becomes 0 and every NaN the same. Errors: `SCHEMA-TYPE`, and
    /// `KEY-TYPE` for lists, maps and rows.
    pub fn of_keys(types: Vec<DataType>) -> Result<Self, OperatorError> {
        if let Some(nested) = types.iter().find(|data_type| data_type.is_nested()) {
            return Err(no_key(nested));
        }
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
        encode_rows(columns, rows, self.canonical)
    }

    /// Decodes rows into columns. Error: `STATE-CORRUPT` for bytes that `encode` did not write.
    pub fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, OperatorError> {
        let mut builders: Vec<_> = self.types.iter().map(ColumnBuilder::new).collect::<Result<_, _>>()?;
        for row in rows {
            let mut reader = StateReader::over(row);
            for builder in &mut builders {
                builder.read(&mut reader)?;
            }
            reader.end()?;
        }
        builders.into_iter().map(ColumnBuilder::finish).collect()
    }
}

fn encode_rows(columns: &[ArrayRef], rows: usize, canonical: bool) -> Rows {
    let nested: Vec<_> = columns.iter().map(|column| encode_nested(column.as_ref())).collect();
    let mut ends = vec![0; rows];
    for (column, nested) in columns.iter().zip(&nested) {
        match nested {
            Some(values) => ends.iter_mut().enumerate().for_each(|(row, length)| *length += values.row(row).len()),
            None => add_lengths(column.as_ref(), &mut ends),
        }
    }
    // Replace each length by the start of the row. Writing a row then moves its entry to the row's end.
    let mut total = 0;
    for end in &mut ends {
        let length = *end;
        *end = total;
        total += length;
    }
    let mut bytes = vec![0; total];
    for (column, nested) in columns.iter().zip(&nested) {
        match nested {
            Some(values) => {
                for (row, cursor) in ends.iter_mut().enumerate() {
                    put(&mut bytes, cursor, values.row(row));
                }
            }
            None => write_column(column.as_ref(), canonical, &mut ends, &mut bytes),
        }
    }
    Rows { bytes, ends }
}

/// The values of a list, map or row column with their first byte; `None` for any other column.
fn encode_nested(column: &dyn Array) -> Option<Rows> {
    let (parts, offsets) = match column.data_type() {
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let (first, count) = range(list.value_offsets());
            (encode_rows(&[list.values().slice(first, count)], count, false), list.value_offsets())
        }
        DataType::Map(..) => {
            let map = column.as_map();
            let (first, count) = range(map.value_offsets());
            (encode_rows(map.entries().slice(first, count).columns(), count, false), map.value_offsets())
        }
        DataType::Struct(_) => (encode_rows(column.as_struct().columns(), column.len(), false), &[][..]),
        _ => return None,
    };
    let mut rows =
        Rows { bytes: Vec::with_capacity(parts.bytes.len() + 5 * column.len()), ends: Vec::with_capacity(column.len()) };
    for row in 0..column.len() {
        rows.bytes.push(u8::from(column.is_valid(row)));
        if column.is_valid(row) {
            match offsets.get(row..row + 2) {
                Some([start, end]) => {
                    rows.bytes.extend_from_slice(&((end - start) as u32).to_le_bytes());
                    let (start, end) = ((start - offsets[0]) as usize, (end - offsets[0]) as usize);
                    if start < end {
                        rows.bytes.extend_from_slice(&parts.bytes[parts.start(start)..parts.ends[end - 1]]);
                    }
                }
                _ => rows.bytes.extend_from_slice(parts.row(row)),
            }
        }
        rows.ends.push(rows.bytes.len());
    }
    Some(rows)
}

/// The first element that offsets point to, and the number of elements.
fn range(offsets: &[i32]) -> (usize, usize) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    (first as usize, (last - first) as usize)
}

/// The length of a text or bytes value; `None` for any other column.
fn variable_length(column: &dyn Array) -> Option<&[i32]> {
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value_offsets()),
        DataType::Binary => Some(column.as_binary::<i32>().value_offsets()),
        _ => None,
    }
}

fn add_lengths(column: &dyn Array, lengths: &mut [usize]) {
    if let Some(offsets) = variable_length(column) {
        for (row, length) in lengths.iter_mut().enumerate() {
            *length += if column.is_null(row) { 1 } else { 5 + (offsets[row + 1] - offsets[row]) as usize };
        }
        return;
    }
    let width = fixed_width::width(column.data_type()).unwrap_or(1);
    match column.nulls() {
        None => lengths.iter_mut().for_each(|length| *length += 1 + width),
        Some(nulls) => lengths.iter_mut().zip(nulls).for_each(|(length, valid)| *length += if valid { 1 + width } else { 1 }),
    }
}

#[inline]
fn put(bytes: &mut [u8], cursor: &mut usize, value: &[u8]) {
    bytes[*cursor..*cursor + value.len()].copy_from_slice(value);
    *cursor += value.len();
}

fn write_column(column: &dyn Array, canonical: bool, cursors: &mut [usize], bytes: &mut [u8]) {
    macro_rules! each {
        ($row:ident => $value:expr) => {{
            for ($row, cursor) in cursors.iter_mut().enumerate() {
                if column.is_null($row) {
                    *cursor += 1;
                    continue;
                }
                bytes[*cursor] = 1;
                *cursor += 1;
                put(bytes, cursor, $value);
            }
        }};
    }
    // A constant width makes each copy a single move.
    macro_rules! fixed {
        ($width:literal) => {{
            let (values, _) = fixed_width::value_bytes(column).as_chunks::<$width>();
            each!(row => &values[row])
        }};
    }
    match (column.data_type(), fixed_width::width(column.data_type())) {
        (DataType::Boolean, _) => each!(row => &[u8::from(column.as_boolean().value(row))]),
        (DataType::Float64, _) if canonical => {
            each!(row => &canonical_double(column.as_primitive::<Float64Type>().value(row)).to_le_bytes());
        }
        (DataType::Float32, _) if canonical => {
            each!(row => &canonical_float(column.as_primitive::<Float32Type>().value(row)).to_le_bytes());
        }
        (_, Some(1)) => fixed!(1),
        (_, Some(2)) => fixed!(2),
        (_, Some(4)) => fixed!(4),
        (_, Some(8)) => fixed!(8),
        (_, Some(_)) => fixed!(16),
        (_, None) => {
            for (row, cursor) in cursors.iter_mut().enumerate() {
                if column.is_null(row) {
                    *cursor += 1;
                    continue;
                }
                let value = match column.data_type() {
                    DataType::Utf8 => column.as_string::<i32>().value(row).as_bytes(),
                    _ => column.as_binary::<i32>().value(row),
                };
                bytes[*cursor] = 1;
                *cursor += 1;
                put(bytes, cursor, &(value.len() as u32).to_le_bytes());
                put(bytes, cursor, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{Decimal128Array, Float32Array, Float64Array, ListArray};
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    fn types_of(names: &[&str]) -> Vec<DataType> {
        samples::schema_of(names).fields().iter().map(|field| field.data_type().clone()).collect()
    }

    fn all_types() -> Vec<DataType> {
        types_of(&[samples::SCALARS, samples::NESTED].concat())
    }

    proptest! {
        #[test]
        fn rows_decode_to_what_was_encoded(rows in 0usize..30, seed in any::<u64>(), from in 0usize..30) {
            let names = [samples::SCALARS, samples::NESTED].concat();
            let format = RowFormat::of_values(all_types()).unwrap();
            let from = from.min(rows);
            let batch = samples::batch(&samples::schema_of(&names), rows, seed).slice(from, rows - from);
            let encoded = format.encode(batch.columns(), batch.num_rows());
            let decoded = format.decode((0..encoded.len()).map(|row| encoded.row(row))).unwrap();
            prop_assert_eq!(decoded.as_slice(), batch.columns());
            let keys = RowFormat::of_keys(types_of(samples::SCALARS)).unwrap();
            let columns = &batch.columns()[..samples::SCALARS.len()];
            let encoded = keys.encode(columns, batch.num_rows());
            let decoded = keys.decode((0..encoded.len()).map(|row| encoded.row(row))).unwrap();
            prop_assert_eq!(decoded.as_slice(), columns);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), only in 0usize..25) {
            for types in [all_types(), all_types()[only..=only].to_vec()] {
                let format = RowFormat::of_values(types).unwrap();
                let _ = format.decode(std::iter::once(bytes.as_slice()));
                let mut tagged = vec![1];
                tagged.extend(bytes.iter().map(|byte| byte % 3));
                let _ = format.decode(std::iter::once(tagged.as_slice()));
            }
        }
    }

    /// The bytes of one row.
    fn bytes_of(columns: &[ArrayRef]) -> Vec<u8> {
        let types = columns.iter().map(|column| column.data_type().clone()).collect();
        RowFormat::of_values(types).unwrap().encode(columns, 1).row(0).to_vec()
    }

    #[test]
    fn the_bytes_of_every_type_do_not_change() {
        let widths =
            ["TINYINT", "SMALLINT", "INT", "DATE", "TIME(3)", "BIGINT", "TIMESTAMP(3)", "TIMESTAMP(6)", "TIMESTAMP_LTZ(9)"];
        for (data_type, width) in types_of(&widths).iter().zip([1, 2, 4, 4, 4, 8, 8, 8, 8]) {
            let values = arrow_buffer::Buffer::from_slice_ref((-2_i64).to_le_bytes());
            let column = fixed_width::array_of(data_type, values.slice_with_length(0, width), 1, None).unwrap();
            let mut expected = vec![1, 0xfe];
            expected.resize(1 + width, 0xff);
            assert_eq!(bytes_of(&[column]), expected, "{data_type}");
        }
        assert_eq!(bytes_of(&[Arc::new(Float64Array::from(vec![1.0]))]), [1, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(bytes_of(&[Arc::new(Float32Array::from(vec![1.0]))]), [1, 0, 0, 0x80, 0x3f]);
        let decimal: ArrayRef = Arc::new(Decimal128Array::from(vec![258]).with_precision_and_scale(38, 2).unwrap());
        assert_eq!(bytes_of(std::slice::from_ref(&decimal)), [1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let text: ArrayRef = Arc::new(arrow_array::StringArray::from(vec!["ab"]));
        let bytes: ArrayRef = Arc::new(arrow_array::BinaryArray::from(vec![&b"\xff"[..]]));
        let flag: ArrayRef = Arc::new(arrow_array::BooleanArray::from(vec![true]));
        assert_eq!(bytes_of(&[text, bytes, flag]), [1, 2, 0, 0, 0, b'a', b'b', 1, 1, 0, 0, 0, 0xff, 1, 1]);
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(7), None])]));
        assert_eq!(bytes_of(std::slice::from_ref(&list)), [1, 2, 0, 0, 0, 1, 7, 0, 0, 0, 0]);
        let row = arrow_array::StructArray::try_from(vec![("a", list)]).unwrap();
        assert_eq!(bytes_of(&[Arc::new(row)]), [1, 1, 2, 0, 0, 0, 1, 7, 0, 0, 0, 0]);
        let mut map = arrow_array::builder::MapBuilder::new(
            None,
            arrow_array::builder::StringBuilder::new(),
            arrow_array::builder::Int8Builder::new(),
        );
        map.keys().append_value("k");
        map.values().append_value(3);
        map.append(true).unwrap();
        let map: ArrayRef = Arc::new(map.finish());
        assert_eq!(encode_rows(&[map], 1, false).row(0), [1, 1, 0, 0, 0, 1, 1, 0, 0, 0, b'k', 1, 3]);
    }

    #[test]
    fn equal_keys_have_equal_bytes() {
        let format = RowFormat::of_keys(vec![DataType::Float64, DataType::Float32]).unwrap();
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        let floats: ArrayRef = Arc::new(Float32Array::from(vec![0.0, -0.0, f32::NAN, -f32::NAN]));
        let rows = format.encode(&[doubles, floats], 4);
        assert_eq!(rows.row(0), rows.row(1));
        assert_eq!(rows.row(2), rows.row(3));
    }

    #[test]
    fn nested_types_can_be_values_but_not_keys() {
        for nested in types_of(samples::NESTED) {
            assert_eq!(RowFormat::of_keys(vec![nested]).unwrap_err().code, "KEY-TYPE");
        }
        assert_eq!(RowFormat::of_values(vec![DataType::Float16]).unwrap_err().code, "SCHEMA-TYPE");
    }

    #[test]
    fn the_null_row_is_null_everywhere() {
        let format = RowFormat::of_values(all_types()).unwrap();
        let row = format.null_row();
        let decoded = format.decode(std::iter::once(row.as_slice())).unwrap();
        assert!(decoded.iter().all(|column| column.len() == 1 && column.is_null(0)));
    }
}
