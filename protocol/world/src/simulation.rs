//! What a simulated world provides in place of the real one.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

static INSTALLED: OnceLock<Arc<dyn Simulation>> = OnceLock::new();

/// From now on this process, which must not have asked for anything of the world yet, is simulated. False if it was already.
pub fn install(simulation: Arc<dyn Simulation>) -> bool {
    INSTALLED.set(simulation).is_ok()
}

/// The simulation this process is in, if it is in one.
pub fn current() -> Option<&'static dyn Simulation> {
    INSTALLED.get().map(AsRef::as_ref)
}

/// A future that a simulation answers with.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A simulated world. Its methods are called on the thread of the simulation, while the calling host runs.
pub trait Simulation: Send + Sync {
    /// The calling host's wall clock, milliseconds since 1970.
    fn wall_clock_ms(&self) -> u64;

    /// 128 bits that follow from the seed.
    fn random_id(&self) -> u128;

    /// Listens on the calling host at `port`; 0 takes a free one.
    fn bind(&self, port: u16) -> io::Result<Box<dyn SimulatedListener>>;

    /// Connects the calling host to `host:port`.
    fn connect(&self, address: &str) -> Answer<'static, io::Result<Box<dyn SimulatedStream>>>;

    /// The disks of all hosts; each has its own directory.
    fn disk(&self) -> &dyn SimulatedDisk;

    /// How long the calling host's disk takes for what it is asked next.
    fn disk_delay(&self) -> Duration;

    /// Whether something rare happens now, here.
    fn rarely(&self, here: &'static str) -> bool;

    /// How long something that may take long takes.
    fn dawdle(&self) -> Duration;
}

/// A simulated connection.
pub trait SimulatedStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> SimulatedStream for T {}

/// A simulated socket that listens.
pub trait SimulatedListener: Send + Sync {
    /// Where it listens.
    fn local_addr(&self) -> SocketAddr;

    /// The next connection, and where it comes from.
    fn accept(&self) -> Answer<'_, io::Result<(Box<dyn SimulatedStream>, SocketAddr)>>;
}

/// How a file is opened. It can be read and written in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// It must be there.
    Existing,
    /// It is created, empty, if it is not there.
    CreateIfAbsent,
    /// It is created and must not be there.
    CreateNew,
    /// It is empty afterwards, whether it was there or not.
    Truncate,
}

/// Simulated disks: the operations of [`crate::disk`], with their meaning there.
pub trait SimulatedDisk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn SimulatedFile>>;
    /// Creates a directory and those above it.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Whether a file is there.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Gives a file another name, in place of whatever had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// The files in a directory.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// An open simulated file.
pub trait SimulatedFile: std::fmt::Debug + Send + Sync {
    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Cuts it or adds zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Fills `buffer` from `offset` on.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes its contents durable.
    fn sync(&self) -> io::Result<()>;
}
