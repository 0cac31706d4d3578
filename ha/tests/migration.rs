//! Migrates a cluster's state through real coordination stores of every kind, and back to the first kind.

#![allow(clippy::print_stderr, reason = "a test harness captures only what the macro prints")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_ha::etcd::{EtcdOptions, EtcdProvider};
use weir_ha::migration::{self, End, Progress};
use weir_ha::raft::{Listen, Member, RaftOptions, RaftProvider};
use weir_ha::zookeeper::{ZooKeeperOptions, ZooKeeperProvider};
use weir_ha::{Candidate, CommitOutcome, Expect, HaServices, Leadership, Operation};
use weir_protocol::LeaderEpoch;
use weir_servers::{EtcdCluster, ZooKeeperEnsemble};

const PATIENCE: Duration = Duration::from_secs(60);
const KEYS: usize = 1_000;

fn raft(directory: &Path) -> HaServices {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("is bound").to_string();
    let members = vec![Member { name: "jm-1".into(), address }];
    let options = RaftOptions::new("jm-1", Listen::Listener(listener), members, directory.to_owned(), "test");
    Arc::new(RaftProvider::start(options).expect("starts"))
}

fn etcd(servers: &EtcdCluster) -> HaServices {
    Arc::new(EtcdProvider::start(&EtcdOptions::new(servers.endpoints(), "test")).expect("starts"))
}

fn zookeeper(servers: &ZooKeeperEnsemble) -> HaServices {
    let options = ZooKeeperOptions::new("jm-1", &servers.connect_string(), "test");
    Arc::new(ZooKeeperProvider::start(&options).expect("starts"))
}

/// Elects a JobManager as the leader and runs `work` under its leadership. Returns its epoch and the result.
async fn led<T>(ha: &HaServices, work: impl AsyncFnOnce(&Leadership) -> T) -> (LeaderEpoch, T) {
    let candidate = Candidate { name: "jm-1".into(), rpc_address: "a:1".into(), rest_address: "a:2".into() };
    let mut election = ha.campaign(candidate);
    let leadership = weir_servers::within(PATIENCE, election.granted()).await;
    let leadership = leadership.expect("a leader is elected").expect("the provider runs");
    (leadership.epoch(), work(&leadership).await)
}

async fn fill(ha: &HaServices, leadership: &Leadership) {
    let value = |number: usize| Bytes::from(format!("{{\"value\": {number}}}").repeat(1 + number % 50));
    let puts: Vec<_> = (0..KEYS)
        .map(|number| Operation::Put { key: format!("jobs/{number:05}/graph"), value: value(number), expect: Expect::Any })
        .collect();
    for batch in puts.chunks(100) {
        let outcome = ha.commit(leadership, batch.to_vec()).await;
        assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
    }
}

async fn contents(ha: &HaServices) -> Vec<(String, Bytes)> {
    ha.list("jobs/").await.expect("reads").into_iter().map(|(key, found)| (key, found.value)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn state_migrates_through_every_provider_and_the_epoch_only_grows() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name);
    let etcd_servers = EtcdCluster::start(&weir_servers::etcd_3_7(), 1, &at("etcd")).expect("etcd starts");
    let zookeeper_servers = ZooKeeperEnsemble::start(1, &at("zookeeper")).expect("ZooKeeper starts");
    let end = |ha: HaServices, name: &str| End { ha, name: name.to_owned() };
    let ends = [
        end(raft(&at("raft-1")), "raft-1"),
        end(etcd(&etcd_servers), "etcd"),
        end(zookeeper(&zookeeper_servers), "zookeeper"),
        end(raft(&at("raft-2")), "raft-2"),
        // A store that held the state before.
        end(etcd(&etcd_servers), "etcd"),
    ];
    let first = &ends[0].ha;
    let (mut epoch, ()) = led(first, async |leadership| fill(first, leadership).await).await;
    let expected = contents(first).await;
    assert_eq!(expected.len(), KEYS);
    for pair in ends.windows(2) {
        let [from, to] = pair else { unreachable!("windows of two") };
        let report = |progress: Progress| eprintln!("{} -> {}: {progress:?}", from.name, to.name);
        let migrated = migration::migrate(from, to, PATIENCE, &report).await.expect("migrates");
        assert_eq!((migrated.keys, migrated.already), (KEYS, false), "{} -> {}", from.name, to.name);
        assert_eq!(contents(&to.ha).await, expected, "{} -> {}", from.name, to.name);
        let objects = |mark: Option<migration::Mark>| mark.and_then(|mark| mark.objection());
        assert!(objects(migration::look(&*from.ha).await.expect("reads")).is_some(), "{} still accepts a leader", from.name);
        assert_eq!(objects(migration::look(&*to.ha).await.expect("reads")), None, "{} accepts no leader", to.name);
        let (newer, ()) = led(&to.ha, async |_| ()).await;
        assert!(newer > migrated.epoch && migrated.epoch > epoch, "E1: {epoch}, {}, {newer}", migrated.epoch);
        epoch = newer;
    }
    for end in &ends {
        end.ha.shutdown().await;
    }
}
