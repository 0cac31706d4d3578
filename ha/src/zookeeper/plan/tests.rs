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

    fn look<'a>(&self, operations: impl IntoIterator<Item = &'a Operation>) -> BTreeMap<String, Node> {
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
        let [outcome] = self.commit_together(&[operations.to_vec()]).try_into().expect("one for each");
        outcome
    }

    /// Several commits in one transaction; what becomes of each.
    fn commit_together(&mut self, commits: &[Vec<Operation>]) -> Vec<Result<(), String>> {
        let mut tree = Tree::new(&layout(), self.look(commits.iter().flatten()));
        let outcomes = commits.iter().map(|operations| tree.plan(&layout(), operations).map(drop)).collect();
        self.apply(&tree.into_writes());
        outcomes
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

#[test]
fn a_commit_that_expects_something_else_is_left_out_and_the_others_go_without_it() {
    let mut server = Server::default();
    server.commit(&[put("a/taken", "1")]).expect("commits");
    let fresh = |key: &str| vec![Operation::Put { key: key.into(), value: Bytes::from_static(b"2"), expect: Expect::Absent }];
    let outcomes = server.commit_together(&[fresh("b/x"), fresh("a/taken"), fresh("b/y"), vec![delete("a/taken2")]]);
    assert_eq!(outcomes, [Ok(()), Err("a/taken".to_owned()), Ok(()), Ok(())]);
    assert_eq!(server.keys().into_keys().collect::<Vec<_>>(), ["a/taken", "b/x", "b/y"]);
}

#[test]
fn what_one_commit_removes_another_makes_again_in_the_same_transaction() {
    let mut server = Server::default();
    server.commit(&[put("a/x", "1")]).expect("commits");
    let outcomes = server.commit_together(&[vec![delete("a/x")], vec![put("a/y", "2")], vec![put("a", "3")]]);
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(server.keys().into_keys().collect::<Vec<_>>(), ["a", "a/y"]);
}

proptest! {
    /// Commits of different keys in one transaction come to the same as one after the other.
    #[test]
    fn together_or_apart_is_all_the_same(before in proptest::collection::btree_set("[ab](/[ab]){0,2}", 0..6),
        commits in proptest::collection::btree_map("[ab](/[ab]){0,2}", (0..4_usize, 0..3_u8), 1..8)) {
        let mut together = Server::default();
        for key in &before {
            together.commit(&[put(key, "0")]).expect("commits");
        }
        let mut apart = together.clone();
        let mut groups = vec![Vec::new(); 4];
        for (key, (group, what)) in &commits {
            groups[*group].push(match what {
                0 => delete(key),
                1 => put(key, "1"),
                _ => Operation::Put { key: key.clone(), value: Bytes::from_static(b"2"), expect: Expect::Absent },
            });
        }
        let one_by_one: Vec<_> = groups.iter().map(|operations| apart.commit(operations)).collect();
        prop_assert_eq!(together.commit_together(&groups), one_by_one);
        prop_assert_eq!(together.keys(), apart.keys());
        prop_assert_eq!(together.nodes.keys().collect::<Vec<_>>(), apart.nodes.keys().collect::<Vec<_>>());
    }

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
