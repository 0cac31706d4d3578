//! Writes the records of a timed-out transaction again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_dataflow::operator::OperatorError;

use super::TransactionSettings;
use super::prepared::PreparedTransaction;
use super::range::{RangeReader, ReadError};
use super::recovery::PATIENCE;
use super::resolve::is_next;
use crate::client::{ClientError, Coordinator, EndOutcome, ProducerIdentity};
use crate::producer::{Message, Queue, Writer};
use crate::records::Batch;

/// Writes the records of an aborted transaction again, in a transaction of their own, and commits that. `coordinator` is that of its id,
/// which the writer `after` used last. If this is interrupted, the next attempt begins anew: what was written until then is aborted.
pub(super) async fn rewrite(
    transaction: &PreparedTransaction,
    coordinator: &mut Coordinator,
    after: Option<ProducerIdentity>,
    terms: TransactionSettings,
    queue: &Arc<Queue>,
) -> Result<(), OperatorError> {
    let (settings, deadline) = (&queue.settings().client, Instant::now() + PATIENCE);
    let failed = |error: ClientError| error.for_operator("sink.kafka");
    let identity = coordinator.init_producer(terms.timeout_ms, deadline).await.map_err(failed)?;
    if !is_next(after, identity) {
        return Err(met_another(transaction));
    }
    let writer = Arc::new(Writer::new(Some(coordinator.key().to_owned()), identity));
    let mut lost = 0;
    for range in &transaction.ranges {
        let mut reader = RangeReader::new(settings, transaction, *range).skipping(terms.skips_lost);
        loop {
            while !queue.has_room() {
                queue.failure().map_or(Ok(()), Err)?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            match reader.next(deadline).await {
                Ok(Some(mut batches)) => {
                    let partition = range.partition as usize;
                    batches.iter_mut().try_for_each(|batch| append(queue, &writer, partition, batch, |at| reader.wants(at)))?
                }
                Ok(None) => break,
                Err(ReadError::Client(error)) => return Err(failed(error)),
                Err(ReadError::Gone { partition, offset }) => return Err(rows_lost(transaction, partition, offset)),
            }
        }
        lost += reader.lost();
    }
    if lost > 0 {
        tell_skipped(transaction, lost);
    }
    if lost == transaction.records() {
        // A transaction without records can't be committed.
        return Ok(());
    }
    let (flushed, mark, of) = (Arc::clone(queue), writer.mark(), Arc::clone(&writer));
    let flush = weir_world::blocking(move || flushed.wait_flushed(&of, &mark)).await;
    flush.map_err(|error| OperatorError::retryable("KAFKA-COMMIT", error.to_string()))??;
    match coordinator.end_transaction(identity, true, deadline).await.map_err(failed)? {
        EndOutcome::Ended(_) => {
            tracing::warn!(
                transactional_id = transaction.transactional_id,
                checkpoint = %transaction.checkpoint,
                records = transaction.records() - lost,
                "the cluster had timed out a transaction or one before it, so its records were written again"
            );
            metrics::counter!(crate::metrics::SINK_REWRITTEN_RECORDS).increment(transaction.records() - lost);
            Ok(())
        }
        other => Err(OperatorError::retryable(
            "KAFKA-COMMIT",
            format!("sink.kafka: records that were written again could not be committed: {other:?}"),
        )),
    }
}

/// The error if another attempt has written the records again since this one looked. Whether that one has committed them can't be told
/// any more, because a request for a writer makes the cluster forget it. It takes an attempt that is thought to be dead, and the few
/// milliseconds between two requests.
fn met_another(transaction: &PreparedTransaction) -> OperatorError {
    let PreparedTransaction { topic, transactional_id, checkpoint, .. } = transaction;
    OperatorError::fatal(
        "KAFKA-TWO-ATTEMPTS",
        format!(
            "sink.kafka: topic {topic}: two attempts wrote the {} records of the transaction {transactional_id} of checkpoint \
             {checkpoint} again at the same moment, and it is not known whether the first has committed them; look whether the topic's \
             last records are these, and start from the newest checkpoint if they are not, from a later savepoint if they are",
            transaction.records()
        ),
    )
}

/// The error for records that are neither committed nor in the log.
pub(super) fn rows_lost(transaction: &PreparedTransaction, partition: i32, offset: i64) -> OperatorError {
    let PreparedTransaction { topic, transactional_id, checkpoint, .. } = transaction;
    let ranges = transaction.ranges.iter().filter(|range| range.partition == partition);
    let ranges: Vec<_> = ranges.map(|range| format!("{} to {}", range.first, range.first + range.records as i64 - 1)).collect();
    OperatorError::fatal(
        "KAFKA-ROWS-LOST",
        format!(
            "sink.kafka: {topic}-{partition}: the records at the offsets {} are lost: they belong to checkpoint {checkpoint}, the cluster \
             timed out their transaction ({transactional_id}) before it was committed, and the log has no record at offset {offset} any \
             more (retention, compaction, or a topic made anew). Set transaction.timeout.ms and the topic's retention longer than \
             outages. To go on without these rows, start from the newest checkpoint with the option lost_rows (in SQL 'sink.lost-rows') = skip",
            ranges.join(", ")
        ),
    )
}

/// Says that the job goes on without records that a checkpoint holds.
pub(super) fn tell_skipped(transaction: &PreparedTransaction, lost: u64) {
    let PreparedTransaction { topic, transactional_id, checkpoint, .. } = transaction;
    tracing::error!(topic, transactional_id, %checkpoint, lost, "records are lost, and the job goes on without them (lost_rows: skip)");
    metrics::counter!(crate::metrics::SINK_LOST_RECORDS).increment(lost);
}

fn append(
    queue: &Queue,
    writer: &Arc<Writer>,
    partition: usize,
    batch: &mut Batch,
    is_wanted: impl Fn(i64) -> bool,
) -> Result<(), OperatorError> {
    let corrupt = |error: crate::records::Corrupt| OperatorError::retryable("KAFKA-CORRUPT", format!("sink.kafka: {error}"));
    while let Some(record) = batch.next().map_err(corrupt)? {
        if !is_wanted(record.offset) {
            continue;
        }
        let headers = record.headers().collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
        let message = Message { partition, timestamp: record.timestamp, key: record.key, value: record.value, headers: &headers };
        queue.append(writer, std::iter::once(message))?;
    }
    Ok(())
}
