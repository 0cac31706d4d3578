//! The bytes of a segment: a header, then frames, then zeros. Pure.
//!
//! ```text
//! header  magic 8 | version u32 | salt u32 | number u64 | crc32c u32 | zeros to 32
//! frame   magic u32 | length u32 | sequence u64 | crc32c u32 | records
//! record  length u32 | crc32c u32 | postcard(Record)
//! ```
//!
//! Numbers are little-endian. A frame is one write and one sync. Its checksum covers the segment's random salt, so that bytes of
//! a value or of a recycled block never look like a frame of this file.

use serde::{Deserialize, Serialize};

use crate::raft::types::{Entry, LogId};

/// Bytes of a segment's header.
pub(crate) const HEADER_BYTES: usize = 32;
/// Bytes of a frame before its records.
pub(crate) const FRAME_BYTES: usize = 20;
/// Bytes of a record before its body.
pub(crate) const RECORD_BYTES: usize = 8;

const MAGIC: &[u8; 8] = b"WEIRLOG\n";
const VERSION: u32 = 1;
const FRAME_MAGIC: u32 = 0x4d52_4657;
/// After a torn frame, a scan checks at most this many places for intact frames. A damaged log file has far fewer candidates.
const MAX_SUSPECTS: usize = 4096;

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// An entry, directly after the one before it.
    Entry(Entry),
    /// Every entry above this index is void. `None`: all entries are void.
    TruncateAfter(Option<u64>),
    /// Every entry up to this one is in a snapshot.
    PurgeTo(LogId),
}

/// The identity of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Position in the order of segments.
    pub number: u64,
    /// Random; part of every frame's checksum.
    pub salt: u32,
}

/// A record and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Located {
    pub record: Record,
    /// The place of its body in the file.
    pub place: Place,
}

/// The place of a record's body in a segment, and its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// First byte of the body.
    pub offset: u64,
    /// Bytes of the body.
    pub length: u32,
    /// CRC32C of the body.
    pub crc: u32,
}

/// The contents of a segment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scan {
    pub header: SegmentHeader,
    /// The records, in order.
    pub records: Vec<Located>,
    /// Offset of the last frame, if there is one.
    pub last_frame: Option<usize>,
    /// Offset of the next frame.
    pub end: usize,
    /// Sequence number of the last frame, if there is one.
    pub last_sequence: Option<u64>,
    /// Whether a torn frame follows `end`.
    pub torn: bool,
}

/// A damaged place in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Byte offset in the file.
    pub offset: usize,
    /// What is wrong at this offset.
    pub what: &'static str,
}

/// The bytes of a segment's header.
pub(crate) fn encode_header(header: SegmentHeader) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&header.salt.to_le_bytes());
    bytes[16..24].copy_from_slice(&header.number.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..24]);
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode_header(bytes: &[u8]) -> Result<SegmentHeader, Damage> {
    let damage = |what| Damage { offset: 0, what };
    if bytes.len() < HEADER_BYTES || &bytes[..8] != MAGIC {
        return Err(damage("not a log segment"));
    }
    if u32_at(bytes, 24) != Some(crc32c::crc32c(&bytes[..24])) {
        return Err(damage("the segment header's checksum is wrong"));
    }
    if u32_at(bytes, 8) != Some(VERSION) {
        return Err(damage("a format version this program does not know"));
    }
    let (Some(salt), Some(number)) = (u32_at(bytes, 12), u64_at(bytes, 16)) else {
        return Err(damage("not a log segment"));
    };
    Ok(SegmentHeader { number, salt })
}

/// Builds a frame from records.
#[derive(Debug, Default)]
pub(crate) struct FrameBuilder {
    bytes: Vec<u8>,
}

impl FrameBuilder {
    /// Adds the postcard bytes of a record. The returned place is relative to the start of the frame.
    pub(crate) fn push(&mut self, body: &[u8]) -> Place {
        if self.bytes.is_empty() {
            self.bytes.resize(FRAME_BYTES, 0);
        }
        let crc = crc32c::crc32c(body);
        self.bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(body);
        Place { offset, length: body.len() as u32, crc }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the frame and leaves the builder empty.
    pub(crate) fn finish(&mut self, salt: u32, sequence: u64) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let length = (bytes.len() - FRAME_BYTES) as u32;
        bytes[..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
        let crc = frame_crc(salt, &bytes[4..16], &bytes[FRAME_BYTES..]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

fn frame_crc(salt: u32, head: &[u8], records: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), head), records)
}

/// Reads a segment. `previous` is the sequence number of the last frame in the segments before it, if there is one. Only the
/// `last` segment may end with a torn frame.
pub(crate) fn scan(bytes: &[u8], previous: Option<u64>, last: bool) -> Result<Scan, Damage> {
    let header = decode_header(bytes)?;
    let mut scan = Scan { header, records: Vec::new(), last_frame: None, end: HEADER_BYTES, last_sequence: None, torn: false };
    loop {
        let offset = scan.end;
        let expected = scan.last_sequence.or(previous).map(|sequence| sequence.wrapping_add(1));
        let Some(frame) = frame_at(bytes, offset, header.salt) else {
            if bytes[offset..].iter().all(|byte| *byte == 0) {
                return Ok(scan);
            }
            if !last {
                return Err(Damage { offset, what: "a damaged frame before the last segment" });
            }
            if survivor_after(bytes, offset, header.salt, expected) {
                return Err(Damage { offset, what: "a damaged frame with intact ones after it" });
            }
            scan.torn = true;
            return Ok(scan);
        };
        if expected.is_some_and(|expected| expected != frame.sequence) {
            return Err(Damage { offset, what: "frames are missing before this one" });
        }
        decode_records(bytes, offset + FRAME_BYTES, frame.end, &mut scan.records)?;
        scan.last_sequence = Some(frame.sequence);
        scan.last_frame = Some(offset);
        scan.end = frame.end;
    }
}

struct Frame {
    sequence: u64,
    end: usize,
}

fn frame_at(bytes: &[u8], offset: usize, salt: u32) -> Option<Frame> {
    if u32_at(bytes, offset)? != FRAME_MAGIC {
        return None;
    }
    let start = offset + FRAME_BYTES;
    let end = start.checked_add(u32_at(bytes, offset + 4)? as usize)?;
    let sequence = u64_at(bytes, offset + 8)?;
    let crc = u32_at(bytes, offset + 16)?;
    let records = bytes.get(start..end)?;
    (frame_crc(salt, &bytes[offset + 4..offset + 16], records) == crc).then_some(Frame { sequence, end })
}

/// Whether an intact frame that was written later follows a damaged one. If so, the damaged frame had been synced before.
fn survivor_after(bytes: &[u8], offset: usize, salt: u32, expected: Option<u64>) -> bool {
    let magic = FRAME_MAGIC.to_le_bytes();
    let suspects = (offset + 1..bytes.len().saturating_sub(3)).filter(|at| bytes[*at..*at + 4] == magic);
    suspects
        .take(MAX_SUSPECTS)
        .any(|at| frame_at(bytes, at, salt).is_some_and(|frame| expected.is_none_or(|expected| frame.sequence > expected)))
}

fn decode_records(bytes: &[u8], mut offset: usize, end: usize, records: &mut Vec<Located>) -> Result<(), Damage> {
    while offset < end {
        let damage = Damage { offset, what: "a record that can't be read in an intact frame" };
        let (Some(length), Some(crc)) = (u32_at(bytes, offset), u32_at(bytes, offset + 4)) else { return Err(damage) };
        let start = offset + RECORD_BYTES;
        let Some(body) = start.checked_add(length as usize).filter(|stop| *stop <= end).and_then(|stop| bytes.get(start..stop))
        else {
            return Err(damage);
        };
        let place = Place { offset: start as u64, length, crc };
        let Some(record) = decode_body(body, place) else { return Err(damage) };
        records.push(Located { record, place });
        offset = start + length as usize;
    }
    Ok(())
}

/// Decodes a record from the bytes at `place`. `None` if they are damaged.
pub(crate) fn decode_body(body: &[u8], place: Place) -> Option<Record> {
    if crc32c::crc32c(body) != place.crc {
        return None;
    }
    postcard::from_bytes(body).ok()
}

/// The postcard bytes of a record.
pub(crate) fn encode_body(record: &Record) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_stdvec(record)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..offset.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..offset.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}
