//! LZ4 frames, as Kafka's own clients write them: independent blocks of 64 KiB.
//!
//! Source: the frame format of LZ4, <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>. The frames of `lz4_flex` would copy
//! each block several times.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use lz4_flex::frame::FrameDecoder;

use super::Corrupt;
use super::compression::{MAX_BYTES, damaged, limited, too_long};

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();

/// Format 1 with independent blocks, without checksums (a batch has its own) and without a length.
const PLAIN: u8 = 0b0110_0000;
/// Blocks of at most 64 KiB.
const BLOCKS: u8 = 4 << 4;
/// Checksum of the two.
const HEADER_CHECKSUM: u8 = 0x82;

const BLOCK_BYTES: usize = 64 << 10;

/// In the length of a block: it is not compressed.
const STORED: u32 = 1 << 31;

/// Appends a frame.
pub(super) fn compress(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[PLAIN, BLOCKS, HEADER_CHECKSUM]);
    let mut table = CompressTable::large();
    for block in bytes.chunks(BLOCK_BYTES) {
        let start = out.len() + 4;
        out.resize(start + get_maximum_output_size(block.len()), 0);
        let compressed = compress_into_with_table(block, &mut out[start..], &mut table);
        let mut length = compressed.map_err(|error| Corrupt::new(format!("a batch can't be compressed: {error}")))?;
        let mut flag = 0;
        if length >= block.len() {
            (length, flag) = (block.len(), STORED);
            out[start..start + length].copy_from_slice(block);
        }
        out[start - 4..start].copy_from_slice(&(length as u32 | flag).to_le_bytes());
        out.truncate(start + length);
    }
    // A block of no bytes is the end.
    out.extend_from_slice(&[0; 4]);
    Ok(())
}

/// The content of the frame.
pub(super) fn uncompress(bytes: &[u8]) -> Result<Vec<u8>, Corrupt> {
    if let [a, b, c, d, PLAIN, blocks, _, rest @ ..] = bytes
        && [*a, *b, *c, *d] == MAGIC
        && let Some(block_bytes) = block_bytes(*blocks)
    {
        return uncompress_plain(rest, block_bytes);
    }
    limited(FrameDecoder::new(bytes))
}

/// Largest block, from the header.
fn block_bytes(descriptor: u8) -> Option<usize> {
    match descriptor {
        0x40 => Some(64 << 10),
        0x50 => Some(256 << 10),
        0x60 => Some(1 << 20),
        0x70 => Some(4 << 20),
        _ => None,
    }
}

fn uncompress_plain(mut rest: &[u8], block_bytes: usize) -> Result<Vec<u8>, Corrupt> {
    let cut_off = || damaged(&"a block is cut off");
    let mut out = Vec::new();
    loop {
        let (length, after) = rest.split_first_chunk().ok_or_else(cut_off)?;
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            return if after.is_empty() { Ok(out) } else { Err(damaged(&"something follows its end")) };
        }
        let (block, after) = after.split_at_checked((length & !STORED) as usize).ok_or_else(cut_off)?;
        rest = after;
        let start = out.len();
        if length & STORED != 0 {
            out.extend_from_slice(block);
        } else {
            out.resize(start + block_bytes, 0);
            let written = decompress_into(block, &mut out[start..]).map_err(|error| damaged(&error))?;
            out.truncate(start + written);
        }
        if out.len() - start > block_bytes {
            return Err(damaged(&"a block is too long"));
        }
        if out.len() as u64 > MAX_BYTES {
            return Err(too_long());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use proptest::prelude::*;

    use super::*;

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        compress(bytes, &mut out).unwrap();
        out
    }

    #[test]
    fn other_frames_are_read_too() {
        let text = b"rows and rows and rows".repeat(20_000);
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            for mode in [BlockMode::Independent, BlockMode::Linked] {
                for checksums in [false, true] {
                    let info = FrameInfo::new().block_size(size).block_mode(mode);
                    let info = info.block_checksums(checksums).content_checksum(checksums);
                    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                    encoder.write_all(&text).unwrap();
                    assert!(uncompress(&encoder.finish().unwrap()).unwrap() == text, "{size:?} {mode:?} {checksums}");
                }
            }
        }
    }

    #[test]
    fn a_block_longer_than_its_frame_allows_is_refused() {
        let mut frame = compressed(&[]);
        frame.truncate(7);
        frame.extend_from_slice(&((BLOCK_BYTES as u32 + 1) | STORED).to_le_bytes());
        frame.resize(frame.len() + BLOCK_BYTES + 1, 7);
        frame.extend_from_slice(&[0; 4]);
        assert!(uncompress(&frame).is_err());
    }

    proptest! {
        #[test]
        fn frames_are_read_by_others(part in proptest::collection::vec(any::<u8>(), 0..300), times in 0_usize..1_000) {
            let bytes = part.repeat(times);
            let frame = compressed(&bytes);
            let mut read = Vec::new();
            FrameDecoder::new(frame.as_slice()).read_to_end(&mut read).unwrap();
            prop_assert!(read == bytes);
            prop_assert!(uncompress(&frame).unwrap() == bytes);
        }

        #[test]
        fn nonsense_is_refused(nonsense in proptest::collection::vec(any::<u8>(), 0..300), end in any::<prop::sample::Index>()) {
            let mut frame = compressed(&nonsense.repeat(5));
            let header = 7;
            frame.truncate(header + end.index(frame.len() - header));
            prop_assert!(uncompress(&frame).is_err());
            frame.truncate(header);
            frame.extend_from_slice(&nonsense);
            let _ = uncompress(&frame);
        }
    }
}
