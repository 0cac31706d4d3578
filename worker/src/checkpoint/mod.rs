//! The TaskManager's part of checkpoints: aligning barriers, writing state, reading it back.

pub mod barrier_aligner;
pub mod history;
pub mod restore;
pub mod snapshot_writer;
