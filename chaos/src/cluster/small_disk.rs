//! Disks that are full, read-only or corrupt.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_world::err_line;

use super::network::run;

/// A small separate file system, which is mounted as long as this value lives. Needs root.
#[derive(Debug)]
pub struct SmallDisk {
    mount_point: PathBuf,
    filler: PathBuf,
}

impl SmallDisk {
    /// Mounts an ext4 file system of this many MiB, which is in an image file, at `mount_point`.
    pub fn mount(mount_point: &Path, mebibytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(mount_point)?;
        let image = mount_point.with_extension("img");
        File::create(&image)?.set_len(mebibytes << 20)?;
        run(Command::new("mkfs.ext4").arg("-q").arg("-F").args(["-m", "0"]).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(mount_point))?;
        Ok(Self { mount_point: mount_point.to_owned(), filler: mount_point.join("filler") })
    }

    /// Fills it to the last block. Returns the number of bytes that still fitted.
    pub fn fill(&self) -> io::Result<u64> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.filler)?;
        let mut written = 0;
        for block in [1 << 20, 4096, 1] {
            let bytes = vec![0; block];
            while let Ok(count) = file.write(&bytes) {
                written += count as u64;
            }
        }
        // ext4 delays allocation, so the sync is what takes the space.
        file.sync_all().or_else(|error| if error.raw_os_error() == Some(ENOSPC) { Ok(()) } else { Err(error) })?;
        Ok(written)
    }

    /// Makes room again after [`Self::fill`].
    pub fn clear(&self) -> io::Result<()> {
        std::fs::remove_file(&self.filler)
    }

    /// Makes the file system read-only while processes have files open, as the kernel does after an I/O error.
    pub fn make_read_only(&self) -> io::Result<()> {
        run(Command::new("mount").args(["-o", "remount,abort"]).arg(&self.mount_point)).map(drop)
    }

    /// Repairs a file system that was made read-only: unmounts it and mounts it again. No process may have files open.
    pub fn repair(&self) -> io::Result<()> {
        run(Command::new("umount").arg(&self.mount_point))?;
        let image = self.mount_point.with_extension("img");
        // Status 1 means "errors corrected".
        let status = Command::new("e2fsck").args(["-p", "-f"]).arg(&image).output()?.status;
        if !matches!(status.code(), Some(0 | 1)) {
            return Err(io::Error::other(format!("e2fsck: {status}")));
        }
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&self.mount_point)).map(drop)
    }
}

const ENOSPC: i32 = 28;

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Unmount lazily, because a process that is being killed may still hold files.
        if let Err(error) = run(Command::new("umount").arg("-l").arg(&self.mount_point)) {
            err_line!("{} could not be unmounted: {error}", self.mount_point.display());
        }
    }
}

/// Flips one bit in the middle of a file.
pub fn flip_a_bit(path: &Path) -> io::Result<()> {
    let mut bytes = std::fs::read(path)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(path, bytes)
}
