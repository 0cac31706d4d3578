use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc, watch};

use super::*;
use crate::{
    CoordinationStore, Election, GroupAdmin, HaStatus, LeaderRecord, LeadershipEvent, MemberChange, MembershipError, MemoryStore,
    ReadError, StoreUsage, StoreWatch, TransferError, Versioned, WatchEvent,
};

/// The longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait for what must not happen.
const IMPATIENCE: Duration = Duration::from_millis(100);

/// The life of a process: how many of its calls are answered, and whether the call at which it dies is carried out.
struct Life {
    left: AtomicU32,
    last_is_done: bool,
    end: Notify,
}

impl Life {
    fn of(calls: u32, last_is_done: bool) -> Arc<Self> {
        Arc::new(Self { left: AtomicU32::new(calls), last_is_done, end: Notify::new() })
    }

    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        let before = self.left.fetch_sub(1, Ordering::SeqCst);
        if before > 1 {
            return call.await;
        }
        if self.last_is_done {
            drop(call.await);
        }
        self.end.notify_one();
        std::future::pending().await
    }

    /// `None` if the process died during the work.
    async fn lives<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.end.notified() => None,
            done = work => Some(done),
        }
    }
}

/// A provider in a process that dies.
struct Mortal {
    inner: HaServices,
    life: Arc<Life>,
}

impl Election for Mortal {
    fn campaign(&self, candidate: Candidate) -> LeaderElection {
        self.inner.campaign(candidate)
    }

    fn leader(&self) -> watch::Receiver<Option<LeaderRecord>> {
        self.inner.leader()
    }

    fn publish<'a>(&'a self, leadership: &'a Leadership) -> BoxFuture<'a, CommitOutcome> {
        self.life.call(self.inner.publish(leadership)).boxed()
    }

    fn raise_epoch<'a>(&'a self, leadership: &'a Leadership, floor: LeaderEpoch) -> BoxFuture<'a, CommitOutcome> {
        self.life.call(self.inner.raise_epoch(leadership, floor)).boxed()
    }

    fn transfer_leadership<'a>(&'a self, to: Option<&'a str>) -> BoxFuture<'a, Result<(), TransferError>> {
        self.inner.transfer_leadership(to)
    }
}

impl CoordinationStore for Mortal {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>> {
        self.life.call(self.inner.get(key)).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, Versioned)>, ReadError>> {
        self.life.call(self.inner.list(prefix)).boxed()
    }

    fn commit<'a>(&'a self, leadership: &'a Leadership, operations: Vec<Operation>) -> BoxFuture<'a, CommitOutcome> {
        self.life.call(self.inner.commit(leadership, operations)).boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<WatchEvent>, ReadError>> {
        self.inner.watch(prefix)
    }

    fn availability(&self) -> StoreWatch {
        StoreWatch::always_available()
    }

    fn usage(&self) -> Option<StoreUsage> {
        self.inner.usage()
    }
}

impl GroupAdmin for Mortal {
    fn status(&self) -> HaStatus {
        self.inner.status()
    }

    fn set_isolated(&self, _isolated: bool) -> bool {
        self.inner.set_isolated(_isolated)
    }

    fn change_members<'a>(&'a self, change: MemberChange) -> BoxFuture<'a, Result<(), MembershipError>> {
        self.inner.change_members(change)
    }

    fn shutdown<'a>(&'a self) -> BoxFuture<'a, ()> {
        self.inner.shutdown()
    }
}

/// The stores of two clusters, named `a` and `b`.
struct Stores {
    a: MemoryStore,
    b: MemoryStore,
}

fn end(store: &MemoryStore, name: &str) -> End {
    End { ha: Arc::new(store.member("migration")), name: name.to_owned() }
}

fn mortal(store: &MemoryStore, name: &str, life: &Arc<Life>) -> End {
    let inner: HaServices = Arc::new(store.member("migration"));
    End { ha: Arc::new(Mortal { inner, life: Arc::clone(life) }), name: name.to_owned() }
}

fn candidate(name: &str) -> Candidate {
    Candidate { name: name.into(), rpc_address: String::new(), rest_address: String::new() }
}

/// Lets a JobManager lead and returns its epoch.
async fn next_epoch(store: &MemoryStore) -> LeaderEpoch {
    let member = store.member("jm");
    let mut election = member.campaign(candidate("jm"));
    match election.next().await {
        Some(LeadershipEvent::Granted(leadership)) => leadership.epoch(),
        other => panic!("{other:?}"),
    }
}

async fn dump(store: &MemoryStore) -> Contents {
    let found = store.member("reader").list("").await.expect("reads");
    found.into_iter().filter(|(key, _)| key != MIGRATION).map(|(key, found)| (key, found.value)).collect()
}

async fn objection(store: &MemoryStore) -> Option<String> {
    look(&store.member("reader")).await.expect("reads").and_then(|mark| mark.objection())
}

impl Stores {
    /// `a` has had many leaders and holds `keys` keys; `b` is new.
    async fn with(keys: usize) -> Self {
        let stores = Self { a: MemoryStore::new(), b: MemoryStore::new() };
        for _ in 0..20 {
            next_epoch(&stores.a).await;
        }
        let member = stores.a.member("jm");
        let mut election = member.campaign(candidate("jm"));
        let Some(LeadershipEvent::Granted(leadership)) = election.next().await else { panic!("no leader was elected") };
        for number in 0..keys {
            let value = Bytes::from(format!("value {number}"));
            let put = Operation::Put { key: format!("key/{number:04}"), value, expect: Expect::Any };
            assert!(matches!(member.commit(&leadership, vec![put]).await, CommitOutcome::Committed { .. }));
        }
        stores
    }

    async fn migrate(&self) -> Result<Migrated, MigrationError> {
        migrate(&end(&self.a, "a"), &end(&self.b, "b"), PATIENCE, &|_| ()).await
    }

    /// `None` if the process died during the migration.
    async fn migrate_within(&self, life: Arc<Life>) -> Option<Result<Migrated, MigrationError>> {
        let (a, b) = (mortal(&self.a, "a", &life), mortal(&self.b, "b", &life));
        life.lives(migrate(&a, &b, PATIENCE, &|_| ())).await
    }

    async fn migrate_back(&self) -> Result<Migrated, MigrationError> {
        migrate(&end(&self.b, "b"), &end(&self.a, "a"), PATIENCE, &|_| ()).await
    }
}

#[tokio::test]
async fn everything_arrives_and_the_epoch_still_increases() {
    let stores = Stores::with(250).await;
    let before = dump(&stores.a).await;
    let migrated = stores.migrate().await.expect("migrates");
    assert_eq!((migrated.keys, migrated.already), (250, false));
    assert_eq!(dump(&stores.b).await, before);
    assert_eq!(objection(&stores.b).await, None);
    assert!(objection(&stores.a).await.is_some_and(|text| text.contains("HA-MIGRATED") && text.contains('b')));
    assert!(next_epoch(&stores.b).await > migrated.epoch, "E1");
    let again = stores.migrate().await.expect("has been done");
    assert!(again.already && again.keys == 250, "{again:?}");
}

#[tokio::test]
async fn the_state_moves_back_and_replaces_what_was_left_behind() {
    let stores = Stores::with(3).await;
    stores.migrate().await.expect("migrates");
    let there = next_epoch(&stores.b).await;
    let back = stores.migrate_back().await.expect("comes back");
    assert!(back.epoch > there, "E1");
    assert_eq!(objection(&stores.a).await, None);
    assert!(objection(&stores.b).await.is_some());
    assert!(next_epoch(&stores.a).await > back.epoch, "E1");
}

#[tokio::test]
async fn a_migration_interrupted_anywhere_is_finished_by_another_run() {
    for last_is_done in [false, true] {
        for calls in 1.. {
            let stores = Stores::with(130).await;
            let before = dump(&stores.a).await;
            let outcome = stores.migrate_within(Life::of(calls, last_is_done)).await;
            // At every moment a JobManager may lead at one end at most, and only where all state is.
            let (at_a, at_b) = (objection(&stores.a).await.is_none(), objection(&stores.b).await.is_none());
            let new = look(&stores.b.member("reader")).await.expect("reads").is_none();
            assert!(!(at_a && at_b) || new, "JobManagers may lead at both ends after {calls} calls");
            assert!(
                !at_b || new || dump(&stores.b).await == before,
                "a JobManager may lead on an incomplete state after {calls} calls"
            );
            if let Some(outcome) = outcome {
                outcome.expect("migrates");
                assert!(calls > 12, "the migration needed only {calls} calls");
                break;
            }
            let migrated = stores.migrate().await.unwrap_or_else(|error| panic!("failed after a death at call {calls}: {error}"));
            assert_eq!(dump(&stores.b).await, before, "after {calls} calls");
            assert!(objection(&stores.a).await.is_some() && objection(&stores.b).await.is_none(), "after {calls} calls");
            assert!(next_epoch(&stores.b).await > migrated.epoch, "E1 after {calls} calls");
        }
    }
}

#[tokio::test]
async fn a_migration_abandoned_before_all_has_arrived_leaves_the_source_as_before() {
    let mut abandonments = 0;
    for calls in 1.. {
        let stores = Stores::with(130).await;
        let before = dump(&stores.a).await;
        if stores.migrate_within(Life::of(calls, true)).await.is_some() {
            break;
        }
        let mark = look(&stores.a.member("reader")).await.expect("reads");
        let arrived = look(&stores.b.member("reader")).await.expect("reads").is_some_and(|mark| mark.stage == Stage::Arrived);
        let abandoned = abandon(&end(&stores.a, "a"), &end(&stores.b, "b"), PATIENCE, &|_| ()).await;
        if mark.is_none() || arrived {
            assert!(matches!(abandoned, Err(MigrationError::Elsewhere { .. })), "after {calls} calls: {abandoned:?}");
            continue;
        }
        abandoned.unwrap_or_else(|error| panic!("failed after a death at call {calls}: {error}"));
        abandonments += 1;
        assert_eq!(objection(&stores.a).await, None, "after {calls} calls");
        assert_eq!(dump(&stores.a).await, before, "after {calls} calls");
        assert_eq!(dump(&stores.b).await, Contents::new(), "after {calls} calls");
    }
    assert!(abandonments > 3, "{abandonments}");
}

#[tokio::test]
async fn a_destination_with_another_cluster_is_refused_and_the_source_stays_usable() {
    let stores = Stores::with(1).await;
    let other = Stores::with(2).await;
    let outcome = migrate(&end(&stores.a, "a"), &end(&other.a, "c"), PATIENCE, &|_| ()).await;
    assert!(matches!(outcome, Err(MigrationError::Occupied { .. })), "{outcome:?}");
    assert_eq!(objection(&stores.a).await, None);
    // A destination with another source's unfinished migration is refused as well.
    assert!(stores.migrate_within(Life::of(9, true)).await.is_none());
    assert!(objection(&stores.b).await.is_some(), "the migration died too early for this test");
    let outcome = migrate(&end(&other.a, "c"), &end(&stores.b, "b"), PATIENCE, &|_| ()).await;
    assert!(matches!(outcome, Err(MigrationError::Occupied { .. })), "{outcome:?}");
    let outcome = migrate(&end(&stores.a, "a"), &end(&other.b, "d"), PATIENCE, &|_| ()).await;
    assert!(matches!(outcome, Err(MigrationError::Elsewhere { .. })), "{outcome:?}");
    let outcome = stores.migrate_back().await;
    assert!(matches!(outcome, Err(MigrationError::Elsewhere { .. })), "{outcome:?}");
}

#[tokio::test]
async fn the_current_leader_is_named_and_waited_for() {
    let stores = Stores::with(1).await;
    let leader = stores.a.member("jm");
    let mut election = leader.campaign(candidate("jm-1"));
    let Some(LeadershipEvent::Granted(leadership)) = election.next().await else { panic!("no leader was elected") };
    assert!(matches!(leader.publish(&leadership).await, CommitOutcome::Committed { .. }));
    let outcome = migrate(&end(&stores.a, "a"), &end(&stores.b, "b"), IMPATIENCE, &|_| ()).await;
    assert!(matches!(&outcome, Err(error @ MigrationError::NotLed { .. }) if error.to_string().contains("jm-1")), "{outcome:?}");
    drop(election);
    stores.migrate().await.expect("no JobManager leads any more");
}

#[test]
fn batches_keep_the_limits_and_the_order() {
    let value = Bytes::from(vec![0; BATCH_BYTES / 2]);
    let put =
        |number: usize, value: &Bytes| Operation::Put { key: number.to_string(), value: value.clone(), expect: Expect::Any };
    let all: Vec<_> = (0..5).map(|number| put(number, &value)).chain((5..300).map(|number| put(number, &Bytes::new()))).collect();
    let batches = batches(all.clone());
    assert!(batches.iter().all(|batch| crate::fenced_store::check_limits(batch).is_ok() && !batch.is_empty()));
    assert_eq!(batches.concat(), all);
    assert!(batches.len() < 12, "{}", batches.len());
    assert!(self::batches(Vec::new()).is_empty());
}
