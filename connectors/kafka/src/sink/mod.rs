//! `sink.kafka`: writes rows as records of a topic.
//!
//! With the guarantee `exactly-once`, the records of a checkpoint are one transaction ([`crate::transaction`]). With `at-least-once`
//! a checkpoint waits until brokers have acknowledged all records before its barrier, so a restart repeats rows but loses none.

mod partitioner;
mod pending;
mod rows;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use weir_dataflow::element::{CheckpointBarrier, EventTime};
use weir_dataflow::operator::{Collector, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::{BuiltOperator, only_input};
use weir_protocol::CheckpointId;
use weir_protocol::checkpoint::CheckpointKind;
use weir_protocol::job_graph::OperatorDescriptor;

use self::partitioner::Partitioner;
use self::pending::Pending;
use self::rows::RowWriter;
use self::settings::{Guarantee, Settings};
use crate::producer::{PlainWriter, Producer, Writer};
use crate::transaction::{PreparedTransaction, TransactionalIds, Transactions};

pub(crate) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let settings = Settings::read(descriptor, only_input(context)?)?;
    Ok(BuiltOperator::Sink(Box::new(KafkaSink::new(settings, context)?)))
}

/// How long the last commit of a job is waited for. If it takes longer, the job restarts and commits then.
const LAST_COMMIT: Duration = Duration::from_secs(60);

pub(crate) struct KafkaSink {
    settings: Settings,
    ids: TransactionalIds,
    subtask: u32,
    parallelism: u32,
    waker: std::task::Waker,
    now_ms: u64,
    rows: RowWriter,
    partitioner: Partitioner,
    restored: Vec<PreparedTransaction>,
    running: Option<Running>,
    pending: Pending,
    /// Whether the next completed checkpoint is the last.
    is_ending: bool,
}

/// What begins with the first tick, because a sink that is only checked must not connect.
struct Running {
    producer: Producer,
    writers: Writers,
    /// Commits what a checkpoint of a time with transactions has prepared, if this attempt has none.
    settling: Option<Transactions>,
    /// The writer of the current rows.
    writer: Option<Arc<Writer>>,
}

/// Where writers come from.
enum Writers {
    Plain(PlainWriter),
    Transactions(Transactions),
}

/// The state of a subtask.
#[derive(Debug, Serialize, Deserialize)]
struct SinkState {
    version: u32,
    prepared: Vec<PreparedTransaction>,
}

const STATE_VERSION: u32 = 1;

impl SinkState {
    fn encode(prepared: Vec<PreparedTransaction>) -> Result<Bytes, OperatorError> {
        let state = Self { version: STATE_VERSION, prepared };
        serde_json::to_vec(&state).map(Bytes::from).map_err(|error| OperatorError::fatal("SINK-STATE", error.to_string()))
    }

    fn decode(bytes: &[u8]) -> Result<Self, OperatorError> {
        let unusable = |reason: String| OperatorError::fatal("SINK-STATE", format!("sink.kafka: {reason}"));
        let state: Self = serde_json::from_slice(bytes).map_err(|error| unusable(format!("the state can't be read: {error}")))?;
        if state.version != STATE_VERSION {
            return Err(unusable(format!("the state has an unknown version: {}", state.version)));
        }
        Ok(state)
    }
}

impl KafkaSink {
    fn new(settings: Settings, context: &OperatorContext) -> Result<Self, OperatorError> {
        let (subtask, parallelism) = (context.subtask(), context.parallelism);
        let own = || format!("weir-{}-{}", context.attempt.job, context.attempt.execution_vertex.vertex);
        let prefix = settings.transactional_id_prefix.clone().unwrap_or_else(own);
        Ok(Self {
            rows: RowWriter::new(&settings)?,
            partitioner: Partitioner::new(settings.partitioner, subtask),
            ids: TransactionalIds::new(prefix, subtask, parallelism),
            waker: context.waker.clone(),
            settings,
            subtask,
            parallelism,
            now_ms: 0,
            restored: Vec::new(),
            running: None,
            pending: Pending::default(),
            is_ending: false,
        })
    }

    /// Connects, unless it has. A barrier may come before the first tick.
    fn begin(&mut self) -> Result<(), OperatorError> {
        if self.running.is_some() {
            return Ok(());
        }
        let producer = Producer::start(self.settings.producer.clone(), self.waker.clone())?;
        let restored = std::mem::take(&mut self.restored);
        let has_transactions = self.settings.guarantee == Guarantee::ExactlyOnce;
        let mut transactions = None;
        if has_transactions || !restored.is_empty() {
            let terms = self.settings.transactions;
            transactions = Some(Transactions::start(self.ids.clone(), terms, restored, &producer, self.waker.clone())?);
        }
        let (writers, settling) = match transactions {
            Some(transactions) if has_transactions => (Writers::Transactions(transactions), None),
            settling => {
                let plain = PlainWriter::start(self.settings.producer.client.clone(), self.waker.clone())?;
                (Writers::Plain(plain), settling)
            }
        };
        self.running = Some(Running { producer, writers, settling, writer: None });
        self.rows.registrations.begin(&self.waker)
    }
}

impl Running {
    fn check(&self) -> Result<(), OperatorError> {
        let of_writers = match &self.writers {
            Writers::Plain(plain) => plain.failure(),
            Writers::Transactions(transactions) => transactions.failure(),
        };
        let of_writers = of_writers.or_else(|| self.settling.as_ref().and_then(Transactions::failure));
        // If the cluster has ended a transaction, both fail; that of the transactions says more.
        of_writers.or_else(|| self.producer.queue().failure()).map_or(Ok(()), Err)
    }

    fn has_writer(&self) -> bool {
        let is_settled = self.settling.as_ref().is_none_or(Transactions::is_recovered);
        self.writer.is_some()
            || is_settled
                && match &self.writers {
                    Writers::Plain(plain) => plain.writer().is_some(),
                    Writers::Transactions(transactions) => transactions.has_writer(),
                }
    }

    fn writer(&mut self) -> Result<Arc<Writer>, OperatorError> {
        if self.writer.is_none() {
            self.writer = match &self.writers {
                Writers::Plain(plain) => plain.writer(),
                Writers::Transactions(transactions) => transactions.take_writer(),
            };
        }
        let missing =
            || OperatorError::retryable("KAFKA-WRITER", "sink.kafka: rows arrived before there was a writer; please report this");
        self.writer.clone().ok_or_else(missing)
    }
}

fn not_begun() -> OperatorError {
    OperatorError::retryable("KAFKA-WRITER", "sink.kafka: rows arrived before the first tick; please report this")
}

impl Operator for KafkaSink {
    fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    fn on_tick(&mut self, _now_ms: u64, _out: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        self.begin()?;
        let running = self.running.as_ref().ok_or_else(not_begun)?;
        running.check()?;
        self.rows.registrations.check()?;
        if let Writers::Transactions(transactions) = &running.writers {
            self.pending.forget_committed(transactions);
        }
        Ok(None)
    }

    fn has_room(&self) -> bool {
        let has_room = |running: &Running| running.producer.queue().has_room() && running.has_writer();
        self.running.as_ref().is_some_and(has_room) && self.rows.registrations.are_complete()
    }

    fn process(&mut self, _input: u32, batch: RecordBatch, _out: &mut dyn Collector) -> Result<(), OperatorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let running = self.running.as_mut().ok_or_else(not_begun)?;
        let writer = running.writer()?;
        let queue = running.producer.queue();
        let append = |messages: &mut dyn Iterator<Item = crate::producer::Message<'_>>| queue.append(&writer, messages);
        self.rows.write(&batch, self.now_ms, &mut self.partitioner, queue.partitions().max(1), append)
    }

    fn on_end_of_input(&mut self, _out: &mut dyn Collector) -> Result<(), OperatorError> {
        self.is_ending = true;
        Ok(())
    }

    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        self.is_ending |= barrier.kind == CheckpointKind::Stop;
        self.pending.possible(barrier.id);
        self.begin()?;
        let running = self.running.as_mut().ok_or_else(not_begun)?;
        let queue = Arc::clone(running.producer.queue());
        match &running.writers {
            Writers::Plain(_) => {
                let waits = self.settings.guarantee != Guarantee::None;
                let flush = running.writer.clone().filter(|_| waits).map(|writer| (writer.mark(), writer));
                let settled = running.settling.as_ref().map(Transactions::recovery);
                let state = move || {
                    settled.map_or(Ok(()), |settled| settled())?;
                    flush.map_or(Ok(()), |(mark, writer)| queue.wait_flushed(&writer, &mark))?;
                    SinkState::encode(Vec::new())
                };
                Ok(StateSnapshot { late_operator_state: Some(Box::new(state)), ..StateSnapshot::default() })
            }
            Writers::Transactions(transactions) => {
                self.pending.forget_committed(transactions);
                if let Some(writer) = running.writer.take_if(|writer| !writer.mark().is_empty()) {
                    self.pending.prepare(barrier.id, writer);
                }
                let recovery = transactions.recovery();
                let held = self.pending.held();
                let topic = self.settings.producer.topic.clone();
                let state = move || {
                    // Until then, the restored transactions belong to the state; after it, they have no part in it.
                    recovery()?;
                    SinkState::encode(held.prepared(&queue, &topic)?)
                };
                Ok(StateSnapshot { late_operator_state: Some(Box::new(state)), ..StateSnapshot::default() })
            }
        }
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        let rescaled = restored.former_parallelism != self.parallelism;
        for (former, bytes) in &restored.operator_state {
            let mine = if rescaled { former % self.parallelism.max(1) == self.subtask } else { *former == self.subtask };
            if mine {
                self.restored.extend(SinkState::decode(bytes)?.prepared);
            }
        }
        self.restored.sort_by_key(|transaction| transaction.checkpoint);
        Ok(())
    }

    fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        let Some(Running { writers: Writers::Transactions(transactions), .. }) = &self.running else { return Ok(()) };
        let due = self.pending.complete(checkpoint);
        if due.is_empty() {
            return Ok(());
        }
        let writers: Vec<_> = due.iter().map(|(_, writer)| Arc::clone(writer)).collect();
        transactions.commit(due);
        if self.is_ending {
            // The task may end after this call, before the commit is sent.
            transactions.wait_committed(&writers, Instant::now() + LAST_COMMIT)?;
        }
        Ok(())
    }

    fn notify_checkpoint_aborted(&mut self, checkpoint: CheckpointId) {
        self.pending.aborted(checkpoint);
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        let Some(Running { writers: Writers::Transactions(transactions), writer, .. }) = &mut self.running else { return };
        let unheld = self.pending.unheld().into_iter().chain(writer.take().filter(|writer| !writer.mark().is_empty()));
        transactions.abort(unheld.collect(), &self.settings.producer.client);
    }
}
