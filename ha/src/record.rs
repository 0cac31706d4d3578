//! The values that the typed stores write: JSON that a person can read, with the version of its format.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// The format version that this build writes.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Record<T> {
    version: u32,
    record: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// Serialises `record` for `key`.
pub(crate) fn encode<T: Serialize>(key: &str, record: &T) -> Result<Bytes, StoreError> {
    let bytes = serde_json::to_vec(&Record { version: VERSION, record });
    bytes.map(Bytes::from).map_err(|error| StoreError::Refused { reason: format!("{key}: can't be written: {error}") })
}

/// Reads what [`encode`] wrote under `key`.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, StoreError> {
    let corrupt = |reason: String| StoreError::Corrupt { key: key.to_owned(), reason };
    let VersionOnly { version } = serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
    if version != VERSION {
        return Err(corrupt(format!("format version {version}, this build reads version {VERSION}")));
    }
    let record: Record<T> = serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
    Ok(record.record)
}
