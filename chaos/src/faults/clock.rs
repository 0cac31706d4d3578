//! Wall clocks that jump: libfaketime, which reads what to add from a file.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_client::ClusterClient;

use super::{Bite, Draw};
use crate::run::scene::Scene;

/// Where Debian's package `faketime` puts the library for programs with threads.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// The library reads the file this often.
const CACHED_SECONDS: u64 = 1;
/// Jumps are this far at least, and less than an hour more, in seconds.
const JUMP_SECONDS: (u64, u64) = (60, 3_600);
/// How long a JobManager may take to say what its clock says.
const LOOK: Duration = Duration::from_secs(5);

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
    fn set(&self, name: &str, seconds: i64) -> io::Result<()> {
        std::fs::write(self.file(name), format!("{seconds:+}\n"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

pub(super) fn jump(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let (leader, _) = scene.leader()?;
    let clocks = scene.clocks.as_ref().ok_or_else(|| io::Error::other("this cluster's clocks can't be set"))?;
    let far = JUMP_SECONDS.0 + draw.number / 2 % JUMP_SECONDS.1;
    let seconds = if draw.number.is_multiple_of(2) { far.cast_signed() } else { -far.cast_signed() };
    clocks.set(&leader, seconds)?;
    scene.wait(Duration::from_secs(CACHED_SECONDS) + draw.lasts);
    let told = clock_of(scene, &leader);
    clocks.set(&leader, 0)?;
    // Its clock is right again before the next fault.
    scene.wait(Duration::from_secs(CACHED_SECONDS));
    let off = told.map(|told| (told - weir_world::wall_clock_ms().cast_signed()) / 1_000);
    let footprint = match off {
        Some(off) if (off - seconds).abs() < 30 => Ok(format!("its clock was {off:+} s off")),
        off => Err(format!("its clock was set {seconds:+} s off, and is {off:?}")),
    };
    Ok(Bite::new(leader, footprint))
}

/// What the clock of a JobManager says, in milliseconds since 1970; the JobManager itself, whoever leads by now.
fn clock_of(scene: &Scene, name: &str) -> Option<i64> {
    let client = ClusterClient::new(vec![scene.cluster.rest_address(name)?]).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer = runtime.block_on(client.ha_status(LOOK)).ok()?;
    Some(answer.now_ms.cast_signed())
}
