//! Wall clocks that can be set: libfaketime, which reads what to add from a file.

use std::io;
use std::path::{Path, PathBuf};

/// Where Debian's package `faketime` puts the library for programs with threads.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// The library reads the file this often, in seconds.
pub(crate) const CACHED_SECONDS: u64 = 1;

/// A clock for each process.
#[derive(Debug)]
pub struct Clocks {
    directory: PathBuf,
}

impl Clocks {
    /// Why clocks can't be set here; `None` if they can.
    pub fn hindrance() -> Option<String> {
        (!Path::new(LIBRARY).exists()).then(|| "libfaketime is not installed (package faketime)".to_owned())
    }

    /// Clocks that are right, for these processes; what they add is read from files in `directory`.
    pub fn create(directory: &Path, names: &[String]) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let clocks = Self { directory: directory.to_owned() };
        names.iter().try_for_each(|name| clocks.set(name, 0))?;
        Ok(clocks)
    }

    /// What the process must be started with.
    pub fn environment(&self, name: &str) -> Vec<(String, String)> {
        let cached = CACHED_SECONDS.to_string();
        let file = self.file(name).display().to_string();
        let pairs = [
            ("LD_PRELOAD", LIBRARY),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_CACHE_DURATION", &cached),
            // Only the wall clock: no kernel lets the monotonic one jump.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
    }

    /// Sets a process's clock: so many seconds ahead, or behind.
    pub(crate) fn set(&self, name: &str, seconds: i64) -> io::Result<()> {
        std::fs::write(self.file(name), format!("{seconds:+}\n"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}
