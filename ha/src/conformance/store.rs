//! The promises of the fenced store.

use bytes::Bytes;

use super::*;
use crate::fenced_store::{MAX_OPERATIONS, MAX_VALUE_BYTES};
use crate::{Rejection, WatchEvent};

/// A commit applies all its operations or none, and only if every key is as expected.
pub(super) async fn commits_are_atomic_and_conditional<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (leader, leadership) = fixture.granted(None).await;
    let provider = fixture.provider(leader);
    let first = version(provider.commit(&leadership, vec![put_if("a", "1", Expect::Absent), put("b", "1")]).await);
    let conflict = |key: &str| CommitOutcome::Rejected(Rejection::Conflict { key: key.into() });
    let operations = vec![put("b", "2"), put("c", "2"), put_if("a", "2", Expect::Absent)];
    assert_eq!(provider.commit(&leadership, operations).await, conflict("a"));
    let operations = vec![put_if("a", "2", Expect::Version(first + 1_000_000))];
    assert_eq!(provider.commit(&leadership, operations).await, conflict("a"));
    assert_eq!(provider.commit(&leadership, vec![delete("c", Expect::Version(first))]).await, conflict("c"));
    assert_eq!(fixture.read(leader, "a").await.as_deref(), Some("1"));
    assert_eq!(fixture.read(leader, "b").await.as_deref(), Some("1"));
    assert_eq!(fixture.read(leader, "c").await, None);
    let operations = vec![put_if("a", "3", Expect::Version(first)), delete("b", Expect::Version(first))];
    version(provider.commit(&leadership, operations).await);
    assert_eq!(fixture.read(leader, "a").await.as_deref(), Some("3"));
    assert_eq!(fixture.read(leader, "b").await, None);
    // G4: the removal of an absent key succeeds.
    version(provider.commit(&leadership, vec![delete("b", Expect::Any)]).await);
}

/// A version identifies one state of a key for ever.
pub(super) async fn versions_never_repeat<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (leader, leadership) = fixture.granted(None).await;
    let provider = fixture.provider(leader);
    let mut last = 0;
    for round in 0..4 {
        let put_version = version(provider.commit(&leadership, vec![put("k", &round.to_string())]).await);
        assert!(put_version > last, "version {put_version} after {last}");
        let read = provider.get("k").await.expect("is available").expect("is there");
        assert_eq!(read.version, put_version, "a read shows the commit's version");
        last = version(provider.commit(&leadership, vec![delete("k", Expect::Version(put_version))]).await);
    }
}

/// A commit over a limit is refused, and none of it is applied.
pub(super) async fn limits_are_refused<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (leader, leadership) = fixture.granted(None).await;
    let provider = fixture.provider(leader);
    let value = Bytes::from(vec![7; MAX_VALUE_BYTES + 1]);
    let big = |value: Bytes| vec![Operation::Put { key: "big".into(), value, expect: Expect::Any }];
    let refused = |outcome| matches!(outcome, CommitOutcome::Rejected(Rejection::OverLimit(_)));
    assert!(refused(provider.commit(&leadership, big(value.clone())).await));
    let many = (0..=MAX_OPERATIONS).map(|number| put(&format!("many/{number}"), "")).collect();
    assert!(refused(provider.commit(&leadership, many).await));
    assert!(refused(provider.commit(&leadership, vec![put("twice", "1"), put("twice", "2")]).await));
    assert_eq!(provider.list("").await.expect("is available"), []);
    version(provider.commit(&leadership, big(value.slice(1..))).await);
}

/// Reads are linearizable on every member, leader or not.
pub(super) async fn every_member_reads_what_was_committed<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (leader, leadership) = fixture.granted(None).await;
    for round in 0..10 {
        let value = round.to_string();
        version(fixture.provider(leader).commit(&leadership, vec![put("p/k", &value), put(&format!("p/{round}"), "")]).await);
        for number in 0..fixture.members.len() {
            assert_eq!(fixture.read(number, "p/k").await.as_deref(), Some(value.as_str()), "on member {number}");
        }
    }
    version(fixture.provider(leader).commit(&leadership, vec![put("q", ""), put("o", "")]).await);
    for number in 0..fixture.members.len() {
        let keys = fixture.provider(number).list("p/").await.expect("is available");
        let keys: Vec<_> = keys.into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), 11);
        assert!(keys.is_sorted() && keys.iter().all(|key| key.starts_with("p/")));
    }
}

/// A watcher receives every change under its prefix once, in the order of the commits.
pub(super) async fn watchers_see_changes_in_order<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (leader, leadership) = fixture.granted(None).await;
    let mut watch = fixture.provider(leader).watch("w/").await.expect("is available");
    let provider = fixture.provider(leader);
    let mut expected = Vec::new();
    for round in 0..20 {
        let version = version(provider.commit(&leadership, vec![put("w/k", &round.to_string()), put("other", "")]).await);
        expected.push(version);
    }
    let removal = version(provider.commit(&leadership, vec![delete("w/k", Expect::Any)]).await);
    for version in expected {
        match within("a watcher receives a put", watch.recv()).await {
            Some(WatchEvent::Put { key, value }) => assert_eq!((key.as_str(), value.version), ("w/k", version)),
            other => panic!("{other:?}"),
        }
    }
    let expected = WatchEvent::Deleted { key: "w/k".into(), version: removal };
    assert_eq!(within("a watcher receives a removal", watch.recv()).await, Some(expected));
}
