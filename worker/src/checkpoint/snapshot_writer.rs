//! The asynchronous part of a subtask's snapshots: serialise, upload, acknowledge. One file per subtask and checkpoint.
//!
//! A task that has ended takes part in no further checkpoint. State that is still being written for it is deleted here. If its
//! job has ended too, nothing else will clean the job's directory (C8).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::Instant;
use weir_dataflow::operator::StateSnapshot;
use weir_protocol::checkpoint::{
    CheckpointBarrier, FileSegment, KeyGroupHandle, OperatorSnapshot, StateHandle, SubtaskCheckpointStats, SubtaskSnapshot,
};
use weir_protocol::job_graph::OperatorDescriptor;
use weir_protocol::link::{CheckpointAcknowledgement, CheckpointDecline};
use weir_protocol::{CheckpointId, ExecutionAttemptId};
use weir_storage::checkpoint::{CheckpointStorage, layout};

use super::history::{SavedGroups, SnapshotHistory, spans_too_many};
use crate::metrics;
use crate::task::report::{TaskReport, TaskReports};

/// Most snapshots of one task that wait to be written.
const QUEUE: usize = 4;
/// Most tries to upload a file, if the storage says that a retry can help.
const TRIES: u32 = 3;
/// Wait before the second try. It doubles before the third.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Longest time one upload may take.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(600);

/// The state that a task froze at a barrier.
pub struct FrozenSnapshot {
    pub barrier: CheckpointBarrier,
    /// One state per operator, in chain order.
    pub operators: Vec<StateSnapshot>,
    /// Time from the first barrier to the last, in microseconds.
    pub alignment_us: u64,
    /// Time for which the task stood still, in microseconds.
    pub sync_us: u64,
}

/// The slot thread's end, which hands over frozen state without waiting.
pub struct SnapshotWriter {
    frozen: mpsc::Sender<FrozenSnapshot>,
    history: Arc<Mutex<SnapshotHistory>>,
}

/// Too many snapshots wait to be written.
#[derive(Debug)]
pub struct SnapshotBacklog;

impl SnapshotWriter {
    /// Writes the snapshots of `attempt`, whose chain has these `operators`, on the calling runtime, until the writer is dropped.
    /// If a snapshot has at most `inline_limit` bytes of new state, they go into its acknowledgement, else into a file.
    pub fn start(
        attempt: ExecutionAttemptId,
        operators: &[OperatorDescriptor],
        storage: CheckpointStorage,
        inline_limit: usize,
        reports: TaskReports,
    ) -> Self {
        let (frozen, queue) = mpsc::channel(QUEUE);
        let history = Arc::new(Mutex::new(SnapshotHistory::default()));
        let blank = operators.iter().map(OperatorSnapshot::without_state).collect();
        let uploads = Uploads { attempt, blank, storage, inline_limit, reports, history: history.clone() };
        weir_world::spawn("snapshot-writer", uploads.run(queue));
        Self { frozen, history }
    }

    /// Hands over a snapshot. The outcome is reported to the agent.
    pub fn submit(&self, frozen: FrozenSnapshot) -> Result<(), SnapshotBacklog> {
        self.frozen.try_send(frozen).map_err(|_| SnapshotBacklog)
    }

    /// Handles the notice that the checkpoint is complete. Later ones may reference its files.
    pub fn confirm(&self, checkpoint: CheckpointId) {
        lock(&self.history).confirm(checkpoint);
    }

    /// Handles the notice that the checkpoint will never complete.
    pub fn abort(&self, checkpoint: CheckpointId) {
        lock(&self.history).abort(checkpoint);
    }
}

fn lock(history: &Mutex<SnapshotHistory>) -> MutexGuard<'_, SnapshotHistory> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Uploads {
    attempt: ExecutionAttemptId,
    /// The snapshot of each operator before it has state: it names the operator.
    blank: Vec<OperatorSnapshot>,
    storage: CheckpointStorage,
    inline_limit: usize,
    reports: TaskReports,
    history: Arc<Mutex<SnapshotHistory>>,
}

/// A snapshot before its upload. Handles are filled in when the file's path is known.
struct Serialized {
    operators: Vec<SerializedOperator>,
}

struct SerializedOperator {
    operator_state: Option<Bytes>,
    key_groups: Vec<(u32, u64, Place)>,
}

enum Place {
    Referenced(FileSegment),
    New(Bytes),
}

struct Written {
    operators: Vec<OperatorSnapshot>,
    saved: SavedGroups,
    checkpointed_bytes: u64,
    state_bytes: u64,
}

impl Uploads {
    async fn run(self, mut queue: mpsc::Receiver<FrozenSnapshot>) {
        while let Some(frozen) = queue.recv().await {
            let mut tried = Vec::new();
            let barrier = frozen.barrier;
            let (alignment_us, sync_us) = (frozen.alignment_us, frozen.sync_us);
            let start = Instant::now();
            weir_world::delay_at_times("snapshot-frozen").await;
            let outcome = self.write(frozen, &mut tried).await;
            if queue.is_closed() {
                return self.withdraw(tried).await;
            }
            match outcome {
                Ok(written) => {
                    lock(&self.history).record(barrier.id, written.saved);
                    let stats = SubtaskCheckpointStats {
                        alignment_us,
                        sync_us,
                        async_us: start.elapsed().as_micros() as u64,
                        checkpointed_bytes: written.checkpointed_bytes,
                        state_bytes: written.state_bytes,
                    };
                    metrics::snapshot_written(&stats);
                    let operators = self.named(written.operators);
                    let snapshot = SubtaskSnapshot { execution_vertex: self.attempt.execution_vertex, operators };
                    let acknowledgement =
                        CheckpointAcknowledgement { attempt: self.attempt, checkpoint: barrier.id, snapshot, stats };
                    self.reports.tell(TaskReport::Acknowledged(acknowledgement)).await;
                }
                Err(reason) => {
                    // The task continues. The JobManager decides what a failed checkpoint means.
                    tracing::warn!(attempt = %self.attempt, checkpoint = %barrier.id, reason, "a snapshot could not be written");
                    ::metrics::counter!(metrics::SNAPSHOT_DECLINED).increment(1);
                    let decline = CheckpointDecline { attempt: self.attempt, checkpoint: barrier.id, reason };
                    self.reports.tell(TaskReport::Declined(decline)).await;
                }
            }
        }
    }

    /// Puts the names of the chain's operators into their snapshots, so that a restore finds them in another graph.
    fn named(&self, mut operators: Vec<OperatorSnapshot>) -> Vec<OperatorSnapshot> {
        for (operator, blank) in operators.iter_mut().zip(&self.blank) {
            (operator.uid, operator.kind) = (blank.uid.clone(), blank.kind.clone());
        }
        operators
    }

    /// Deletes the files of a checkpoint that was not acknowledged and never will be.
    async fn withdraw(&self, tried: Vec<String>) {
        for path in tried {
            if let Err(error) = self.storage.withdraw_state(self.attempt.job, &path).await {
                tracing::warn!(attempt = %self.attempt, path, %error, "an unused state file may be left behind");
            }
        }
    }

    /// Writes a snapshot. Adds every path at which a file may have been written to `tried`.
    async fn write(&self, frozen: FrozenSnapshot, tried: &mut Vec<String>) -> Result<Written, String> {
        let barrier = frozen.barrier;
        let plan = self.plan(&frozen);
        let serialize = weir_world::blocking(move || serialize(frozen.operators, plan));
        let serialized = serialize.await.map_err(|_| "an operator panicked while its state was serialised".to_owned())??;
        let fresh = serialized.fresh_bytes();
        if fresh <= self.inline_limit {
            return Ok(serialized.place(None));
        }
        let (file, offsets) = serialized.concatenate(fresh);
        let path = self.upload(barrier, file, tried).await?;
        Ok(serialized.place(Some((path, offsets))))
    }

    /// Decides which key groups are referenced in existing files. A savepoint references none.
    fn plan(&self, frozen: &FrozenSnapshot) -> Vec<Vec<Option<FileSegment>>> {
        let history = lock(&self.history);
        let nothing = || frozen.operators.iter().map(|operator| vec![None; operator.key_groups.len()]).collect();
        if frozen.barrier.kind.is_savepoint() {
            return nothing();
        }
        let plan: Vec<Vec<_>> = (0..)
            .zip(&frozen.operators)
            .map(|(index, operator)| {
                operator.key_groups.iter().map(|group| history.find(index, group.key_group, group.version)).collect()
            })
            .collect();
        if spans_too_many(plan.iter().flatten().flatten()) { nothing() } else { plan }
    }

    async fn upload(&self, barrier: CheckpointBarrier, file: Bytes, tried: &mut Vec<String>) -> Result<String, String> {
        let (subtask, generation) = (self.attempt.execution_vertex, self.attempt.generation);
        let savepoint = barrier.kind.is_savepoint();
        let mut wait = RETRY_AFTER;
        let mut number = 0;
        loop {
            // Each try has its own name, so that a file of unknown outcome is never overwritten.
            let path = if savepoint {
                layout::state_path(subtask, generation, barrier.id)
            } else {
                layout::shared_path(subtask, generation, barrier.id, number)
            };
            tried.push(path.clone());
            let write = self.storage.write_state(self.attempt.job, &path, file.clone());
            let error = match tokio::time::timeout(UPLOAD_DEADLINE, write).await {
                Ok(Ok(_)) => return Ok(path),
                Ok(Err(error)) => error,
                Err(_) => return Err(format!("{path} was not written within {} s", UPLOAD_DEADLINE.as_secs())),
            };
            number += 1;
            if savepoint || number >= TRIES || !error.is_retryable() {
                return Err(error.to_string());
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }
}

fn serialize(operators: Vec<StateSnapshot>, plan: Vec<Vec<Option<FileSegment>>>) -> Result<Serialized, String> {
    let mut serialized = Vec::with_capacity(operators.len());
    for (mut operator, plan) in operators.into_iter().zip(plan) {
        if let Some(work) = operator.before_durable.take() {
            work().map_err(|error| error.to_string())?;
        }
        let mut key_groups = Vec::with_capacity(operator.key_groups.len());
        for (group, referenced) in operator.key_groups.into_iter().zip(plan) {
            let place = match referenced {
                Some(segment) => Place::Referenced(segment),
                None => Place::New((group.serialize)().map_err(|error| error.to_string())?),
            };
            key_groups.push((group.key_group, group.version, place));
        }
        let operator_state = match operator.late_operator_state {
            Some(state) => Some(state().map_err(|error| error.to_string())?),
            None => operator.operator_state,
        };
        serialized.push(SerializedOperator { operator_state, key_groups });
    }
    Ok(Serialized { operators: serialized })
}

impl Serialized {
    fn fresh(&self) -> impl Iterator<Item = &Bytes> {
        self.operators.iter().flat_map(|operator| {
            let groups = operator.key_groups.iter().filter_map(|(_, _, place)| match place {
                Place::New(bytes) => Some(bytes),
                Place::Referenced(_) => None,
            });
            operator.operator_state.iter().chain(groups)
        })
    }

    fn fresh_bytes(&self) -> usize {
        self.fresh().map(Bytes::len).sum()
    }

    /// Puts all new bytes into one file. Returns it with the offset of each part, in the order of [`Serialized::fresh`].
    fn concatenate(&self, total: usize) -> (Bytes, Vec<u64>) {
        let mut file = BytesMut::with_capacity(total);
        let mut offsets = Vec::new();
        for part in self.fresh() {
            offsets.push(file.len() as u64);
            file.extend_from_slice(part);
        }
        (file.freeze(), offsets)
    }

    /// Turns bytes into handles: segments of the file, or inline state.
    fn place(self, file: Option<(String, Vec<u64>)>) -> Written {
        let checkpointed_bytes = self.fresh_bytes() as u64;
        let mut state_bytes = checkpointed_bytes;
        let (path, offsets) = file.map_or((None, Vec::new()), |(path, offsets)| (Some(path), offsets));
        let mut offsets = offsets.into_iter();
        let mut handle = |bytes: Bytes| match (&path, offsets.next()) {
            (Some(path), Some(offset)) => StateHandle::File(FileSegment {
                path: path.clone(),
                offset,
                length: bytes.len() as u64,
                crc32c: crc32c::crc32c(&bytes),
            }),
            _ => StateHandle::Inline(bytes),
        };
        let mut saved = SavedGroups::new();
        let mut operators = Vec::with_capacity(self.operators.len());
        for (index, operator) in (0..).zip(self.operators) {
            let operator_state = operator.operator_state.map(&mut handle);
            let mut key_groups = Vec::with_capacity(operator.key_groups.len());
            for (key_group, version, place) in operator.key_groups {
                let state = match place {
                    Place::Referenced(segment) => {
                        state_bytes += segment.length;
                        StateHandle::File(segment)
                    }
                    Place::New(bytes) => handle(bytes),
                };
                if let StateHandle::File(segment) = &state {
                    saved.insert((index, key_group), (version, segment.clone()));
                }
                key_groups.push(KeyGroupHandle { key_group, state });
            }
            operators.push(OperatorSnapshot { operator_state, key_groups, ..OperatorSnapshot::default() });
        }
        Written { operators, saved, checkpointed_bytes, state_bytes }
    }
}

#[cfg(test)]
mod tests;
