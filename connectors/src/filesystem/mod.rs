//! `source.file` and `sink.file`, which read and write files of rows in a directory.

#[cfg(test)]
mod round_trip;
pub(crate) mod sink;
pub(crate) mod source;

use std::path::PathBuf;

use serde::Deserialize;
use weir_dataflow::operator::OperatorError;

/// The format of a file of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Delimited text (RFC 4180).
    Csv,
    /// One JSON object per line.
    Json,
    Parquet,
}

impl Format {
    /// The extension of file names, without the dot.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
        }
    }
}

/// The local path of a `path` option, which is a path or a `file://` URI without host.
pub(crate) fn local_path(kind: &str, path: &str) -> Result<PathBuf, OperatorError> {
    let local = path.strip_prefix("file://").unwrap_or(path);
    if local.is_empty() || local.contains('\0') || (local.contains("://") && !local.starts_with('/')) {
        return Err(crate::options::invalid(kind, format!("path {path:?} is not a local path or file:// URI")));
    }
    Ok(PathBuf::from(local))
}
