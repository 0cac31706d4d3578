use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn layout() -> Layout {
    Layout::new("/weir", "/default")
}

fn put(key: &str, value: &str) -> Operation {
    Operation::Put { key: key.into(), value: Bytes::copy_from_slice(value.as_bytes()), expect: Expect::Any }
}

fn delete(key: &str) -> Operation {
    Operation::Delete { key: key.into(), expect: Expect::Any }
}

/// A ZooKeeper of sorts: refuses what the real one refuses.
#[derive(Debug, Default, Clone)]
struct Server {
    nodes: BTreeMap<String, (Vec<u8>, i32, u64)>,
    transaction: u64,
}

impl Server {
    fn children(&self, path: &str) -> usize {
        self.nodes.keys().filter(|other| parent(other) == path).count()
    }

    fn look(&self, operations: &[Operation]) -> BTreeMap<String, Node> {
        let node = |path: String| {
            let (data, data_version, written) = self.nodes.get(&path)?;
            let (data_version, written) = (*data_version, *written);
            let children = self.children(&path) as i64;
            Some((path, Node { written, data_version, has_value: !data.is_empty(), children }))
        };
        concerned(&layout(), operations).into_iter().filter_map(node).collect()
    }

    fn apply(&mut self, writes: &[Write]) {
        self.transaction += 1;
        for write in writes {
            match write {
                Write::Create { path, data } => {
                    let above = parent(path);
                    assert!(above == layout().store() || self.nodes.contains_key(above), "NoNode for {path}");
                    let before = self.nodes.insert(path.clone(), (data.clone(), 0, self.transaction));
                    assert_eq!(before, None, "NodeExists for {path}");
                }
                Write::Set { path, data, version } => {
                    let node = self.nodes.get_mut(path).expect("NoNode");
                    assert_eq!(node.1, *version, "BadVersion for {path}");
                    *node = (data.clone(), version + 1, self.transaction);
                }
                Write::Delete { path, version } => {
                    assert_eq!(self.children(path), 0, "NotEmpty for {path}");
                    let node = self.nodes.remove(path).expect("NoNode");
                    assert_eq!(node.1, *version, "BadVersion for {path}");
                }
            }
        }
    }

    fn commit(&mut self, operations: &[Operation]) -> Result<(), String> {
        let writes = plan(&layout(), operations, self.look(operations))?;
        self.apply(&writes);
        Ok(())
    }

    fn keys(&self) -> BTreeMap<String, Vec<u8>> {
        let key = |(path, node): (&String, &(Vec<u8>, i32, u64))| {
            let value = super::super::layout::decode_value(node.0.clone())?;
            Some((layout().key_of(path).expect("is below the store"), value))
        };
        self.nodes.iter().filter_map(key).collect()
    }
}

#[test]
fn parents_come_and_go_with_their_keys() {
    let mut server = Server::default();
    server.commit(&[put("jobs/1/graph", "g"), put("jobs/2/graph", "g")]).expect("commits");
    assert_eq!(server.nodes.len(), 5);
    server.commit(&[delete("jobs/1/graph")]).expect("commits");
    assert_eq!(server.nodes.len(), 3);
    server.commit(&[delete("jobs/2/graph"), put("x", "")]).expect("commits");
    assert_eq!(server.nodes.len(), 1);
}

#[test]
fn a_key_that_nests_others_stays_until_they_are_gone() {
    let mut server = Server::default();
    server.commit(&[put("a/b", "1"), put("a", "2")]).expect("commits");
    server.commit(&[delete("a")]).expect("commits");
    assert_eq!(server.keys().into_keys().collect::<Vec<_>>(), ["a/b"]);
    server.commit(&[put("a", "3")]).expect("commits");
    server.commit(&[delete("a"), delete("a/b")]).expect("commits");
    assert_eq!(server.nodes.len(), 0);
}

#[test]
fn what_is_expected_is_the_transaction_that_wrote_it() {
    let mut server = Server::default();
    server.commit(&[put("k", "1")]).expect("commits");
    server.commit(&[delete("k")]).expect("commits");
    server.commit(&[put("k", "2")]).expect("commits");
    let swap = |version| Operation::Put { key: "k".into(), value: Bytes::new(), expect: Expect::Version(version) };
    // Its data version is 0 again, as after the first.
    assert_eq!(server.commit(&[swap(1)]), Err("k".to_owned()));
    assert_eq!(server.commit(&[swap(3)]), Ok(()));
}

proptest! {
    /// Against a map: the same keys and values, and no znode left that nests nothing.
    #[test]
    fn commits_do_what_they_say(commits in proptest::collection::vec(
        proptest::collection::btree_map("[ab](/[ab]){0,2}", proptest::option::of("[xy]{0,1}"), 1..5), 1..12)) {
        let mut server = Server::default();
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for commit in commits {
            let operations: Vec<_> = commit.iter().map(|(key, value)| match value {
                Some(value) => put(key, value),
                None => delete(key),
            }).collect();
            prop_assert_eq!(server.commit(&operations), Ok(()));
            for (key, value) in commit {
                match value {
                    Some(value) => { model.insert(key, value.into_bytes()); }
                    None => { model.remove(&key); }
                }
            }
            prop_assert_eq!(server.keys(), model.clone());
            for (path, node) in &server.nodes {
                prop_assert!(!node.0.is_empty() || server.children(path) > 0, "{} is left over", path);
            }
        }
    }
}
