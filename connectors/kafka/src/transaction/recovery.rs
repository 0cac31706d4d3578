//! Settles the transactions of a restored checkpoint, and ends what older attempts left open.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_dataflow::operator::OperatorError;

use super::ids::{self, TransactionalIds};
use super::prepared::PreparedTransaction;
use super::range::fate;
use super::resolve::{self, Step};
use super::{TransactionSettings, rewrite};
use crate::client::{ClientError, Coordinator, Patience, open_transactions};
use crate::producer::Queue;

/// How long one step of a recovery is tried. If it fails, the job restarts and tries again.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

fn failed(error: ClientError) -> OperatorError {
    error.for_operator("sink.kafka")
}

/// Makes the records of stored transactions count, in the order of checkpoints. Errors: `KAFKA-ROWS-LOST` if the records of one are
/// neither committed nor in the log, and those of brokers.
pub(super) async fn settle(
    restored: &[PreparedTransaction],
    terms: TransactionSettings,
    queue: &Arc<Queue>,
) -> Result<(), OperatorError> {
    // If records were written again, those of later checkpoints must follow them.
    let mut follows = false;
    for transaction in restored {
        follows |= settle_one(transaction, !follows, terms, queue).await?;
    }
    Ok(())
}

/// Commits a transaction, or else aborts it. If it was aborted, now or before, its records are written again. Returns whether they
/// were, now or before.
async fn settle_one(
    transaction: &PreparedTransaction,
    commit: bool,
    terms: TransactionSettings,
    queue: &Arc<Queue>,
) -> Result<bool, OperatorError> {
    let settings = &queue.settings().client;
    let deadline = Instant::now() + PATIENCE;
    let PreparedTransaction { transactional_id, writer, .. } = transaction;
    let mut coordinator = Coordinator::of_transactional_id(settings, transactional_id);
    let outcome = coordinator.end_transaction(*writer, commit, deadline).await.map_err(failed)?;
    let mut step = resolve::after_end(commit, outcome);
    let mut was_aborted = false;
    let mut again = Coordinator::of_transactional_id(settings, &ids::again(transactional_id, *writer));
    loop {
        step = match step {
            Step::Settled => return Ok(was_aborted),
            Step::AskAgainId => {
                was_aborted = true;
                resolve::after_again_id(again.describe_transaction(deadline).await.map_err(failed)?)
            }
            Step::AbortAgain { .. } if Instant::now() > deadline => {
                let reason = format!("sink.kafka: the transaction {:?} does not end", again.key());
                return Err(OperatorError::retryable("KAFKA-COMMIT", reason));
            }
            Step::AbortAgain { writer } => {
                again.end_transaction(writer, false, deadline).await.map_err(failed)?;
                Step::AskAgainId
            }
            Step::LookIntoLog { known } => {
                let fate = fate(transaction, settings, deadline).await.map_err(failed)?;
                resolve::after_look(known, fate)
            }
            Step::Rewrite { after } => {
                rewrite::rewrite(transaction, &mut again, after, terms, queue).await?;
                Step::Settled
            }
            Step::Lost if terms.skips_lost => {
                rewrite::tell_skipped(transaction, transaction.records());
                return Ok(was_aborted);
            }
            Step::Lost => {
                let first = transaction.ranges.first();
                let (partition, offset) = first.map_or((0, 0), |range| (range.partition, range.first));
                return Err(rewrite::rows_lost(transaction, partition, offset));
            }
        };
    }
}

/// Ends what attempts before this one have left open, also of subtasks that there are no more. Call it after [`settle`].
pub(super) async fn end_leftovers(
    ids: &TransactionalIds,
    terms: TransactionSettings,
    queue: &Queue,
) -> Result<(), OperatorError> {
    let settings = &queue.settings().client;
    let mut patience = Patience::of(PATIENCE);
    // A broker that has just died may still be listed. What it coordinated is with another one soon.
    let open = loop {
        match open_transactions(settings, &ids.beginning()).await {
            Ok(open) => break open,
            Err(error) => patience.bear(error).await.map_err(failed)?,
        }
    };
    for id in open.iter().filter(|id| ids.looks_after(id).is_some()) {
        let mut coordinator = Coordinator::of_transactional_id(settings, id);
        coordinator.init_producer(terms.timeout_ms, Instant::now() + PATIENCE).await.map_err(failed)?;
        tracing::info!(transactional_id = id, "a transaction that an older attempt left open was aborted");
    }
    Ok(())
}
