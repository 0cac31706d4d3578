//! The compressions of record batches.

use std::io::{Read, Write};

use bytes::Bytes;

use super::Corrupt;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Longest uncompressed batch. More is refused, so that a small batch can't take all memory.
const MAX_BYTES: u64 = 256 << 20;

/// The header that Java's Snappy puts before blocks, with its version and the oldest that can read it.
const SNAPPY_HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const SNAPPY_BLOCK: usize = 32 << 10;

impl Compression {
    /// From the attributes of a batch.
    pub(crate) fn from_code(code: i16) -> Option<Self> {
        Some(match code {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return None,
        })
    }

    pub(super) fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// From the property `compression.type`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "gzip" => Self::Gzip,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }

    pub(super) fn compress(self, bytes: &[u8]) -> Result<Vec<u8>, Corrupt> {
        let failed = |error: &dyn std::fmt::Display| Corrupt::new(format!("a batch can't be compressed: {error}"));
        match self {
            Self::None => Ok(bytes.to_vec()),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(bytes).and_then(|()| encoder.finish()).map_err(|error| failed(&error))
            }
            Self::Snappy => {
                let mut out = SNAPPY_HEADER.to_vec();
                for block in bytes.chunks(SNAPPY_BLOCK) {
                    let compressed = snap::raw::Encoder::new().compress_vec(block).map_err(|error| failed(&error))?;
                    out.extend_from_slice(&(compressed.len() as u32).to_be_bytes());
                    out.extend_from_slice(&compressed);
                }
                Ok(out)
            }
            Self::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(bytes).map_err(|error| failed(&error))?;
                encoder.finish().map_err(|error| failed(&error))
            }
            Self::Zstd => zstd::bulk::compress(bytes, zstd::DEFAULT_COMPRESSION_LEVEL).map_err(|error| failed(&error)),
        }
    }

    pub(super) fn uncompress(self, bytes: Bytes) -> Result<Bytes, Corrupt> {
        match self {
            Self::None => Ok(bytes),
            Self::Gzip => limited(flate2::read::MultiGzDecoder::new(&*bytes)),
            Self::Snappy => uncompress_snappy(&bytes),
            Self::Lz4 => limited(lz4_flex::frame::FrameDecoder::new(&*bytes)),
            Self::Zstd => limited(zstd::stream::read::Decoder::with_buffer(&*bytes).map_err(|error| damaged(&error))?),
        }
    }
}

fn damaged(error: &dyn std::fmt::Display) -> Corrupt {
    Corrupt::new(format!("a batch can't be uncompressed: {error}"))
}

fn too_long() -> Corrupt {
    Corrupt::new(format!("a batch has more than {MAX_BYTES} bytes when uncompressed"))
}

fn limited(reader: impl Read) -> Result<Bytes, Corrupt> {
    let mut out = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut out).map_err(|error| damaged(&error))?;
    if out.len() as u64 > MAX_BYTES { Err(too_long()) } else { Ok(Bytes::from(out)) }
}

/// Both forms are in use: one block, and blocks with lengths after a header.
fn uncompress_snappy(bytes: &[u8]) -> Result<Bytes, Corrupt> {
    let mut out = Vec::new();
    let Some(mut rest) = bytes.strip_prefix(&SNAPPY_HEADER[..8]) else {
        append_snappy(bytes, &mut out)?;
        return Ok(Bytes::from(out));
    };
    let cut_off = || damaged(&"a block is cut off");
    rest = rest.get(8..).ok_or_else(cut_off)?;
    while let Some((length, after)) = rest.split_first_chunk() {
        let (block, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(cut_off)?;
        append_snappy(block, &mut out)?;
        rest = after;
    }
    if rest.is_empty() { Ok(Bytes::from(out)) } else { Err(cut_off()) }
}

fn append_snappy(block: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let length = snap::raw::decompress_len(block).map_err(|error| damaged(&error))?;
    if (out.len() + length) as u64 > MAX_BYTES {
        return Err(too_long());
    }
    let start = out.len();
    out.resize(start + length, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[start..]).map_err(|error| damaged(&error))?;
    out.truncate(start + written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..(MAX_BYTES >> 20) + 1 {
            encoder.write_all(&zeros).unwrap();
        }
        let bomb = Bytes::from(encoder.finish().unwrap());
        assert!(bomb.len() < 1 << 20);
        assert_eq!(Compression::Zstd.uncompress(bomb), Err(too_long()));
    }

    #[test]
    fn snappy_is_read_with_and_without_java_blocks() {
        let text = b"rows and rows and rows".repeat(5_000);
        let with_blocks = Compression::Snappy.compress(&text).unwrap();
        assert_eq!(uncompress_snappy(&with_blocks).unwrap(), text);
        let one_block = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        assert_eq!(uncompress_snappy(&one_block).unwrap(), text);
        for end in [0, 5, 12, 20, with_blocks.len() - 1] {
            assert!(uncompress_snappy(&with_blocks[..end]).is_err(), "{end}");
        }
    }
}
