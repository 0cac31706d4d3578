//! Short texts that are put together in place before they go into a vector.

/// Longest text that is put in place.
pub(super) const PIECE: usize = 32;

const LINE: usize = 128;

/// A short text, and whatever is behind it, so that it can be copied without a look at its length.
pub(super) struct Piece {
    bytes: [u8; PIECE],
    length: usize,
}

impl Piece {
    /// `None` if the text is too long.
    pub(super) fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; PIECE];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, length: text.len() })
    }
}

/// The end of a text whose beginning is in a vector. A vector would look for room, and call a function to copy, for each of the pieces.
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
    bytes: [u8; LINE],
    at: usize,
}

impl<'a> Line<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, bytes: [0; LINE], at: 0 }
    }

    #[inline]
    pub(super) fn push(&mut self, piece: &Piece) {
        self.copy(&piece.bytes, piece.length);
    }

    #[inline]
    pub(super) fn push_integer(&mut self, value: i64) {
        self.make_room();
        if value < 0 {
            self.bytes[self.at] = b'-';
            self.at += 1;
        }
        let magnitude = value.unsigned_abs();
        if magnitude < EIGHT_DIGITS {
            self.first_digits(magnitude);
        } else if magnitude < EIGHT_DIGITS * EIGHT_DIGITS {
            self.first_digits(magnitude / EIGHT_DIGITS);
            self.eight_digits(magnitude % EIGHT_DIGITS);
        } else {
            let high = magnitude / EIGHT_DIGITS;
            self.first_digits(high / EIGHT_DIGITS);
            self.eight_digits(high % EIGHT_DIGITS);
            self.eight_digits(magnitude % EIGHT_DIGITS);
        }
    }

    /// Puts a number of up to eight digits, without zeros before it.
    #[inline]
    fn first_digits(&mut self, number: u64) {
        let digits = eight_digits_of(number);
        let zeros = (digits.trailing_zeros() / 8).min(7);
        self.put((digits | ZEROS) >> (8 * zeros), 8 - zeros as usize);
    }

    #[inline]
    fn eight_digits(&mut self, number: u64) {
        self.put(eight_digits_of(number) | ZEROS, 8);
    }

    #[inline]
    fn put(&mut self, text: u64, length: usize) {
        self.bytes[self.at..self.at + 8].copy_from_slice(&text.to_le_bytes());
        self.at += length;
    }

    #[inline]
    fn make_room(&mut self) {
        if self.at > LINE - PIECE {
            self.vector();
        }
    }

    #[inline]
    fn copy(&mut self, bytes: &[u8; PIECE], length: usize) {
        self.make_room();
        self.bytes[self.at..self.at + PIECE].copy_from_slice(bytes);
        self.at += length;
    }

    /// The vector with everything until now, for what is longer.
    pub(super) fn vector(&mut self) -> &mut Vec<u8> {
        self.out.extend_from_slice(&self.bytes[..self.at]);
        self.at = 0;
        self.out
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.vector();
    }
}

const EIGHT_DIGITS: u64 = 100_000_000;

const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// The eight digits of a number below 10^8, one a byte, the first one in the lowest byte. All of them are computed at once, because the
/// number of steps of a loop can't be predicted.
#[inline]
fn eight_digits_of(number: u64) -> u64 {
    // Numbers below 10,000 in halves, then below 100 in quarters, then digits. The factors divide by 100 and 10 in this range.
    let halves = (number / 10_000) | ((number % 10_000) << 32);
    let high = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let quarters = high | ((halves - 100 * high) << 16);
    let high = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    high | ((quarters - 10 * high) << 8)
}

/// Appends an integer as text.
pub(super) fn append_integer(out: &mut Vec<u8>, value: i64) {
    Line::new(out).push_integer(value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_written_as_rust_does() {
        let powers = (0..19).map(|power| 10_i64.pow(power)).flat_map(|power| [power - 1, power, power + 1, 9 * (power - 1)]);
        for value in powers.flat_map(|value| [value, -value]).chain(-20_000..20_000).chain([i64::MIN, i64::MAX]) {
            let mut out = Vec::new();
            append_integer(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }

    proptest! {
        #[test]
        fn a_line_is_its_pieces(parts in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..40), any::<i64>(), 0_u32..64), 0..20)) {
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            let mut line = Line::new(&mut found);
            for (text, number, shift) in parts {
                match Piece::new(&text) {
                    Some(piece) => line.push(&piece),
                    None => line.vector().extend_from_slice(&text),
                }
                line.push_integer(number >> shift);
                expected.extend_from_slice(&text);
                expected.extend_from_slice((number >> shift).to_string().as_bytes());
            }
            drop(line);
            prop_assert_eq!(found, expected);
        }
    }
}
