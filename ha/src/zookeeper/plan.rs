//! Turns one or several commits into the writes of one ZooKeeper transaction. Pure.
//!
//! Its input is the state of every znode concerned, as it was read before. ZooKeeper's own conditions compare a znode's data
//! version, which starts again at 0 when a znode is created again. So the expectations of a commit are checked here instead,
//! against the id of the transaction that wrote the znode last. The ZooKeeper transaction succeeds only if nothing has changed
//! since the read (see `fenced_write.rs`). It also contains the data versions, as a protection against writes without the fence.

use std::collections::{BTreeMap, BTreeSet};

use super::fenced_write::ANY_VERSION;
use super::layout::{Layout, encode_value, parent};
use crate::{Expect, Operation};

/// The state of a znode when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    /// Id of the transaction that wrote it last. This is the key's version.
    pub written: u64,
    /// Number of changes to its data since it was created, as ZooKeeper counts them.
    pub data_version: i32,
    /// Whether it is a key with a value. Otherwise it only nests other znodes.
    pub has_value: bool,
    /// Number of its children.
    pub children: i64,
}

/// Maximum size in bytes of a write in a request without its path and data: header, lengths, version, flags and an access
/// control list.
pub(super) const WRITE_OVERHEAD: usize = 96;

/// One write of the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Write {
    /// Creates a znode that does not exist.
    Create { path: String, data: Vec<u8> },
    /// Replaces the data of a znode that has this data version.
    Set { path: String, data: Vec<u8>, version: i32 },
    /// Removes a znode that has this data version and no children.
    Delete { path: String, version: i32 },
}

impl Write {
    /// The path of the znode that is written.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Create { path, .. } | Self::Set { path, .. } | Self::Delete { path, .. } => path,
        }
    }

    /// Its maximum size in a request, in bytes.
    pub(super) fn weight(&self) -> usize {
        let data = match self {
            Self::Create { data, .. } | Self::Set { data, .. } => data.len(),
            Self::Delete { .. } => 0,
        };
        WRITE_OVERHEAD + self.path().len() + data
    }
}

/// The znodes that the plan for these operations depends on: those of their keys, and all znodes below the store that nest them.
pub(super) fn concerned<'a>(layout: &Layout, operations: impl IntoIterator<Item = &'a Operation>) -> BTreeSet<String> {
    let store = layout.store();
    let mut paths = BTreeSet::new();
    for operation in operations {
        let mut path = layout.key_path(operation.key_and_expect().0);
        while path.len() > store.len() && paths.insert(path.clone()) {
            path.truncate(parent(&path).len());
        }
    }
    paths
}

/// The state of the znodes below the store after the writes that are planned so far.
pub(super) struct Tree {
    store: String,
    nodes: BTreeMap<String, Node>,
    writes: Vec<Write>,
}

impl Tree {
    /// A tree without planned writes. `nodes` holds the znodes of [`concerned`] that exist.
    pub(super) fn new(layout: &Layout, nodes: BTreeMap<String, Node>) -> Self {
        Self { store: layout.store(), nodes, writes: Vec::new() }
    }

    /// Adds the writes of a commit and returns the number of all writes so far. If a key is not as expected, adds none and
    /// returns that key as the error. No two commits of one transaction may have a key in common.
    pub(super) fn plan(&mut self, layout: &Layout, operations: &[Operation]) -> Result<usize, String> {
        for operation in operations {
            let (key, expect) = operation.key_and_expect();
            let found = self.nodes.get(&layout.key_path(key)).filter(|node| node.has_value);
            let as_expected = match expect {
                Expect::Any => true,
                Expect::Absent => found.is_none(),
                Expect::Version(version) => found.is_some_and(|node| node.written == version),
            };
            if !as_expected {
                return Err(key.to_owned());
            }
        }
        let mut deletions = Vec::new();
        for operation in operations {
            match operation {
                Operation::Put { key, value, .. } => self.put(&layout.key_path(key), encode_value(value).into_owned()),
                Operation::Delete { key, .. } => deletions.push(layout.key_path(key)),
            }
        }
        // Nested znodes are deleted first, so that the znodes that nest them can be deleted too.
        deletions.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
        for path in deletions {
            self.delete(&path);
        }
        Ok(self.writes.len())
    }

    /// The writes of all commits, in order.
    pub(super) fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    fn put(&mut self, path: &str, data: Vec<u8>) {
        if let Some(node) = self.nodes.get_mut(path) {
            node.has_value = true;
            // This also holds for a znode that was created earlier in the same transaction.
            self.set(path, data);
            return;
        }
        self.create(path, data, true);
    }

    /// Replaces the data of a znode that exists. Its version must not stay at the one that matches any, or the next write would
    /// not notice a write by hand: see `fenced_write.rs`.
    fn set(&mut self, path: &str, data: Vec<u8>) {
        let Some(node) = self.nodes.get_mut(path) else { return };
        let version = node.data_version;
        node.data_version = version.wrapping_add(1);
        self.writes.push(Write::Set { path: path.to_owned(), data: data.clone(), version });
        if node.data_version == ANY_VERSION {
            node.data_version = node.data_version.wrapping_add(1);
            self.writes.push(Write::Set { path: path.to_owned(), data, version: ANY_VERSION });
        }
    }

    fn create(&mut self, path: &str, data: Vec<u8>, has_value: bool) {
        let above = parent(path).to_owned();
        if above.len() > self.store.len() && !self.nodes.contains_key(&above) {
            self.create(&above, Vec::new(), false);
        }
        if let Some(node) = self.nodes.get_mut(&above) {
            node.children += 1;
        }
        self.nodes.insert(path.to_owned(), Node { written: 0, data_version: 0, has_value, children: 0 });
        self.writes.push(Write::Create { path: path.to_owned(), data });
    }

    fn delete(&mut self, path: &str) {
        let Some(node) = self.nodes.get_mut(path).filter(|node| node.has_value) else { return };
        node.has_value = false;
        if node.children > 0 {
            self.set(path, Vec::new());
        } else {
            self.remove(path);
        }
    }

    /// Removes a znode that has neither a value nor children, and then the znodes that nested only it.
    fn remove(&mut self, path: &str) {
        let Some(node) = self.nodes.remove(path) else { return };
        self.writes.push(Write::Delete { path: path.to_owned(), version: node.data_version });
        let above = parent(path).to_owned();
        if let Some(node) = self.nodes.get_mut(&above) {
            node.children -= 1;
            if node.children == 0 && !node.has_value {
                self.remove(&above);
            }
        }
    }
}

#[cfg(test)]
mod tests;
