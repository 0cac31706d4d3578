//! A disk that fails as real disks do, for a process under test. It is mounted where the process keeps its data. It holds
//! everything in memory, and knows what the process has made durable. On command, it loses power, fails a sync, becomes slow,
//! becomes full, or flips a bit.
//!
//! [`contents`] decides what survives, and knows nothing of the kernel. [`file_system`] passes the kernel's requests on to it
//! (FUSE). Needs root and `/dev/fuse`.

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
use weir_world::err_line;

pub use contents::Loss;
use file_system::FileSystem;
use power::Switch;
pub use power::{DiskFootprint, FailedSync};

/// How many requests are served at the same time. None of our processes has as many threads that write.
const THREADS: usize = 8;

/// A mounted disk. When it is dropped, it is unmounted and its contents are lost.
#[derive(Debug)]
pub struct LossyDisk {
    mount_point: PathBuf,
    switch: Arc<Switch>,
    session: Option<BackgroundSession>,
}

impl LossyDisk {
    /// Why such a disk can't be mounted here; `None` if it can.
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

    /// Mounts an empty disk at `mount_point`, which is created. What the disk loses follows from the seed.
    pub fn mount(mount_point: &Path, seed: u64) -> io::Result<Self> {
        std::fs::create_dir_all(mount_point)?;
        let switch = Arc::new(Switch::new(seed));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("weir-lossy-disk".to_owned()), MountOption::DefaultPermissions];
        config.n_threads = Some(THREADS);
        let session = fuser::spawn_mount(FileSystem::new(switch.clone()), mount_point, &config)?;
        Ok(Self { mount_point: mount_point.to_owned(), switch, session: Some(session) })
    }

    /// The directory where the disk is mounted.
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// Makes the disk lose power in the middle of a change, after this many other changes and syncs. From then on, it answers no
    /// request until [`LossyDisk::cut_power`].
    pub fn lose_power_after(&self, changes: u64) {
        self.switch.arm(changes);
    }

    /// Waits until the disk has lost power. If this takes longer than `patience`, cancels the power loss and returns false.
    pub fn await_darkness(&self, patience: Duration) -> bool {
        self.switch.await_darkness(patience)
    }

    /// Makes the disk lose power now. It answers no request until [`LossyDisk::cut_power`].
    pub fn go_dark(&self) {
        self.switch.go_dark();
    }

    /// Discards what was not durable, and fails the requests that still wait. To be called after the process was sent SIGKILL.
    pub fn cut_power(&self) -> Loss {
        self.switch.cut_power()
    }

    /// Serves what is left on the disk. To be called when the process has ended.
    pub fn restore_power(&self) {
        self.switch.restore_power();
    }

    /// Makes the next sync fail (EIO) that has something to do.
    pub fn fail_next_sync(&self, what: FailedSync) {
        self.switch.fail_next_sync(what);
    }

    /// Makes no more syncs fail.
    pub fn let_syncs_succeed(&self) {
        self.switch.let_syncs_succeed();
    }

    /// From now on, every sync takes this long.
    pub fn set_delay(&self, delay: Duration) {
        self.switch.set_delay(delay);
    }

    /// Sets whether the disk is full.
    pub fn set_full(&self, full: bool) {
        self.switch.set_full(full);
    }

    /// From now on, syncs succeed but do nothing, as if the program had forgotten them. This shows whether the loss is noticed.
    pub fn lie(&self) {
        self.switch.lie();
    }

    /// Fails all requests, waiting ones and new ones, for the rest of the disk's life.
    pub fn refuse_all(&self) {
        self.switch.refuse_all();
    }

    /// Flips one bit in the durable bytes of a file. `spoils` gets each file's path on the disk and its bytes, and returns where
    /// a bit may flip. Returns the file's path and the position of the byte, or `None` if there is no such place.
    pub fn flip_a_bit(&self, spoils: impl Fn(&Path, &[u8]) -> Option<Range<usize>>) -> Option<(PathBuf, usize)> {
        self.switch.with(|contents| contents.flip_a_bit(spoils))
    }

    /// Empties the disk, so that it is like a new one. No process may have files open.
    pub fn wipe(&self) {
        self.switch.with(contents::Contents::wipe);
    }

    /// Number of changes that are not durable.
    pub fn unsynced(&self) -> u64 {
        self.switch.with(|contents| contents.unsynced(None))
    }

    /// Counts of what happened to the disk so far.
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
            err_line!("{} could not be unmounted: {error}", self.mount_point.display());
        }
    }
}
