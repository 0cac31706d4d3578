//! What both kinds of chaos, simulations and runs of real processes, have in common: the invariants that judge a cluster from
//! outside, the seeded randomness, and the rules by which a power loss takes away unsynced bytes.

pub mod fact;
pub mod file_bytes;
pub mod invariants;
pub mod random;
