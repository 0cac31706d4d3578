//! Gives a source the splits with which its job began. All subtasks of the vertex must get the same, so the first proposal is
//! recorded in the checkpoint storage, with create-if-absent (decision 0010).

use bytes::Bytes;
use weir_dataflow::chain::OperatorChain;
use weir_protocol::link::TaskFailure;
use weir_protocol::{JobId, JobVertexId};
use weir_storage::checkpoint::{CheckpointError, CheckpointStorage, SPLITS_LIMIT};
use weir_world::flaw::{Flaw, is_planted};

use super::control::TaskControl;
use super::deploy::{Unprepared, blocking};
use super::report::failure;
use super::task_failure;

/// Passes the recorded splits to the chain's source. If there are none yet, records those that the source finds.
pub(super) async fn give(
    mut chain: OperatorChain,
    (job, vertex): (JobId, JobVertexId),
    storage: &CheckpointStorage,
    control: &TaskControl,
) -> Result<OperatorChain, Unprepared> {
    let recorded = tokio::select! {
        recorded = storage.read_splits(job, vertex) => recorded.map_err(unavailable)?,
        () = control.canceled() => return Err(Unprepared::Canceled),
    };
    let splits = match recorded {
        Some(splits) => splits,
        None => {
            let found;
            (chain, found) = blocking(move || {
                let found = chain.propose_splits();
                (chain, found)
            })
            .await?;
            let found = found.map_err(task_failure)?;
            if control.is_canceled() {
                return Err(Unprepared::Canceled);
            }
            if found.len() > SPLITS_LIMIT {
                let message =
                    format!("the list of splits has {} bytes, the limit is {SPLITS_LIMIT}; use fewer files", found.len());
                return Err(failure("TASK-SPLITS", message, false).into());
            }
            if is_planted(Flaw::ListedBySubtasks) {
                return take(chain, found).await;
            }
            // Don't stop when the task is canceled: a write that took effect later would appear in the directory of a job that
            // may have ended and been cleaned up (C8).
            storage.record_splits(job, vertex, found).await.map_err(unavailable)?
        }
    };
    take(chain, splits).await
}

async fn take(mut chain: OperatorChain, splits: Bytes) -> Result<OperatorChain, Unprepared> {
    let (chain, taken) = blocking(move || {
        let taken = chain.take_splits(&splits);
        (chain, taken)
    })
    .await?;
    taken.map_err(task_failure)?;
    Ok(chain)
}

fn unavailable(error: CheckpointError) -> TaskFailure {
    let advice = if error.is_retryable() { "" } else { "; repair the checkpoint storage, or submit the job again" };
    failure("TASK-SPLITS", format!("the source's splits can't be read or recorded: {error}{advice}"), error.is_retryable())
}
