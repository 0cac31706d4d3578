//! Reads the records of a batch.

use bytes::Bytes;

use super::header::{CHECKED_FROM, HEADER_BYTES};
use super::{BatchHeader, Corrupt, varint};

/// One record. Key, value and headers lie in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> Record<'a> {
    /// Name and value of each header. Error: the record is corrupt.
    pub(crate) fn headers(&self) -> impl Iterator<Item = Result<(&'a [u8], Option<&'a [u8]>), Corrupt>> + use<'a> {
        let Headers { count, mut bytes } = self.headers;
        (0..count).map(move |_| {
            let name = nullable(&mut bytes)?.ok_or_else(|| Corrupt::new("a header has no name"))?;
            Ok((name, nullable(&mut bytes)?))
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Headers<'a> {
    count: u32,
    bytes: &'a [u8],
}

/// A batch, uncompressed and read record by record.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) header: BatchHeader,
    records: Bytes,
    at: usize,
    left: u32,
}

impl Batch {
    /// Checks the checksum of the batch at the front of `bytes`, which has this header, and uncompresses it.
    pub(crate) fn open(header: BatchHeader, bytes: &Bytes) -> Result<Self, Corrupt> {
        let stored = u32::from_be_bytes([bytes[17], bytes[18], bytes[19], bytes[20]]);
        if crc32c::crc32c(&bytes[CHECKED_FROM..header.bytes]) != stored {
            return Err(Corrupt::new(format!("the batch at offset {} has a wrong checksum", header.base_offset)));
        }
        let records = header.compression()?.uncompress(bytes.slice(HEADER_BYTES..header.bytes))?;
        Ok(Self { header, records, at: 0, left: header.records })
    }

    /// Where the next record is. [`Self::go_back`] takes it.
    #[inline]
    pub(crate) fn place(&self) -> (usize, u32) {
        (self.at, self.left)
    }

    /// Gives the records from this place on once more.
    pub(crate) fn go_back(&mut self, (at, left): (usize, u32)) {
        (self.at, self.left) = (at, left);
    }

    /// The next record, if there is one.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>, Corrupt> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut rest = &self.records[self.at..];
        let length = usize::try_from(varint::read(&mut rest)?).ok().filter(|length| *length <= rest.len());
        let length = length.ok_or_else(|| Corrupt::new("a record is longer than its batch"))?;
        let (record, rest) = rest.split_at(length);
        self.at = self.records.len() - rest.len();
        self.left -= 1;
        parse(&self.header, record).map(Some)
    }
}

#[inline]
fn parse<'a>(header: &BatchHeader, record: &'a [u8]) -> Result<Record<'a>, Corrupt> {
    // The attributes of a record have no meaning yet.
    let mut rest = record.get(1..).ok_or_else(|| Corrupt::new("a record is empty"))?;
    let timestamp_delta = varint::read(&mut rest)?;
    let offset_delta = varint::read(&mut rest)?;
    let key = nullable(&mut rest)?;
    let value = nullable(&mut rest)?;
    let count = u32::try_from(varint::read(&mut rest)?).map_err(|_| Corrupt::new("a record has less than no headers"))?;
    let timestamp =
        if header.is_log_append_time() { header.max_timestamp } else { header.base_timestamp.saturating_add(timestamp_delta) };
    let offset = header.base_offset.saturating_add(offset_delta);
    Ok(Record { offset, timestamp, key, value, headers: Headers { count, bytes: rest } })
}

/// Bytes after their length; a negative length means none.
#[inline(always)]
fn nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Corrupt> {
    let Ok(length) = usize::try_from(varint::read(rest)?) else { return Ok(None) };
    let (bytes, after) = rest.split_at_checked(length).ok_or_else(|| Corrupt::new("a field is longer than its record"))?;
    *rest = after;
    Ok(Some(bytes))
}
