//! Arrays of every column type for tests, made from a seed.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, FieldRef, SchemaRef};
use weir_protocol::job_graph::Field;

use crate::fixed_width;
use crate::key_group::hash_i64;
use crate::schema;

/// The types whose values can be keys, one of each representation.
pub(crate) const SCALARS: &[&str] = &[
    "BOOLEAN",
    "INT",
    "BIGINT",
    "DOUBLE",
    "STRING",
    "TIMESTAMP(3)",
    "TINYINT",
    "SMALLINT",
    "FLOAT",
    "DECIMAL(38, 10)",
    "BYTES",
    "DATE",
    "TIME(3)",
    "TIMESTAMP(6)",
    "TIMESTAMP(9)",
    "TIMESTAMP_LTZ(3)",
    "TIMESTAMP_LTZ(6)",
    "TIMESTAMP_LTZ(9)",
];

/// Types with values in values.
pub(crate) const NESTED: &[&str] = &[
    "ARRAY<INT>",
    "ARRAY<STRING NOT NULL>",
    "MAP<STRING, ARRAY<DECIMAL(10, 2)>>",
    "MULTISET<BIGINT>",
    "ROW<>",
    "ARRAY<ROW<>>",
    "ROW<a TINYINT NOT NULL, b ROW<c BYTES, d ARRAY<ROW<e TIMESTAMP(9)>>>>",
];

/// A schema with one nullable column of each of these types.
pub(crate) fn schema_of(types: &[&str]) -> SchemaRef {
    let field = |(index, data_type): (usize, &&str)| Field {
        name: format!("c{index}"),
        data_type: data_type.parse().unwrap(),
        nullable: true,
    };
    schema::to_arrow(&types.iter().enumerate().map(field).collect::<Vec<_>>()).unwrap()
}

/// A batch of random rows.
pub(crate) fn batch(schema: &SchemaRef, rows: usize, seed: u64) -> RecordBatch {
    let mut random = Random(seed);
    let columns = schema.fields().iter().map(|field| random.array(field, rows)).collect();
    RecordBatch::try_new_with_options(schema.clone(), columns, &RecordBatchOptions::new().with_row_count(Some(rows))).unwrap()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        hash_i64(self.0 as i64)
    }

    fn array(&mut self, field: &FieldRef, rows: usize) -> ArrayRef {
        let nulls = field.is_nullable().then(|| NullBuffer::from_iter((0..rows).map(|_| !self.next().is_multiple_of(4))));
        let mut ends = vec![0];
        for _ in 0..rows {
            ends.push(ends.last().unwrap() + (self.next() % 4) as i32);
        }
        let length = *ends.last().unwrap() as usize;
        let offsets = OffsetBuffer::new(ends.into());
        match field.data_type() {
            DataType::Boolean => Arc::new(BooleanArray::new((0..rows).map(|_| self.next().is_multiple_of(2)).collect(), nulls)),
            DataType::Utf8 => {
                let text: Vec<u8> = (0..length).map(|_| b'a' + (self.next() % 26) as u8).collect();
                Arc::new(StringArray::new(offsets, text.into(), nulls))
            }
            DataType::Binary => {
                let bytes: Vec<u8> = (0..length).map(|_| self.next() as u8).collect();
                Arc::new(BinaryArray::new(offsets, bytes.into(), nulls))
            }
            DataType::List(item) => Arc::new(ListArray::new(item.clone(), offsets, self.array(item, length), nulls)),
            DataType::Map(entries, ordered) => {
                let DataType::Struct(fields) = entries.data_type() else { panic!("entries are a struct") };
                let columns = fields.iter().map(|field| self.array(field, length)).collect();
                let entries_array = StructArray::new(fields.clone(), columns, None);
                Arc::new(MapArray::new(entries.clone(), offsets, entries_array, nulls, *ordered))
            }
            DataType::Struct(fields) if fields.is_empty() => Arc::new(StructArray::new_empty_fields(rows, nulls)),
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|field| self.array(field, rows)).collect();
                Arc::new(StructArray::new(fields.clone(), columns, nulls))
            }
            other => {
                let width = fixed_width::width(other).unwrap();
                // NaNs with any payload are among the random doubles. They are not equal to themselves, so leave them out.
                let float = matches!(other, DataType::Float64 | DataType::Float32);
                let bytes: Vec<u8> = (0..rows * width).map(|_| self.next() as u8 & if float { 0x3f } else { 0xff }).collect();
                fixed_width::array_of(other, Buffer::from_slice_ref(&bytes), rows, nulls).unwrap()
            }
        }
    }
}
