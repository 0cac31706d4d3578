//! A coordination provider that notes the calls to it, and can make its process die at any of its writes.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use weir_ha::keys::RESULTS;
use weir_ha::{
    Candidate, CommitOutcome, CoordinationStore, Election, GroupAdmin, HaServices, HaStatus, LeaderElection, LeaderRecord,
    Leadership, MemberChange, MembershipError, Operation, ReadError, Rejection, StoreUsage, StoreWatch, TransferError, Versioned,
    WatchEvent,
};
use weir_protocol::{CheckpointId, JobId, LeaderEpoch};
use weir_storage::checkpoint::{layout, metadata};
use weir_verdict::fact::Fact;
use weir_world::{random_id, rarely, spawn};

use super::observations::Observations;
use super::store::{CHECKPOINTS, ObjectStore};

/// Longest delay of a held write, in milliseconds. It is long enough to elect another leader, and then the first one again.
const HELD_AT_MOST_MS: u128 = 6_000;

/// A provider that notes facts about its calls. Clones share their state.
#[derive(Clone)]
pub struct Observed {
    inner: HaServices,
    host: String,
    process: String,
    observations: Observations,
    store: ObjectStore,
}

impl Observed {
    /// Observes `inner`, the provider of the process `process` on `host`, whose checkpoints are in `store`.
    pub fn new(inner: HaServices, host: &str, process: String, observations: Observations, store: ObjectStore) -> Self {
        Self { inner, host: host.to_owned(), process, observations, store }
    }

    async fn write(&self, leadership: &Leadership, changes: Changes, write: BoxFuture<'_, CommitOutcome>) -> CommitOutcome {
        let number = self.observations.begin_write(&self.host);
        let epoch = leadership.epoch();
        let fatal = self.observations.fatal();
        if fatal == Some(false) {
            self.die().await;
        }
        self.observations.note(Fact::WriteBegan { write: number, process: self.process.clone(), epoch });
        // From now on the pointers may be removed, even if the writer is cut off or stopped and never learns so.
        for (job, checkpoint) in changes.removed.iter().copied() {
            self.observations.note(Fact::CheckpointRemoved { job, checkpoint });
        }
        let abandoned = (fatal == Some(true)).then(|| DiesIfAbandoned(self));
        let outcome = write.await;
        // The outcome has arrived, so the process dies below and not in the guard's drop.
        std::mem::forget(abandoned);
        if matches!(outcome, CommitOutcome::Rejected(_)) {
            for (job, checkpoint) in changes.removed {
                self.observations.note(Fact::CheckpointKept { job, checkpoint });
            }
        } else if let Some(job) = changes.ended {
            self.store.note_end(job);
        }
        match &outcome {
            CommitOutcome::Committed { version } => {
                self.observations.note(Fact::WriteCommitted { write: number, epoch });
                if let Some((job, checkpoint, metadata)) = changes.appended {
                    let files = metadata.map(|path| self.files_of(job, path)).unwrap_or_default();
                    self.observations.note(Fact::CheckpointAppended { job, checkpoint, version: *version, files });
                }
            }
            CommitOutcome::Rejected(Rejection::StaleEpoch { .. }) => self.observations.note_refused(),
            CommitOutcome::Rejected(_) => {}
            CommitOutcome::Unknown { .. } => self.observations.note_unknown(),
        }
        if fatal == Some(true) {
            self.die().await;
        }
        outcome
    }

    /// Returns a checkpoint's metadata file and the state files that it names, and whether each exists.
    fn files_of(&self, job: JobId, metadata: String) -> Vec<(String, bool)> {
        let bytes = self.store.content(&format!("{CHECKPOINTS}{metadata}"));
        let decoded = bytes.as_ref().and_then(|bytes| metadata::decode(&metadata, Some(job), bytes).ok());
        let directory = layout::job_directory(job);
        let segments = decoded.iter().flat_map(metadata::segments).map(|segment| format!("{directory}/{}", segment.path));
        let states: BTreeSet<String> = segments.collect();
        self.observations.note_state_files(states.len() as u64);
        let there = |path: String| {
            let there = self.store.content(&format!("{CHECKPOINTS}{path}")).is_some();
            (path, there)
        };
        std::iter::once((metadata, decoded.is_some())).chain(states.into_iter().map(there)).collect()
    }

    /// Makes a write after a delay, as if its process was stopped just before. By then the writer may no longer be the leader.
    async fn held(&self, leadership: Leadership, operations: Vec<Operation>) -> CommitOutcome {
        let (tell, told) = oneshot::channel();
        let observed = self.clone();
        spawn("held-write", async move {
            tokio::time::sleep(Duration::from_millis((random_id() % HELD_AT_MOST_MS) as u64)).await;
            let changes = Changes::of(&operations);
            let outcome = observed.write(&leadership, changes, observed.inner.commit(&leadership, operations)).await;
            // If the caller was dropped, it does not need the outcome.
            let _ = tell.send(outcome);
        });
        told.await.unwrap_or_else(|_| CommitOutcome::Unknown { reason: "the process ends".to_owned() })
    }

    async fn die(&self) {
        tracing::info!(process = self.process, "dies at a write");
        self.observations.doom_host(&self.host);
        std::future::pending().await
    }
}

/// Makes the process of a fatal write die, if the caller is dropped before the outcome of the write arrives.
struct DiesIfAbandoned<'a>(&'a Observed);

impl Drop for DiesIfAbandoned<'_> {
    fn drop(&mut self) {
        self.0.observations.doom_host(&self.0.host);
    }
}

/// The changes that operations make to checkpoints and results.
#[derive(Default)]
struct Changes {
    /// The checkpoint whose pointer is appended, and its metadata file.
    appended: Option<(JobId, CheckpointId, Option<String>)>,
    removed: Vec<(JobId, CheckpointId)>,
    /// The job whose result is recorded.
    ended: Option<JobId>,
}

impl Changes {
    fn of(operations: &[Operation]) -> Self {
        let mut changes = Self::default();
        for operation in operations {
            match operation {
                Operation::Put { key, value, .. } => {
                    changes.ended = changes.ended.or(key.strip_prefix(RESULTS).and_then(|job| job.parse().ok()));
                    let Some((job, id)) = pointer(key) else { continue };
                    let record: Value = serde_json::from_slice(value).unwrap_or_default();
                    let record = &record["record"];
                    let path = record["metadata"]["path"].as_str();
                    changes.appended = Some((job, id, path.map(str::to_owned)));
                }
                Operation::Delete { key, .. } => changes.removed.extend(pointer(key)),
            }
        }
        changes
    }
}

/// Returns the checkpoint whose pointer is under this key.
fn pointer(key: &str) -> Option<(JobId, CheckpointId)> {
    let (job, id) = key.strip_prefix("checkpoints/")?.split_once('/')?;
    Some((job.parse().ok()?, CheckpointId(id.parse().ok()?)))
}

impl Election for Observed {
    fn campaign(&self, candidate: Candidate) -> LeaderElection {
        self.inner.campaign(candidate)
    }

    fn leader(&self) -> watch::Receiver<Option<LeaderRecord>> {
        self.inner.leader()
    }

    fn publish<'a>(&'a self, leadership: &'a Leadership) -> BoxFuture<'a, CommitOutcome> {
        self.write(leadership, Changes::default(), self.inner.publish(leadership)).boxed()
    }

    fn raise_epoch<'a>(&'a self, leadership: &'a Leadership, floor: LeaderEpoch) -> BoxFuture<'a, CommitOutcome> {
        self.write(leadership, Changes::default(), self.inner.raise_epoch(leadership, floor)).boxed()
    }

    fn transfer_leadership<'a>(&'a self, to: Option<&'a str>) -> BoxFuture<'a, Result<(), TransferError>> {
        self.inner.transfer_leadership(to)
    }
}

impl CoordinationStore for Observed {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>> {
        self.inner.get(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, Versioned)>, ReadError>> {
        self.inner.list(prefix)
    }

    fn commit<'a>(&'a self, leadership: &'a Leadership, operations: Vec<Operation>) -> BoxFuture<'a, CommitOutcome> {
        let changes = Changes::of(&operations);
        if rarely("write-held") {
            return self.held(leadership.clone(), operations).boxed();
        }
        self.write(leadership, changes, self.inner.commit(leadership, operations)).boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<WatchEvent>, ReadError>> {
        self.inner.watch(prefix)
    }

    fn availability(&self) -> StoreWatch {
        self.inner.availability()
    }

    fn usage(&self) -> Option<StoreUsage> {
        self.inner.usage()
    }
}

impl GroupAdmin for Observed {
    fn status(&self) -> HaStatus {
        self.inner.status()
    }

    fn set_isolated(&self, isolated: bool) -> bool {
        self.inner.set_isolated(isolated)
    }

    fn change_members<'a>(&'a self, change: MemberChange) -> BoxFuture<'a, Result<(), MembershipError>> {
        self.inner.change_members(change)
    }

    fn shutdown<'a>(&'a self) -> BoxFuture<'a, ()> {
        self.inner.shutdown()
    }
}
