//! Wall clocks that can be set, with libfaketime, which reads from a file how much it adds to the time.

use std::io;
use std::path::{Path, PathBuf};

/// Where Debian's package `faketime` installs the library for programs with threads.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// The library reads the file this often, in seconds.
pub(crate) const CACHED_SECONDS: u64 = 1;

/// The wall clocks of a cluster's processes.
#[derive(Debug)]
pub struct Clocks {
    directory: PathBuf,
}

impl Clocks {
    /// Why clocks can't be set here; `None` if they can.
    pub fn hindrance() -> Option<String> {
        (!Path::new(LIBRARY).exists()).then(|| "libfaketime is not installed (package faketime)".to_owned())
    }

    /// Makes clocks without an offset for these processes. Their offsets are read from files in `directory`.
    pub fn create(directory: &Path, names: &[String]) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let clocks = Self { directory: directory.to_owned() };
        names.iter().try_for_each(|name| clocks.set(name, 0))?;
        Ok(clocks)
    }

    /// The environment variables that the process must be started with.
    pub fn environment(&self, name: &str) -> Vec<(String, String)> {
        let cached = CACHED_SECONDS.to_string();
        let file = self.file(name).display().to_string();
        let pairs = [
            ("LD_PRELOAD", LIBRARY),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_CACHE_DURATION", &cached),
            // Change the wall clock only: no kernel lets the monotonic clock jump.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
    }

    /// Sets a process's clock this many seconds ahead, or behind if the number is negative.
    pub(crate) fn set(&self, name: &str, seconds: i64) -> io::Result<()> {
        std::fs::write(self.file(name), format!("{seconds:+}\n"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}
