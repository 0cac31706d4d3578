//! Opens the file system of a URI.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{FileSystemRef, LocalFileSystem, ObjectStoreFileSystem, S3Options, StorageOutage};

/// Options for opening storage that URIs do not contain.
#[derive(Debug, Clone, Default)]
pub struct StorageOptions {
    /// Options for `s3://` URIs.
    pub s3: S3Options,
    /// Additional file systems, for URIs of other schemes.
    pub schemes: Schemes,
    /// A switch that makes the opened storage unavailable, for drills.
    pub outage: Option<StorageOutage>,
}

type OpenScheme = Arc<dyn Fn(&str) -> FileSystemRef + Send + Sync>;

/// Additional file systems by the scheme of their URIs. A simulation adds its own, for example.
#[derive(Clone, Default)]
pub struct Schemes {
    by_name: BTreeMap<String, OpenScheme>,
}

impl Schemes {
    /// Adds a scheme: `open` opens the URIs that begin with `<scheme>://`.
    pub fn with(mut self, scheme: &str, open: impl Fn(&str) -> FileSystemRef + Send + Sync + 'static) -> Self {
        self.by_name.insert(scheme.to_owned(), Arc::new(open));
        self
    }

    fn open(&self, uri: &str) -> Option<FileSystemRef> {
        let (scheme, _) = uri.split_once("://")?;
        self.by_name.get(scheme).map(|open| open(uri))
    }
}

impl fmt::Debug for Schemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// Why a URI can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is neither an absolute path nor a URI with a known scheme.
    #[error("STORAGE-URI: {uri:?} is not a storage URI: expected file:///path, /path or s3://bucket/prefix")]
    Unsupported { uri: String },
    /// The path, bucket or prefix in the URI can't be used.
    #[error("STORAGE-PATH: {uri:?}: {reason}")]
    Path { uri: String, reason: String },
    /// The options for this storage can't be used.
    #[error("STORAGE-OPTIONS: {uri:?}: {reason}")]
    Options { uri: String, reason: String },
}

/// Opens the file system at `file:///path`, `/path` or `s3://bucket/prefix`. Accesses neither disk nor network.
///
/// The path of a `file:` URI is used as it is, without percent-decoding.
pub fn open(uri: &str, options: &StorageOptions) -> Result<FileSystemRef, OpenError> {
    let files = open_at_once(uri, options)?;
    Ok(match &options.outage {
        Some(outage) => outage.over(files),
        None => files,
    })
}

fn open_at_once(uri: &str, options: &StorageOptions) -> Result<FileSystemRef, OpenError> {
    if let Some(files) = options.schemes.open(uri) {
        return Ok(files);
    }
    let shown = || uri.chars().take(500).collect::<String>();
    if let Some(rest) = uri.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(legal) {
            let reason = "a bucket name must be 3 to 63 lower-case letters, digits, '-' or '.'".to_owned();
            return Err(OpenError::Path { uri: shown(), reason });
        }
        let prefix = prefix.trim_end_matches('/');
        super::path::check_directory(prefix).map_err(|error| OpenError::Path { uri: shown(), reason: error.to_string() })?;
        let store = ObjectStoreFileSystem::new(bucket, prefix, &options.s3);
        return Ok(Arc::new(store.map_err(|reason| OpenError::Options { uri: shown(), reason })?));
    }
    let path = match uri.strip_prefix("file://") {
        Some(path) => path,
        None if uri.starts_with('/') => uri,
        None => return Err(OpenError::Unsupported { uri: shown() }),
    };
    let refused = |reason: &str| Err(OpenError::Path { uri: shown(), reason: reason.to_owned() });
    if !path.starts_with('/') {
        return refused("the path must be absolute: file:///path");
    }
    if path.len() > 4096 || path.bytes().any(|byte| byte < 0x20) || path.split('/').any(|part| part == "..") {
        return refused("the path is too long, or contains '..' or control characters");
    }
    let path: &Path = Path::new(path);
    Ok(Arc::new(LocalFileSystem::new(path.components().collect::<std::path::PathBuf>())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_uri(uri: &str) -> Result<String, OpenError> {
        open(uri, &StorageOptions::default()).map(|files| files.uri().to_owned())
    }

    #[test]
    fn an_opened_file_system_has_a_uri_that_opens_the_same_place() {
        assert_eq!(open_uri("/var/weir//ha/"), Ok("file:///var/weir/ha".to_owned()));
        assert_eq!(open_uri("file:///var/weir"), Ok("file:///var/weir".to_owned()));
        assert_eq!(open_uri("s3://bucket/a/b/"), Ok("s3://bucket/a/b".to_owned()));
        assert_eq!(open_uri("s3://bucket"), Ok("s3://bucket".to_owned()));
    }

    #[test]
    fn other_texts_are_refused_with_a_code() {
        for (uri, code) in [
            ("", "STORAGE-URI"),
            ("relative/path", "STORAGE-URI"),
            ("hdfs://name/x", "STORAGE-URI"),
            ("C:\\temp", "STORAGE-URI"),
            ("file://host/x", "STORAGE-PATH"),
            ("file:///a/../b", "STORAGE-PATH"),
            ("/a\0b", "STORAGE-PATH"),
            ("s3://", "STORAGE-PATH"),
            ("s3://UPPER/x", "STORAGE-PATH"),
            ("s3://bucket/a/../b", "STORAGE-PATH"),
            ("s3://bucket//a", "STORAGE-PATH"),
        ] {
            let error = open_uri(uri).expect_err(uri).to_string();
            assert!(error.starts_with(code), "{uri:?}: {error}");
        }
    }

    #[test]
    fn incomplete_credentials_are_refused_and_the_secret_is_never_printed() {
        let s3 = S3Options { secret_key: Some("canary".to_owned()), ..S3Options::default() };
        let options = StorageOptions { s3, ..StorageOptions::default() };
        let error = open("s3://bucket", &options).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("STORAGE-OPTIONS"), "{error}");
        assert!(!format!("{options:?} {error}").contains("canary"));
    }
}
