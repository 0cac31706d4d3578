//! Disks that keep what was synced, and may lose everything else in a power loss.
//!
//! Each host has the directory `/<host>`. The process that makes a write sees it at once, and so does the next process on that
//! host. A power loss may take away each write since the last sync of its file, the last write perhaps in part. It may also take
//! away changes of names since the last sync of the directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_world::simulation::{OpenMode, SimulatedDisk, SimulatedFile};

use weir_verdict::file_bytes::{Fate, FileBytes};
use weir_verdict::random::Random;

/// A fault of a host's disk. It lasts until another one is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskFault {
    #[default]
    None,
    /// The next sync fails without making anything durable. Then the fault is over.
    FailNextSync,
    /// Writes fail, because no space is left.
    Full,
}

/// What happened to a host's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFootprint {
    /// Number of syncs that succeeded.
    pub syncs: u64,
    /// Number of operations that a fault refused.
    pub refused: u64,
    /// Number of writes and changes of names that power losses took away.
    pub lost: u64,
}

/// The disks of all hosts. Clones share their state.
#[derive(Debug, Clone)]
pub struct Disks {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: Random,
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    hosts: BTreeMap<String, Host>,
    next_inode: u64,
    /// Whether syncs report success without making anything durable.
    lies: bool,
}

#[derive(Debug, Default)]
struct Host {
    fault: DiskFault,
    delay_ms: u64,
    /// Number of changes before the change in whose middle the power is lost.
    power_lasts: Option<u64>,
    /// The host has no power: no change succeeds until the power is back.
    dark: bool,
    /// Whether a bit was flipped.
    damaged: bool,
    /// Whether the end of the log was taken away.
    log_cut: bool,
    changes: u64,
    footprint: DiskFootprint,
}

/// The files of some hosts at one moment.
#[derive(Debug, Clone)]
pub struct Backup {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

#[derive(Debug, Default)]
struct Inode {
    host: String,
    bytes: FileBytes,
}

/// Returns the host on whose disk a path is.
fn host_of(path: &Path) -> String {
    path.iter().nth(1).map_or_else(String::new, |part| part.to_string_lossy().into_owned())
}

fn io_error(text: &str) -> io::Error {
    io::Error::other(text.to_owned())
}

impl Disks {
    /// Empty disks. Which unsynced changes a power loss takes away depends on `seed`.
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: Random::new(seed, "disk"),
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            hosts: BTreeMap::new(),
            next_inode: 1,
            lies: false,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the fault of a host's disk, from now on.
    pub fn set_fault(&self, host: &str, fault: DiskFault) {
        self.state().host(host).fault = fault;
    }

    /// From now on syncs do nothing, as if the product forgot them. Runs must find this planted bug.
    pub fn lie(&self) {
        self.state().lies = true;
    }

    /// From now on, every request to the writer of the log takes this many milliseconds.
    pub fn set_delay(&self, host: &str, milliseconds: u64) {
        self.state().host(host).delay_ms = milliseconds;
    }

    /// Returns the delay of a host's disk, in milliseconds.
    pub fn delay_ms(&self, host: &str) -> u64 {
        self.state().host(host).delay_ms
    }

    /// The host loses its power in the middle of the n-th change from now on, counted from 0.
    pub fn lose_power_after(&self, host: &str, changes: u64) {
        self.state().host(host).power_lasts = Some(changes);
    }

    /// Returns the hosts that have no power.
    pub fn dark_hosts(&self) -> BTreeSet<String> {
        self.state().hosts.iter().filter(|(_, disk)| disk.dark).map(|(host, _)| host.clone()).collect()
    }

    /// The host loses its power now.
    pub fn lose_power(&self, host: &str) {
        let mut state = self.state();
        if !state.host(host).dark {
            state.go_dark(host);
        }
    }

    /// Restores the power. The disk has what the power loss left.
    pub fn restore_power(&self, host: &str) {
        let mut state = self.state();
        let host = state.host(host);
        host.dark = false;
        host.power_lasts = None;
    }

    /// Empties a host's disk, as if the host was a new machine.
    pub fn wipe(&self, host: &str) {
        let mut state = self.state();
        state.names.retain(|path, _| host_of(path) != host);
        state.durable_names.retain(|path, _| host_of(path) != host);
        state.inodes.retain(|_, inode| inode.host != host);
        let host = state.host(host);
        (host.damaged, host.log_cut) = (false, false);
    }

    /// Returns the files of these hosts as readers see them now.
    pub fn back_up(&self, hosts: &[String]) -> Backup {
        let state = self.state();
        let here = state.names.iter().filter(|(path, _)| hosts.contains(&host_of(path)));
        let bytes = |inode: &u64| state.inodes.get(inode).map(|inode| inode.bytes.current().to_vec());
        Backup { files: here.filter_map(|(path, inode)| Some((path.clone(), bytes(inode)?))).collect() }
    }

    /// Replaces all files of these hosts, whose processes must be down.
    pub fn put_back(&self, hosts: &[String], backup: &Backup) {
        hosts.iter().for_each(|host| self.wipe(host));
        let mut state = self.state();
        for (path, bytes) in &backup.files {
            state.create(path.clone(), bytes);
        }
    }

    /// Copies all files of one host to the same places on another.
    pub fn copy(&self, from: &str, to: &str) {
        let Backup { files } = self.back_up(&[from.to_owned()]);
        let moved = |path: &Path| Path::new("/").join(to).join(path.iter().skip(2).collect::<PathBuf>());
        let files = files.into_iter().map(|(path, bytes)| (moved(&path), bytes)).collect();
        self.put_back(&[to.to_owned()], &Backup { files });
    }

    /// Zeros the second half of what was written to the last segment of a host's log. Its process must be down. Returns false if
    /// there is too little.
    pub fn lose_log_tail(&self, host: &str) -> bool {
        let mut state = self.state();
        let segments = state.names.iter().filter(|(path, _)| host_of(path) == host && path.extension() == Some("log".as_ref()));
        let Some(inode) = segments.max().map(|(_, inode)| *inode) else { return false };
        let Some(Inode { bytes, .. }) = state.inodes.get_mut(&inode) else { return false };
        let end = bytes.current().iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if end < 256 {
            return false;
        }
        bytes.write(end as u64 / 2, &vec![0; end - end / 2]);
        bytes.sync();
        let own = state.host(host);
        (own.damaged, own.log_cut) = (true, true);
        true
    }

    /// Returns whether the end of a host's log was taken away.
    pub fn is_log_cut(&self, host: &str) -> bool {
        self.state().host(host).log_cut
    }

    /// Flips a bit of an old write in a file of a host, whose process must be down. The bit is neither at the end of the file nor
    /// in the vote or the mark, where damage can't be told from a write that a power loss tore. Returns false if there is no such bit.
    pub fn flip_a_bit(&self, host: &str) -> bool {
        let mut state = self.state();
        let written = |inode: &Inode| inode.bytes.current().iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1) / 2;
        let names: Vec<u64> = state
            .durable_names
            .iter()
            .filter(|(path, _)| host_of(path) == host && !path.ends_with("vote") && !path.ends_with("acknowledged"))
            .map(|(_, inode)| *inode)
            .collect();
        let files: Vec<u64> =
            names.into_iter().filter(|name| state.inodes.get(name).is_some_and(|file| written(file) > 64)).collect();
        if files.is_empty() {
            return false;
        }
        let (name, bits) = (*state.random.pick(&files), state.random.bits());
        let path = state.durable_names.iter().find_map(|(path, inode)| (*inode == name).then(|| path.display().to_string()));
        let Some(inode) = state.inodes.get_mut(&name) else { return false };
        let at = (bits >> 3) as usize % written(inode);
        inode.bytes.flip(at, (bits & 7) as u8);
        tracing::info!(path, at, "a bit flips");
        state.host(host).damaged = true;
        true
    }

    /// Returns whether a bit of a host's disk was flipped.
    pub fn is_damaged(&self, host: &str) -> bool {
        self.state().host(host).damaged
    }

    /// Returns what happened to a host's disk so far.
    pub fn footprint(&self, host: &str) -> DiskFootprint {
        self.state().host(host).footprint
    }

    /// Returns the number of changes made to a host's disk so far. Each is a point at which the power can be lost.
    pub fn changes(&self, host: &str) -> u64 {
        self.state().host(host).changes
    }
}

impl State {
    fn host(&mut self, host: &str) -> &mut Host {
        self.hosts.entry(host.to_owned()).or_default()
    }

    /// Creates a file that is durable at once.
    fn create(&mut self, path: PathBuf, content: &[u8]) {
        let mut bytes = FileBytes::default();
        bytes.write(0, content);
        bytes.sync();
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, Inode { host: host_of(&path), bytes });
        self.names.insert(path.clone(), inode);
        self.durable_names.insert(path, inode);
    }

    /// Called before a change. Fails if the disk does not accept it; `grows` says whether it needs space.
    fn change(&mut self, host: &str, grows: bool) -> io::Result<()> {
        let own = self.host(host);
        if own.dark {
            return Err(io_error("the power is gone"));
        }
        own.changes += 1;
        if let Some(left) = &mut own.power_lasts {
            if *left == 0 {
                self.go_dark(host);
                return Err(io_error("the power is gone"));
            }
            *left -= 1;
        }
        let own = self.host(host);
        if grows && own.fault == DiskFault::Full {
            own.footprint.refused += 1;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    /// Cuts the power of a host, and decides which unsynced changes are lost.
    fn go_dark(&mut self, host: &str) {
        let mut lost = 0;
        for inode in self.inodes.values_mut().filter(|inode| inode.host == host) {
            inode.bytes.lose_power(|newest| {
                let fate = match newest {
                    // The last write may be torn.
                    Some(length) if self.random.chance(500) => Fate::Torn(self.random.between(0, length as u64 + 1) as usize),
                    _ if self.random.chance(500) => return Fate::Survives,
                    _ => Fate::Lost,
                };
                lost += 1;
                fate
            });
        }
        let on_host = |path: &Path| host_of(path) == host;
        let differ =
            self.names.iter().filter(|(path, _)| on_host(path)).ne(self.durable_names.iter().filter(|(path, _)| on_host(path)));
        if differ {
            // The file system may have written its journal without being asked.
            let (keep, drop) = match self.random.chance(500) {
                true => (self.names.clone(), &mut self.durable_names),
                false => (self.durable_names.clone(), &mut self.names),
            };
            drop.retain(|path, _| !on_host(path));
            drop.extend(keep.into_iter().filter(|(path, _)| on_host(path)));
            lost += 1;
        }
        let own = self.host(host);
        own.dark = true;
        own.footprint.lost += lost;
    }
}

impl SimulatedDisk for Disks {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn SimulatedFile>> {
        let host = host_of(path);
        let mut state = self.state();
        let known = state.names.get(path).copied();
        let inode = match (known, mode) {
            (None, OpenMode::Existing) => return Err(io::Error::from(io::ErrorKind::NotFound)),
            (Some(_), OpenMode::CreateNew) => return Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            (Some(inode), OpenMode::Truncate) => {
                state.change(&host, false)?;
                if let Some(file) = state.inodes.get_mut(&inode) {
                    file.bytes.set_length(0);
                }
                inode
            }
            (Some(inode), _) => inode,
            (None, _) => {
                state.change(&host, true)?;
                let inode = state.next_inode;
                state.next_inode += 1;
                state.inodes.insert(inode, Inode { host, ..Inode::default() });
                state.names.insert(path.to_owned(), inode);
                inode
            }
        };
        Ok(Arc::new(File { disks: self.clone(), inode }))
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.state().names.contains_key(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change(&host_of(to), false)?;
        let inode = state.names.remove(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change(&host_of(path), false)?;
        state.names.remove(path).map(|_| ()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.state().names.keys().filter(|path| path.parent() == Some(directory)).cloned().collect())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change(&host_of(directory), false)?;
        state.durable_names.retain(|path, _| path.parent() != Some(directory));
        let names = state.names.iter().filter(|(path, _)| path.parent() == Some(directory));
        let names: Vec<_> = names.map(|(path, inode)| (path.clone(), *inode)).collect();
        state.durable_names.extend(names);
        Ok(())
    }
}

struct File {
    disks: Disks,
    inode: u64,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File({})", self.inode)
    }
}

impl File {
    fn change(&self, change: impl FnOnce(&mut FileBytes)) -> io::Result<()> {
        let mut state = self.disks.state();
        let host = state.inodes.get(&self.inode).map(|inode| inode.host.clone()).ok_or_else(gone)?;
        // If the power is lost in the middle of this change, the change is in flight and part of it may survive.
        let dies = state.host(&host).power_lasts == Some(0);
        if dies && let Some(inode) = state.inodes.get_mut(&self.inode) {
            change(&mut inode.bytes);
            return state.change(&host, true);
        }
        state.change(&host, true)?;
        change(&mut state.inodes.get_mut(&self.inode).ok_or_else(gone)?.bytes);
        Ok(())
    }
}

fn gone() -> io::Error {
    io_error("the disk was emptied")
}

impl SimulatedFile for File {
    fn length(&self) -> io::Result<u64> {
        self.disks.state().inodes.get(&self.inode).map(|inode| inode.bytes.current().len() as u64).ok_or_else(gone)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(|file| file.set_length(length))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disks.state();
        let bytes = state.inodes.get(&self.inode).ok_or_else(gone)?.bytes.current();
        let start = offset as usize;
        let part = bytes.get(start..start + buffer.len()).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buffer.copy_from_slice(part);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(|file| file.write(offset, bytes))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disks.state();
        let host = state.inodes.get(&self.inode).map(|inode| inode.host.clone()).ok_or_else(gone)?;
        state.change(&host, false)?;
        let own = state.host(&host);
        if own.fault == DiskFault::FailNextSync {
            own.fault = DiskFault::None;
            own.footprint.refused += 1;
            return Err(io_error("the disk could not sync"));
        }
        own.footprint.syncs += 1;
        if state.lies {
            return Ok(());
        }
        state.inodes.get_mut(&self.inode).ok_or_else(gone)?.bytes.sync();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(disks: &Disks, path: &str, bytes: &[u8]) -> Arc<dyn SimulatedFile> {
        let file = disks.open(Path::new(path), OpenMode::CreateIfAbsent).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    fn content(disks: &Disks, path: &str) -> Option<Vec<u8>> {
        let file = disks.open(Path::new(path), OpenMode::Existing).ok()?;
        let mut bytes = vec![0; file.length().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        Some(bytes)
    }

    #[test]
    fn a_power_loss_keeps_synced_bytes_and_may_lose_unsynced_ones() {
        let mut kept = 0;
        for seed in 0..64 {
            let disks = Disks::new(seed);
            write(&disks, "/a/x", b"synced").sync().unwrap();
            disks.sync_directory(Path::new("/a")).unwrap();
            write(&disks, "/a/x", b"SYNCED");
            write(&disks, "/b/x", b"other");
            disks.lose_power("/a".trim_start_matches('/'));
            assert!(disks.open(Path::new("/a/y"), OpenMode::CreateNew).is_err());
            disks.restore_power("a");
            let found = content(&disks, "/a/x").unwrap();
            assert!(found.eq_ignore_ascii_case(b"synced"), "{found:?}");
            kept += u32::from(found == b"SYNCED");
            assert_eq!(content(&disks, "/b/x").unwrap(), b"other");
        }
        assert!((1..64).contains(&kept));
    }

    #[test]
    fn a_name_is_durable_only_with_its_directory() {
        let lost = (0..64).filter(|seed| {
            let disks = Disks::new(*seed);
            write(&disks, "/a/x", b"synced").sync().unwrap();
            disks.lose_power("a");
            disks.restore_power("a");
            content(&disks, "/a/x").is_none()
        });
        assert!((1..64).contains(&lost.count()));
    }

    #[test]
    fn each_fault_takes_effect() {
        let disks = Disks::new(1);
        let file = write(&disks, "/a/x", b"x");
        disks.set_fault("a", DiskFault::FailNextSync);
        assert!(file.sync().is_err());
        assert!(file.sync().is_ok());
        disks.set_fault("a", DiskFault::Full);
        assert_eq!(file.write_all_at(b"y", 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
        disks.set_fault("a", DiskFault::None);
        disks.lose_power_after("a", 1);
        assert!(file.write_all_at(b"y", 1).is_ok());
        assert!(file.sync().is_err());
        assert!(disks.dark_hosts().contains("a"));
    }
}
