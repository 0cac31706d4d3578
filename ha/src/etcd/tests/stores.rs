//! Tests of watches, lists, the epoch's key and the largest commit.

use etcd_client::GetOptions;

use super::*;

async fn revision(client: &mut etcd_client::Client) -> i64 {
    client.get("k", None).await.expect("reads").header().expect("has a header").revision()
}

/// If etcd compacts while a watch is cut off, the reader is told that it lagged and then receives all later changes.
async fn a_watch_survives_compaction(program: &Path) {
    let servers = Servers::start(program, 1);
    let mut members = TestMembers { lease: Duration::from_secs(30), ..TestMembers::new(&servers.etcd, 2) };
    let (leader, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    let reader = members.start(1);
    let mut watch = reader.watch("w/").await.expect("watches");
    let mut next = async || weir_servers::within(SOON, watch.recv()).await.expect("in time").expect("goes on");
    let commit = async |value: &str| match leader.commit(&leadership, put_any("w/k", value)).await {
        CommitOutcome::Committed { version } => version,
        other => panic!("{other:?}"),
    };
    let is_put = |event: WatchEvent, version| matches!(event, WatchEvent::Put { value, .. } if value.version == version);
    let version = commit("1").await;
    assert!(is_put(next().await, version));

    // Cut off without a compaction: no change is missed.
    members.set(1, Break::Reset);
    let versions = [commit("2").await, commit("3").await];
    members.set(1, Break::None);
    for version in versions {
        assert!(is_put(next().await, version));
    }

    // Cut off, and the changes made meanwhile are compacted.
    members.set(1, Break::Reset);
    commit("4").await;
    commit("5").await;
    let mut client = servers.client().await;
    let now = revision(&mut client).await;
    client.compact(now, None).await.expect("compacts");
    members.set(1, Break::None);
    assert_eq!(next().await, WatchEvent::Lagged);
    assert_eq!(reader.get("w/k").await.expect("reads").expect("is there").value, "5");
    let version = commit("6").await;
    assert!(is_put(next().await, version));

    // The observer of the election survived the same faults.
    assert!(committed(&leader.publish(&leadership).await));
    let seen = Some(leadership.record());
    let mut published = reader.leader();
    let found = weir_servers::within(SOON, published.wait_for(|record| *record == seen)).await;
    assert!(found.expect("in time").is_ok());
}

#[tokio::test]
async fn a_watch_survives_compaction_and_broken_connections() {
    a_watch_survives_compaction(&etcd_3_7()).await;
}

#[tokio::test]
async fn a_watch_survives_compaction_and_broken_connections_on_etcd_3_4() {
    a_watch_survives_compaction(&etcd_3_4()).await;
}

#[tokio::test]
async fn ten_thousand_jobs_come_and_go_and_leave_nothing() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut members = TestMembers { lease: Duration::from_secs(30), ..TestMembers::new(&servers.etcd, 2) };
    let (provider, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    let other = members.start(1);
    let mut client = servers.client().await;
    let count = async || {
        let options = GetOptions::new().with_all_keys().with_count_only();
        client.get("", Some(options)).await.expect("counts").count() as usize
    };
    conformance::many_jobs::come_and_go(Arc::new(provider), Arc::new(other), &leadership, count).await;
    assert!(is_quiet(&mut election), "the load ended no leadership");
}

/// A list shows one revision, even if it has many pages and keys change while it is read.
#[tokio::test]
async fn a_list_of_many_pages_shows_one_revision() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut members = TestMembers { lease: Duration::from_secs(30), ..TestMembers::new(&servers.etcd, 1) };
    let (provider, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    // Two keys far apart that always change together.
    let both = |value: u32| ["a", "z"].map(|key| put(key, &value.to_string(), Expect::Any)).to_vec();
    let between = |chunk: usize| (0..100).map(|number| put(&format!("m/{chunk}/{number}"), "", Expect::Any)).collect::<Vec<_>>();
    for chunk in 0..10 {
        assert!(committed(&provider.commit(&leadership, between(chunk)).await));
    }
    assert!(committed(&provider.commit(&leadership, both(0)).await));
    let writes = async {
        for value in 1..200 {
            assert!(committed(&provider.commit(&leadership, both(value)).await));
        }
    };
    let lists = async {
        let mut values = std::collections::BTreeSet::new();
        for _ in 0..40 {
            let listed = provider.list("").await.expect("lists");
            assert_eq!(listed.len(), 1_002);
            let (first, last) = (&listed[0], &listed[1_001]);
            assert_eq!((first.0.as_str(), last.0.as_str()), ("a", "z"));
            assert_eq!(first.1, last.1, "the first and the last key are from different revisions");
            values.insert(first.1.value.clone());
        }
        values
    };
    let ((), values) = futures::future::join(writes, lists).await;
    assert!(values.len() > 1, "no key changed while the lists were read");
}

/// E1: a new epoch is above one that was migrated from another store, and above one that a restore of etcd has lost.
#[tokio::test]
async fn a_new_epoch_exceeds_every_stored_or_seen_epoch() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut members = TestMembers::new(&servers.etcd, 1);
    let provider = members.start(0);
    let key = provider.inner.member.layout.epoch();
    let mut client = servers.client().await;
    client.put(key.clone(), "1000000", None).await.expect("puts");
    let mut election = provider.campaign(candidate("jm-0"));
    let brought = granted(&mut election).await;
    assert_eq!(brought.epoch().0, 1_000_001);
    client.put(key.clone(), "5", None).await.expect("puts");
    let fenced = provider.commit(&brought, put_any("k", "v")).await;
    assert!(matches!(fenced, CommitOutcome::Rejected(Rejection::StaleEpoch { .. })), "{fenced:?}");
    drop(election);
    let mut election = provider.campaign(candidate("jm-0"));
    assert!(granted(&mut election).await.epoch() > brought.epoch());
}

/// etcd accepts the largest commit that the limits allow.
#[tokio::test]
async fn the_largest_commit_fits_into_one_transaction() {
    use crate::fenced_store::{MAX_COMMIT_BYTES, MAX_KEY_BYTES, MAX_OPERATIONS};
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut members = TestMembers { lease: Duration::from_secs(30), ..TestMembers::new(&servers.etcd, 1) };
    let (provider, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    let value = Bytes::from(vec![7; MAX_COMMIT_BYTES / MAX_OPERATIONS - MAX_KEY_BYTES]);
    let operation = |number| {
        let key = format!("{number:0width$}", width = MAX_KEY_BYTES);
        Operation::Put { key, value: value.clone(), expect: Expect::Absent }
    };
    let operations: Vec<_> = (0..MAX_OPERATIONS).map(operation).collect();
    assert!(committed(&provider.commit(&leadership, operations.clone()).await));
    let again = provider.commit(&leadership, operations).await;
    assert!(matches!(again, CommitOutcome::Rejected(Rejection::Conflict { .. })), "{again:?}");
}
