//! Durable storage: file systems, checkpoint layout and metadata. It is independent of leadership and of network peers.

pub mod checkpoint;
pub mod conformance;
pub mod file_system;
mod probe;

pub use file_system::{FileSystemRef, OpenError, Schemes, StorageOptions, StorageOutage, open};
pub use probe::{ProbeError, probe};
