//! The header of a record batch.

use super::{Compression, Corrupt};

/// Bytes before the records.
pub(super) const HEADER_BYTES: usize = 61;
/// Bytes before those that the length in the header counts.
pub(super) const UNCOUNTED_BYTES: usize = 12;
/// The checksum covers everything from here on.
pub(super) const CHECKED_FROM: usize = 21;

pub(super) const COMPRESSION_BITS: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
pub(super) const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// The header of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    /// The offset of the last record that the batch had when it was written. Compaction may have removed records since.
    pub(crate) last_offset: i64,
    /// Length of the batch with its header.
    pub(crate) bytes: usize,
    /// -1 if unknown.
    pub(crate) leader_epoch: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    /// -1 if the writer was not idempotent.
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) records: u32,
    attributes: i16,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`. `None` if the batch is cut off, as the last one of an answer may be. Error: these are
    /// not batches of format 2.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Corrupt> {
        if bytes.len() < HEADER_BYTES {
            return Ok(None);
        }
        let length = i32_at(bytes, 8);
        if bytes[16] != 2 {
            return Err(Corrupt::new(format!(
                "a batch has format {}, only format 2 can be read (Kafka 0.11 and later)",
                bytes[16]
            )));
        }
        let length = usize::try_from(length).ok().filter(|length| *length >= HEADER_BYTES - UNCOUNTED_BYTES);
        let total = length.ok_or_else(|| Corrupt::new("a batch is shorter than its header"))? + UNCOUNTED_BYTES;
        if bytes.len() < total {
            return Ok(None);
        }
        let base_offset = i64_at(bytes, 0);
        let records = u32::try_from(i32_at(bytes, 57)).map_err(|_| Corrupt::new("a batch has less than no records"))?;
        Ok(Some(Self {
            base_offset,
            last_offset: base_offset.saturating_add(i64::from(i32_at(bytes, 23))),
            bytes: total,
            leader_epoch: i32_at(bytes, 12),
            base_timestamp: i64_at(bytes, 27),
            max_timestamp: i64_at(bytes, 35),
            producer_id: i64_at(bytes, 43),
            producer_epoch: i16::from_be_bytes([bytes[51], bytes[52]]),
            records,
            attributes: i16::from_be_bytes([bytes[21], bytes[22]]),
        }))
    }

    /// Whether the batch says that a transaction was committed or aborted. Then it has no rows.
    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the broker set the timestamps, which then all are `max_timestamp`.
    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// How the records are compressed. Error: in an unknown way.
    pub(crate) fn compression(&self) -> Result<Compression, Corrupt> {
        Compression::from_code(self.attributes & COMPRESSION_BITS)
            .ok_or_else(|| Corrupt::new(format!("a batch has the unknown compression {}", self.attributes & COMPRESSION_BITS)))
    }
}

pub(super) fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(eight)
}
