//! The transactions of a sink that are prepared and not yet committed.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_dataflow::operator::OperatorError;
use weir_protocol::CheckpointId;

use crate::producer::{FlushMark, Queue, Writer};
use crate::transaction::{PreparedTransaction, Transactions};

/// A transaction whose barrier has passed.
#[derive(Debug, Clone)]
struct Transaction {
    checkpoint: CheckpointId,
    writer: Arc<Writer>,
    mark: FlushMark,
}

/// Keeps track of them.
#[derive(Debug, Default)]
pub(super) struct Pending {
    transactions: Vec<Transaction>,
    /// Of those, how many were ordered to be committed. They come first.
    ordered: usize,
    /// Checkpoints of this attempt that may still become complete.
    possible: BTreeSet<CheckpointId>,
}

/// What a checkpoint holds.
pub(super) struct Held(Vec<Transaction>);

impl Pending {
    /// A barrier has passed.
    pub(super) fn possible(&mut self, checkpoint: CheckpointId) {
        self.possible.insert(checkpoint);
    }

    /// The records of this writer end with the checkpoint's barrier.
    pub(super) fn prepare(&mut self, checkpoint: CheckpointId, writer: Arc<Writer>) {
        let mark = writer.mark();
        self.transactions.push(Transaction { checkpoint, writer, mark });
    }

    /// All that is not known to be committed. It must be in the state, also what was ordered: the order may not have arrived.
    pub(super) fn held(&self) -> Held {
        Held(self.transactions.clone())
    }

    /// A checkpoint is durable. Returns what must be committed and was not ordered before.
    pub(super) fn complete(&mut self, checkpoint: CheckpointId) -> Vec<(CheckpointId, Arc<Writer>)> {
        self.possible.retain(|possible| *possible > checkpoint);
        let until = self.transactions.partition_point(|transaction| transaction.checkpoint <= checkpoint);
        let due = self.transactions.get(self.ordered..until).unwrap_or_default();
        let due = due.iter().map(|transaction| (transaction.checkpoint, Arc::clone(&transaction.writer))).collect();
        self.ordered = self.ordered.max(until);
        due
    }

    /// A checkpoint will never be complete. A later one holds its transactions.
    pub(super) fn aborted(&mut self, checkpoint: CheckpointId) {
        self.possible.remove(&checkpoint);
    }

    pub(super) fn forget_committed(&mut self, transactions: &Transactions) {
        let before = self.transactions.len();
        let mut index = 0;
        let ordered = self.ordered;
        self.transactions.retain(|transaction| {
            index += 1;
            index > ordered || !transactions.is_committed(&transaction.writer)
        });
        self.ordered -= before - self.transactions.len();
    }

    /// The writers of transactions that no checkpoint holds or will hold.
    pub(super) fn unheld(&self) -> Vec<Arc<Writer>> {
        let open = self.transactions.get(self.ordered..).unwrap_or_default();
        let unheld = open.iter().filter(|transaction| self.possible.range(transaction.checkpoint..).next().is_none());
        unheld.map(|transaction| Arc::clone(&transaction.writer)).collect()
    }
}

impl Held {
    /// Waits until all their records are in the log. Blocks.
    pub(super) fn prepared(self, queue: &Queue, topic: &str) -> Result<Vec<PreparedTransaction>, OperatorError> {
        let prepared = self.0.into_iter().map(|Transaction { checkpoint, writer, mark }| {
            queue.wait_flushed(&writer, &mark)?;
            Ok(PreparedTransaction {
                checkpoint,
                topic: topic.to_owned(),
                transactional_id: writer.transactional_id.clone().unwrap_or_default(),
                writer: writer.identity,
                ranges: writer.ranges(),
            })
        });
        prepared.collect()
    }
}
