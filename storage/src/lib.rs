//! Durable bytes: file systems, checkpoint layout and metadata. Knows no leadership and no network peers.

pub mod checkpoint;
pub mod conformance;
pub mod file_system;

pub use file_system::{FileSystemRef, OpenError, Schemes, StorageOptions, StorageOutage, open};
