//! The form of the files: a header that tells the columns, then frames of rows.
//!
//! ```text
//! header: "WEIRROWS" | version: u32 | length: u32 | crc32c of the columns: u32 | columns: JSON
//! frame:  first row: u64 | rows: u32 | length: u32 | crc32c of the body and the three numbers: u32 | body: see weir_dataflow::codec
//! ```
//! All integers are little-endian.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use arrow_array::RecordBatch;
use bytes::Bytes;
use weir_dataflow::codec::BatchCodec;
use weir_dataflow::operator::OperatorError;
use weir_protocol::job_graph::Field;

const MAGIC: &[u8; 8] = b"WEIRROWS";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 20;
const FRAME_BYTES: usize = 20;
/// No header or body is longer, in bytes.
const LENGTH_LIMIT: u32 = 1 << 30;

/// Appends the header for rows of these columns.
pub(crate) fn append_header(buffer: &mut Vec<u8>, columns: &[Field]) -> Result<(), OperatorError> {
    let json = serde_json::to_vec(columns).map_err(|error| OperatorError::fatal("SINK-STATE", error.to_string()))?;
    buffer.extend_from_slice(MAGIC);
    for number in [VERSION, length_of(&json)?, crc32c::crc32c(&json)] {
        buffer.extend_from_slice(&number.to_le_bytes());
    }
    buffer.extend_from_slice(&json);
    Ok(())
}

/// Appends a frame.
pub(crate) fn append(buffer: &mut Vec<u8>, codec: &BatchCodec, batch: &RecordBatch, first_row: u64) -> Result<(), OperatorError> {
    let body = codec.encode(batch)?;
    let mut numbers = [0; 16];
    numbers[..8].copy_from_slice(&first_row.to_le_bytes());
    numbers[8..12].copy_from_slice(&(batch.num_rows() as u32).to_le_bytes());
    numbers[12..].copy_from_slice(&length_of(&body)?.to_le_bytes());
    buffer.extend_from_slice(&numbers);
    buffer.extend_from_slice(&checksum(&numbers, &body).to_le_bytes());
    buffer.extend_from_slice(&body);
    Ok(())
}

fn length_of(bytes: &[u8]) -> Result<u32, OperatorError> {
    u32::try_from(bytes.len())
        .ok()
        .filter(|length| *length <= LENGTH_LIMIT)
        .ok_or_else(|| OperatorError::fatal("SINK-STATE", format!("a batch of {} bytes is too large for a result", bytes.len())))
}

fn checksum(numbers: &[u8; 16], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(numbers), body)
}

/// Where the rows of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) first_row: u64,
    pub(super) rows: u32,
    /// Of the body, from the beginning of the file.
    offset: u64,
    length: u32,
    checksum: u32,
}

impl Frame {
    /// The number of the row after the last one.
    pub(super) fn end(&self) -> u64 {
        self.first_row.saturating_add(u64::from(self.rows))
    }

    /// The length of the body in bytes.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.length)
    }
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) columns: Vec<Field>,
    pub(super) frames: Vec<Frame>,
}

/// Reads the header of a complete file, and where its frames are. Error of the kind `InvalidData`: the file is damaged.
pub(super) fn contents(file: &mut File) -> io::Result<Contents> {
    let end = file.metadata()?.len();
    let columns = read_header(file, end)?;
    let mut frames = Vec::new();
    let mut at = file.stream_position()?;
    while at < end {
        let frame = read_frame(file, at, end)?;
        at = frame.offset + frame.bytes();
        file.seek(SeekFrom::Start(at))?;
        frames.push(frame);
    }
    Ok(Contents { columns, frames })
}

fn read_header(file: &mut File, end: u64) -> io::Result<Vec<Field>> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header)?;
    let number = |at: usize| u32_at(&header, at);
    if &header[..8] != MAGIC || number(8) != VERSION {
        return Err(damaged("it does not begin as query results do"));
    }
    let length = number(12);
    if u64::from(length) > end {
        return Err(damaged("its header is longer than the file"));
    }
    let mut json = vec![0; length as usize];
    file.read_exact(&mut json)?;
    if crc32c::crc32c(&json) != number(16) {
        return Err(damaged("the checksum of its header is wrong"));
    }
    serde_json::from_slice(&json).map_err(|error| damaged(&error.to_string()))
}

fn read_frame(file: &mut File, at: u64, end: u64) -> io::Result<Frame> {
    let mut head = [0; FRAME_BYTES];
    file.read_exact(&mut head)?;
    let mut first = [0; 8];
    first.copy_from_slice(&head[..8]);
    let frame = Frame {
        first_row: u64::from_le_bytes(first),
        rows: u32_at(&head, 8),
        offset: at + FRAME_BYTES as u64,
        length: u32_at(&head, 12),
        checksum: u32_at(&head, 16),
    };
    if frame.bytes() > end.saturating_sub(frame.offset) {
        return Err(damaged("a frame is longer than the rest of the file"));
    }
    Ok(frame)
}

/// Reads the rows of a frame.
pub(super) fn rows(file: &mut File, frame: &Frame, codec: &BatchCodec) -> io::Result<RecordBatch> {
    file.seek(SeekFrom::Start(frame.offset))?;
    let mut body = vec![0; frame.length as usize];
    file.read_exact(&mut body)?;
    let mut numbers = [0; 16];
    numbers[..8].copy_from_slice(&frame.first_row.to_le_bytes());
    numbers[8..12].copy_from_slice(&frame.rows.to_le_bytes());
    numbers[12..].copy_from_slice(&frame.length.to_le_bytes());
    if checksum(&numbers, &body) != frame.checksum {
        return Err(damaged("the checksum of a frame is wrong"));
    }
    let batch = codec.decode(Bytes::from(body)).map_err(|error| damaged(&error.message))?;
    if batch.num_rows() as u64 != u64::from(frame.rows) {
        return Err(damaged("a frame has another number of rows than it says"));
    }
    Ok(batch)
}

fn u32_at(bytes: &[u8; 20], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
