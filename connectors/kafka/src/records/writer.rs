//! Writes record batches.

use bytes::Bytes;

use super::header::{CHECKED_FROM, HEADER_BYTES, TRANSACTIONAL, UNCOUNTED_BYTES};
use super::{Compression, Corrupt, varint};

/// Collects the records of one batch.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    /// Room for the header, then records.
    bytes: Vec<u8>,
    records: u32,
    base_timestamp: i64,
    max_timestamp: i64,
}

/// What a batch is sealed with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sealing {
    pub(crate) compression: Compression,
    pub(crate) transactional: bool,
    /// Id and epoch.
    pub(crate) producer: (i64, i16),
    /// Number of the first record among those that the producer sent to the partition in this epoch.
    pub(crate) base_sequence: i32,
}

impl BatchBuilder {
    /// `capacity`: how long the batch will probably be.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity.max(HEADER_BYTES));
        bytes.resize(HEADER_BYTES, 0);
        Self { bytes, records: 0, base_timestamp: 0, max_timestamp: 0 }
    }

    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    /// Length of the batch so far, uncompressed.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a record. `timestamp`: milliseconds since 1970.
    #[inline]
    pub(crate) fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        if self.records == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let offset_delta = i64::from(self.records);
        let of_headers: usize = headers.iter().map(|(name, value)| nullable_size(Some(name)) + nullable_size(*value)).sum();
        let length = 1
            + varint::size(timestamp_delta)
            + varint::size(offset_delta)
            + nullable_size(key)
            + nullable_size(value)
            + varint::size(headers.len() as i64)
            + of_headers;
        self.bytes.reserve(length + varint::MAX_BYTES);
        varint::write(&mut self.bytes, length as i64);
        self.bytes.push(0);
        varint::write(&mut self.bytes, timestamp_delta);
        varint::write(&mut self.bytes, offset_delta);
        append_nullable(&mut self.bytes, key);
        append_nullable(&mut self.bytes, value);
        varint::write(&mut self.bytes, headers.len() as i64);
        for (name, value) in headers {
            append_nullable(&mut self.bytes, Some(name));
            append_nullable(&mut self.bytes, *value);
        }
        self.records += 1;
    }

    /// Compresses the records and completes the header. Error: the batch can't be compressed or is too long.
    pub(crate) fn seal(self, sealing: Sealing) -> Result<Bytes, Corrupt> {
        let mut bytes = self.bytes;
        if sealing.compression != Compression::None {
            let mut sealed = Vec::with_capacity(bytes.len() / 2);
            sealed.resize(HEADER_BYTES, 0);
            sealing.compression.compress(&bytes[HEADER_BYTES..], &mut sealed)?;
            bytes = sealed;
        }
        let length = i32::try_from(bytes.len() - UNCOUNTED_BYTES).map_err(|_| Corrupt::new("a batch has more than 2 GiB"))?;
        let attributes = sealing.compression.code() | if sealing.transactional { TRANSACTIONAL } else { 0 };
        let records = self.records as i32;
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(8, &length.to_be_bytes());
        put(12, &(-1_i32).to_be_bytes());
        put(16, &[2]);
        put(21, &attributes.to_be_bytes());
        put(23, &(records - 1).to_be_bytes());
        put(27, &self.base_timestamp.to_be_bytes());
        put(35, &self.max_timestamp.to_be_bytes());
        put(43, &sealing.producer.0.to_be_bytes());
        put(51, &sealing.producer.1.to_be_bytes());
        put(53, &sealing.base_sequence.to_be_bytes());
        put(57, &records.to_be_bytes());
        let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        bytes[17..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
        Ok(Bytes::from(bytes))
    }
}

#[inline]
fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::size(bytes.len() as i64) + bytes.len())
}

#[inline]
fn append_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            varint::write(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
        None => varint::write(out, -1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::{Batch, BatchHeader};

    type Entry = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
        let optional = move || proptest::option::of(bytes());
        let headers = proptest::collection::vec((bytes(), optional()), 0..3);
        proptest::collection::vec((1_i64..1 << 45, optional(), optional(), headers), 1..50)
    }

    fn sealed(entries: &[Entry], compression: Compression) -> Bytes {
        let mut builder = BatchBuilder::with_capacity(0);
        for (timestamp, key, value, headers) in entries {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())).collect();
            builder.append(*timestamp, key.as_deref(), value.as_deref(), &headers);
        }
        builder.seal(Sealing { compression, transactional: true, producer: (7, 3), base_sequence: 11 }).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in entries(), code in 0_i16..5) {
            let bytes = sealed(&entries, Compression::from_code(code).unwrap());
            let header = BatchHeader::read(&bytes).unwrap().unwrap();
            prop_assert_eq!((header.bytes, header.producer_id, header.producer_epoch), (bytes.len(), 7, 3));
            prop_assert!(header.is_transactional() && !header.is_control());
            prop_assert_eq!(header.max_timestamp, entries.iter().map(|entry| entry.0).max().unwrap());
            let mut batch = Batch::open(header, &bytes).unwrap();
            for (offset, (timestamp, key, value, headers)) in (0..).zip(&entries) {
                let record = batch.next().unwrap().unwrap();
                prop_assert_eq!((record.offset, record.timestamp), (offset, *timestamp));
                prop_assert_eq!((record.key, record.value), (key.as_deref(), value.as_deref()));
                let found: Vec<_> = record.headers().map(Result::unwrap).collect();
                let written: Vec<_> = headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())).collect();
                prop_assert_eq!(found, written);
            }
            prop_assert!(batch.next().unwrap().is_none());
        }

        #[test]
        fn damaged_bytes_are_refused_and_nothing_panics(entries in entries(), code in 0_i16..5, at in any::<prop::sample::Index>(), bit in 0_u32..8) {
            let bytes = sealed(&entries, Compression::from_code(code).unwrap());
            let mut damaged = bytes.to_vec();
            let at = at.index(damaged.len());
            damaged[at] ^= 1 << bit;
            let damaged = Bytes::from(damaged);
            // The checksum does not cover the offset and the epoch of the partition's leader.
            let is_covered = at >= 16;
            if let Ok(Some(header)) = BatchHeader::read(&damaged) {
                prop_assert!(Batch::open(header, &damaged).is_err() || !is_covered);
            }
        }

        #[test]
        fn records_of_nonsense_are_refused(nonsense in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut builder = BatchBuilder::with_capacity(0);
            builder.bytes.extend_from_slice(&nonsense);
            builder.records = 100;
            let sealing = Sealing { compression: Compression::None, transactional: false, producer: (-1, -1), base_sequence: -1 };
            let bytes = builder.seal(sealing).unwrap();
            let mut batch = Batch::open(BatchHeader::read(&bytes).unwrap().unwrap(), &bytes).unwrap();
            while let Ok(Some(record)) = batch.next() {
                record.headers().for_each(drop);
            }
        }
    }

    #[test]
    fn a_batch_that_is_cut_off_is_not_read() {
        let bytes = sealed(&[(5, None, Some(b"row".to_vec()), vec![])], Compression::None);
        for end in 0..bytes.len() {
            assert_eq!(BatchHeader::read(&bytes[..end]), Ok(None), "{end}");
        }
    }
}
