//! What a simulated world provides in place of the real one.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

static INSTALLED: OnceLock<Arc<dyn Simulation>> = OnceLock::new();

/// Runs the rest of this process in `simulation`. Call it before anything else in this crate. Returns false if a simulation was
/// installed already.
pub fn install(simulation: Arc<dyn Simulation>) -> bool {
    INSTALLED.set(simulation).is_ok()
}

/// The simulation this process is in, if it is in one.
pub fn current() -> Option<&'static dyn Simulation> {
    INSTALLED.get().map(AsRef::as_ref)
}

/// A future that a simulation returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A simulated world. Its methods are called on the thread of the simulation, while the calling host runs.
pub trait Simulation: Send + Sync {
    /// The calling host's wall clock, in milliseconds since 1970.
    fn wall_clock_ms(&self) -> u64;

    /// 128 random bits that the seed determines.
    fn random_id(&self) -> u128;

    /// Listens on the calling host at `port`; 0 takes a free one.
    fn bind(&self, port: u16) -> io::Result<Box<dyn SimulatedListener>>;

    /// Connects the calling host to `host:port`.
    fn connect(&self, address: &str) -> Answer<'static, io::Result<Box<dyn SimulatedStream>>>;

    /// The disks of all hosts. Each host has its own directory.
    fn disk(&self) -> &dyn SimulatedDisk;

    /// How long the calling host's disk takes for its next operation.
    fn disk_delay(&self) -> Duration;

    /// Whether the rare event at the place `here` happens now.
    fn rarely(&self, here: &'static str) -> bool;

    /// How long [`crate::delay_at_times`] sleeps.
    fn delay_at_times(&self) -> Duration;
}

/// A simulated connection.
pub trait SimulatedStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> SimulatedStream for T {}

/// A simulated socket that listens.
pub trait SimulatedListener: Send + Sync {
    /// The address on which the socket listens.
    fn local_addr(&self) -> SocketAddr;

    /// The next connection and the address of its peer.
    fn accept(&self) -> Answer<'_, io::Result<(Box<dyn SimulatedStream>, SocketAddr)>>;
}

/// How a file is opened. Every mode allows reading and writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// The file must exist.
    Existing,
    /// The file is created empty if it does not exist.
    CreateIfAbsent,
    /// The file is created and must not exist yet.
    CreateNew,
    /// The file is empty afterwards. It is created if it does not exist.
    Truncate,
}

/// Simulated disks: the operations of [`crate::disk`], with their meaning there.
pub trait SimulatedDisk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn SimulatedFile>>;
    /// Creates a directory and its missing parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Whether a file exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Renames a file and replaces the file at `to`, if there is one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name from its directory.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// The files in a directory.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// An open simulated file.
pub trait SimulatedFile: std::fmt::Debug + Send + Sync {
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Truncates the file, or extends it with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Fills `buffer` with the bytes at `offset`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the file's contents durable.
    fn sync(&self) -> io::Result<()>;
}
