//! The completed checkpoints of every job. A checkpoint is completed by the fenced append of its pointer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use weir_protocol::checkpoint::CheckpointKind;
use weir_protocol::{CheckpointId, Generation, JobId, LeaderEpoch};
use weir_storage::checkpoint::MetadataHandle;

use crate::fenced_store::MAX_OPERATIONS;
use crate::resolved_commit::{self, Resolved};
use crate::{Expect, HaServices, Leadership, Operation, StoreError, keys, record};

/// How often an append is attempted if others change the head at the same time.
const ATTEMPTS: u32 = 4;

/// The most checkpoints that one append may subsume, because a commit holds a limited number of operations.
pub const MAX_SUBSUMED: usize = MAX_OPERATIONS - 2;

/// A completed checkpoint as the coordination store knows it. It is small: everything else is in the metadata file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CompletedCheckpoint {
    pub job: JobId,
    pub id: CheckpointId,
    pub kind: CheckpointKind,
    pub metadata: MetadataHandle,
    /// Epoch of the leader that completed it.
    pub epoch: LeaderEpoch,
    /// Generation of the tasks that took it.
    pub generation: Generation,
    /// Wall-clock milliseconds since 1970; for people.
    pub completed_at_ms: u64,
    /// The directory in which a user finds a savepoint or an externalised checkpoint.
    pub external_path: Option<String>,
}

/// The value of a job's `head` key. Every append changes it, so a late or repeated append is refused by the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    newest: CheckpointId,
    epoch: LeaderEpoch,
}

/// What the store holds for one job.
struct Chain {
    /// With the version of its key.
    head: Option<(Head, u64)>,
    checkpoints: Vec<CompletedCheckpoint>,
}

/// The newest checkpoint of a job and the version of its head, as this process wrote them.
#[derive(Debug, Clone, Copy)]
struct KnownHead {
    newest: CheckpointId,
    version: u64,
}

/// The completed checkpoints of every job, oldest first per job. Clones share what they know of the store.
#[derive(Clone)]
pub struct CompletedCheckpointStore {
    ha: HaServices,
    /// The heads of jobs whose last append was made here, so that the next one needs no read. If another process has changed the
    /// head since, the store refuses the write, and the head is read.
    heads: Arc<Mutex<BTreeMap<JobId, KnownHead>>>,
}

impl CompletedCheckpointStore {
    /// The completed checkpoints in this store.
    pub fn new(ha: HaServices) -> Self {
        Self { ha, heads: Arc::default() }
    }

    fn heads(&self) -> MutexGuard<'_, BTreeMap<JobId, KnownHead>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes a checkpoint: `Ok` means durable and visible to every later leader (C3). The same commit removes the pointers of
    /// the checkpoints that it subsumes. Only then may files of theirs be deleted.
    ///
    /// Its id must be above every id ever appended for the job (C2). To append the same checkpoint again is no error. Subsumed ids
    /// must be older; those that do not exist are ignored.
    pub async fn append(
        &self,
        leadership: &Leadership,
        checkpoint: &CompletedCheckpoint,
        subsumed: &[CheckpointId],
    ) -> Result<(), StoreError> {
        if let Some(younger) = subsumed.iter().find(|id| **id >= checkpoint.id) {
            return Err(StoreError::Refused { reason: format!("checkpoint {} can't subsume {younger}", checkpoint.id) });
        }
        let head_key = keys::checkpoint_head(checkpoint.job);
        let key = keys::checkpoint(checkpoint.job, checkpoint.id);
        for _ in 0..ATTEMPTS {
            let known = self.heads().remove(&checkpoint.job).filter(|head| head.newest < checkpoint.id);
            let expect = match known {
                Some(head) => Expect::Version(head.version),
                None => match self.place(checkpoint, &key).await? {
                    Some(expect) => expect,
                    None => return Ok(()),
                },
            };
            let head = Head { newest: checkpoint.id, epoch: leadership.epoch() };
            let mut operations = vec![
                Operation::Put { key: key.clone(), value: record::encode(&key, checkpoint)?, expect: Expect::Absent },
                Operation::Put { key: head_key.clone(), value: record::encode(&head_key, &head)?, expect },
            ];
            operations.extend(subsumed.iter().map(|id| delete(keys::checkpoint(checkpoint.job, *id))));
            match resolved_commit::commit_versioned(&*self.ha, leadership, operations).await? {
                (Resolved::Applied, version) => {
                    let head = version.map(|version| (checkpoint.job, KnownHead { newest: checkpoint.id, version }));
                    self.heads().extend(head);
                    return Ok(());
                }
                (Resolved::Conflict { .. }, _) => {}
            }
        }
        Err(StoreError::Conflict { key: head_key, reason: "others append for this job at the same time".to_owned() })
    }

    /// Reads what the head must be for an append of this checkpoint; `None` if the checkpoint is already there.
    async fn place(&self, checkpoint: &CompletedCheckpoint, key: &str) -> Result<Option<Expect>, StoreError> {
        let chain = self.read(checkpoint.job).await?;
        let conflict = |reason: String| StoreError::Conflict { key: key.to_owned(), reason };
        if let Some(known) = chain.checkpoints.iter().find(|known| known.id == checkpoint.id) {
            return if known == checkpoint { Ok(None) } else { Err(conflict("another checkpoint has this id".to_owned())) };
        }
        match chain.head {
            Some((head, _)) if head.newest >= checkpoint.id => {
                Err(conflict(format!("checkpoint {} is newer or the same, ids must increase", head.newest)))
            }
            Some((_, version)) => Ok(Some(Expect::Version(version))),
            None => Ok(Some(Expect::Absent)),
        }
    }

    /// The retained checkpoints of a job, oldest first. If one can't be read, the result is an error and never a shorter list
    /// (C6).
    pub async fn list(&self, job: JobId) -> Result<Vec<CompletedCheckpoint>, StoreError> {
        Ok(self.read(job).await?.checkpoints)
    }

    /// The newest checkpoint of a job; `None` if the job never completed one. Never returns an older one instead (C6).
    pub async fn latest(&self, job: JobId) -> Result<Option<CompletedCheckpoint>, StoreError> {
        Ok(self.read(job).await?.checkpoints.pop())
    }

    /// Removes all checkpoints of a job that has ended, and its id counter. Idempotent.
    pub async fn remove_all(&self, leadership: &Leadership, job: JobId) -> Result<(), StoreError> {
        self.heads().remove(&job);
        let mut keys: Vec<String> = self.ha.list(&keys::checkpoints(job)).await?.into_iter().map(|(key, _)| key).collect();
        keys.push(keys::checkpoint_ids(job));
        for chunk in keys.chunks(MAX_OPERATIONS) {
            let operations = chunk.iter().cloned().map(delete).collect();
            match resolved_commit::commit(&*self.ha, leadership, operations).await? {
                Resolved::Applied => {}
                Resolved::Conflict { key } => {
                    return Err(StoreError::Conflict { key, reason: "an unconditional delete was refused".to_owned() });
                }
            }
        }
        Ok(())
    }

    async fn read(&self, job: JobId) -> Result<Chain, StoreError> {
        let prefix = keys::checkpoints(job);
        let head_key = keys::checkpoint_head(job);
        let mut chain = Chain { head: None, checkpoints: Vec::new() };
        for (key, found) in self.ha.list(&prefix).await? {
            if key == head_key {
                chain.head = Some((record::decode(&key, &found.value)?, found.version));
                continue;
            }
            let checkpoint: CompletedCheckpoint = record::decode(&key, &found.value)?;
            if key != keys::checkpoint(checkpoint.job, checkpoint.id) {
                let reason = format!("holds checkpoint {} of job {}", checkpoint.id, checkpoint.job);
                return Err(StoreError::Corrupt { key, reason });
            }
            chain.checkpoints.push(checkpoint);
        }
        let head = chain.head.as_ref().map(|(head, _)| head.newest);
        let newest = chain.checkpoints.last().map(|newest| newest.id);
        if head != newest {
            let number = |id: Option<CheckpointId>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
            let reason = format!("the newest checkpoint is {}, found {}", number(head), number(newest));
            return Err(StoreError::Corrupt { key: head_key, reason });
        }
        Ok(chain)
    }
}

fn delete(key: String) -> Operation {
    Operation::Delete { key, expect: Expect::Any }
}

#[cfg(test)]
mod tests;
