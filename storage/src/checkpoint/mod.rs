//! Checkpoints in durable files: their layout, their metadata files, the choice of the one to restore from, and the deletion of
//! files that are no longer needed.

mod error;
mod external;
pub mod gc;
mod handle;
pub mod layout;
pub mod metadata;
pub mod resolve;
#[cfg(test)]
mod sample;
mod storage;

pub use error::CheckpointError;
pub use external::{CHECKPOINT_OF_IMPORT, ExternalCheckpoint, SavepointLocation};
pub use handle::MetadataHandle;
pub use storage::{CheckpointStorage, SPLITS_LIMIT};
