//! Moves the whole state of a cluster from one provider to another.
//!
//! Meanwhile no JobManager may lead at either end. So the migration leads at both ends itself, and leaves a [`Mark`] at both.
//! Every leader looks for such a mark before it acts ([`look`]). The order of the steps makes it safe to die at any point and to
//! run the migration again:
//!
//! 1. Lead at the source. Lead at the destination, under an epoch above the source's (E1).
//! 2. Mark the source as *leaving*. From now on no leader acts on it.
//! 3. Mark the destination as *arriving*, because no leader may act on an incomplete state.
//! 4. Copy every key that differs, remove every key that the source does not have, and compare all keys.
//! 5. Mark the destination as *arrived*. This one commit is the point of no return.
//! 6. Mark the source as *left*. Its state is kept, but no leader acts on it.
//!
//! Both marks carry the id of the migration, so that a second run recognises the traces of the first. Every write is conditional
//! on the epoch of a leadership (E3). So the stores refuse a second migration at the same time, and a JobManager that wakes up
//! late.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use weir_protocol::LeaderEpoch;
use weir_world::{random_id, wall_clock_ms};

use crate::fenced_store::{MAX_COMMIT_BYTES, MAX_OPERATIONS};
use crate::keys::MIGRATION;
use crate::resolved_commit::{Resolved, commit};
use crate::{
    Candidate, CommitOutcome, CoordinationStore, Expect, HaServices, LeaderElection, Leadership, Operation, StoreError, record,
};

/// How often a leadership is given up to get one under a higher epoch.
const EPOCH_ATTEMPTS: u32 = 5;
/// No provider grants an epoch above this one.
const HIGHEST_EPOCH: u64 = i64::MAX as u64;

/// The mark that a migration leaves at each end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Id of the migration; the same at both ends.
    pub id: String,
    pub stage: Stage,
    /// The other end, for people.
    pub peer: String,
    /// Wall-clock milliseconds since 1970; for people.
    pub at_ms: u64,
}

/// How far a migration has progressed at one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// This is the source, while the state is copied.
    Leaving,
    /// This is the source, after the migration.
    Left,
    /// This is the destination, while the state is copied.
    Arriving,
    /// This is the destination, after all state has arrived.
    Arrived,
}

impl Mark {
    /// Why no JobManager may lead here; `None` if one may lead.
    pub fn objection(&self) -> Option<String> {
        let peer = &self.peer;
        match self.stage {
            Stage::Arrived => None,
            Stage::Left => Some(format!(
                "HA-MIGRATED: this cluster's state has been moved to {peer}: start with the configuration for that store, or move \
                 the state back with `weir ha migrate`"
            )),
            Stage::Leaving => Some(format!(
                "HA-MIGRATING: this cluster's state is being moved to {peer}: finish the migration with `weir ha migrate`, or abandon \
                 it with `weir ha migrate --abandon`"
            )),
            Stage::Arriving => Some(format!(
                "HA-MIGRATING: not all of this cluster's state has arrived from {peer}: finish the migration with `weir ha migrate`"
            )),
        }
    }
}

/// The mark that a migration has left in a store, if there is one. A leader must read it before it acts.
pub async fn look(ha: &dyn CoordinationStore) -> Result<Option<Mark>, StoreError> {
    let found = ha.get(MIGRATION).await?;
    found.map(|found| record::decode(MIGRATION, &found.value)).transpose()
}

/// One end of a migration.
#[derive(Clone)]
pub struct End {
    pub ha: HaServices,
    /// The name in messages and marks, e.g. `etcd at 10.0.0.1:2379 /weir/default`. It must be the same in every run.
    pub name: String,
}

/// The progress of a migration, for a user who waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It waits to be elected at this end.
    AwaitsLeadership(String),
    /// It leads at this end, under this epoch.
    Leads(String, LeaderEpoch),
    /// The first number of changes has been made, out of the second.
    Copied(usize, usize),
    /// All keys have been compared; the number of keys.
    Verified(usize),
}

/// The result of a successful migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The number of keys at the destination.
    pub keys: usize,
    /// Whether an earlier run had already done everything.
    pub already: bool,
    /// Every epoch granted at the destination exceeds this one.
    pub epoch: LeaderEpoch,
}

/// Why a migration stopped. Nothing is lost: the marks stay, and the migration can be run again.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// Another process leads, or no leader can be elected.
    #[error("HA-MIGRATE-LED: could not lead {end} within {} s{}", .patience.as_secs(), by(.leader))]
    NotLed {
        end: String,
        /// How long the migration waited.
        patience: Duration,
        /// The current leader, if it is known.
        leader: Option<String>,
    },
    /// The destination belongs to another cluster or another migration.
    #[error("HA-MIGRATE-OCCUPIED: {end} is not free: {reason}")]
    Occupied {
        end: String,
        /// What the destination holds.
        reason: String,
    },
    /// The state is not at the source, or not only at the source.
    #[error("HA-MIGRATE-ELSEWHERE: {end}: {reason}")]
    Elsewhere {
        end: String,
        /// Where the state is.
        reason: String,
    },
    /// An epoch is too high, or not high enough.
    #[error("HA-MIGRATE-EPOCH: {end}: {reason}")]
    Epoch {
        end: String,
        /// What is wrong.
        reason: String,
    },
    /// The copy at the destination differs from the source.
    #[error("HA-MIGRATE-DIFFERS: after copying, key {key:?} is not the same at {end}")]
    Differs {
        end: String,
        /// The first key that differs.
        key: String,
    },
    /// A store could not carry out an operation.
    #[error("{end}: {source}")]
    Store { end: String, source: StoreError },
}

fn by(leader: &Option<String>) -> String {
    leader.as_ref().map_or(": no leader was elected there".to_owned(), |leader| {
        format!(": {leader} leads; stop the JobManagers there first")
    })
}

type Contents = BTreeMap<String, Bytes>;

/// An end at which this process leads.
struct Led<'a> {
    end: &'a End,
    leadership: Leadership,
    /// Dropping it gives leadership up.
    election: LeaderElection,
}

/// Moves the whole state from `source` to `destination`. Waits at most `patience` for leadership at each end.
pub async fn migrate(
    source: &End,
    destination: &End,
    patience: Duration,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Migrated, MigrationError> {
    let from = lead(source, patience, progress).await?;
    let leaving = from.leaving(destination).await?;
    let to = lead_above(destination, from.leadership.epoch(), patience, progress).await?;
    let epoch = from.leadership.epoch();
    let arrived = match &leaving {
        Departure::Done(mark) | Departure::Begun(mark) => to.has_arrived(mark).await?,
        Departure::New(_) => false,
    };
    let mark = match leaving {
        Departure::Done(mark) if arrived => {
            let keys = to.contents().await?.len();
            tracing::debug!(id = mark.id, "migrated before");
            return Ok(Migrated { keys, already: true, epoch });
        }
        Departure::Done(mark) => {
            return Err(from.elsewhere(format!("its state has been moved to {}, but has not arrived there", mark.peer)));
        }
        Departure::Begun(mark) | Departure::New(mark) => mark,
    };
    let contents = from.contents().await?;
    if !arrived {
        to.admit(&mark).await?;
        from.mark(&mark, Stage::Leaving, destination).await?;
        to.mark(&mark, Stage::Arriving, source).await?;
        to.receive(&contents, progress).await?;
        to.mark(&mark, Stage::Arrived, source).await?;
    }
    from.mark(&mark, Stage::Left, destination).await?;
    Ok(Migrated { keys: contents.len(), already: false, epoch })
}

/// Abandons a migration whose state has not arrived. Empties the destination and lets JobManagers lead at the source again.
pub async fn abandon(
    source: &End,
    destination: &End,
    patience: Duration,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), MigrationError> {
    let from = lead(source, patience, progress).await?;
    let mark = match from.seen().await? {
        Some(mark) if mark.stage == Stage::Leaving && mark.peer == destination.name => mark,
        _ => return Err(from.elsewhere(format!("no migration to {} is in progress", destination.name))),
    };
    let to = lead(destination, patience, progress).await?;
    match to.seen().await? {
        Some(found) if found.id == mark.id && found.stage == Stage::Arrived => {
            return Err(to.elsewhere("all state has arrived: finish the migration instead".to_owned()));
        }
        Some(found) if found.id == mark.id => {
            to.receive(&Contents::new(), progress).await?;
            to.apply(vec![Operation::Delete { key: MIGRATION.to_owned(), expect: Expect::Any }]).await?;
        }
        // The migration died before it marked the destination.
        _ => {}
    }
    from.apply(vec![Operation::Delete { key: MIGRATION.to_owned(), expect: Expect::Any }]).await
}

/// The state of the migration, as the source's mark tells it.
enum Departure {
    New(Mark),
    /// An earlier run has begun the migration.
    Begun(Mark),
    /// An earlier run has ended the migration.
    Done(Mark),
}

async fn lead<'a>(end: &'a End, patience: Duration, progress: &(dyn Fn(Progress) + Sync)) -> Result<Led<'a>, MigrationError> {
    // The migration serves no requests, so it has no addresses.
    let candidate = Candidate { name: "migration".into(), rpc_address: String::new(), rest_address: String::new() };
    granted(end, end.ha.campaign(candidate), patience, progress).await
}

async fn granted<'a>(
    end: &'a End,
    mut election: LeaderElection,
    patience: Duration,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Led<'a>, MigrationError> {
    progress(Progress::AwaitsLeadership(end.name.clone()));
    let Ok(Some(leadership)) = timeout(patience, election.granted()).await else {
        let leader = end.ha.leader().borrow().as_ref().map(|record| record.leader.name.clone());
        return Err(MigrationError::NotLed { end: end.name.clone(), patience, leader });
    };
    let epoch = leadership.epoch();
    if epoch.0 > HIGHEST_EPOCH {
        return Err(MigrationError::Epoch {
            end: end.name.clone(),
            reason: format!("epoch {epoch} was granted, the highest possible epoch is {HIGHEST_EPOCH}"),
        });
    }
    progress(Progress::Leads(end.name.clone(), epoch));
    Ok(Led { end, leadership, election })
}

/// Leads under an epoch above `floor`.
async fn lead_above<'a>(
    end: &'a End,
    floor: LeaderEpoch,
    patience: Duration,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Led<'a>, MigrationError> {
    let mut led = lead(end, patience, progress).await?;
    for _ in 0..EPOCH_ATTEMPTS {
        if led.leadership.epoch() > floor {
            return Ok(led);
        }
        let Led { leadership, election, .. } = led;
        // This is above the epoch of this leadership in any case, so the leadership ends.
        led = match end.ha.raise_epoch(&leadership, LeaderEpoch(floor.0 + 1)).await {
            CommitOutcome::Committed { .. } => granted(end, election, patience, progress).await?,
            outcome => {
                tracing::warn!(?outcome, end = end.name, "the epoch may not have been raised");
                drop(election);
                lead(end, patience, progress).await?
            }
        };
    }
    Err(MigrationError::Epoch { end: end.name.clone(), reason: format!("no epoch above {floor} was granted") })
}

impl Led<'_> {
    fn failed(&self, source: StoreError) -> MigrationError {
        MigrationError::Store { end: self.end.name.clone(), source }
    }

    fn elsewhere(&self, reason: String) -> MigrationError {
        MigrationError::Elsewhere { end: self.end.name.clone(), reason }
    }

    fn occupied(&self, reason: impl fmt::Display) -> MigrationError {
        MigrationError::Occupied { end: self.end.name.clone(), reason: reason.to_string() }
    }

    async fn seen(&self) -> Result<Option<Mark>, MigrationError> {
        look(&*self.end.ha).await.map_err(|error| self.failed(error))
    }

    /// All keys except the mark.
    async fn contents(&self) -> Result<Contents, MigrationError> {
        let found = self.end.ha.list("").await.map_err(|error| self.failed(error.into()))?;
        Ok(found.into_iter().filter(|(key, _)| key != MIGRATION).map(|(key, found)| (key, found.value)).collect())
    }

    /// As the source: whether its state may leave for `destination`.
    async fn leaving(&self, destination: &End) -> Result<Departure, MigrationError> {
        let new = || Mark {
            id: format!("{:032x}", random_id()),
            stage: Stage::Leaving,
            peer: destination.name.clone(),
            at_ms: wall_clock_ms(),
        };
        let Some(mark) = self.seen().await? else { return Ok(Departure::New(new())) };
        match mark.stage {
            Stage::Arrived => Ok(Departure::New(new())),
            Stage::Arriving => {
                Err(self.elsewhere(format!("not all state has arrived from {}: finish that migration first", mark.peer)))
            }
            Stage::Left | Stage::Leaving if mark.peer != destination.name => {
                Err(self.elsewhere(format!("its state has been moved, or is being moved, to {}", mark.peer)))
            }
            Stage::Left => Ok(Departure::Done(mark)),
            Stage::Leaving => Ok(Departure::Begun(mark)),
        }
    }

    /// As the destination: whether this migration has arrived.
    async fn has_arrived(&self, mark: &Mark) -> Result<bool, MigrationError> {
        Ok(self.seen().await?.is_some_and(|found| found.id == mark.id && found.stage == Stage::Arrived))
    }

    /// As the destination: whether this migration may write here.
    async fn admit(&self, mark: &Mark) -> Result<(), MigrationError> {
        let found = self.seen().await?;
        match found {
            // These are remains of an earlier run, or of a state that has been moved elsewhere since.
            Some(found) if found.id == mark.id || found.stage == Stage::Left => Ok(()),
            Some(found) if found.stage != Stage::Arrived => {
                Err(self.occupied(format!("a migration between it and {} is in progress", found.peer)))
            }
            _ => match self.contents().await?.len() {
                0 => Ok(()),
                keys => Err(self.occupied(format!("a cluster has written {keys} keys there; use another cluster id"))),
            },
        }
    }

    async fn mark(&self, mark: &Mark, stage: Stage, peer: &End) -> Result<(), MigrationError> {
        let mark = Mark { stage, peer: peer.name.clone(), at_ms: wall_clock_ms(), id: mark.id.clone() };
        let value = record::encode(MIGRATION, &mark).map_err(|error| self.failed(error))?;
        self.apply(vec![Operation::Put { key: MIGRATION.to_owned(), value, expect: Expect::Any }]).await
    }

    async fn apply(&self, operations: Vec<Operation>) -> Result<(), MigrationError> {
        match commit(&*self.end.ha, &self.leadership, operations).await {
            Ok(Resolved::Applied) => Ok(()),
            Ok(Resolved::Conflict { key }) => {
                let reason = "another process wrote this key".to_owned();
                Err(self.failed(StoreError::Conflict { key, reason }))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// As the destination: makes its state a copy of `contents`.
    async fn receive(&self, contents: &Contents, progress: &(dyn Fn(Progress) + Sync)) -> Result<(), MigrationError> {
        let changes = changes(&self.contents().await?, contents);
        let (mut done, all) = (0, changes.len());
        for batch in batches(changes) {
            done += batch.len();
            self.apply(batch).await?;
            progress(Progress::Copied(done, all));
        }
        let now = self.contents().await?;
        if let Some(operation) = self::changes(&now, contents).first() {
            let key = operation.key_and_expect().0.to_owned();
            return Err(MigrationError::Differs { end: self.end.name.clone(), key });
        }
        progress(Progress::Verified(now.len()));
        Ok(())
    }
}

/// The operations that change `have` into `want`.
fn changes(have: &Contents, want: &Contents) -> Vec<Operation> {
    let puts = want.iter().filter(|(key, value)| have.get(*key) != Some(value)).map(|(key, value)| Operation::Put {
        key: key.clone(),
        value: value.clone(),
        expect: Expect::Any,
    });
    let gone = have.keys().filter(|key| !want.contains_key(*key));
    let deletes = gone.map(|key| Operation::Delete { key: key.clone(), expect: Expect::Any });
    // Removals come first, because the store may have no room for the old and the new keys together.
    deletes.chain(puts).collect()
}

/// Groups the operations into as few commits as the limits of every store allow.
fn batches(operations: Vec<Operation>) -> Vec<Vec<Operation>> {
    let (mut batches, mut bytes) = (Vec::<Vec<Operation>>::new(), 0);
    for operation in operations {
        let value = if let Operation::Put { value, .. } = &operation { value.len() } else { 0 };
        let weight = operation.key_and_expect().0.len() + value;
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_OPERATIONS && bytes + weight <= BATCH_BYTES => {
                bytes += weight;
                batch.push(operation);
            }
            _ => {
                bytes = weight;
                batches.push(vec![operation]);
            }
        }
    }
    batches
}

/// Most bytes of a commit with several keys. It is half of the limit, because ZooKeeper's requests are smaller than etcd's.
const BATCH_BYTES: usize = MAX_COMMIT_BYTES / 2;

#[cfg(test)]
mod tests;
