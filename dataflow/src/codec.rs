//! Encodes batches as bytes, for channels between processes.
//!
//! Both ends know the schema from the job graph. So a body holds only a checksum of the schema, and the columns in Arrow's memory
//! layout. Each buffer is padded to 8 bytes, so that decoding can refer to the received bytes without a copy if they are aligned.
//! Arrow's IPC format is not used: its reader panics on offsets outside the body, and the received bytes can't be trusted.
//!
//! ```text
//! schema crc32c: u32 | rows: u32 | per column, in schema order:
//!   nulls: u8 (0 or 1) | data bytes (strings only): u32 at +4 | padding to 8
//!   validity bitmap, if nulls = 1 | values (strings: rows + 1 offsets from 0, then the text)
//! ```
//! All integers are little-endian.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMillisecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use bytes::Bytes;

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
    /// Creates a codec for batches of this schema. Error: `SCHEMA-TYPE` for an Arrow type that is no column type.
    pub fn new(schema: SchemaRef) -> Result<Self, OperatorError> {
        let mut fingerprint = 0;
        for field in schema::from_arrow(&schema)? {
            fingerprint = crc32c::crc32c_append(fingerprint, field.name.as_bytes());
            fingerprint = crc32c::crc32c_append(fingerprint, &[0]);
            fingerprint = crc32c::crc32c_append(fingerprint, field.data_type.to_string().as_bytes());
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
            encode_column(&mut body, column.as_ref())?;
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
        let columns: Vec<_> = fields.iter().map(|f| reader.column(f.data_type(), rows)).collect::<Result<_, _>>()?;
        if reader.position != reader.body.len() {
            return Err(corrupt("bytes after the last column"));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(|e| corrupt(&e.to_string()))
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

fn encode_column(body: &mut Vec<u8>, column: &dyn Array) -> Result<(), OperatorError> {
    let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
    let text = match column.data_type() {
        DataType::Utf8 => {
            let offsets = column.as_string::<i32>().value_offsets();
            (offsets[offsets.len() - 1] - offsets[0]) as u32
        }
        _ => 0,
    };
    body.extend_from_slice(&[u8::from(nulls.is_some()), 0, 0, 0]);
    body.extend_from_slice(&text.to_le_bytes());
    if let Some(nulls) = nulls {
        put(body, nulls.inner().sliced().as_slice());
    }
    match column.data_type() {
        DataType::Boolean => put(body, column.as_boolean().values().sliced().as_slice()),
        DataType::Int32 => put(body, column.as_primitive::<Int32Type>().values().inner().as_slice()),
        DataType::Int64 => put(body, column.as_primitive::<Int64Type>().values().inner().as_slice()),
        DataType::Float64 => put(body, column.as_primitive::<Float64Type>().values().inner().as_slice()),
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            put(body, column.as_primitive::<TimestampMillisecondType>().values().inner().as_slice());
        }
        DataType::Utf8 => {
            let strings = column.as_string::<i32>();
            let offsets = strings.value_offsets();
            let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
            body.extend(offsets.iter().flat_map(|offset| (offset - first).to_le_bytes()));
            pad(body);
            put(body, &strings.value_data()[first as usize..last as usize]);
        }
        other => return Err(OperatorError::fatal("SCHEMA-TYPE", format!("can't send a column of type {other}"))),
    }
    Ok(())
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

    /// Reads `length` bytes and skips their padding. The result is aligned to 8 bytes; unaligned bytes are copied.
    fn buffer(&mut self, length: usize) -> Result<Buffer, OperatorError> {
        let end = self.position + length.next_multiple_of(8);
        if end > self.body.len() {
            return Err(corrupt("it ends early"));
        }
        let buffer = self.body.slice_with_length(self.position, length);
        self.position = end;
        Ok(if buffer.as_ptr().align_offset(8) == 0 { buffer } else { Buffer::from(buffer.as_slice()) })
    }

    fn column(&mut self, data_type: &DataType, rows: usize) -> Result<ArrayRef, OperatorError> {
        let flags = self.u32()?;
        let text = self.u32()? as usize;
        let nulls = match flags {
            0 => None,
            1 => Some(NullBuffer::new(BooleanBuffer::new(self.buffer(rows.div_ceil(8))?, 0, rows))),
            _ => return Err(corrupt("unknown flags")),
        };
        let fails = |e: arrow_schema::ArrowError| corrupt(&e.to_string());
        Ok(match data_type {
            DataType::Boolean => Arc::new(BooleanArray::new(BooleanBuffer::new(self.buffer(rows.div_ceil(8))?, 0, rows), nulls)),
            DataType::Int32 => {
                Arc::new(Int32Array::try_new(ScalarBuffer::new(self.buffer(rows * 4)?, 0, rows), nulls).map_err(fails)?)
            }
            DataType::Int64 => {
                Arc::new(Int64Array::try_new(ScalarBuffer::new(self.buffer(rows * 8)?, 0, rows), nulls).map_err(fails)?)
            }
            DataType::Float64 => {
                Arc::new(Float64Array::try_new(ScalarBuffer::new(self.buffer(rows * 8)?, 0, rows), nulls).map_err(fails)?)
            }
            DataType::Timestamp(TimeUnit::Millisecond, None) => {
                let values = ScalarBuffer::new(self.buffer(rows * 8)?, 0, rows);
                Arc::new(TimestampMillisecondArray::try_new(values, nulls).map_err(fails)?)
            }
            DataType::Utf8 => {
                let offsets: ScalarBuffer<i32> = ScalarBuffer::new(self.buffer((rows + 1) * 4)?, 0, rows + 1);
                let sound =
                    offsets[0] == 0 && offsets[rows] as usize == text && offsets.windows(2).all(|pair| pair[0] <= pair[1]);
                if !sound {
                    return Err(corrupt("offsets out of order"));
                }
                Arc::new(StringArray::try_new(OffsetBuffer::new(offsets), self.buffer(text)?, nulls).map_err(fails)?)
            }
            other => return Err(corrupt(&format!("a column of type {other}"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow_select::filter::filter_record_batch;
    use proptest::prelude::*;
    use weir_protocol::job_graph::{DataType as ColumnType, Field};

    use super::*;

    fn all_types() -> SchemaRef {
        let field = |name: &str, data_type| Field { name: name.into(), data_type, nullable: true };
        schema::to_arrow(&[
            field("a", ColumnType::Boolean),
            field("b", ColumnType::Int),
            field("c", ColumnType::Bigint),
            field("d", ColumnType::Double),
            field("e", ColumnType::String),
            field("f", ColumnType::Timestamp(3)),
        ])
        .unwrap()
    }

    type Row = (Option<bool>, Option<i32>, Option<i64>, Option<f64>, Option<String>, Option<i64>);

    fn batch_of(rows: &[Row]) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|r| r.0).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|r| r.1).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|r| r.2).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| r.3).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|r| r.4.clone()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|r| r.5).collect::<TimestampMillisecondArray>()),
        ];
        RecordBatch::try_new(all_types(), columns).unwrap()
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let finite = prop::option::of(-1e300f64..1e300);
        prop::collection::vec(
            (
                any::<Option<bool>>(),
                any::<Option<i32>>(),
                any::<Option<i64>>(),
                finite,
                any::<Option<String>>(),
                any::<Option<i64>>(),
            ),
            0..40,
        )
    }

    proptest! {
        #[test]
        fn batches_and_slices_decode_to_what_was_encoded(rows in rows(), from in 0usize..40, unaligned in 0usize..8) {
            let codec = BatchCodec::new(all_types()).unwrap();
            let whole = batch_of(&rows);
            let from = from.min(rows.len());
            let batch = whole.slice(from, rows.len() - from);
            let encoded = codec.encode(&batch).unwrap();
            let mut shifted = vec![0; unaligned];
            shifted.extend_from_slice(&encoded);
            let decoded = codec.decode(Bytes::from(shifted).slice(unaligned..)).unwrap();
            prop_assert_eq!(decoded, batch);
        }

        #[test]
        fn damaged_bytes_are_refused_or_decode_to_a_valid_batch(
            rows in rows(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
            shorten in any::<bool>(),
        ) {
            let codec = BatchCodec::new(all_types()).unwrap();
            let mut bytes = codec.encode(&batch_of(&rows)).unwrap().to_vec();
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
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let codec = BatchCodec::new(all_types()).unwrap();
            let mut body = codec.fingerprint.to_le_bytes().to_vec();
            body.extend_from_slice(&bytes);
            let _ = codec.decode(Bytes::from(bytes));
            let _ = codec.decode(Bytes::from(body));
        }
    }

    #[test]
    fn encoder_and_decoder_refuse_a_batch_of_another_schema() {
        let codec = BatchCodec::new(all_types()).unwrap();
        let other = schema::to_arrow(&[Field { name: "a".into(), data_type: ColumnType::Int, nullable: true }]).unwrap();
        let batch = RecordBatch::new_empty(other.clone());
        assert_eq!(codec.encode(&batch).unwrap_err().code, "CODEC-SCHEMA");
        let encoded = BatchCodec::new(other).unwrap().encode(&batch).unwrap();
        assert_eq!(codec.decode(encoded).unwrap_err().code, "CODEC-SCHEMA");
    }
}
