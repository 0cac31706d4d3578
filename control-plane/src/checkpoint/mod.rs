//! Checkpoints of one job: when they are taken, when they are complete, which are kept.

pub mod completed;
pub mod coordinator;
pub mod effect;
pub mod event;
pub mod pending;
pub mod stats;
pub mod stores;

use weir_storage::checkpoint::MetadataHandle;

/// A metadata file that has been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenMetadata {
    /// The path, length and checksum of the file.
    pub handle: MetadataHandle,
    /// URI of the directory that holds it.
    pub external_path: String,
}

/// What is known about the append of a pointer. If a newer leader exists, the stores report [`stores::Superseded`] instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The pointer is durable, so the checkpoint is complete.
    Committed,
    /// The pointer was not appended and never will be.
    Refused(String),
    /// The pointer may be there now or later. The append must be repeated until the outcome is known (C3).
    Unknown(String),
}
