//! How the coordination store refers to a metadata file.

use serde::{Deserialize, Serialize};

/// Where a checkpoint's metadata file is and what it must be: the pointer whose fenced append completes a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MetadataHandle {
    /// Path relative to the checkpoint root, e.g. `<job>/chk-7/_metadata`.
    pub path: String,
    /// Length of the whole file in bytes.
    pub length: u64,
    /// CRC32C of the whole file.
    pub crc32c: u32,
}
