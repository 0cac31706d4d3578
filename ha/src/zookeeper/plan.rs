//! From one or several commits to the writes of one ZooKeeper transaction: pure.
//!
//! It is given how every znode concerned was when it was looked at. ZooKeeper's own conditions compare a znode's data
//! version, which starts again at 0 when a znode is made anew; so what a commit expects is decided here, by the id of the
//! transaction that wrote the znode last, and the transaction is conditional on nothing having changed since the look (see
//! `commits.rs`). The data versions are still in the transaction, against those who write without asking.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::{Layout, encode_value, parent};
use crate::{Expect, Operation};

/// A znode as it was when looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    /// Id of the transaction that wrote it last: the key's version.
    pub written: u64,
    /// ZooKeeper's count of changes to its data since it was made.
    pub data_version: i32,
    /// Whether it has a value, and does not only nest others.
    pub has_value: bool,
    /// How many it nests.
    pub children: i64,
}

/// Bytes that a write takes in a request besides its path and its data, at most: header, lengths, version, flags and an access
/// control list.
pub(super) const WRITE_OVERHEAD: usize = 96;

/// One write of the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Write {
    /// Make a znode that is not there.
    Create {
        path: String,
        /// What it holds.
        data: Vec<u8>,
    },
    /// Replace what a znode holds.
    Set {
        path: String,
        /// What it holds from now on.
        data: Vec<u8>,
        /// Its data version.
        version: i32,
    },
    /// Remove a znode that nests none.
    Delete {
        path: String,
        /// Its data version.
        version: i32,
    },
}

impl Write {
    /// The znode concerned.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Create { path, .. } | Self::Set { path, .. } | Self::Delete { path, .. } => path,
        }
    }

    /// Bytes it takes in a request, at most.
    pub(super) fn weight(&self) -> usize {
        let data = match self {
            Self::Create { data, .. } | Self::Set { data, .. } => data.len(),
            Self::Delete { .. } => 0,
        };
        WRITE_OVERHEAD + self.path().len() + data
    }
}

/// The znodes whose state commits depend on: those of its keys, and everything that nests them below the store.
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

/// The znodes below the store as they will be once the writes so far are done.
pub(super) struct Tree {
    store: String,
    nodes: BTreeMap<String, Node>,
    writes: Vec<Write>,
}

impl Tree {
    /// `nodes` has what is there of [`concerned`].
    pub(super) fn new(layout: &Layout, nodes: BTreeMap<String, Node>) -> Self {
        Self { store: layout.store(), nodes, writes: Vec::new() }
    }

    /// Adds the writes that make a commit; how many there are with them. Adds none, and names the first key that is not as
    /// expected, if there is one. No two commits of one transaction may have a key in common.
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
        // What is nested goes first, so that what nests it can go as well.
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
            let version = node.data_version;
            node.has_value = true;
            // Made earlier in this very transaction, or there before.
            node.data_version += 1;
            self.writes.push(Write::Set { path: path.to_owned(), data, version });
            return;
        }
        self.create(path, data, true);
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
        let version = node.data_version;
        node.has_value = false;
        if node.children > 0 {
            node.data_version += 1;
            self.writes.push(Write::Set { path: path.to_owned(), data: Vec::new(), version });
        } else {
            self.remove(path);
        }
    }

    /// Removes a znode that has neither value nor children, then what nested only it.
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
