//! A disk for a process under test that fails as disks do: mounted where the process keeps its data, it holds everything in memory and
//! knows what the process has made durable. On command its power goes, a sync fails, it becomes slow, it is full, or a bit of it flips.
//!
//! [`contents`] decides what survives and knows nothing of the kernel; [`file_system`] hands the kernel's requests to it (FUSE). Needs
//! root and `/dev/fuse`.

pub mod contents;
mod file_system;
mod power;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuser::{BackgroundSession, Config, MountOption};
use nix::mount::{MntFlags, umount2};

pub use contents::Loss;
use file_system::FileSystem;
use power::Switch;
pub use power::{DiskFootprint, FailedSync};

/// Requests that are served at the same time: more than a process of ours has threads that write.
const THREADS: usize = 8;

/// A mounted disk; unmounted when dropped. What was on it is gone then.
#[derive(Debug)]
pub struct LossyDisk {
    mount_point: PathBuf,
    switch: Arc<Switch>,
    session: Option<BackgroundSession>,
}

impl LossyDisk {
    /// Why there can't be one here; `None` if there can.
    pub fn hindrance() -> Option<String> {
        let trial = || {
            let directory = tempfile::tempdir()?;
            let disk = Self::mount(&directory.path().join("trial"), 0)?;
            std::fs::write(directory.path().join("trial/file"), b"bytes")?;
            drop(disk);
            Ok::<_, io::Error>(())
        };
        trial().err().map(|error| format!("no file system of our own can be mounted here (FUSE): {error}"))
    }

    /// An empty disk, mounted at `mount_point`, which is created. What it loses follows from the seed.
    pub fn mount(mount_point: &Path, seed: u64) -> io::Result<Self> {
        std::fs::create_dir_all(mount_point)?;
        let switch = Arc::new(Switch::new(seed));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("weir-lossy-disk".to_owned()), MountOption::DefaultPermissions];
        config.n_threads = Some(THREADS);
        let session = fuser::spawn_mount(FileSystem::new(switch.clone()), mount_point, &config)?;
        Ok(Self { mount_point: mount_point.to_owned(), switch, session: Some(session) })
    }

    /// Where it is mounted.
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// The power will go in the middle of a change: so many changes, and syncs of something, from now. From then on nobody is answered
    /// until [`LossyDisk::cut_power`].
    pub fn lose_power_after(&self, changes: u64) {
        self.switch.arm(changes);
    }

    /// Waits until the power has gone; if it has not after so long, it does not go any more.
    pub fn await_darkness(&self, patience: Duration) -> bool {
        self.switch.await_darkness(patience)
    }

    /// The power goes now: nobody is answered until [`LossyDisk::cut_power`].
    pub fn go_dark(&self) {
        self.switch.go_dark();
    }

    /// After the process was sent SIGKILL: takes away what was not durable. Whoever still waits for an answer is refused.
    pub fn cut_power(&self) -> Loss {
        self.switch.cut_power()
    }

    /// Once the process is gone: the disk serves what is left.
    pub fn restore_power(&self) {
        self.switch.restore_power();
    }

    /// The next sync that has something to do fails (EIO).
    pub fn fail_next_sync(&self, what: FailedSync) {
        self.switch.fail_next_sync(what);
    }

    /// No sync fails any more.
    pub fn let_syncs_succeed(&self) {
        self.switch.let_syncs_succeed();
    }

    /// From now on every sync takes so long.
    pub fn set_delay(&self, delay: Duration) {
        self.switch.set_delay(delay);
    }

    /// Whether there is no room any more for anything.
    pub fn set_full(&self, full: bool) {
        self.switch.set_full(full);
    }

    /// From now on syncs say that they are done, and do nothing: as if the program had forgotten them, to see that this is found out.
    pub fn lie(&self) {
        self.switch.lie();
    }

    /// Whoever waits for an answer is refused, and so is whoever asks: the end of it.
    pub fn refuse_all(&self) {
        self.switch.refuse_all();
    }

    /// Flips one bit of a file that is durable, where `spoils` says: it is given each file's path on the disk and its bytes. Which byte
    /// of which file that was, if there was any.
    pub fn flip_a_bit(&self, spoils: impl Fn(&Path, &[u8]) -> Option<Range<usize>>) -> Option<(PathBuf, usize)> {
        self.switch.with(|contents| contents.flip_a_bit(spoils))
    }

    /// Empties it, as a new disk is. Nobody may have files open.
    pub fn wipe(&self) {
        self.switch.with(contents::Contents::wipe);
    }

    /// Changes that are not durable.
    pub fn unsynced(&self) -> u64 {
        self.switch.with(|contents| contents.unsynced(None))
    }

    /// What happened to it so far.
    pub fn footprint(&self) -> DiskFootprint {
        self.switch.footprint()
    }
}

impl Drop for LossyDisk {
    fn drop(&mut self) {
        // A process that waits for an answer can't die.
        self.switch.refuse_all();
        let Some(session) = self.session.take() else { return };
        if session.umount_and_join().is_err()
            && let Err(error) = umount2(&self.mount_point, MntFlags::MNT_DETACH)
        {
            eprintln!("{}: left mounted: {error}", self.mount_point.display());
        }
    }
}
