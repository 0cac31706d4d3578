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

/// A model of ZooKeeper that refuses the same writes as the real one.
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
                    *node = (data.clone(), version.wrapping_add(1), self.transaction);
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
        let [outcome] = self.commit_together(&[operations.to_vec()]).try_into().expect("one outcome for each commit");
        outcome
    }

    /// Applies several commits in one transaction. Returns the outcome of each.
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
fn parents_are_created_and_removed_with_their_keys() {
    let mut server = Server::default();
    server.commit(&[put("jobs/1/graph", "g"), put("jobs/2/graph", "g")]).expect("commits");
    assert_eq!(server.nodes.len(), 5);
    server.commit(&[delete("jobs/1/graph")]).expect("commits");
    assert_eq!(server.nodes.len(), 3);
    server.commit(&[delete("jobs/2/graph"), put("x", "")]).expect("commits");
    assert_eq!(server.nodes.len(), 1);
}

#[test]
fn the_znode_of_a_deleted_key_stays_while_it_nests_others() {
    let mut server = Server::default();
    server.commit(&[put("a/b", "1"), put("a", "2")]).expect("commits");
    server.commit(&[delete("a")]).expect("commits");
    assert_eq!(server.keys().into_keys().collect::<Vec<_>>(), ["a/b"]);
    server.commit(&[put("a", "3")]).expect("commits");
    server.commit(&[delete("a"), delete("a/b")]).expect("commits");
    assert_eq!(server.nodes.len(), 0);
}

#[test]
fn an_expected_version_is_a_transaction_id() {
    let mut server = Server::default();
    server.commit(&[put("k", "1")]).expect("commits");
    server.commit(&[delete("k")]).expect("commits");
    server.commit(&[put("k", "2")]).expect("commits");
    let swap = |version| Operation::Put { key: "k".into(), value: Bytes::new(), expect: Expect::Version(version) };
    // Its data version is 0 again, as after the first commit.
    assert_eq!(server.commit(&[swap(1)]), Err("k".to_owned()));
    assert_eq!(server.commit(&[swap(3)]), Ok(()));
}

#[test]
fn a_commit_with_a_conflict_is_left_out_and_the_others_are_applied() {
    let mut server = Server::default();
    server.commit(&[put("a/taken", "1")]).expect("commits");
    let fresh = |key: &str| vec![Operation::Put { key: key.into(), value: Bytes::from_static(b"2"), expect: Expect::Absent }];
    let outcomes = server.commit_together(&[fresh("b/x"), fresh("a/taken"), fresh("b/y"), vec![delete("a/taken2")]]);
    assert_eq!(outcomes, [Ok(()), Err("a/taken".to_owned()), Ok(()), Ok(())]);
    assert_eq!(server.keys().into_keys().collect::<Vec<_>>(), ["a/taken", "b/x", "b/y"]);
}

#[test]
fn a_znode_is_removed_and_created_again_in_one_transaction() {
    let mut server = Server::default();
    server.commit(&[put("a/x", "1")]).expect("commits");
    let outcomes = server.commit_together(&[vec![delete("a/x")], vec![put("a/y", "2")], vec![put("a", "3")]]);
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(server.keys().into_keys().collect::<Vec<_>>(), ["a", "a/y"]);
}

/// ZooKeeper's data versions are i32s that wrap around, and it takes -1 for "any version".
#[test]
fn data_versions_wrap_around_and_never_stay_at_the_one_that_matches_any() {
    let path = layout().key_path("k");
    for (before, after) in [(0, 1), (i32::MAX - 1, i32::MAX), (i32::MAX, i32::MIN), (-3, -2), (-2, 0)] {
        let mut server = Server::default();
        server.nodes.insert(path.clone(), (b"v".to_vec(), before, 1));
        server.commit(&[put("k", "w")]).expect("is applied");
        assert_eq!(server.nodes[&path].1, after, "from {before}");
        server.nodes.insert(path.clone(), (b"v".to_vec(), before, 1));
        server.nodes.insert(layout().key_path("k/nested"), (b"v".to_vec(), 0, 1));
        server.commit(&[delete("k")]).expect("is applied");
        assert_eq!(server.nodes[&path].1, after, "from {before}");
    }
}

proptest! {
    /// Commits of different keys in one transaction have the same result as in separate transactions.
    #[test]
    fn a_shared_transaction_has_the_result_of_separate_ones(before in proptest::collection::btree_set("[ab](/[ab]){0,2}", 0..6),
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

    /// The keys and values are those of a map with the same changes, and no znode remains that has no value and nests nothing.
    #[test]
    fn commits_have_the_same_result_as_on_a_map(commits in proptest::collection::vec(
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
