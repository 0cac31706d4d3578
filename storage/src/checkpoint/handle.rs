//! The reference to a metadata file in the coordination store.

use serde::{Deserialize, Serialize};

/// The location, length and checksum of a checkpoint's metadata file. The fenced append of this pointer completes the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MetadataHandle {
    /// Path relative to the checkpoint root, e.g. `<job>/chk-7/_metadata`.
    pub path: String,
    /// Length of the whole file in bytes.
    pub length: u64,
    /// CRC32C of the whole file.
    pub crc32c: u32,
}
