//! Checkpoints on durable files: where they are, what the metadata file looks like, which one to restore from and
//! which files may go.

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
pub use storage::CheckpointStorage;
