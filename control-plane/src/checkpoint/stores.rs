//! The stores of checkpoints: files are in checkpoint storage, pointers and ids in the coordination store. This is the only
//! async part of this folder. Every call has a deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_ha::{CheckpointIdCounter, CompletedCheckpoint, CompletedCheckpointStore, Leadership, StoreError};
use weir_protocol::checkpoint::CheckpointMetadata;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::{CheckpointId, JobId};
use weir_storage::checkpoint::gc::{self, Roots};
use weir_storage::checkpoint::resolve::{self, Pointer};
use weir_storage::checkpoint::{CheckpointError, CheckpointStorage, ExternalCheckpoint, layout};
use weir_storage::{StorageOptions, open};
use weir_world::flaw::{Flaw, is_planted};
use weir_world::{delay_at_times, random_id, rarely};

use super::completed::RestorePoint;
use super::effect::StoreCall;
use super::event::CheckpointEvent;
use super::{AppendOutcome, WrittenMetadata};
use crate::job_master::restore;

/// How long a call to the coordination store may take.
const STORE_DEADLINE: Duration = Duration::from_secs(30);

/// How long reading or writing metadata may take.
const FILE_DEADLINE: Duration = Duration::from_secs(120);

/// How long copying a savepoint, or collecting garbage, may take.
const COPY_DEADLINE: Duration = Duration::from_secs(1_800);

/// The stores that the JobMaster of one job uses under one leadership.
pub struct CheckpointStores {
    /// The right to write to the coordination store.
    pub leadership: Leadership,
    pub job: JobId,
    pub storage: CheckpointStorage,
    /// URI of the directory for savepoints whose user names no directory.
    pub savepoint_root: String,
    /// Options for opening directories that users name.
    pub options: StorageOptions,
    pub completed: CompletedCheckpointStore,
    pub ids: CheckpointIdCounter,
    /// Metadata of the retained checkpoints, so that it need not be read again.
    pub known: Mutex<BTreeMap<CheckpointId, Arc<CheckpointMetadata>>>,
}

/// A newer leader exists, so this one must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a newer leader has been elected")]
pub struct Superseded;

/// Why the checkpoint that a job must start from can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// A newer leader exists, so this one must stop.
    Superseded,
    /// It can't be read, or the job can't start from it.
    Because {
        /// What is wrong and what to do, for people.
        reason: String,
        /// Whether to try again.
        retryable: bool,
    },
}

impl Unreadable {
    fn for_now(reason: String) -> Self {
        Self::Because { reason, retryable: true }
    }
}

impl CheckpointStores {
    /// Reads and verifies the newest checkpoint. A job without checkpoints imports the one that its graph names.
    ///
    /// A damaged checkpoint is never skipped (C6). The error is retryable, because somebody may restore the file.
    pub async fn read_newest(&self, graph: &JobGraph) -> Result<RestorePoint, Unreadable> {
        within(FILE_DEADLINE + COPY_DEADLINE, self.read_newest_in_time(graph))
            .await
            .unwrap_or_else(|| Err(Unreadable::for_now("reading the newest checkpoint takes too long".to_string())))
    }

    async fn read_newest_in_time(&self, graph: &JobGraph) -> Result<RestorePoint, Unreadable> {
        let advice = "restore it or cancel the job";
        let listed = within(STORE_DEADLINE, self.completed.list(self.job)).await;
        let mut completed = match listed {
            Some(Ok(completed)) => completed,
            Some(Err(error)) => return Err(Unreadable::for_now(format!("the list of checkpoints can't be read: {error}"))),
            None => return Err(Unreadable::for_now("the coordination store does not answer".to_string())),
        };
        if is_planted(Flaw::OlderCheckpoint) && completed.len() > 1 {
            completed.pop();
        }
        if is_planted(Flaw::NoCheckpoint) {
            completed.clear();
        }
        if completed.is_empty()
            && let Some(uri) = &graph.restore_from
        {
            completed.push(self.import(graph, uri).await?);
        }
        let pointers: Vec<_> = completed.iter().map(|one| Pointer { id: one.id, metadata: one.metadata.clone() }).collect();
        let newest = resolve::restore_newest(&self.storage, self.job, graph.max_parallelism, &pointers)
            .await
            .map_err(|error| Unreadable::for_now(format!("{error}; {advice}")))?
            .map(Arc::new);
        if let Some(newest) = &newest {
            self.known().insert(newest.id, Arc::clone(newest));
        }
        Ok(RestorePoint { completed, newest })
    }

    /// Imports the checkpoint that the job graph names as this job's checkpoint 0. Can be repeated after any failure.
    async fn import(&self, graph: &JobGraph, uri: &str) -> Result<CompletedCheckpoint, Unreadable> {
        let refused =
            |reason: String, retryable| Unreadable::Because { reason: format!("can't start from {uri}: {reason}"), retryable };
        let external = ExternalCheckpoint::open(uri, &self.options).map_err(|error| refused(error.to_string(), false))?;
        let failed = |error: CheckpointError| refused(error.to_string(), error.is_retryable());
        let found = external.metadata().await.map_err(failed)?;
        restore::check(&found, graph).map_err(|mismatch| refused(mismatch.to_string(), false))?;
        let imported = self.storage.import(self.job, &external).await.map_err(failed)?;
        let metadata = self.storage.write_metadata(&imported).await.map_err(failed)?;
        let pointer = CompletedCheckpoint {
            job: self.job,
            id: imported.id,
            kind: imported.kind,
            metadata,
            epoch: self.leadership.epoch(),
            generation: imported.generation,
            completed_at_ms: imported.completed_at_ms,
            external_path: Some(uri.to_string()),
        };
        match self.completed.append(&self.leadership, &pointer, &[]).await {
            Ok(()) => Ok(pointer),
            Err(StoreError::Superseded { .. }) => Err(Unreadable::Superseded),
            Err(error) => Err(refused(error.to_string(), true)),
        }
    }

    /// Makes a call and returns the event that answers it.
    pub async fn perform(&self, call: StoreCall) -> Result<CheckpointEvent, Superseded> {
        Ok(match call {
            StoreCall::ReserveIds { count } => match self.reserve(count).await? {
                Ok(ids) => CheckpointEvent::IdsReserved(ids),
                Err(reason) => {
                    tracing::warn!(job = %self.job, reason, "checkpoint ids could not be reserved; trying again");
                    CheckpointEvent::IdsNotReserved
                }
            },
            StoreCall::WriteMetadata { metadata, target_directory } => {
                let checkpoint = metadata.id;
                let result = self.write_metadata(Arc::from(metadata), target_directory).await;
                CheckpointEvent::MetadataWritten { checkpoint, result }
            }
            StoreCall::AppendPointer { pointer, subsumed } => {
                CheckpointEvent::PointerAppended { checkpoint: pointer.id, outcome: self.append(&pointer, &subsumed).await? }
            }
            StoreCall::CollectGarbage { keep, pending } => {
                self.collect(&keep, pending).await;
                CheckpointEvent::GarbageCollected
            }
        })
    }

    async fn reserve(&self, count: u64) -> Result<Result<Range<u64>, String>, Superseded> {
        settled(within(STORE_DEADLINE, self.ids.reserve(&self.leadership, self.job, count)).await)
    }

    /// Writes a checkpoint's metadata file. A savepoint is also exported before it is complete, so that a job never stops with a
    /// savepoint that its user can't find.
    async fn write_metadata(
        &self,
        metadata: Arc<CheckpointMetadata>,
        target_directory: Option<String>,
    ) -> Result<WrittenMetadata, String> {
        {
            let known = self.known();
            let kept: Vec<_> = known.values().map(|one| &**one).collect();
            if let Some(path) = gc::foreign_references(&metadata, &kept).into_iter().next() {
                return Err(format!("it refers to {path}, which belongs to no retained checkpoint (C4)"));
            }
        }
        let written = within(FILE_DEADLINE, self.storage.write_metadata(&metadata)).await;
        let handle = written.ok_or("writing takes too long")?.map_err(|error| error.to_string())?;
        delay_at_times("metadata-written").await;
        let external_path = if metadata.kind.is_savepoint() {
            let target = target_directory.unwrap_or_else(|| self.savepoint_root.clone());
            let exported = within(COPY_DEADLINE, self.export(&metadata, &target)).await;
            exported.ok_or("exporting takes too long")??
        } else {
            format!("{}/{}", self.storage.job_uri(self.job), layout::checkpoint_directory(metadata.id))
        };
        self.known().insert(metadata.id, metadata);
        Ok(WrittenMetadata { handle, external_path })
    }

    async fn export(&self, metadata: &CheckpointMetadata, target: &str) -> Result<String, String> {
        let files = open(target, &self.options).map_err(|error| format!("{target}: {error}"))?;
        let exported = self.storage.export_savepoint(metadata, &files, random_id()).await;
        exported.map(|location| location.uri).map_err(|error| error.to_string())
    }

    /// Appends a pointer, which completes the checkpoint. Safe to repeat with the same pointer.
    async fn append(&self, pointer: &CompletedCheckpoint, subsumed: &[CheckpointId]) -> Result<AppendOutcome, Superseded> {
        match within(STORE_DEADLINE, self.completed.append(&self.leadership, pointer, subsumed)).await {
            Some(Ok(())) if rarely("append-unanswered") => Ok(AppendOutcome::Unknown("rare".to_string())),
            Some(Ok(())) => Ok(AppendOutcome::Committed),
            Some(Err(StoreError::Superseded { .. })) => Err(Superseded),
            // While the store gives no answer, or one that can't be read, it is also unknown whether an earlier attempt took effect.
            Some(Err(error)) if error.is_retryable() || matches!(error, StoreError::Corrupt { .. }) => {
                Ok(AppendOutcome::Unknown(error.to_string()))
            }
            Some(Err(error)) => Ok(AppendOutcome::Refused(error.to_string())),
            None => Ok(AppendOutcome::Unknown("the coordination store does not answer".to_string())),
        }
    }

    /// Deletes the files that neither `keep` nor a pending checkpoint refers to (C4). Other pointers are gone for certain (C5).
    async fn collect(&self, keep: &[CompletedCheckpoint], pending: BTreeSet<CheckpointId>) {
        if within(COPY_DEADLINE, self.collect_in_time(keep, pending)).await.is_none() {
            tracing::warn!(job = %self.job, "collecting checkpoint files takes too long; the next run continues");
        }
    }

    async fn collect_in_time(&self, keep: &[CompletedCheckpoint], pending: BTreeSet<CheckpointId>) {
        let mut kept = Vec::with_capacity(keep.len());
        let keep = if is_planted(Flaw::OldestCollected) { &keep[keep.len().saturating_sub(1)..] } else { keep };
        for one in keep {
            let known = self.known().get(&one.id).cloned();
            match known {
                Some(metadata) => kept.push(metadata),
                None => match self.storage.read_metadata(self.job, &one.metadata).await {
                    Ok(metadata) => kept.push(Arc::new(metadata)),
                    Err(error) => {
                        tracing::warn!(job = %self.job, checkpoint = %one.id, %error, "no checkpoint files are deleted, because it is not known which are needed");
                        return;
                    }
                },
            }
        }
        // From now on, no checkpoint may refer to a file that is deleted here.
        self.known()
            .retain(|id, _| keep.iter().any(|one| one.id == *id) || pending.contains(id) || keep.iter().all(|one| one.id < *id));
        let roots = Roots { kept: kept.iter().map(|one| &**one).collect(), pending };
        delay_at_times("garbage-collection").await;
        match gc::collect(&self.storage, self.job, &roots).await {
            Ok(collected) => {
                if let Some(error) = collected.failed.first() {
                    let failed = collected.failed.len();
                    tracing::warn!(job = %self.job, failed, %error, "checkpoint files could not be deleted; the next run tries again");
                }
                tracing::debug!(job = %self.job, deleted = collected.deleted, "collected checkpoint files");
            }
            Err(error) => tracing::warn!(job = %self.job, %error, "checkpoint files can't be listed; the next run tries again"),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<CheckpointId, Arc<CheckpointMetadata>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a newer leader, which ends this JobMaster, from every other reason why a call to the store failed.
fn settled<T>(outcome: Option<Result<T, StoreError>>) -> Result<Result<T, String>, Superseded> {
    match outcome {
        Some(Ok(done)) => Ok(Ok(done)),
        Some(Err(StoreError::Superseded { .. })) => Err(Superseded),
        Some(Err(error)) => Ok(Err(error.to_string())),
        None => Ok(Err("the coordination store does not answer".to_string())),
    }
}

async fn within<T>(deadline: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(deadline, future).await.ok()
}
