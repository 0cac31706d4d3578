//! Checkpoints of one job: when they are taken, when they are complete, which are kept.

pub mod completed;
pub mod coordinator;
pub mod effect;
pub mod event;
pub mod pending;
pub mod stats;
pub mod stores;

use weir_storage::checkpoint::MetadataHandle;

/// A metadata file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenMetadata {
    /// Where it is and what it must be.
    pub handle: MetadataHandle,
    /// URI of the directory that holds it.
    pub external_path: String,
}

/// What is known about the append of a pointer. Being superseded is an event of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Durable: the checkpoint is complete.
    Committed,
    /// Certainly not there, and it won't be.
    Refused(String),
    /// It may be there, or may be later: ask again until it is known (C3).
    Unknown(String),
}
