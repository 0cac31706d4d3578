//! Variable-length integers, zigzag-encoded as in Protocol Buffers.

use super::Corrupt;

/// Most bytes that an integer takes.
pub(super) const MAX_BYTES: usize = 10;

/// Reads an integer from the front of `bytes`.
#[inline]
pub(super) fn read(bytes: &mut &[u8]) -> Result<i64, Corrupt> {
    if let [byte @ 0..0x80, rest @ ..] = *bytes {
        *bytes = rest;
        return Ok(unzigzag(u64::from(*byte)));
    }
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(MAX_BYTES) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Ok(unzigzag(value));
        }
    }
    Err(Corrupt::new("a variable-length integer has no end"))
}

/// Appends an integer.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Number of bytes that [`write`] appends.
#[inline]
pub(super) fn size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    // A seventh, rounded up, for all numbers up to 64.
    (bits * 9 + 64) / 64
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(value in any::<i64>(), shift in 0_u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            write(&mut out, value);
            prop_assert_eq!(out.len(), size(value));
            out.push(7);
            let mut rest = out.as_slice();
            prop_assert_eq!(read(&mut rest).unwrap(), value);
            prop_assert_eq!(rest, &[7]);
        }
    }

    #[test]
    fn an_integer_without_an_end_is_corrupt() {
        assert!(read(&mut [0x80; 20].as_slice()).is_err());
        assert!(read(&mut [0x80].as_slice()).is_err());
        assert!(read(&mut [].as_slice()).is_err());
    }
}
