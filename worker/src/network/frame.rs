//! The frame that travels between the data services of two TaskManagers: 32 bytes of header, then a body.
//!
//! Pure: bytes in, values out. A frame with wrong magic, version, length or CRC is refused before its body is used. A length
//! above the limit is refused before memory is allocated.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of a header.
pub const HEADER_LENGTH: usize = 32;
/// "WEIR" in ASCII, little endian.
const MAGIC: u32 = u32::from_le_bytes(*b"WEIR");
/// Version of the framing. Both ends must use the same.
pub const VERSION: u8 = 1;

/// The content of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Consumer to producer, first frame: which process connects, and which one it expects.
    Hello = 1,
    /// Producer to consumer, first frame: the identities are as expected.
    Welcome = 2,
    /// Consumer to producer: asks for a channel.
    Open = 3,
    /// Producer to consumer: the channel is open and elements follow.
    Opened = 4,
    /// Producer to consumer: the channel ends, with a code for the reason.
    Closed = 5,
    /// Consumer to producer: grants credits for more elements.
    Credit = 6,
    /// Consumer to producer: it no longer wants the channel.
    Release = 7,
    /// In both directions: the connection is alive.
    Ping = 8,
    /// An element: rows.
    Batch = 16,
    /// An element: a watermark.
    Watermark = 17,
    /// An element: the channel is idle.
    Idle = 18,
    /// An element: a checkpoint barrier.
    Barrier = 19,
    /// An element: the input ends.
    EndOfInput = 20,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Open,
            4 => Self::Opened,
            5 => Self::Closed,
            6 => Self::Credit,
            7 => Self::Release,
            8 => Self::Ping,
            16 => Self::Batch,
            17 => Self::Watermark,
            18 => Self::Idle,
            19 => Self::Barrier,
            20 => Self::EndOfInput,
            _ => return None,
        })
    }
}

/// A frame's header, checked except for the CRC, which covers the body too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    pub kind: FrameKind,
    /// Number of the channel within the connection, which the consumer chose; 0 for the connection itself.
    pub channel: u32,
    /// Position of the frame among its channel's elements, from 0; 0 for other kinds.
    pub sequence: u64,
    /// Bytes of the body.
    pub length: u32,
    /// CRC32C of the identities of the channel's attempts. A frame of a stale attempt is thus never taken for one of a new
    /// attempt.
    pub tag: u32,
    crc32c: u32,
}

/// Why received bytes are not a valid frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The peer does not speak this protocol, or the stream is out of step.
    #[error("NET-MAGIC: the peer does not speak Weir's data protocol")]
    Magic,
    /// The peer uses another version of the framing.
    #[error("NET-VERSION: the peer speaks version {0} of the data protocol, this process {VERSION}")]
    Version(u8),
    /// The kind does not exist.
    #[error("NET-KIND: unknown kind of frame {0}")]
    Kind(u8),
    /// The body is longer than allowed.
    #[error("NET-LENGTH: a frame of {length} bytes exceeds the limit of {limit}")]
    Length {
        /// Length in bytes.
        length: u32,
        /// Limit in bytes.
        limit: u32,
    },
    /// The frame was damaged in transit.
    #[error("NET-CRC: a frame arrived damaged")]
    Crc,
    /// The content does not match the kind. The text says why.
    #[error("NET-BODY: {0}")]
    Body(&'static str),
}

/// Reads a header. Refuses a length above `limit` bytes.
pub fn decode_header(bytes: &[u8; HEADER_LENGTH], limit: u32) -> Result<FrameHeader, FrameError> {
    let mut reader = &bytes[..];
    if reader.get_u32_le() != MAGIC {
        return Err(FrameError::Magic);
    }
    let channel = reader.get_u32_le();
    let sequence = reader.get_u64_le();
    let kind = reader.get_u8();
    let version = reader.get_u8();
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    if reader.get_u16_le() != 0 {
        return Err(FrameError::Body("reserved bits are set"));
    }
    let kind = FrameKind::from_byte(kind).ok_or(FrameError::Kind(kind))?;
    let length = reader.get_u32_le();
    if length > limit {
        return Err(FrameError::Length { length, limit });
    }
    let tag = reader.get_u32_le();
    let crc32c = reader.get_u32_le();
    Ok(FrameHeader { kind, channel, sequence, length, tag, crc32c })
}

/// Checks the CRC over header and body.
pub fn verify(header_bytes: &[u8; HEADER_LENGTH], header: &FrameHeader, body: &[u8]) -> Result<(), FrameError> {
    if body.len() != header.length as usize {
        return Err(FrameError::Body("the body is shorter than its header says"));
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header_bytes[..HEADER_LENGTH - 4]), body);
    if crc == header.crc32c { Ok(()) } else { Err(FrameError::Crc) }
}

/// Writes a header for `body`. The caller keeps bodies below the limit.
pub fn encode_header(kind: FrameKind, channel: u32, sequence: u64, tag: u32, body: &[u8]) -> [u8; HEADER_LENGTH] {
    let mut header = [0_u8; HEADER_LENGTH];
    let mut writer = &mut header[..];
    writer.put_u32_le(MAGIC);
    writer.put_u32_le(channel);
    writer.put_u64_le(sequence);
    writer.put_u8(kind as u8);
    writer.put_u8(VERSION);
    writer.put_u16_le(0);
    writer.put_u32_le(body.len() as u32);
    writer.put_u32_le(tag);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..HEADER_LENGTH - 4]), body);
    header[HEADER_LENGTH - 4..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Encodes a small frame, header and body, in one piece.
pub fn encode(kind: FrameKind, channel: u32, sequence: u64, tag: u32, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER_LENGTH + body.len());
    frame.put_slice(&encode_header(kind, channel, sequence, tag, body));
    frame.put_slice(body);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(bytes: &[u8]) -> Result<(FrameHeader, Vec<u8>), FrameError> {
        let header_bytes: [u8; HEADER_LENGTH] =
            bytes.get(..HEADER_LENGTH).and_then(|head| head.try_into().ok()).ok_or(FrameError::Body("short"))?;
        let header = decode_header(&header_bytes, 1024)?;
        verify(&header_bytes, &header, &bytes[HEADER_LENGTH..])?;
        Ok((header, bytes[HEADER_LENGTH..].to_vec()))
    }

    #[test]
    fn a_frame_survives_encoding() {
        let frame = encode(FrameKind::Barrier, 7, 99, 0xabcd, b"hello");
        let (header, body) = decode_all(&frame).unwrap();
        assert_eq!((header.kind, header.channel, header.sequence, header.tag), (FrameKind::Barrier, 7, 99, 0xabcd));
        assert_eq!(body, b"hello");
    }

    #[test]
    fn a_length_above_the_limit_is_refused_from_the_header_alone() {
        let frame = encode(FrameKind::Batch, 1, 0, 0, &[0; 2000]);
        let header: [u8; HEADER_LENGTH] = frame[..HEADER_LENGTH].try_into().unwrap();
        assert_eq!(decode_header(&header, 1024), Err(FrameError::Length { length: 2000, limit: 1024 }));
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let frame = encode(FrameKind::Watermark, 3, 5, 17, &42_i64.to_le_bytes());
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_all(&damaged).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic_and_never_pass(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode_all(&bytes).is_err());
        }
    }
}
