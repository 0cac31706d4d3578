//! What must hold of a cluster, judged from outside, and what both kinds of chaos share to find out: simulations and runs of real
//! processes are judged by the same invariants, draw from the same kind of randomness, and lose unsynced bytes by the same rules.

pub mod fact;
pub mod file_bytes;
pub mod invariants;
pub mod random;
