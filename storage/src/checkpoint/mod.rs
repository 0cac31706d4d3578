//! Checkpoints on durable files: where they are, what the metadata file looks like, which one to restore from and
//! which files may go.

mod handle;

pub use handle::MetadataHandle;
