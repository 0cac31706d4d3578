//! Files in an S3-compatible object store.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, Error, GetOptions, GetRange, ObjectStore, PutMode, PutOptions,
    RetryConfig,
};
use weir_world::{Backoff, random_id};

use super::path::{check_directory, check_path};
use super::{FileEntry, FileError, FileSystem};

/// Name of the user metadata with the id of the write that created an object.
const WRITER: &str = "weir-writer";

/// Maximum number of attempts of an operation.
const ATTEMPTS: u32 = 4;

/// Shortest and longest wait between two attempts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_millis(800));

/// Timeout for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of an operation with all its attempts. It is a second longer for each [`BYTES_PER_SECOND`] bytes.
const DEADLINE: Duration = Duration::from_secs(60);

/// The transfer rate that timeouts allow for.
const BYTES_PER_SECOND: u64 = 1024 * 1024;

/// Maximum number of files in one listing.
const LISTING_LIMIT: usize = 1_000_000;

/// How to reach an S3-compatible object store.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct S3Options {
    /// URL of the service, e.g. `http://127.0.0.1:9000`. The default is AWS.
    pub endpoint: Option<String>,
    /// The default is the credentials of the machine (AWS instance or container roles).
    pub access_key: Option<String>,
    /// Must be set exactly if `access_key` is. It is never printed.
    pub secret_key: Option<String>,
    /// The default is `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket is in the path instead of the host name. Most services other than AWS need it.
    pub path_style: bool,
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Options")
            .field("endpoint", &self.endpoint)
            .field("access_key", &self.access_key)
            .field("secret_key", &self.secret_key.as_ref().map(|_| "***"))
            .field("region", &self.region)
            .field("path_style", &self.path_style)
            .finish()
    }
}

/// Files in an S3-compatible object store. Each file is one object, created with `If-None-Match: *`.
///
/// Each write has an id and stores it with its object. If a write loses its answer, or finds on a retry that the name is taken,
/// it reads that id. So it knows whether it created the object itself.
#[derive(Clone)]
pub struct ObjectStoreFileSystem {
    /// It must not retry by itself: only a single attempt shows for certain whether a write was sent.
    store: Arc<AmazonS3>,
    prefix: String,
    uri: String,
}

/// The outcome of one attempt to write.
enum Attempt {
    Written,
    Exists,
    /// The object was certainly not written.
    Failed {
        reason: String,
        retryable: bool,
    },
    Unknown(String),
}

impl ObjectStoreFileSystem {
    /// Opens the objects of `bucket` under `prefix`, a legal path, or empty for all. Sends no request yet. The error is a reason
    /// for the user.
    pub fn new(bucket: &str, prefix: &str, options: &S3Options) -> Result<Self, String> {
        check_directory(prefix).map_err(|error| error.to_string())?;
        let client = ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout_disabled();
        let no_retries = RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: DEADLINE };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(options.region.as_deref().unwrap_or("us-east-1"))
            .with_virtual_hosted_style_request(!options.path_style)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(client)
            .with_retry(no_retries);
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        match (&options.access_key, &options.secret_key) {
            (Some(access_key), Some(secret_key)) => {
                builder = builder.with_access_key_id(access_key).with_secret_access_key(secret_key);
            }
            (None, None) => {}
            _ => return Err("access key and secret key must both be set, or neither".to_owned()),
        }
        let store = Arc::new(builder.build().map_err(|error| error.to_string())?);
        let uri = if prefix.is_empty() { format!("s3://{bucket}") } else { format!("s3://{bucket}/{prefix}") };
        Ok(Self { store, prefix: prefix.to_owned(), uri })
    }

    /// Path of the object. Legal paths need no escaping.
    fn object(&self, path: &str) -> Result<Path, FileError> {
        check_path(path)?;
        let full = if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) };
        Path::parse(full).map_err(|_| FileError::IllegalPath { path: path.to_owned() })
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<(), FileError> {
        let object = self.object(path)?;
        let writer = format!("{:032x}", random_id());
        let deadline = deadline_for(bytes.len() as u64);
        let unknown = |reason: String| FileError::Unknown { path: path.to_owned(), reason };
        let attempts = self.write_in_attempts(path, &object, &writer, bytes);
        match tokio::time::timeout(deadline, attempts).await {
            Ok(outcome) => outcome,
            Err(_) => Err(unknown(format!("no answer within {} s", deadline.as_secs()))),
        }
    }

    async fn write_in_attempts(&self, path: &str, object: &Path, writer: &str, bytes: Bytes) -> Result<(), FileError> {
        let mut perhaps_written = false;
        let mut backoff = BACKOFF;
        let mut attempt = 1;
        loop {
            let mut outcome = self.put(object, writer, bytes.clone()).await;
            // An earlier attempt of this write may have created the object. Also, S3 answers "conflict" while two writers compete
            // for a name that neither has yet. So look for the object before deciding.
            if matches!(outcome, Attempt::Exists | Attempt::Unknown(_)) {
                outcome = match self.writer_of(object).await {
                    Ok(Some(found)) if found == writer => Attempt::Written,
                    Ok(Some(_)) => Attempt::Exists,
                    Ok(None) => match outcome {
                        Attempt::Unknown(reason) => Attempt::Unknown(reason),
                        _ => Attempt::Failed { reason: "another write of this name is in flight".to_owned(), retryable: true },
                    },
                    Err(error) => Attempt::Unknown(format!("can't check whether the file was written: {error}")),
                };
            }
            let reason = match outcome {
                Attempt::Written => return Ok(()),
                Attempt::Exists => return Err(FileError::AlreadyExists { path: path.to_owned() }),
                Attempt::Failed { reason, retryable: false } if !perhaps_written => {
                    return Err(FileError::Failed { path: path.to_owned(), reason, retryable: false });
                }
                Attempt::Failed { reason, .. } => reason,
                Attempt::Unknown(reason) => {
                    perhaps_written = true;
                    reason
                }
            };
            if attempt == ATTEMPTS {
                return Err(if perhaps_written {
                    FileError::Unknown { path: path.to_owned(), reason }
                } else {
                    FileError::Failed { path: path.to_owned(), reason, retryable: true }
                });
            }
            backoff.wait().await;
            attempt += 1;
        }
    }

    async fn put(&self, object: &Path, writer: &str, bytes: Bytes) -> Attempt {
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(WRITER.into()), writer.to_owned().into());
        let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        match self.store.put_opts(object, bytes.into(), options).await {
            Ok(_) => Attempt::Written,
            Err(Error::AlreadyExists { .. }) => Attempt::Exists,
            Err(Error::NotFound { .. }) => Attempt::Failed { reason: "no such bucket".to_owned(), retryable: false },
            Err(error) if is_hopeless(&error) => Attempt::Failed { reason: explain(&error), retryable: false },
            Err(error) if was_not_sent(&error) => Attempt::Failed { reason: explain(&error), retryable: true },
            Err(error) => Attempt::Unknown(explain(&error)),
        }
    }

    /// The id of the write that created an object. `None` if there is no object; empty if the object has no such id.
    async fn writer_of(&self, object: &Path) -> Result<Option<String>, String> {
        match self.store.get_opts(object, GetOptions { head: true, ..GetOptions::default() }).await {
            Ok(found) => {
                let writer = found.attributes.get(&Attribute::Metadata(WRITER.into()));
                Ok(Some(writer.map(|writer| writer.as_ref().to_owned()).unwrap_or_default()))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(explain(&error)),
        }
    }

    /// Runs a read-only or idempotent operation, with retries, until [`ATTEMPTS`] or the deadline is reached. `size`: bytes to
    /// transfer.
    async fn repeat<T, F>(&self, path: &str, size: u64, mut operation: impl FnMut() -> F) -> Result<T, FileError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let attempts = async {
            let mut backoff = BACKOFF;
            let mut attempt = 1;
            loop {
                match operation().await {
                    Ok(done) => return Ok(done),
                    Err(error) => {
                        let error = failed(path, &error);
                        if !error.is_retryable() || attempt == ATTEMPTS {
                            return Err(error);
                        }
                    }
                }
                backoff.wait().await;
                attempt += 1;
            }
        };
        let deadline = deadline_for(size);
        tokio::time::timeout(deadline, attempts).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {} s", deadline.as_secs());
            Err(FileError::Failed { path: path.to_owned(), reason, retryable: true })
        })
    }

    async fn read_whole(&self, path: &str, limit: u64) -> Result<Bytes, FileError> {
        let object = self.object(path)?;
        let read = || async {
            let found = self.store.get_opts(&object, GetOptions::default()).await?;
            if found.meta.size > limit {
                return Ok(Err(found.meta.size));
            }
            found.bytes().await.map(Ok)
        };
        self.repeat(path, limit, read).await?.map_err(|size| FileError::WrongSize {
            path: path.to_owned(),
            size,
            expected: format!("at most {limit} expected"),
        })
    }

    async fn read_stretch(&self, path: &str, range: Range<u64>) -> Result<Bytes, FileError> {
        let wrong_size = |size: u64| FileError::WrongSize {
            path: path.to_owned(),
            size,
            expected: format!("bytes {} to {} expected", range.start, range.end),
        };
        if range.start >= range.end {
            // Services refuse or misinterpret empty ranges.
            let size = self.size_of(path).await?;
            return if range.start == range.end && range.end <= size { Ok(Bytes::new()) } else { Err(wrong_size(size)) };
        }
        let object = self.object(path)?;
        let length = range.end - range.start;
        let read = || async {
            let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
            self.store.get_opts(&object, options).await?.bytes().await
        };
        match self.repeat(path, length, read).await {
            Ok(bytes) if bytes.len() as u64 == length => Ok(bytes),
            Ok(_) => Err(wrong_size(self.size_of(path).await?)),
            // If a range starts after the end of the object, each service answers with a different error.
            Err(error @ FileError::Failed { .. }) => match self.size_of(path).await {
                Ok(size) if size < range.end => Err(wrong_size(size)),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn size_of(&self, path: &str) -> Result<u64, FileError> {
        let object = self.object(path)?;
        let head = || async {
            let found = self.store.get_opts(&object, GetOptions { head: true, ..GetOptions::default() }).await?;
            Ok(found.meta.size)
        };
        self.repeat(path, 0, head).await
    }

    async fn list_under(&self, directory: &str) -> Result<Vec<FileEntry>, FileError> {
        check_directory(directory)?;
        let joined =
            [self.prefix.as_str(), directory].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
        let prefix = (!joined.is_empty()).then(|| Path::from(joined));
        let own = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        let list = || async {
            let mut objects = self.store.list(prefix.as_ref());
            let mut found = Vec::new();
            while let Some(object) = objects.next().await {
                let object = object?;
                let Some(path) = object.location.as_ref().strip_prefix(&own) else { continue };
                // No file system of this module can have written such an object.
                if check_path(path).is_err() {
                    continue;
                }
                if found.len() == LISTING_LIMIT {
                    return Ok(None);
                }
                found.push(FileEntry { path: path.to_owned(), size: object.size });
            }
            found.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(Some(found))
        };
        self.repeat(directory, 0, list).await?.ok_or_else(|| FileError::Failed {
            path: directory.to_owned(),
            reason: format!("it has more than {LISTING_LIMIT} files"),
            retryable: false,
        })
    }

    async fn remove(&self, path: &str) -> Result<(), FileError> {
        let object = self.object(path)?;
        let delete = || async {
            match object_store::ObjectStoreExt::delete(&*self.store, &object).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        };
        self.repeat(path, 0, delete).await
    }
}

impl FileSystem for ObjectStoreFileSystem {
    fn write_new<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), FileError>> {
        self.write(path, bytes).boxed()
    }

    fn read<'a>(&'a self, path: &'a str, limit: u64) -> BoxFuture<'a, Result<Bytes, FileError>> {
        self.read_whole(path, limit).boxed()
    }

    fn read_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Bytes, FileError>> {
        self.read_stretch(path, range).boxed()
    }

    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<u64, FileError>> {
        self.size_of(path).boxed()
    }

    fn list<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<Vec<FileEntry>, FileError>> {
        self.list_under(directory).boxed()
    }

    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), FileError>> {
        self.remove(path).boxed()
    }

    fn uri(&self) -> &str {
        &self.uri
    }
}

fn deadline_for(size: u64) -> Duration {
    DEADLINE + Duration::from_secs((size / BYTES_PER_SECOND).min(3600))
}

/// Whether a retry of the request can't help.
fn is_hopeless(error: &Error) -> bool {
    matches!(
        error,
        Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::UnknownConfigurationKey { .. }
    )
}

/// Whether no connection was opened, so that the service can't have received the request.
fn was_not_sent(error: &Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<HttpError>().is_some_and(|error| error.kind() == HttpErrorKind::Connect))
}

fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |cause| cause.source())
}

/// The error with its causes, which the text of object_store errors sometimes omits. At most 1000 bytes.
fn explain(error: &Error) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text.truncate(text.floor_char_boundary(1000));
    text
}

/// The error of an operation that is not a write.
fn failed(path: &str, error: &Error) -> FileError {
    match error {
        Error::NotFound { .. } => FileError::NotFound { path: path.to_owned() },
        error => FileError::Failed { path: path.to_owned(), reason: explain(error), retryable: !is_hopeless(error) },
    }
}
