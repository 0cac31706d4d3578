//! Encodes batches as bytes, for channels between processes.
//!
//! Both ends know the schema from the job graph. So a body holds only a checksum of the schema, and the columns in Arrow's memory
//! layout. Each buffer is padded to 8 bytes, so that decoding can refer to the received bytes without a copy if they are aligned.
//! Arrow's IPC format is not used: its reader panics on offsets outside the body, and the received bytes can't be trusted.
//!
//! ```text
//! schema crc32c: u32 | rows: u32 | per column, in schema order: its array
//!
//! array: nulls: u8 (0 or 1) | length of what the offsets point into, else 0: u32 at +4 | padding to 8
//!   validity bitmap, if nulls = 1 | contents:
//!   fixed width:   the values; booleans are bits
//!   text, bytes:   rows + 1 offsets from 0, then the bytes
//!   list:          rows + 1 offsets from 0, then the array of the elements
//!   map:           rows + 1 offsets from 0, then the array of the entries, a struct of key and value
//!   struct:        the array of each field; without fields, the validity bitmap is always there
//! ```
//! All integers are little-endian.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, FieldRef, SchemaRef};
use bytes::Bytes;
use weir_protocol::job_graph::DataType as ColumnType;

use crate::fixed_width;
use crate::operator::OperatorError;
use crate::schema;

/// Maximum number of rows in one body.
pub const MAX_ROWS: usize = 1 << 24;

/// Encodes batches of one schema as bytes, and decodes them.
#[derive(Debug, Clone)]
pub struct BatchCodec {
    schema: SchemaRef,
    fingerprint: u32,
}

impl BatchCodec {
    /// Creates a codec for batches of this schema. Error: `SCHEMA-TYPE` for an Arrow type that is no column type, or that is
    /// nested too deep.
    pub fn new(schema: SchemaRef) -> Result<Self, OperatorError> {
        let mut fingerprint = 0;
        for field in schema::from_arrow(&schema)? {
            fingerprint = crc32c::crc32c_append(fingerprint, field.name.as_bytes());
            fingerprint = crc32c::crc32c_append(fingerprint, &[0]);
            fingerprint = match first_version_number(&field.data_type) {
                Some(number) => crc32c::crc32c_append(fingerprint, &[number]),
                None => crc32c::crc32c_append(fingerprint, field.data_type.to_string().as_bytes()),
            };
        }
        Ok(Self { schema, fingerprint })
    }

    /// The schema of the batches that this codec accepts.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Encodes a batch. Errors: `CODEC-SCHEMA` for a batch of another schema, `CODEC-LIMIT` for more than [`MAX_ROWS`] rows.
    pub fn encode(&self, batch: &RecordBatch) -> Result<Bytes, OperatorError> {
        if let Some(difference) = schema::mismatch(batch.schema_ref(), &self.schema) {
            return Err(OperatorError::fatal("CODEC-SCHEMA", format!("a batch has columns {difference}")));
        }
        let rows = batch.num_rows();
        if rows > MAX_ROWS {
            return Err(OperatorError::fatal("CODEC-LIMIT", format!("a batch has {rows} rows, more than {MAX_ROWS}")));
        }
        let mut body = Vec::with_capacity(8 + batch.get_array_memory_size().min(rows * 64 * batch.num_columns()));
        body.extend_from_slice(&self.fingerprint.to_le_bytes());
        body.extend_from_slice(&(rows as u32).to_le_bytes());
        for column in batch.columns() {
            encode_array(&mut body, column.as_ref())?;
        }
        Ok(Bytes::from(body))
    }

    /// Decodes a batch. Any bytes are safe: it uses time and memory proportional to their number, and a batch that it returns is
    /// valid. Errors: `CODEC-SCHEMA` if the bytes were written for another schema, `CODEC-CORRUPT`.
    pub fn decode(&self, body: Bytes) -> Result<RecordBatch, OperatorError> {
        let mut reader = BodyReader { body: Buffer::from(body), position: 0 };
        if reader.u32()? != self.fingerprint {
            let message = format!("a batch was not written with columns {}", schema::describe(&self.schema));
            return Err(OperatorError::retryable("CODEC-SCHEMA", message));
        }
        let rows = reader.u32()? as usize;
        if rows > MAX_ROWS {
            return Err(corrupt("too many rows"));
        }
        let fields = self.schema.fields();
        let columns: Vec<_> = fields.iter().map(|f| reader.array(f.data_type(), rows)).collect::<Result<_, _>>()?;
        if reader.position != reader.body.len() {
            return Err(corrupt("bytes after the last column"));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(|e| corrupt(&e.to_string()))
    }
}

/// The number of a type of the first version in the checksum of the schema, which must not change. Later types have their names.
fn first_version_number(data_type: &ColumnType) -> Option<u8> {
    match data_type {
        ColumnType::Boolean => Some(0),
        ColumnType::Int => Some(1),
        ColumnType::Bigint => Some(2),
        ColumnType::Double => Some(3),
        ColumnType::String => Some(4),
        ColumnType::Timestamp(3) => Some(5),
        _ => None,
    }
}

fn corrupt(what: &str) -> OperatorError {
    OperatorError::retryable("CODEC-CORRUPT", format!("a received batch is damaged: {what}"))
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(8), 0);
}

fn put(body: &mut Vec<u8>, buffer: &[u8]) {
    body.extend_from_slice(buffer);
    pad(body);
}

fn encode_array(body: &mut Vec<u8>, array: &dyn Array) -> Result<(), OperatorError> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let bare = matches!(array.data_type(), DataType::Struct(fields) if fields.is_empty());
    let offsets = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value_offsets(),
        DataType::Binary => array.as_binary::<i32>().value_offsets(),
        DataType::List(_) => array.as_list::<i32>().value_offsets(),
        DataType::Map(..) => array.as_map().value_offsets(),
        _ => &[0],
    };
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    body.extend_from_slice(&[u8::from(nulls.is_some() || bare), 0, 0, 0]);
    body.extend_from_slice(&((last - first) as u32).to_le_bytes());
    match nulls {
        Some(nulls) => put(body, nulls.inner().sliced().as_slice()),
        None if bare => put(body, BooleanBuffer::new_set(array.len()).inner().as_slice()),
        None => {}
    }
    if has_offsets(array.data_type()) {
        body.extend(offsets.iter().flat_map(|offset| (offset - first).to_le_bytes()));
        pad(body);
    }
    let range = first as usize..last as usize;
    match array.data_type() {
        DataType::Boolean => put(body, array.as_boolean().values().sliced().as_slice()),
        DataType::Utf8 => put(body, &array.as_string::<i32>().value_data()[range]),
        DataType::Binary => put(body, &array.as_binary::<i32>().value_data()[range]),
        DataType::List(_) => encode_array(body, &array.as_list::<i32>().values().slice(range.start, range.len()))?,
        DataType::Map(..) => encode_array(body, &array.as_map().entries().slice(range.start, range.len()))?,
        DataType::Struct(_) => array.as_struct().columns().iter().try_for_each(|field| encode_array(body, field))?,
        other if fixed_width::width(other).is_some() => put(body, fixed_width::value_bytes(array)),
        other => return Err(OperatorError::fatal("SCHEMA-TYPE", format!("can't send a column of type {other}"))),
    }
    Ok(())
}

fn has_offsets(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Binary | DataType::List(_) | DataType::Map(..))
}

struct BodyReader {
    body: Buffer,
    position: usize,
}

impl BodyReader {
    fn u32(&mut self) -> Result<u32, OperatorError> {
        let bytes = self.body.as_slice().get(self.position..self.position + 4).ok_or_else(|| corrupt("it ends early"))?;
        self.position += 4;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Reads `length` bytes and skips their padding. Bytes that are not aligned to `alignment` are copied, so that the result is.
    fn buffer(&mut self, length: usize, alignment: usize) -> Result<Buffer, OperatorError> {
        let end = self.position + length.next_multiple_of(8);
        if end > self.body.len() {
            return Err(corrupt("it ends early"));
        }
        let buffer = self.body.slice_with_length(self.position, length);
        self.position = end;
        Ok(if buffer.as_ptr().align_offset(alignment) == 0 { buffer } else { Buffer::from(buffer.as_slice()) })
    }

    fn bits(&mut self, rows: usize) -> Result<BooleanBuffer, OperatorError> {
        Ok(BooleanBuffer::new(self.buffer(rows.div_ceil(8), 8)?, 0, rows))
    }

    /// Reads offsets, the last of which must be `length`.
    fn offsets(&mut self, rows: usize, length: usize) -> Result<OffsetBuffer<i32>, OperatorError> {
        let offsets: ScalarBuffer<i32> = ScalarBuffer::new(self.buffer((rows + 1) * 4, 8)?, 0, rows + 1);
        let sound = offsets[0] == 0 && offsets[rows] as usize == length && offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        if sound { Ok(OffsetBuffer::new(offsets)) } else { Err(corrupt("offsets out of order")) }
    }

    /// Reads an array. Its depth is that of the type. Every element takes at least one bit, so that `rows` is limited by the
    /// number of bytes.
    fn array(&mut self, data_type: &DataType, rows: usize) -> Result<ArrayRef, OperatorError> {
        let flags = self.u32()?;
        let length = self.u32()? as usize;
        let nulls = match flags {
            0 => None,
            1 => Some(NullBuffer::new(self.bits(rows)?)),
            _ => return Err(corrupt("unknown flags")),
        };
        if length > 0 && !has_offsets(data_type) {
            return Err(corrupt("a length of values of fixed width"));
        }
        let fails = |e: ArrowError| corrupt(&e.to_string());
        Ok(match data_type {
            DataType::Boolean => Arc::new(BooleanArray::new(self.bits(rows)?, nulls)),
            DataType::Utf8 => {
                let offsets = self.offsets(rows, length)?;
                Arc::new(StringArray::try_new(offsets, self.buffer(length, 1)?, nulls).map_err(fails)?)
            }
            DataType::Binary => {
                let offsets = self.offsets(rows, length)?;
                Arc::new(BinaryArray::try_new(offsets, self.buffer(length, 1)?, nulls).map_err(fails)?)
            }
            DataType::List(field) => {
                let offsets = self.offsets(rows, length)?;
                let elements = self.array(field.data_type(), length)?;
                Arc::new(ListArray::try_new(field.clone(), offsets, elements, nulls).map_err(fails)?)
            }
            DataType::Map(field, ordered) => {
                let offsets = self.offsets(rows, length)?;
                let entries = self.array(field.data_type(), length)?;
                let entries = entries.as_struct_opt().ok_or_else(|| corrupt("a map without entries"))?.clone();
                Arc::new(MapArray::try_new(field.clone(), offsets, entries, nulls, *ordered).map_err(fails)?)
            }
            DataType::Struct(fields) if fields.is_empty() => {
                let nulls = nulls.ok_or_else(|| corrupt("a row without fields has no validity bitmap"))?;
                Arc::new(StructArray::new_empty_fields(rows, Some(nulls)))
            }
            DataType::Struct(fields) => {
                let read = |field: &FieldRef| self.array(field.data_type(), rows);
                let columns: Vec<_> = fields.iter().map(read).collect::<Result<_, _>>()?;
                Arc::new(StructArray::try_new(fields.clone(), columns, nulls).map_err(fails)?)
            }
            other => {
                let width = fixed_width::width(other).ok_or_else(|| corrupt(&format!("a column of type {other}")))?;
                let values = self.buffer(rows * width, width)?;
                fixed_width::array_of(other, values, rows, nulls).map_err(fails)?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, Int8Array, Int32Array, Int64Array, TimestampMillisecondArray};
    use arrow_schema::{Field as ArrowField, Fields, Schema};
    use arrow_select::filter::filter_record_batch;
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    fn all_types() -> SchemaRef {
        samples::schema_of(&[samples::SCALARS, samples::NESTED].concat())
    }

    proptest! {
        #[test]
        fn batches_and_slices_decode_to_what_was_encoded(
            rows in 0usize..40, seed in any::<u64>(), from in 0usize..40, unaligned in 0usize..16,
        ) {
            let codec = BatchCodec::new(all_types()).unwrap();
            let whole = samples::batch(codec.schema(), rows, seed);
            let from = from.min(rows);
            let batch = whole.slice(from, rows - from);
            let encoded = codec.encode(&batch).unwrap();
            let mut shifted = vec![0; unaligned];
            shifted.extend_from_slice(&encoded);
            let decoded = codec.decode(Bytes::from(shifted).slice(unaligned..)).unwrap();
            prop_assert_eq!(decoded, batch);
        }

        #[test]
        fn damaged_bytes_are_refused_or_decode_to_a_valid_batch(
            rows in 0usize..20, seed in any::<u64>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
            shorten in any::<bool>(),
        ) {
            let codec = BatchCodec::new(all_types()).unwrap();
            let mut bytes = codec.encode(&samples::batch(codec.schema(), rows, seed)).unwrap().to_vec();
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if shorten {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            if let Ok(batch) = codec.decode(Bytes::from(bytes)) {
                let all = BooleanArray::from(vec![true; batch.num_rows()]);
                prop_assert_eq!(filter_record_batch(&batch, &all).unwrap().num_rows(), batch.num_rows());
                for column in batch.columns() {
                    column.to_data().validate_full().unwrap();
                }
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), only in 0usize..25) {
            let all = [samples::SCALARS, samples::NESTED].concat();
            for codec in [BatchCodec::new(all_types()).unwrap(), BatchCodec::new(samples::schema_of(&all[only..=only])).unwrap()] {
                let mut body = codec.fingerprint.to_le_bytes().to_vec();
                body.extend_from_slice(&bytes);
                let _ = codec.decode(Bytes::from(body));
                let mut body = [codec.fingerprint, 3].map(u32::to_le_bytes).concat();
                body.extend_from_slice(&bytes);
                let _ = codec.decode(Bytes::from(body));
            }
        }
    }

    #[test]
    fn the_bytes_of_the_first_types_do_not_change() {
        let schema = samples::schema_of(&samples::SCALARS[..6]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            Arc::new(Int32Array::from(vec![1, -1])),
            Arc::new(Int64Array::from(vec![2, -2])),
            Arc::new(Float64Array::from(vec![1.0, -1.0])),
            Arc::new(StringArray::from(vec![Some("ab"), None])),
            Arc::new(TimestampMillisecondArray::from(vec![3, -3])),
        ];
        let encoded = BatchCodec::new(schema.clone()).unwrap().encode(&RecordBatch::try_new(schema, columns).unwrap()).unwrap();
        let checksum = crc32c::crc32c(b"c0\0\0c1\0\x01c2\0\x02c3\0\x03c4\0\x04c5\0\x05");
        #[rustfmt::skip]
        let words = [
            u64::from(checksum) | 2 << 32, // and two rows
            1, 0b01, 0b01,
            0, 0xffff_ffff_0000_0001,
            0, 2, (-2_i64) as u64,
            0, 1_f64.to_bits(), (-1_f64).to_bits(),
            1 | 2 << 32, 0b01, 2 << 32, 2, 0x6261,
            0, 3, (-3_i64) as u64,
        ];
        assert_eq!(encoded, words.map(u64::to_le_bytes).concat());
    }

    #[test]
    fn the_bytes_of_nested_types_do_not_change() {
        let schema = samples::schema_of(&["ARRAY<ROW<a TINYINT, b ROW<>>>", "MAP<DECIMAL(20, 1), BYTES>"]);
        let DataType::List(item) = schema.field(0).data_type() else { panic!("a list") };
        let DataType::Struct(fields) = item.data_type() else { panic!("a struct") };
        let bare: ArrayRef = Arc::new(StructArray::new_empty_fields(3, None));
        let rows = StructArray::new(fields.clone(), vec![Arc::new(Int8Array::from(vec![Some(5), None, Some(-5)])), bare], None);
        let lists = ListArray::new(item.clone(), OffsetBuffer::from_lengths([2, 1]), Arc::new(rows), None);
        let DataType::Map(entry, _) = schema.field(1).data_type() else { panic!("a map") };
        let DataType::Struct(fields) = entry.data_type() else { panic!("a struct") };
        let key = fixed_width::array_of(fields[0].data_type(), Buffer::from_slice_ref([7_i128]), 1, None).unwrap();
        let entries = StructArray::new(fields.clone(), vec![key, Arc::new(BinaryArray::from(vec![&b"\x01"[..]]))], None);
        let nulls = NullBuffer::from(vec![true, false]);
        let maps = MapArray::new(entry.clone(), OffsetBuffer::from_lengths([1, 0]), entries, Some(nulls), false);
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(lists), Arc::new(maps)]).unwrap();
        let encoded = BatchCodec::new(schema).unwrap().encode(&batch).unwrap();
        let checksum = crc32c::crc32c(b"c0\0ARRAY<ROW<`a` TINYINT, `b` ROW<>>>c1\0MAP<DECIMAL(20, 1) NOT NULL, BYTES>");
        #[rustfmt::skip]
        let words = [
            u64::from(checksum) | 2 << 32, // and two rows
            3 << 32, 2 << 32, 3,
            0, // the rows in the lists: no nulls
            1, 0b101, 0x00fb_0005,
            1, 0b111, // rows without fields
            1 | 1 << 32, 0b01, 1 << 32, 1,
            0, // the entries
            0, 7, 0,
            1 << 32, 1 << 32, 1,
        ];
        assert_eq!(encoded, words.map(u64::to_le_bytes).concat());
    }

    #[test]
    fn elements_without_fields_need_bytes_for_each() {
        let codec = BatchCodec::new(samples::schema_of(&["ARRAY<ROW<>>"])).unwrap();
        let many = i32::MAX as u64;
        let words = [u64::from(codec.fingerprint) | 1 << 32, many << 32, many << 32, 0];
        assert_eq!(codec.decode(Bytes::from(words.map(u64::to_le_bytes).concat())).unwrap_err().code, "CODEC-CORRUPT");
    }

    #[test]
    fn a_type_that_is_nested_too_deep_is_refused() {
        let mut data_type = DataType::Int32;
        for depth in 0..18 {
            let schema = Arc::new(Schema::new(vec![ArrowField::new("c", data_type.clone(), true)]));
            let refused = BatchCodec::new(schema).err().map(|error| error.code);
            assert_eq!(refused, (depth > 16).then_some("SCHEMA-TYPE"), "{depth}");
            data_type = DataType::Struct(Fields::from(vec![ArrowField::new("f", data_type, true)]));
        }
    }

    #[test]
    fn encoder_and_decoder_refuse_a_batch_of_another_schema() {
        let codec = BatchCodec::new(all_types()).unwrap();
        let other = samples::schema_of(&["INT"]);
        let batch = RecordBatch::new_empty(other.clone());
        assert_eq!(codec.encode(&batch).unwrap_err().code, "CODEC-SCHEMA");
        let encoded = BatchCodec::new(other).unwrap().encode(&batch).unwrap();
        assert_eq!(codec.decode(encoded).unwrap_err().code, "CODEC-SCHEMA");
    }
}
