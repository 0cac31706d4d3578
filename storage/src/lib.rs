//! Durable bytes: file systems, checkpoint layout and metadata, blobs. Knows no leadership and no network peers.

pub mod file_system;
