//! The task that talks to coordinators on behalf of a subtask.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use weir_dataflow::operator::OperatorError;
use weir_protocol::CheckpointId;

use super::TransactionSettings;
use super::ids::TransactionalIds;
use super::prepared::PreparedTransaction;
use super::recovery::{self, PATIENCE};
use crate::client::{ClientError, ClientSettings, Coordinator, EndOutcome, ProducerIdentity};
use crate::producer::{Queue, Writer};

/// How long the abort of a transaction is tried.
pub(super) const ABORT_PATIENCE: Duration = Duration::from_secs(10);

/// How long a broker that was frozen may take to hear what has happened meanwhile.
const CONFIRM: Duration = Duration::from_secs(1);

/// Writers to begin with: one for the open transaction, and one for the next while the first is being committed.
const WRITERS: u32 = 2;

/// Most writers of a subtask. More transactions than that are prepared only if nothing can be committed.
const MAX_WRITERS: u32 = 64;

/// What the slot's thread and the runner share.
pub(super) struct Shared {
    ids: TransactionalIds,
    terms: TransactionSettings,
    state: Mutex<State>,
    work: Notify,
    progress: Condvar,
    wake: Waker,
}

#[derive(Default)]
struct State {
    recovered: bool,
    closed: bool,
    failure: Option<OperatorError>,
    idle: VecDeque<Arc<Writer>>,
    wants_writer: bool,
    to_commit: VecDeque<(CheckpointId, Arc<Writer>)>,
    /// Identities of transactions that were committed and not yet asked for.
    committed: Vec<ProducerIdentity>,
}

impl Shared {
    pub(super) fn new(ids: TransactionalIds, terms: TransactionSettings, wake: Waker) -> Self {
        Self { ids, terms, state: Mutex::default(), work: Notify::new(), progress: Condvar::new(), wake }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then tells the slot's thread and those who wait.
    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.progress.notify_all();
        self.wake.wake_by_ref();
    }

    pub(super) fn take_writer(&self) -> Option<Arc<Writer>> {
        self.lock().idle.pop_front()
    }

    pub(super) fn has_writer(&self) -> bool {
        let mut state = self.lock();
        if state.idle.is_empty() && state.recovered && !state.wants_writer {
            state.wants_writer = true;
            self.work.notify_one();
        }
        !state.idle.is_empty()
    }

    pub(super) fn is_recovered(&self) -> bool {
        self.lock().recovered
    }

    pub(super) fn failure(&self) -> Option<OperatorError> {
        self.lock().failure.clone()
    }

    pub(super) fn close(&self) {
        self.tell(|state| state.closed = true);
    }

    pub(super) fn order_commits(&self, transactions: Vec<(CheckpointId, Arc<Writer>)>) {
        self.lock().to_commit.extend(transactions);
        self.work.notify_one();
    }

    pub(super) fn is_committed(&self, writer: &Arc<Writer>) -> bool {
        let mut state = self.lock();
        let found = state.committed.iter().position(|identity| *identity == writer.identity);
        found.map(|index| state.committed.swap_remove(index)).is_some()
    }

    pub(super) fn wait_committed(&self, writers: &[Arc<Writer>], deadline: Instant) -> Result<(), OperatorError> {
        let late =
            || OperatorError::retryable("KAFKA-COMMIT", "sink.kafka: the last transactions could not be committed in time");
        self.wait(Some(deadline), late, |state| writers.iter().all(|writer| state.committed.contains(&writer.identity)))
    }

    pub(super) fn wait_recovered(&self) -> Result<(), OperatorError> {
        let never = || OperatorError::retryable("KAFKA-COMMIT", "sink.kafka: the recovery took too long");
        self.wait(None, never, |state| state.recovered)
    }

    fn wait(
        &self,
        deadline: Option<Instant>,
        late: impl Fn() -> OperatorError,
        is_done: impl Fn(&State) -> bool,
    ) -> Result<(), OperatorError> {
        let mut state = self.lock();
        while !is_done(&state) {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.closed {
                return Err(OperatorError::retryable("KAFKA-CLOSED", "the sink ended before its transactions were committed"));
            }
            let left = deadline.map_or(Duration::from_secs(1), |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(late());
            }
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

/// Recovers, then commits what is ordered and gets writers, until the task is aborted or has failed.
pub(super) async fn run(shared: Arc<Shared>, queue: Arc<Queue>, restored: Vec<PreparedTransaction>) {
    let runner = Runner { shared: &shared, queue: &queue, coordinators: BTreeMap::new(), writers: 0 };
    if let Err(error) = runner.run(restored).await {
        shared.tell(|state| {
            state.failure.get_or_insert(error);
        });
    }
}

struct Runner<'a> {
    shared: &'a Shared,
    queue: &'a Arc<Queue>,
    /// By transactional id.
    coordinators: BTreeMap<String, Coordinator>,
    writers: u32,
}

impl Runner<'_> {
    async fn run(mut self, restored: Vec<PreparedTransaction>) -> Result<(), OperatorError> {
        recovery::settle(&restored, self.shared.terms, self.queue).await?;
        recovery::end_leftovers(&self.shared.ids, self.shared.terms, self.queue).await?;
        while self.writers < WRITERS {
            self.add_writer().await?;
        }
        self.shared.tell(|state| state.recovered = true);
        loop {
            let (order, wants_writer) = {
                let mut state = self.shared.lock();
                (state.to_commit.pop_front(), std::mem::take(&mut state.wants_writer))
            };
            match order {
                Some((checkpoint, writer)) => self.commit(checkpoint, &writer).await?,
                None if wants_writer && self.writers < MAX_WRITERS => self.add_writer().await?,
                None => self.shared.work.notified().await,
            }
        }
    }

    fn settings(&self) -> &ClientSettings {
        &self.queue.settings().client
    }

    async fn add_writer(&mut self) -> Result<(), OperatorError> {
        let id = self.shared.ids.id(self.writers);
        let mut coordinator = Coordinator::of_transactional_id(self.settings(), &id);
        let identity = coordinator.init_producer(self.shared.terms.timeout_ms, Instant::now() + PATIENCE).await;
        let identity = identity.map_err(|error| self.refused(error))?;
        self.coordinators.insert(id.clone(), coordinator);
        self.writers += 1;
        self.shared.tell(|state| state.idle.push_back(Arc::new(Writer::new(Some(id), identity))));
        Ok(())
    }

    fn refused(&self, error: ClientError) -> OperatorError {
        if error.code() == Some(kafka_protocol::ResponseError::InvalidTransactionTimeout) {
            return OperatorError::fatal(
                "KAFKA-TRANSACTION-TIMEOUT",
                format!(
                    "sink.kafka: the cluster allows no transactions of {} ms: set the property transaction.timeout.ms to at most the \
                     brokers' transaction.max.timeout.ms (by default 900000), or raise that",
                    self.shared.terms.timeout_ms
                ),
            );
        }
        error.for_operator("sink.kafka")
    }

    /// Commits a transaction, however long its coordinator can't be reached: its records are safe meanwhile.
    async fn commit(&mut self, checkpoint: CheckpointId, writer: &Arc<Writer>) -> Result<(), OperatorError> {
        let Some(id) = writer.transactional_id.clone() else { return Ok(()) };
        let settings = self.settings().clone();
        let new = || Coordinator::of_transactional_id(&settings, &id);
        let coordinator = self.coordinators.entry(id.clone()).or_insert_with(new);
        let mut is_confirmed = false;
        let outcome = loop {
            match coordinator.end_transaction(writer.identity, true, Instant::now() + PATIENCE).await {
                Err(error) if error.is_temporary() => {
                    tracing::warn!(transactional_id = id, %checkpoint, %error, "a transaction is not committed yet; trying again");
                }
                Ok(EndOutcome::Ended(next)) => break Ok(EndOutcome::Ended(next)),
                // A broker that was frozen says this as long as it does not know that another one coordinates.
                Ok(other) if !is_confirmed => {
                    tracing::warn!(transactional_id = id, %checkpoint, answer = ?other, "a transaction was refused; asking again");
                    is_confirmed = true;
                    *coordinator = new();
                    tokio::time::sleep(CONFIRM).await;
                }
                outcome => break outcome,
            }
        };
        match outcome.map_err(|error| error.for_operator("sink.kafka"))? {
            EndOutcome::Ended(next) => {
                metrics::counter!(crate::metrics::SINK_COMMITTED_TRANSACTIONS).increment(1);
                let next = Arc::new(Writer::new(Some(id), next));
                self.shared.tell(|state| {
                    state.committed.push(writer.identity);
                    state.idle.push_back(next);
                });
                Ok(())
            }
            // Restoring settles it, before anything newer is written.
            other => Err(OperatorError::retryable(
                "KAFKA-TRANSACTION-ENDED",
                format!(
                    "sink.kafka: the transaction {id} of checkpoint {checkpoint} can't be committed, the cluster has ended it \
                     ({other:?}): most likely it was open for longer than transaction.timeout.ms. The job restarts and writes its \
                     records again"
                ),
            )),
        }
    }
}
