//! The contents of a disk: what is on it, which part is durable, and what a power loss leaves of the rest. Pure.
//!
//! A sync of a file makes its earlier writes durable. A sync of a directory makes its earlier name changes durable: new, removed
//! and renamed names. Until then, a power loss may undo a write or a name change, as the seed decides. Of the writes to a file,
//! any may be lost, and the newest may survive in part. Of the changes in a directory, the newest are lost, because they go
//! through a journal. A sync of a file does not make its name durable, although some file systems do this.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use weir_verdict::file_bytes::{Fate, FileBytes};
use weir_verdict::random::Random;

/// Number of a file or directory. A number is never used again.
pub type NodeId = u64;
/// The answer of a file system: a value, or an error number.
pub type Answer<T> = Result<T, Errno>;
/// The topmost directory.
pub const ROOT: NodeId = 1;

/// How likely an unsynced change survives a power loss, in thousandths. Each power loss draws one of these.
const SURVIVAL: [u64; 4] = [0, 500, 500, 900];

/// What a power loss did, in numbers of changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// Writes and name changes that no sync had made durable.
    pub at_stake: u64,
    /// Of those, the changes that were lost.
    pub lost: u64,
    /// Of the lost ones, the writes that survived in part.
    pub torn: u64,
}

/// The attributes of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    pub node: NodeId,
    pub directory: bool,
    /// Length in bytes.
    pub length: u64,
    pub mode: u32,
}

/// All files and directories of a disk.
#[derive(Debug)]
pub struct Contents {
    random: Random,
    nodes: BTreeMap<NodeId, Node>,
    /// Name changes that are not durable, oldest first.
    journal: Vec<NameChange>,
    next: NodeId,
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    mode: u32,
    /// How many times it is open.
    open: u64,
}

#[derive(Debug)]
enum Kind {
    File(FileBytes),
    Directory(Names),
}

#[derive(Debug, Default)]
struct Names {
    current: BTreeMap<OsString, NodeId>,
    durable: BTreeMap<OsString, NodeId>,
}

/// A name in this directory.
type Place = (NodeId, OsString);

/// From now on, each of these names means this node, or nothing. The change happens as a whole.
#[derive(Debug, Clone)]
struct NameChange(Vec<(Place, Option<NodeId>)>);

impl NameChange {
    fn directories(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().map(|((directory, _), _)| *directory)
    }
}

impl Contents {
    /// A disk that has nothing but the topmost directory. What a power loss leaves follows from the seed.
    pub fn new(seed: u64) -> Self {
        let root = Node { kind: Kind::Directory(Names::default()), mode: 0o755, open: 0 };
        Self {
            random: Random::new(seed, "lossy disk"),
            nodes: BTreeMap::from([(ROOT, root)]),
            journal: Vec::new(),
            next: ROOT + 1,
        }
    }

    fn node(&self, node: NodeId) -> Answer<&Node> {
        self.nodes.get(&node).ok_or(Errno::ENOENT)
    }

    fn names(&self, directory: NodeId) -> Answer<&BTreeMap<OsString, NodeId>> {
        match &self.node(directory)?.kind {
            Kind::Directory(names) => Ok(&names.current),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn bytes(&self, file: NodeId) -> Answer<&FileBytes> {
        match &self.node(file)?.kind {
            Kind::File(bytes) => Ok(bytes),
            Kind::Directory(_) => Err(Errno::EISDIR),
        }
    }

    fn bytes_mut(&mut self, file: NodeId) -> Answer<&mut FileBytes> {
        match &mut self.nodes.get_mut(&file).ok_or(Errno::ENOENT)?.kind {
            Kind::File(bytes) => Ok(bytes),
            Kind::Directory(_) => Err(Errno::EISDIR),
        }
    }

    /// The attributes of a node.
    pub fn attributes(&self, node: NodeId) -> Answer<Attributes> {
        let found = self.node(node)?;
        let (directory, length) = match &found.kind {
            Kind::File(bytes) => (false, bytes.current().len() as u64),
            Kind::Directory(_) => (true, 0),
        };
        Ok(Attributes { node, directory, length, mode: found.mode })
    }

    /// The node with this name in a directory.
    pub fn lookup(&self, directory: NodeId, name: &OsStr) -> Answer<NodeId> {
        self.names(directory)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// Names in a directory, in order.
    pub fn list(&self, directory: NodeId) -> Answer<Vec<(OsString, Attributes)>> {
        let names = self.names(directory)?.iter();
        names.map(|(name, node)| Ok((name.clone(), self.attributes(*node)?))).collect()
    }

    /// Creates an empty file or directory.
    pub fn create(&mut self, directory: NodeId, name: &OsStr, mode: u32, is_directory: bool) -> Answer<NodeId> {
        if self.names(directory)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let kind = if is_directory { Kind::Directory(Names::default()) } else { Kind::File(FileBytes::default()) };
        let node = self.next;
        self.next += 1;
        self.nodes.insert(node, Node { kind, mode, open: 0 });
        self.change_names(vec![((directory, name.to_owned()), Some(node))]);
        Ok(node)
    }

    /// Removes the name of a file, or of an empty directory.
    pub fn remove(&mut self, directory: NodeId, name: &OsStr, is_directory: bool) -> Answer<()> {
        let node = self.lookup(directory, name)?;
        self.may_go(node, is_directory)?;
        self.change_names(vec![((directory, name.to_owned()), None)]);
        self.sweep();
        Ok(())
    }

    fn may_go(&self, node: NodeId, is_directory: bool) -> Answer<()> {
        match (&self.node(node)?.kind, is_directory) {
            (Kind::File(_), true) => Err(Errno::ENOTDIR),
            (Kind::Directory(_), false) => Err(Errno::EISDIR),
            (Kind::Directory(names), true) if !names.current.is_empty() => Err(Errno::ENOTEMPTY),
            _ => Ok(()),
        }
    }

    /// Renames a node. What had the new name before is replaced, but if `keep` is set, this is an error.
    pub fn rename(&mut self, from: (NodeId, &OsStr), to: (NodeId, &OsStr), keep: bool) -> Answer<()> {
        let node = self.lookup(from.0, from.1)?;
        match self.lookup(to.0, to.1) {
            Ok(_) if keep => return Err(Errno::EEXIST),
            Ok(there) if there == node => return Ok(()),
            Ok(there) => self.may_go(there, self.attributes(node)?.directory)?,
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
        self.change_names(vec![((from.0, from.1.to_owned()), None), ((to.0, to.1.to_owned()), Some(node))]);
        self.sweep();
        Ok(())
    }

    fn change_names(&mut self, change: Vec<(Place, Option<NodeId>)>) {
        for ((directory, name), node) in &change {
            if let Some(names) = self.names_mut(*directory) {
                set(&mut names.current, name, *node);
            }
        }
        self.journal.push(NameChange(change));
    }

    fn names_mut(&mut self, directory: NodeId) -> Option<&mut Names> {
        match &mut self.nodes.get_mut(&directory)?.kind {
            Kind::Directory(names) => Some(names),
            Kind::File(_) => None,
        }
    }

    /// Sets the permissions of a node.
    pub fn set_mode(&mut self, node: NodeId, mode: u32) -> Answer<()> {
        self.nodes.get_mut(&node).ok_or(Errno::ENOENT)?.mode = mode & 0o7777;
        Ok(())
    }

    /// Counts how often a node is open: `by` is 1 when it is opened, and -1 when it is closed.
    pub fn opened(&mut self, node: NodeId, by: i64) -> Answer<()> {
        let found = self.nodes.get_mut(&node).ok_or(Errno::ENOENT)?;
        found.open = found.open.saturating_add_signed(by);
        if by < 0 {
            self.sweep();
        }
        Ok(())
    }

    /// At most `length` bytes of a file, from `offset` on.
    pub fn read(&self, file: NodeId, offset: u64, length: usize) -> Answer<&[u8]> {
        let bytes = self.bytes(file)?.current();
        let start = (offset as usize).min(bytes.len());
        Ok(&bytes[start..start.saturating_add(length).min(bytes.len())])
    }

    /// Writes bytes to a file.
    pub fn write(&mut self, file: NodeId, offset: u64, bytes: &[u8]) -> Answer<()> {
        self.bytes_mut(file)?.write(offset, bytes);
        Ok(())
    }

    /// Truncates a file, or extends it with zeros.
    pub fn set_length(&mut self, file: NodeId, length: u64) -> Answer<()> {
        self.bytes_mut(file)?.set_length(length);
        Ok(())
    }

    /// Makes a file's bytes durable, or a directory's names.
    pub fn sync(&mut self, node: NodeId) -> Answer<()> {
        match &mut self.nodes.get_mut(&node).ok_or(Errno::ENOENT)?.kind {
            Kind::File(bytes) => bytes.sync(),
            Kind::Directory(_) => self.sync_directory(node),
        }
        Ok(())
    }

    /// Makes a sync fail. If `dropped` is set, the file system treats the unwritten bytes as written: no later sync writes them.
    pub fn fail_sync(&mut self, node: NodeId, dropped: bool) {
        if let (true, Ok(bytes)) = (dropped, self.bytes_mut(node)) {
            bytes.drop_unsynced();
        }
    }

    fn sync_directory(&mut self, directory: NodeId) {
        // A rename between directories happens in both of them, or in neither.
        let mut synced = BTreeSet::from([directory]);
        loop {
            let before = synced.len();
            for change in &self.journal {
                if change.directories().any(|directory| synced.contains(&directory)) {
                    synced.extend(change.directories());
                }
            }
            if synced.len() == before {
                break;
            }
        }
        let (durable, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.journal)
            .into_iter()
            .partition(|change| change.directories().any(|directory| synced.contains(&directory)));
        self.journal = rest;
        durable.into_iter().for_each(|change| self.make_durable(change));
        self.sweep();
    }

    fn make_durable(&mut self, change: NameChange) {
        for ((directory, name), node) in change.0 {
            if let Some(names) = self.names_mut(directory) {
                set(&mut names.durable, &name, node);
            }
        }
    }

    /// Number of writes and name changes that are not durable, of one node or of all.
    pub fn unsynced(&self, node: Option<NodeId>) -> u64 {
        let wanted = |id: NodeId| node.is_none_or(|node| node == id);
        let written = self.nodes.iter().filter(|(id, _)| wanted(**id)).map(|(_, node)| match &node.kind {
            Kind::File(bytes) => bytes.unsynced(),
            Kind::Directory(_) => 0,
        });
        let renamed = self.journal.iter().filter(|change| change.directories().any(wanted)).count();
        written.sum::<u64>() + renamed as u64
    }

    /// Loses power: every change that was not synced is lost, or survives.
    pub fn lose_power(&mut self) -> Loss {
        let mut loss = Loss { at_stake: self.unsynced(None), ..Loss::default() };
        let survives = *self.random.pick(&SURVIVAL);
        for node in self.nodes.values_mut() {
            if let Kind::File(bytes) = &mut node.kind {
                bytes.lose_power(|newest| fate(newest, &self.random, survives, &mut loss));
            }
            node.open = 0;
        }
        // If one journal serves all directories, no change survives that came after a lost one. Otherwise, this holds within a
        // directory.
        let one_journal = self.random.chance(500);
        let mut ended = BTreeSet::new();
        for change in std::mem::take(&mut self.journal) {
            let cut = change.directories().any(|directory| ended.contains(&directory)) || (one_journal && !ended.is_empty());
            if cut || !self.random.chance(survives) {
                ended.extend(change.directories());
                loss.lost += 1;
            } else {
                self.make_durable(change);
            }
        }
        for node in self.nodes.values_mut() {
            if let Kind::Directory(names) = &mut node.kind {
                names.current = names.durable.clone();
            }
        }
        self.sweep();
        loss
    }

    /// Flips a bit in the durable bytes of a file, and returns the file's path and the position of the byte. `spoils` gets the
    /// path and the bytes of each file, and returns where a bit may flip. `None` if there is no such place.
    pub fn flip_a_bit(&mut self, spoils: impl Fn(&Path, &[u8]) -> Option<Range<usize>>) -> Option<(PathBuf, usize)> {
        let files = self.files();
        let targets: Vec<_> = files
            .into_iter()
            .filter_map(|(path, node)| {
                let durable = self.bytes(node).ok()?.durable();
                let range = spoils(&path, durable).filter(|range| !range.is_empty() && range.end <= durable.len())?;
                Some((path, node, range))
            })
            .collect();
        if targets.is_empty() {
            return None;
        }
        let (path, node, range) = self.random.pick(&targets).clone();
        let at = self.random.between(range.start as u64, range.end as u64) as usize;
        let bit = self.random.between(0, 8) as u8;
        self.bytes_mut(node).ok()?.flip(at, bit);
        Some((path, at))
    }

    /// Empties the disk, so that it is like a new one.
    pub fn wipe(&mut self) {
        self.journal.clear();
        self.nodes.retain(|node, _| *node == ROOT);
        if let Some(names) = self.names_mut(ROOT) {
            *names = Names::default();
        }
    }

    /// Every file, with its path below the topmost directory.
    fn files(&self) -> Vec<(PathBuf, NodeId)> {
        let (mut files, mut open) = (Vec::new(), vec![(PathBuf::new(), ROOT)]);
        while let Some((path, node)) = open.pop() {
            match self.nodes.get(&node).map(|node| &node.kind) {
                Some(Kind::Directory(names)) => open.extend(names.current.iter().map(|(name, node)| (path.join(name), *node))),
                Some(Kind::File(_)) => files.push((path, node)),
                None => {}
            }
        }
        files
    }

    /// Removes nodes that can't be reached any more: by a name, by an earlier name that a power loss may restore, or as an open
    /// file.
    fn sweep(&mut self) {
        let mut open: Vec<NodeId> = self.nodes.iter().filter(|(_, node)| node.open > 0).map(|(node, _)| *node).collect();
        open.push(ROOT);
        open.extend(self.journal.iter().flat_map(|change| change.0.iter().filter_map(|(_, node)| *node)));
        let mut reached = BTreeSet::new();
        while let Some(node) = open.pop() {
            if reached.insert(node)
                && let Some(Node { kind: Kind::Directory(names), .. }) = self.nodes.get(&node)
            {
                open.extend(names.current.values().chain(names.durable.values()));
            }
        }
        self.nodes.retain(|node, _| reached.contains(node));
    }
}

/// Each unsynced change survives this many times in a thousand. The newest write may survive in part.
fn fate(newest: Option<usize>, random: &Random, survives: u64, loss: &mut Loss) -> Fate {
    if let Some(length) = newest.filter(|length| *length > 1)
        && random.chance(500)
    {
        loss.lost += 1;
        loss.torn += 1;
        return Fate::Torn(random.between(1, length as u64) as usize);
    }
    if random.chance(survives) {
        return Fate::Survives;
    }
    loss.lost += 1;
    Fate::Lost
}

fn set(names: &mut BTreeMap<OsString, NodeId>, name: &OsStr, node: Option<NodeId>) {
    match node {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: u64 = 200;

    fn create(contents: &mut Contents, name: &str, bytes: &[u8]) -> NodeId {
        let node = contents.create(ROOT, OsStr::new(name), 0o644, false).unwrap();
        contents.write(node, 0, bytes).unwrap();
        node
    }

    fn names(contents: &Contents) -> Vec<String> {
        contents.list(ROOT).unwrap().into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
    }

    fn content(contents: &Contents, name: &str) -> Option<Vec<u8>> {
        let node = contents.lookup(ROOT, OsStr::new(name)).ok()?;
        Some(contents.read(node, 0, usize::MAX).unwrap().to_vec())
    }

    /// How often each outcome occurs, over many seeds.
    fn outcomes<T: Ord>(run: impl Fn(u64) -> T) -> BTreeMap<T, usize> {
        (0..SEEDS).fold(BTreeMap::new(), |mut counts, seed| {
            *counts.entry(run(seed)).or_default() += 1;
            counts
        })
    }

    #[test]
    fn synced_bytes_survive_and_unsynced_bytes_may_survive() {
        let seen = outcomes(|seed| {
            let mut disk = Contents::new(seed);
            let node = create(&mut disk, "x", b"synced");
            disk.sync(node).unwrap();
            disk.sync(ROOT).unwrap();
            disk.write(node, 0, b"SYNCED").unwrap();
            assert_eq!(disk.unsynced(None), 1);
            let loss = disk.lose_power();
            assert_eq!(disk.unsynced(None), 0);
            let found = content(&disk, "x").unwrap();
            assert!(found.eq_ignore_ascii_case(b"synced"), "{found:?}");
            let kept = found.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
            assert_eq!((loss.at_stake, loss.lost), (1, u64::from(kept < 6)));
            kept
        });
        assert!(seen.contains_key(&0) && seen.contains_key(&6) && seen.len() > 2, "lost, kept and torn: {seen:?}");
    }

    #[test]
    fn only_a_sync_of_the_directory_makes_a_name_durable() {
        let seen = outcomes(|seed| {
            let mut disk = Contents::new(seed);
            let node = create(&mut disk, "x", b"synced");
            disk.sync(node).unwrap();
            disk.lose_power();
            content(&disk, "x")
        });
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), [None, Some(b"synced".to_vec())]);
    }

    #[test]
    fn a_file_with_a_durable_name_may_be_empty_if_it_was_not_synced() {
        let seen = outcomes(|seed| {
            let mut disk = Contents::new(seed);
            create(&mut disk, "x", b"not synced");
            disk.sync(ROOT).unwrap();
            disk.lose_power();
            content(&disk, "x").expect("the name exists").len()
        });
        assert!(seen.contains_key(&0) && seen.contains_key(&10), "{seen:?}");
    }

    #[test]
    fn a_rename_happens_as_a_whole_and_the_replaced_file_may_come_back() {
        let seen = outcomes(|seed| {
            let mut disk = Contents::new(seed);
            let old = create(&mut disk, "x", b"old");
            let new = create(&mut disk, "x.new", b"new");
            disk.sync(old).unwrap();
            disk.sync(new).unwrap();
            disk.sync(ROOT).unwrap();
            disk.rename((ROOT, OsStr::new("x.new")), (ROOT, OsStr::new("x")), false).unwrap();
            assert_eq!(content(&disk, "x").unwrap(), b"new");
            disk.lose_power();
            (content(&disk, "x").unwrap(), names(&disk).len())
        });
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), [(b"new".to_vec(), 1), (b"old".to_vec(), 2)]);
    }

    #[test]
    fn changes_of_a_directory_are_lost_from_the_newest_on() {
        let seen = outcomes(|seed| {
            let mut disk = Contents::new(seed);
            create(&mut disk, "a", b"");
            create(&mut disk, "b", b"");
            disk.remove(ROOT, OsStr::new("a"), false).unwrap();
            disk.lose_power();
            names(&disk).concat()
        });
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), ["", "a", "ab", "b"]);
    }

    #[test]
    fn an_unsynced_removal_may_be_undone_and_a_synced_one_may_not() {
        let removed = |sync: bool| {
            outcomes(|seed| {
                let mut disk = Contents::new(seed);
                let node = create(&mut disk, "x", b"bytes");
                disk.sync(node).unwrap();
                disk.sync(ROOT).unwrap();
                disk.remove(ROOT, OsStr::new("x"), false).unwrap();
                if sync {
                    disk.sync(ROOT).unwrap();
                    assert_eq!(disk.nodes.len(), 1, "the file can't be reached any more");
                }
                disk.lose_power();
                content(&disk, "x")
            })
        };
        assert_eq!(removed(false).into_keys().collect::<Vec<_>>(), [None, Some(b"bytes".to_vec())]);
        assert_eq!(removed(true).into_keys().collect::<Vec<_>>(), [None]);
    }

    #[test]
    fn the_files_of_a_lost_directory_are_lost() {
        for seed in 0..SEEDS {
            let mut disk = Contents::new(seed);
            let directory = disk.create(ROOT, OsStr::new("d"), 0o755, true).unwrap();
            let file = disk.create(directory, OsStr::new("x"), 0o644, false).unwrap();
            disk.sync(file).unwrap();
            disk.sync(directory).unwrap();
            assert_eq!(disk.remove(ROOT, OsStr::new("d"), true), Err(Errno::ENOTEMPTY));
            disk.lose_power();
            match disk.lookup(ROOT, OsStr::new("d")) {
                Ok(found) => assert_eq!(disk.lookup(found, OsStr::new("x")), Ok(file)),
                Err(_) => assert_eq!(disk.nodes.len(), 1),
            }
        }
    }

    #[test]
    fn a_rename_between_directories_is_durable_with_either() {
        let mut disk = Contents::new(1);
        let directory = disk.create(ROOT, OsStr::new("d"), 0o755, true).unwrap();
        create(&mut disk, "x", b"");
        disk.sync(ROOT).unwrap();
        disk.rename((ROOT, OsStr::new("x")), (directory, OsStr::new("y")), false).unwrap();
        disk.sync(directory).unwrap();
        assert_eq!(disk.unsynced(None), 0);
        disk.lose_power();
        assert!(disk.lookup(directory, OsStr::new("y")).is_ok() && content(&disk, "x").is_none());
    }

    #[test]
    fn bytes_that_a_failed_sync_dropped_are_visible_until_a_power_loss_and_never_written() {
        let after = |dropped: bool| {
            let mut disk = Contents::new(1);
            let node = create(&mut disk, "x", b"old");
            disk.sync(node).unwrap();
            disk.sync(ROOT).unwrap();
            disk.write(node, 0, b"new").unwrap();
            disk.fail_sync(node, dropped);
            assert_eq!(content(&disk, "x").unwrap(), b"new");
            disk.sync(node).unwrap();
            disk.lose_power();
            content(&disk, "x").unwrap()
        };
        assert_eq!(after(true), b"old");
        assert_eq!(after(false), b"new");
    }

    #[test]
    fn a_flipped_bit_is_in_the_given_range_and_survives() {
        let mut disk = Contents::new(1);
        let node = create(&mut disk, "x", &[0; 100]);
        create(&mut disk, "y", &[0; 100]);
        disk.sync(node).unwrap();
        disk.sync(ROOT).unwrap();
        assert_eq!(disk.flip_a_bit(|_, _| None), None);
        let (path, at) = disk.flip_a_bit(|path, _| path.ends_with("x").then_some(10..20)).unwrap();
        assert_eq!((path, (10..20).contains(&at)), (PathBuf::from("x"), true));
        disk.lose_power();
        let bytes = content(&disk, "x").unwrap();
        assert_eq!((bytes.iter().filter(|byte| **byte != 0).count(), bytes[at].count_ones()), (1, 1));
        // A file that was never synced has no durable bytes to flip.
        assert_eq!(disk.flip_a_bit(|path, _| path.ends_with("y").then_some(0..100)), None);
    }

    #[test]
    fn an_open_file_outlives_its_name() {
        let mut disk = Contents::new(1);
        let node = create(&mut disk, "x", b"bytes");
        disk.opened(node, 1).unwrap();
        disk.remove(ROOT, OsStr::new("x"), false).unwrap();
        disk.sync(ROOT).unwrap();
        assert_eq!(disk.read(node, 0, 9).unwrap(), b"bytes");
        disk.opened(node, -1).unwrap();
        assert_eq!(disk.read(node, 0, 9), Err(Errno::ENOENT));
    }

    #[test]
    fn the_same_seed_loses_the_same() {
        let run = |seed| {
            let mut disk = Contents::new(seed);
            let nodes: Vec<_> = (0..5).map(|number| create(&mut disk, &number.to_string(), &[number; 50])).collect();
            disk.sync(nodes[2]).unwrap();
            let loss = disk.lose_power();
            let files: Vec<_> = (0..5).map(|number: u8| content(&disk, &number.to_string())).collect();
            (loss, files)
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
