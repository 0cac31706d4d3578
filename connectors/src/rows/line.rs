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
        let (digits, start) = digits_of(value);
        if let Some(piece) = digits[start..].first_chunk() {
            self.copy(piece, DIGITS_END - start);
        }
    }

    #[inline]
    fn copy(&mut self, bytes: &[u8; PIECE], length: usize) {
        if self.at > LINE - PIECE {
            self.vector();
        }
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

/// The longest integer ends here, so that a piece can begin at each of its digits.
const DIGITS_END: usize = 20;

/// The digits of all numbers below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// The integer as text, and where it begins. It ends at [`DIGITS_END`].
#[inline]
fn digits_of(value: i64) -> ([u8; DIGITS_END + PIECE], usize) {
    let mut digits = [0; DIGITS_END + PIECE];
    let mut start = DIGITS_END;
    let mut rest = value.unsigned_abs();
    while rest >= 100 {
        start -= 2;
        digits[start..start + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    if rest >= 10 {
        start -= 2;
        digits[start..start + 2].copy_from_slice(&PAIRS[rest as usize]);
    } else {
        start -= 1;
        digits[start] = b'0' + rest as u8;
    }
    if value < 0 {
        start -= 1;
        digits[start] = b'-';
    }
    (digits, start)
}

/// Appends an integer as text.
pub(super) fn append_integer(out: &mut Vec<u8>, value: i64) {
    let (digits, start) = digits_of(value);
    out.extend_from_slice(&digits[start..DIGITS_END]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_integer_has_room() {
        let mut out = Vec::new();
        append_integer(&mut out, i64::MIN);
        assert_eq!(out, i64::MIN.to_string().as_bytes());
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
