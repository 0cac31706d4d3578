//! Exactly-once writing: each checkpoint's records are one transaction of Kafka, which is committed once the checkpoint is durable.
//!
//! A subtask has a small pool of transactional ids, because a prepared transaction occupies its id until it is committed. What a
//! checkpoint stores of a transaction is its id, the producer's id and epoch, and where its records lie in the log. With that, any
//! process can commit it ([`recovery`]). If the cluster has timed it out meanwhile, its records still lie in the log, aborted: they are
//! read from there ([`range`]) and written again in another transaction ([`rewrite`]), so an outage longer than `transaction.timeout.ms` costs no rows.
//!
//! [`resolve`] decides what the answers of coordinators mean; it is pure. [`runner`] is the only place that waits for them.

mod ids;
mod prepared;
mod range;
mod recovery;
mod resolve;
mod rewrite;
mod runner;

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use weir_dataflow::operator::OperatorError;
use weir_protocol::CheckpointId;

pub(crate) use self::ids::TransactionalIds;
pub(crate) use self::prepared::PreparedTransaction;
use self::runner::Shared;
use crate::client::{Coordinator, io_runtime};
use crate::producer::{Producer, Queue, Writer};

/// What holds for the transactions of a sink.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransactionSettings {
    /// How long the cluster lets a transaction be open.
    pub(crate) timeout_ms: u32,
    /// Whether the job goes on without the records of a timed-out transaction that the log does not have any more.
    pub(crate) skips_lost: bool,
}

/// The transactions of one attempt of a sink's subtask, as its thread sees them.
pub(crate) struct Transactions {
    shared: Arc<Shared>,
    runner: JoinHandle<()>,
}

impl Transactions {
    /// Starts to commit what the restored checkpoint has prepared, then to end what older attempts left open, then to get writers.
    pub(crate) fn start(
        ids: TransactionalIds,
        terms: TransactionSettings,
        restored: Vec<PreparedTransaction>,
        producer: &Producer,
        wake: std::task::Waker,
    ) -> Result<Self, OperatorError> {
        let runtime = io_runtime()?;
        let _guard = runtime.enter();
        let shared = Arc::new(Shared::new(ids, terms, wake));
        let queue: Arc<Queue> = Arc::clone(producer.queue());
        let runner = weir_world::spawn("kafka-transactions", runner::run(Arc::clone(&shared), queue, restored));
        Ok(Self { shared, runner })
    }

    /// A writer whose transaction has no records yet.
    pub(crate) fn take_writer(&self) -> Option<Arc<Writer>> {
        self.shared.take_writer()
    }

    /// Whether there is a writer to take. If not, another one is asked for.
    pub(crate) fn has_writer(&self) -> bool {
        self.shared.has_writer()
    }

    /// Whether the restored transactions are committed.
    pub(crate) fn is_recovered(&self) -> bool {
        self.shared.is_recovered()
    }

    /// The first error. Nothing is committed after it.
    pub(crate) fn failure(&self) -> Option<OperatorError> {
        self.shared.failure()
    }

    /// Commits transactions of a durable checkpoint, in the background. May be repeated.
    pub(crate) fn commit(&self, transactions: Vec<(CheckpointId, Arc<Writer>)>) {
        self.shared.order_commits(transactions);
    }

    /// Whether the transaction of this writer was committed.
    pub(crate) fn is_committed(&self, writer: &Arc<Writer>) -> bool {
        self.shared.is_committed(writer)
    }

    /// Blocks until these are committed, or the deadline. Errors: that of the transactions; `KAFKA-COMMIT` after the deadline.
    pub(crate) fn wait_committed(&self, writers: &[Arc<Writer>], deadline: Instant) -> Result<(), OperatorError> {
        self.shared.wait_committed(writers, deadline)
    }

    /// Blocks until the restored transactions are committed. Only for threads that may.
    pub(crate) fn recovery(&self) -> impl FnOnce() -> Result<(), OperatorError> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.wait_recovered()
    }

    /// Aborts transactions that no checkpoint holds, in the background and without a promise, so that readers need not wait for their
    /// timeout.
    pub(crate) fn abort(&self, writers: Vec<Arc<Writer>>, settings: &crate::client::ClientSettings) {
        let Ok(runtime) = io_runtime() else { return };
        let _guard = runtime.enter();
        for writer in writers {
            let Some(id) = writer.transactional_id.clone() else { continue };
            let mut coordinator = Coordinator::of_transactional_id(settings, &id);
            drop(weir_world::spawn("kafka-abort", async move {
                let deadline = Instant::now() + runner::ABORT_PATIENCE;
                if let Err(error) = coordinator.end_transaction(writer.identity, false, deadline).await {
                    tracing::warn!(transactional_id = id, %error, "a transaction stays open until it times out or the job restarts");
                }
            }));
        }
    }
}

impl Drop for Transactions {
    fn drop(&mut self) {
        self.runner.abort();
        self.shared.close();
    }
}
