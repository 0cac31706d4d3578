//! The compressions of record batches.

use std::io::{Read, Write};

use bytes::Bytes;

use super::{Corrupt, lz4};

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
pub(super) const MAX_BYTES: u64 = 256 << 20;

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

    /// Appends the compressed bytes.
    pub(super) fn compress(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
        let failed = |error: &dyn std::fmt::Display| Corrupt::new(format!("a batch can't be compressed: {error}"));
        match self {
            Self::None => out.extend_from_slice(bytes),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
                encoder.write_all(bytes).and_then(|()| encoder.finish()).map_err(|error| failed(&error))?;
            }
            Self::Snappy => {
                out.extend_from_slice(SNAPPY_HEADER);
                for block in bytes.chunks(SNAPPY_BLOCK) {
                    let compressed = snap::raw::Encoder::new().compress_vec(block).map_err(|error| failed(&error))?;
                    out.extend_from_slice(&(compressed.len() as u32).to_be_bytes());
                    out.extend_from_slice(&compressed);
                }
            }
            Self::Lz4 => lz4::compress(bytes, out)?,
            Self::Zstd => {
                let compressed = zstd::bulk::compress(bytes, zstd::DEFAULT_COMPRESSION_LEVEL);
                out.extend_from_slice(&compressed.map_err(|error| failed(&error))?);
            }
        }
        Ok(())
    }

    pub(super) fn uncompress(self, bytes: Bytes) -> Result<Bytes, Corrupt> {
        match self {
            Self::None => Ok(bytes),
            Self::Gzip => limited(flate2::read::MultiGzDecoder::new(&*bytes)).map(Bytes::from),
            Self::Snappy => uncompress_snappy(&bytes),
            Self::Lz4 => lz4::uncompress(&bytes).map(Bytes::from),
            Self::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(&*bytes).map_err(|error| damaged(&error))?;
                limited(decoder).map(Bytes::from)
            }
        }
    }
}

pub(super) fn damaged(error: &dyn std::fmt::Display) -> Corrupt {
    Corrupt::new(format!("a batch can't be uncompressed: {error}"))
}

pub(super) fn too_long() -> Corrupt {
    Corrupt::new(format!("a batch has more than {MAX_BYTES} bytes when uncompressed"))
}

pub(super) fn limited(reader: impl Read) -> Result<Vec<u8>, Corrupt> {
    let mut out = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut out).map_err(|error| damaged(&error))?;
    if out.len() as u64 > MAX_BYTES { Err(too_long()) } else { Ok(out) }
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
        let mut with_blocks = Vec::new();
        Compression::Snappy.compress(&text, &mut with_blocks).unwrap();
        assert_eq!(uncompress_snappy(&with_blocks).unwrap(), text);
        let one_block = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        assert_eq!(uncompress_snappy(&one_block).unwrap(), text);
        for end in [0, 5, 12, 20, with_blocks.len() - 1] {
            assert!(uncompress_snappy(&with_blocks[..end]).is_err(), "{end}");
        }
    }
}
