//! A 64-bit hash that distinguishes states. It is fast on the many small numbers that states consist of.

use std::hash::{BuildHasherDefault, Hash, Hasher};

/// An odd factor with evenly spread bits.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const OTHER: u64 = 0xd1b5_4a32_d192_ed03;

/// Returns the fingerprint of a state.
pub(super) fn fingerprint<T: Hash>(state: &T) -> u64 {
    let mut folded = Folded(OTHER);
    state.hash(&mut folded);
    folded.finish()
}

/// A hasher that multiplies each number to 128 bits and folds the two halves.
struct Folded(u64);

impl Folded {
    fn fold(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number).wrapping_mul(u128::from(FACTOR));
        // If the product is 0, the sum keeps the former numbers.
        self.0 = (product as u64 ^ (product >> 64) as u64).wrapping_add(self.0.rotate_left(23)) ^ OTHER;
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut number = [0; 8];
            number[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(number) ^ (chunk.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.fold(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.fold(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.fold(number);
    }

    fn write_u128(&mut self, number: u128) {
        self.fold(number as u64);
        self.fold((number >> 64) as u64);
    }

    fn write_usize(&mut self, number: usize) {
        self.fold(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.fold(number as u64);
    }

    fn finish(&self) -> u64 {
        let mut last = Self(self.0);
        last.fold(FACTOR);
        last.fold(OTHER);
        last.0
    }
}

/// The hasher for tables of fingerprints, which are hashes already.
pub(super) type Fingerprints = BuildHasherDefault<Itself>;

/// Uses a number as its own hash.
#[derive(Default)]
pub(super) struct Itself(u64);

impl Hasher for Itself {
    fn write(&mut self, bytes: &[u8]) {
        let mut folded = Folded(self.0);
        folded.write(bytes);
        self.0 = folded.finish();
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_million_similar_states_have_a_million_fingerprints() {
        let states =
            (0..100_u64).flat_map(|a| (0..100_u32).flat_map(move |b| (0..100_u8).map(move |c| (a, Some(b), [c, 0], "x"))));
        let fingerprints: HashSet<u64> = states.map(|state| fingerprint(&state)).collect();
        assert_eq!(fingerprints.len(), 1_000_000);
        assert_ne!(fingerprint(&"ab"), fingerprint(&"abc"));
        assert_ne!(fingerprint(&(0_u8, 1_u8)), fingerprint(&(1_u8, 0_u8)));
        assert_eq!(fingerprint(&[1, 2]), fingerprint(&[1, 2]));
    }
}
