//! Maps key columns to key groups, the unit of state and of rescaling.
//!
//! The hash of a key is part of the state format, because checkpoints are indexed by it. So it must never change. Columns are
//! combined left to right. Each column hashes by its type:
//!
//! - whole numbers, dates (in days) and times of day (in milliseconds) as 64-bit integers; an INT and a BIGINT of equal value have
//!   equal hashes
//! - timestamps, with and without zone, as 64-bit integers in the unit of their column
//! - decimals by their digits without the point: as a 64-bit integer if they fit, else both halves of the 128-bit integer combined
//! - doubles and floats as their bits, where -0 counts as 0 and all NaNs are one; a float has other bits than the equal double
//! - booleans as 0 and 1
//! - text and bytes by XXH3-64
//! - NULL as a constant
//!
//! Equal decimals of different scale, and equal timestamps of different unit, have different hashes. Cast both sides of a join to
//! one type.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Schema, TimeUnit};
use arrow_select::take::take_record_batch;
use xxhash_rust::xxh3::xxh3_64;

use crate::operator::OperatorError;
use crate::schema;

/// The key groups of one subtask, a contiguous range. The assignment is Flink's.
pub fn key_group_range(max_parallelism: u32, parallelism: u32, subtask: u32) -> Range<u32> {
    let start = (u64::from(subtask) * u64::from(max_parallelism)).div_ceil(u64::from(parallelism));
    let end = (u64::from(subtask + 1) * u64::from(max_parallelism)).div_ceil(u64::from(parallelism));
    start as u32..end as u32
}

/// The subtask that owns a key group: the inverse of [`key_group_range`].
pub fn subtask_of_key_group(max_parallelism: u32, parallelism: u32, key_group: u32) -> u32 {
    (u64::from(key_group) * u64::from(parallelism) / u64::from(max_parallelism)) as u32
}

/// The hash of NULL, and of a key without columns.
const NULL_HASH: u64 = 0x9ae1_6a3b_2f90_404f;

/// The hash of a 64-bit integer: the finaliser of SplitMix64.
#[inline]
pub fn hash_i64(value: i64) -> u64 {
    let mut hash = (value as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Maps -0 to 0 and every NaN to one NaN, so that equal keys have equal bits.
#[inline]
pub(crate) fn canonical_double(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

/// Does for floats what [`canonical_double`] does for doubles.
#[inline]
pub(crate) fn canonical_float(value: f32) -> f32 {
    if value.is_nan() { f32::NAN } else { value + 0.0 }
}

#[inline]
fn hash_decimal(unscaled: i128) -> u64 {
    match i64::try_from(unscaled) {
        Ok(narrow) => hash_i64(narrow),
        Err(_) => {
            let mut hash = hash_i64((unscaled >> 64) as i64);
            combine(&mut hash, hash_i64(unscaled as i64), false);
            hash
        }
    }
}

/// The key group of a hash. Uses only the low 32 bits, so that hash tables can use the high ones.
#[inline]
pub fn key_group_of(hash: u64, max_parallelism: u32) -> u32 {
    (((hash & 0xffff_ffff) * u64::from(max_parallelism)) >> 32) as u32
}

/// Replaces `hashes` by the hash of each row's key. Error: `KEY-TYPE` for a column that can't be a key.
pub fn hash_rows(columns: &[ArrayRef], rows: usize, hashes: &mut Vec<u64>) -> Result<(), OperatorError> {
    hashes.clear();
    hashes.resize(rows, NULL_HASH);
    for (index, column) in columns.iter().enumerate() {
        hash_column(column.as_ref(), index == 0, hashes)?;
    }
    Ok(())
}

#[inline]
fn combine(hash: &mut u64, of_value: u64, first: bool) {
    *hash = if first { of_value } else { hash_i64((hash.rotate_left(23) ^ of_value) as i64) };
}

fn hash_column(column: &dyn Array, first: bool, hashes: &mut [u64]) -> Result<(), OperatorError> {
    macro_rules! each {
        ($array:expr, $hash:expr) => {{
            let array = $array;
            if array.null_count() == 0 {
                hashes.iter_mut().enumerate().for_each(|(row, hash)| combine(hash, $hash(array.value(row)), first));
            } else {
                for (row, hash) in hashes.iter_mut().enumerate() {
                    combine(hash, if array.is_null(row) { NULL_HASH } else { $hash(array.value(row)) }, first);
                }
            }
        }};
    }
    match column.data_type() {
        DataType::Int64 => each!(column.as_primitive::<Int64Type>(), hash_i64),
        DataType::Int32 => each!(column.as_primitive::<Int32Type>(), |v| hash_i64(i64::from(v))),
        DataType::Int16 => each!(column.as_primitive::<Int16Type>(), |v| hash_i64(i64::from(v))),
        DataType::Int8 => each!(column.as_primitive::<Int8Type>(), |v| hash_i64(i64::from(v))),
        DataType::Date32 => each!(column.as_primitive::<Date32Type>(), |v| hash_i64(i64::from(v))),
        DataType::Time32(TimeUnit::Millisecond) => {
            each!(column.as_primitive::<Time32MillisecondType>(), |v| hash_i64(i64::from(v)));
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => each!(column.as_primitive::<TimestampMillisecondType>(), hash_i64),
        DataType::Timestamp(TimeUnit::Microsecond, _) => each!(column.as_primitive::<TimestampMicrosecondType>(), hash_i64),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => each!(column.as_primitive::<TimestampNanosecondType>(), hash_i64),
        DataType::Decimal128(..) => each!(column.as_primitive::<Decimal128Type>(), hash_decimal),
        DataType::Float64 => each!(column.as_primitive::<Float64Type>(), |v| hash_i64(canonical_double(v).to_bits() as i64)),
        DataType::Float32 => {
            each!(column.as_primitive::<Float32Type>(), |v| hash_i64(i64::from(canonical_float(v).to_bits())));
        }
        DataType::Boolean => each!(column.as_boolean(), |v| hash_i64(i64::from(v))),
        DataType::Utf8 => each!(column.as_string::<i32>(), |v: &str| xxh3_64(v.as_bytes())),
        DataType::Binary => each!(column.as_binary::<i32>(), |v: &[u8]| xxh3_64(v)),
        other => return Err(no_key(other)),
    }
    Ok(())
}

/// The error (`KEY-TYPE`) for a column of a type that can't be a key.
pub(crate) fn no_key(data_type: &DataType) -> OperatorError {
    let name = schema::type_name(data_type);
    OperatorError::fatal("KEY-TYPE", format!("a column of type {name} can't be a key; use one of its parts, or cast it"))
}

/// Distributes the rows of batches to the subtasks that own their key groups.
#[derive(Debug)]
pub struct KeyPartitioner {
    columns: Vec<usize>,
    max_parallelism: u32,
    channels: u32,
    hashes: Vec<u64>,
}

impl KeyPartitioner {
    /// Partitions rows of `schema` by the columns `keys` over `channels` subtasks. Errors: `SCHEMA-COLUMN`, `KEY-TYPE`.
    pub fn new(schema: &Schema, keys: &[String], max_parallelism: u32, channels: u32) -> Result<Self, OperatorError> {
        let columns: Vec<_> = keys.iter().map(|key| schema::column_index(schema, key)).collect::<Result<_, _>>()?;
        for column in &columns {
            hash_column(arrow_array::new_empty_array(schema.field(*column).data_type()).as_ref(), true, &mut [])?;
        }
        Ok(Self { columns, max_parallelism, channels, hashes: Vec::new() })
    }

    /// Returns the rows for each subtask, in their order; `None` for a subtask without rows. If one subtask gets all rows, they
    /// are not copied.
    pub fn partition(&mut self, batch: &RecordBatch) -> Result<Vec<Option<RecordBatch>>, OperatorError> {
        if batch.num_rows() == 0 {
            return Ok(vec![None; self.channels as usize]);
        }
        if self.channels == 1 {
            return Ok(vec![Some(batch.clone())]);
        }
        let keys: Vec<_> = self.columns.iter().map(|column| batch.column(*column).clone()).collect();
        hash_rows(&keys, batch.num_rows(), &mut self.hashes)?;
        // Counting sort: count the rows of each subtask, compute where they begin, then place each row.
        let channel = |hash: &u64| {
            subtask_of_key_group(self.max_parallelism, self.channels, key_group_of(*hash, self.max_parallelism)) as usize
        };
        let mut starts = vec![0usize; self.channels as usize + 1];
        for hash in &self.hashes {
            starts[channel(hash) + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        if let Some(only) = starts.windows(2).position(|pair| pair[1] - pair[0] == batch.num_rows()) {
            return Ok((0..self.channels as usize).map(|index| (index == only).then(|| batch.clone())).collect());
        }
        let mut next = starts.clone();
        let mut order = vec![0u32; batch.num_rows()];
        for (row, hash) in self.hashes.iter().enumerate() {
            let place = &mut next[channel(hash)];
            order[*place] = row as u32;
            *place += 1;
        }
        let sorted = take_record_batch(batch, &UInt32Array::from(order)).map_err(internal)?;
        let ranges = starts.windows(2).map(|pair| Range { start: pair[0], end: pair[1] });
        Ok(ranges.map(|range| (!range.is_empty()).then(|| sorted.slice(range.start, range.len()))).collect())
    }
}

/// The error for an Arrow kernel that failed on arrays of a supported type.
pub(crate) fn internal(error: arrow_schema::ArrowError) -> OperatorError {
    OperatorError::fatal("ARROW", format!("a column operation failed: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
        TimestampMillisecondArray,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    fn hashes_of(columns: Vec<ArrayRef>) -> Vec<u64> {
        let mut hashes = Vec::new();
        hash_rows(&columns, columns[0].len(), &mut hashes).unwrap();
        hashes
    }

    #[test]
    fn the_hash_is_part_of_the_state_format_and_does_not_change() {
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(1), Some(-7), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(""), Some("a"), Some("river"), None]));
        assert_eq!(hashes_of(vec![ints.clone()])[..2], [0xe220_a839_7b1d_cdaf, 0x910a_2dec_8902_5cc1]);
        assert_eq!(hashes_of(vec![ints.clone()])[3], NULL_HASH);
        assert_eq!(hashes_of(vec![texts.clone()])[..2], [0x2d06_8005_38d3_94c2, 0xe6c6_32b6_1e96_4e1f]);
        let both = hashes_of(vec![ints, texts]);
        assert_eq!(both.iter().map(|h| key_group_of(*h, 128)).collect::<Vec<_>>(), KEY_GROUPS_OF_BOTH);
    }

    const KEY_GROUPS_OF_BOTH: [u32; 4] = [75, 26, 82, 17];

    #[test]
    fn the_hash_of_later_types_does_not_change_either() {
        let decimals = |values: Vec<i128>| Arc::new(Decimal128Array::from(values).with_precision_and_scale(38, 4).unwrap());
        let wide = 10_i128.pow(37);
        let hashes = hashes_of(vec![decimals(vec![1, wide, -wide])]);
        assert_eq!(hashes, [hash_i64(1), 0x749f_0725_2c8b_3b63, 0xc969_aa32_8d21_2b69]);
        let floats = hashes_of(vec![Arc::new(Float32Array::from(vec![1.0, -2.5, f32::NAN]))]);
        assert_eq!(floats, [hash_i64(0x3f80_0000), hash_i64(0xc020_0000), hash_i64(0x7fc0_0000)]);
        let bytes = hashes_of(vec![Arc::new(BinaryArray::from(vec![&b"a"[..], b"river", b""]))]);
        assert_eq!(bytes, hashes_of(vec![Arc::new(StringArray::from(vec!["a", "river", ""]))]));
    }

    #[test]
    fn integers_dates_and_times_of_equal_number_have_equal_hashes() {
        for name in ["TINYINT", "SMALLINT", "INT", "DATE", "TIME(0)", "TIMESTAMP(0)", "TIMESTAMP(6)", "TIMESTAMP_LTZ(9)"] {
            let data_type = schema::arrow_type(&name.parse().unwrap());
            let values = arrow_buffer::Buffer::from_slice_ref((-5_i64).to_le_bytes());
            let width = crate::fixed_width::width(&data_type).unwrap();
            let column = crate::fixed_width::array_of(&data_type, values.slice_with_length(0, width), 1, None).unwrap();
            assert_eq!(hashes_of(vec![column]), [hash_i64(-5)], "{name}");
        }
    }

    #[test]
    fn every_scalar_type_can_be_a_key_and_no_nested_type() {
        let schema = samples::schema_of(samples::SCALARS);
        let keys: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
        KeyPartitioner::new(&schema, &keys, 8, 2).unwrap();
        let schema = samples::schema_of(samples::NESTED);
        for field in schema.fields() {
            let error = KeyPartitioner::new(&schema, std::slice::from_ref(field.name()), 8, 2).unwrap_err();
            assert_eq!(error.code, "KEY-TYPE");
        }
    }

    #[test]
    fn equal_values_of_different_width_or_bits_have_equal_hashes() {
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![5, -5]));
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![5, -5]));
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![5, -5]));
        assert_eq!(hashes_of(vec![wide.clone()]), hashes_of(vec![narrow]));
        assert_eq!(hashes_of(vec![wide]), hashes_of(vec![times]));
        let zeros = hashes_of(vec![Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]))]);
        assert_eq!(zeros[0], zeros[1]);
        assert_eq!(zeros[2], zeros[3]);
        let flags = hashes_of(vec![Arc::new(BooleanArray::from(vec![true, false]))]);
        assert_ne!(flags[0], flags[1]);
    }

    proptest! {
        #[test]
        fn each_row_goes_in_order_to_the_subtask_that_owns_its_key_group(
            rows in prop::collection::vec((any::<Option<i64>>(), "[a-c]{0,2}"), 0..200),
            channels in 1u32..6,
        ) {
            let batch = RecordBatch::try_from_iter([
                ("k", Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()) as ArrayRef),
                ("s", Arc::new(rows.iter().map(|r| Some(r.1.as_str())).collect::<StringArray>()) as ArrayRef),
                ("n", Arc::new((0..rows.len() as i64).map(Some).collect::<Int64Array>()) as ArrayRef),
            ]).unwrap();
            let keys = ["k".to_string(), "s".to_string()];
            let mut partitioner = KeyPartitioner::new(batch.schema_ref(), &keys, 16, channels).unwrap();
            let parts = partitioner.partition(&batch).unwrap();
            prop_assert_eq!(parts.len(), channels as usize);
            let mut seen = 0;
            for (subtask, part) in parts.iter().enumerate() {
                let Some(part) = part else { continue };
                let owned = key_group_range(16, channels, subtask as u32);
                let hashes = hashes_of(vec![part.column(0).clone(), part.column(1).clone()]);
                prop_assert!(hashes.iter().all(|hash| owned.contains(&key_group_of(*hash, 16))));
                let numbers = part.column(2).as_primitive::<Int64Type>().values();
                prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
                for (row, number) in numbers.iter().enumerate() {
                    prop_assert_eq!(part.slice(row, 1), batch.slice(*number as usize, 1));
                }
                seen += part.num_rows();
            }
            prop_assert_eq!(seen, rows.len());
        }
    }

    #[test]
    fn an_unknown_key_column_is_named() {
        let error = KeyPartitioner::new(&Schema::empty(), &["k".into()], 8, 2).unwrap_err();
        assert_eq!(error.code, "SCHEMA-COLUMN");
    }

    #[test]
    fn every_key_group_belongs_to_the_one_subtask_that_rows_are_routed_to() {
        for max_parallelism in [1, 2, 7, 128, 1000] {
            for parallelism in 1..=max_parallelism.min(40) {
                let mut next = 0;
                for subtask in 0..parallelism {
                    let range = key_group_range(max_parallelism, parallelism, subtask);
                    assert_eq!(range.start, next);
                    next = range.end;
                    for key_group in range {
                        assert_eq!(subtask_of_key_group(max_parallelism, parallelism, key_group), subtask);
                    }
                }
                assert_eq!(next, max_parallelism);
            }
        }
    }
}
