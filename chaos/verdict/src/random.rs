//! Random numbers that depend only on a seed.

use std::sync::Mutex;
use std::sync::PoisonError;

/// A SplitMix64 generator: small, and good enough to choose faults.
#[derive(Debug)]
pub struct Random {
    state: Mutex<u64>,
}

/// One step of SplitMix64: a well-mixed function of its argument.
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// The stream of a seed and a purpose. Each part of a simulation has its own stream, so its draws do not change those of the
    /// others.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let state = purpose.bytes().fold(mix(seed), |state, byte| mix(state ^ u64::from(byte)));
        Self { state: Mutex::new(state) }
    }

    /// Returns the next 64 bits.
    pub fn bits(&self) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(*state)
    }

    /// Returns a number that is at least `from` and less than `to`. If both are equal, returns `from`.
    pub fn between(&self, from: u64, to: u64) -> u64 {
        from + self.bits() % (to - from).max(1)
    }

    /// Returns true with a probability of `per_mille` in a thousand.
    pub fn chance(&self, per_mille: u64) -> bool {
        self.between(0, 1000) < per_mille
    }

    /// Returns one element of `of`, which must not be empty.
    pub fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.between(0, of.len() as u64) as usize]
    }
}
