use proptest::prelude::*;

use super::*;

fn candidate(name: &str) -> Candidate {
    Candidate { name: name.into(), rpc_address: "h:1".into(), rest_address: "h:2".into() }
}

fn put(key: &str, value: &'static [u8], expect: Expect) -> Operation {
    Operation::Put { key: key.into(), value: Bytes::from_static(value), expect }
}

fn delete(key: &str, expect: Expect) -> Operation {
    Operation::Delete { key: key.into(), expect }
}

fn acquire(store: &mut FencedStore, name: &str, floor: u64) -> LeaderEpoch {
    match store.apply(&Command::Acquire { candidate: candidate(name) }, floor).0 {
        Applied::Acquired(epoch) => epoch,
        other => panic!("{other:?}"),
    }
}

fn commit(store: &mut FencedStore, epoch: LeaderEpoch, operations: Vec<Operation>) -> Applied {
    store.apply(&Command::Commit { epoch, operations }, 0).0
}

#[test]
fn epochs_strictly_increase_and_follow_the_log_index() {
    let mut store = FencedStore::default();
    assert_eq!(acquire(&mut store, "a", 0), LeaderEpoch(1));
    assert_eq!(acquire(&mut store, "b", 7), LeaderEpoch(7));
    assert_eq!(acquire(&mut store, "a", 3), LeaderEpoch(8));
    assert_eq!(store.holder(), Some(&candidate("a")));
}

#[test]
fn a_superseded_leader_writes_nothing_and_publishes_nothing() {
    let mut store = FencedStore::default();
    let old = acquire(&mut store, "a", 0);
    let new = acquire(&mut store, "b", 0);
    let stale = Applied::Rejected(Rejection::StaleEpoch { epoch: old, current: new });
    assert_eq!(commit(&mut store, old, vec![put("k", b"v", Expect::Any)]), stale);
    let record = LeaderRecord { epoch: old, leader: candidate("a"), granted_at_ms: 0 };
    assert_eq!(store.apply(&Command::Publish { record }, 0).0, stale);
    assert!(store.is_empty());
    assert_eq!(store.published(), None);
}

#[test]
fn a_commit_with_one_conflict_changes_nothing() {
    let mut store = FencedStore::default();
    let epoch = acquire(&mut store, "a", 0);
    let version = match commit(&mut store, epoch, vec![put("a", b"1", Expect::Absent)]) {
        Applied::Committed { version } => version,
        other => panic!("{other:?}"),
    };
    let before = store.clone();
    let conflict = |key: &str| Applied::Rejected(Rejection::Conflict { key: key.into() });
    let operations = vec![put("b", b"2", Expect::Any), put("a", b"2", Expect::Absent)];
    assert_eq!(commit(&mut store, epoch, operations), conflict("a"));
    assert_eq!(commit(&mut store, epoch, vec![delete("a", Expect::Version(version + 1))]), conflict("a"));
    assert_eq!(commit(&mut store, epoch, vec![delete("b", Expect::Version(0))]), conflict("b"));
    assert_eq!(store, before);
}

#[test]
fn versions_of_a_key_never_repeat_even_after_deletion() {
    let mut store = FencedStore::default();
    let epoch = acquire(&mut store, "a", 0);
    let mut last = 0;
    for _ in 0..3 {
        assert!(matches!(commit(&mut store, epoch, vec![put("k", b"v", Expect::Absent)]), Applied::Committed { .. }));
        let version = store.get("k").map_or(0, |value| value.version);
        assert!(version > last);
        last = version;
        let operations = vec![delete("k", Expect::Version(version))];
        assert!(matches!(commit(&mut store, epoch, operations), Applied::Committed { .. }));
    }
    assert_eq!(store.bytes(), 0);
}

#[test]
fn deleting_an_absent_key_is_fine_and_changes_nothing() {
    let mut store = FencedStore::default();
    let epoch = acquire(&mut store, "a", 0);
    let (applied, changes) = store.apply(&Command::Commit { epoch, operations: vec![delete("k", Expect::Any)] }, 0);
    assert!(matches!(applied, Applied::Committed { .. }));
    assert!(changes.is_empty());
}

#[test]
fn a_commit_over_a_limit_is_refused() {
    let refused = |operations: Vec<Operation>| matches!(check_limits(&operations), Err(Rejection::OverLimit(_)));
    let big = |key: &str, bytes: usize| Operation::Put { key: key.into(), value: vec![0; bytes].into(), expect: Expect::Any };
    assert!(refused(vec![big("k", MAX_VALUE_BYTES + 1)]));
    assert!(!refused(vec![big("k", MAX_VALUE_BYTES)]));
    assert!(refused((0..5).map(|i| big(&format!("k{i}"), MAX_VALUE_BYTES)).collect()));
    assert!(refused((0..=MAX_OPERATIONS).map(|i| delete(&format!("k{i}"), Expect::Any)).collect()));
    assert!(refused(vec![delete("", Expect::Any)]));
    assert!(refused(vec![delete(&"k".repeat(MAX_KEY_BYTES + 1), Expect::Any)]));
    assert!(refused(vec![delete("k", Expect::Any), put("k", b"", Expect::Any)]));
}

#[test]
fn a_list_holds_exactly_the_keys_with_the_prefix() {
    let mut store = FencedStore::default();
    let epoch = acquire(&mut store, "a", 0);
    let operations = ["a", "b/", "b/1", "b/2", "b0", "c"].map(|key| put(key, b"", Expect::Any)).to_vec();
    assert!(matches!(commit(&mut store, epoch, operations), Applied::Committed { .. }));
    let keys: Vec<_> = store.list("b/").into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["b/", "b/1", "b/2"]);
    assert_eq!(store.list("").len(), 6);
}

proptest! {
    #[test]
    fn the_byte_count_is_exact_and_versions_grow(steps in prop::collection::vec((0u8..6, 0usize..40, any::<bool>()), 1..60)) {
        let mut store = FencedStore::default();
        let epoch = acquire(&mut store, "a", 0);
        let mut last = 0;
        for (key, size, remove) in steps {
            let key = format!("k{key}");
            let operation = if remove {
                Operation::Delete { key, expect: Expect::Any }
            } else {
                Operation::Put { key, value: vec![0; size].into(), expect: Expect::Any }
            };
            if let Applied::Committed { version } = commit(&mut store, epoch, vec![operation]) {
                prop_assert!(version > last);
                last = version;
            }
            let bytes: usize = store.list("").iter().map(|(key, value)| key.len() + value.value.len()).sum();
            prop_assert_eq!(store.bytes(), bytes as u64);
        }
    }
}

#[test]
fn a_clone_shares_its_entries_and_later_changes_do_not_reach_it() {
    let mut store = FencedStore::default();
    let epoch = acquire(&mut store, "a", 0);
    let keys: Vec<_> = (0..200_000).map(|number| format!("k/{number:06}")).collect();
    for keys in keys.chunks(MAX_OPERATIONS) {
        let operations = keys.iter().map(|key| put(key, b"old", Expect::Absent)).collect();
        assert!(matches!(commit(&mut store, epoch, operations), Applied::Committed { .. }));
    }
    let snapshot = store.clone();
    assert!(snapshot.entries.ptr_eq(&store.entries), "the clone copied its entries");
    let changes = vec![put(&keys[7], b"new", Expect::Any), delete(&keys[8], Expect::Any), put("z", b"new", Expect::Any)];
    assert!(matches!(commit(&mut store, epoch, changes), Applied::Committed { .. }));
    assert_eq!((snapshot.len(), store.len()), (200_000, 200_000));
    let value = |store: &FencedStore, key: &str| store.get(key).map(|found| found.value);
    let values = |store: &FencedStore| [&keys[7], &keys[8], "z"].map(|key| value(store, key));
    let (old, new) = (Some(Bytes::from_static(b"old")), Some(Bytes::from_static(b"new")));
    assert_eq!(values(&snapshot), [old.clone(), old, None]);
    assert_eq!(values(&store), [new.clone(), None, new]);
    assert_eq!(snapshot.list("k/").len(), 200_000);
}

/// The layout of earlier versions, whose entries were in another map.
#[derive(Serialize)]
struct Former {
    epoch: LeaderEpoch,
    holder: Option<Candidate>,
    published: Option<LeaderRecord>,
    version: u64,
    bytes: u64,
    entries: std::collections::BTreeMap<String, Entry>,
}

#[test]
fn the_serialized_form_is_that_of_earlier_versions() {
    let mut store = FencedStore::default();
    let epoch = acquire(&mut store, "a", 3);
    let record = LeaderRecord { epoch, leader: candidate("a"), granted_at_ms: 5 };
    store.apply(&Command::Publish { record }, 0);
    // Not in key order.
    for key in ["b", "a/2", "c", "a/1"] {
        commit(&mut store, epoch, vec![put(key, b"value", Expect::Absent)]);
    }
    commit(&mut store, epoch, vec![delete("c", Expect::Any)]);
    let FencedStore { epoch, holder, published, version, bytes, entries } = store.clone();
    let entries = entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
    let former = postcard::to_stdvec(&Former { epoch, holder, published, version, bytes, entries }).unwrap();
    assert_eq!(postcard::to_stdvec(&store).unwrap(), former);
    assert_eq!(postcard::from_bytes::<FencedStore>(&former).unwrap(), store);
}
