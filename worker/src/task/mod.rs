//! A task is one attempt of one subtask: a non-blocking state machine that its slot's thread drives.

pub mod control;
pub mod deploy;
pub mod report;
pub mod slot;
mod splits;

use std::sync::Arc;

use tokio::time::Instant;
use weir_dataflow::chain::{ChainPoll, OperatorChain};
use weir_dataflow::element::{CheckpointBarrier, EventTime, StreamElement};
use weir_dataflow::operator::OperatorError;
use weir_dataflow::watermark::{ValveOutput, WatermarkValve};
use weir_protocol::checkpoint::CheckpointKind;
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{CheckpointDecline, TaskFailure};
use weir_protocol::{CheckpointId, ExecutionAttemptId};
use weir_world::flaw::{Flaw, is_planted};

use crate::checkpoint::barrier_aligner::{AlignmentEffect, BarrierAligner};
use crate::checkpoint::snapshot_writer::{FrozenSnapshot, SnapshotWriter};
use crate::metrics::TimeSpent;
use crate::network::channel::Closure;
use crate::network::gate::{GatePoll, InputGate};
use crate::network::partition::Outputs;
use control::{TaskControl, TaskOrder};
use report::{TaskReport, TaskReports, failure};

/// Shortest time between two ticks of a chain, in milliseconds.
const TICK_MS: u64 = 50;

/// The result of a task's step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The task did something. Step it again.
    Worked,
    /// There is no room downstream.
    Backpressured {
        /// When to step again even without a wake-up: wall-clock time in milliseconds. A wake-up comes when there is room in the
        /// channels, but not when there is room in a sink.
        until_ms: u64,
    },
    /// There is no input. A wake-up comes when there is input.
    Idle {
        /// When to step again even without a wake-up: wall-clock time in milliseconds.
        until_ms: u64,
    },
    /// The task has finished. Drop it.
    Finished,
}

/// The inputs of a task that is not a source.
struct Inputs {
    gate: InputGate,
    valve: WatermarkValve,
    aligner: BarrierAligner,
    alignment_started: Option<Instant>,
}

/// One running attempt. [`deploy`] builds and restores it, then hands it to its slot's thread.
pub struct Task {
    control: Arc<TaskControl>,
    chain: OperatorChain,
    inputs: Option<Inputs>,
    outputs: Outputs,
    snapshots: SnapshotWriter,
    reports: TaskReports,
    max_batch_rows: usize,
    ended: bool,
    /// The checkpoint after which the job stops. Set once this task has passed its barrier on: no element may follow that
    /// barrier.
    stopping: Option<CheckpointId>,
    last_triggered: CheckpointId,
    next_poll_ms: u64,
    next_tick_ms: u64,
}

/// The parts of a new task.
pub struct TaskParts {
    /// The agent's handle to the task.
    pub control: Arc<TaskControl>,
    /// The operators with their restored state.
    pub chain: OperatorChain,
    /// The channels into the task. `None` for a source.
    pub gate: Option<InputGate>,
    /// The channels out of the task.
    pub outputs: Outputs,
    /// Writes the task's snapshots.
    pub snapshots: SnapshotWriter,
    /// Sends reports to the agent.
    pub reports: TaskReports,
    /// Most rows that a source reads at a time.
    pub max_batch_rows: usize,
}

impl Task {
    /// Creates a task from its parts.
    pub fn new(parts: TaskParts) -> Self {
        let TaskParts { control, chain, gate, outputs, snapshots, reports, max_batch_rows } = parts;
        let inputs = gate.map(|gate| Inputs {
            valve: WatermarkValve::new(gate.len()),
            aligner: BarrierAligner::new(gate.len()),
            gate,
            alignment_started: None,
        });
        Self {
            control,
            chain,
            inputs,
            outputs,
            snapshots,
            reports,
            max_batch_rows,
            ended: false,
            stopping: None,
            last_triggered: CheckpointId(0),
            next_poll_ms: 0,
            next_tick_ms: 0,
        }
    }

    /// The task's attempt id.
    pub fn attempt(&self) -> ExecutionAttemptId {
        self.control.attempt()
    }

    /// The agent's handle to the task.
    pub fn control(&self) -> &Arc<TaskControl> {
        &self.control
    }

    /// The sender of reports to the agent.
    pub fn reports(&self) -> &TaskReports {
        &self.reports
    }

    /// Closes the task's outputs.
    pub fn close_outputs(&self, closure: &Closure) {
        self.outputs.close(closure);
    }

    /// Does one unit of work, if there is one. `now_ms` is the wall clock. After an error, drop the task.
    pub fn step(&mut self, now_ms: u64) -> Result<Progress, TaskFailure> {
        if self.control.has_lost_orders() {
            let message = "the task did not read its orders for so long that some were lost; was a disk or mount hung?";
            return Err(failure("TASK-ORDERS-LOST", message, true));
        }
        if let Some(order) = self.control.next_order() {
            return self.obey(order);
        }
        if !self.outputs.has_room() {
            return Ok(Progress::Backpressured { until_ms: u64::MAX });
        }
        if now_ms >= self.next_tick_ms {
            self.next_tick_ms = now_ms + TICK_MS;
            self.tick(now_ms)?;
        }
        if !self.chain.has_room() {
            return Ok(Progress::Backpressured { until_ms: self.next_tick_ms });
        }
        self.chain.set_now(now_ms);
        match &mut self.inputs {
            None => self.poll_source(now_ms),
            Some(inputs) => match inputs.gate.poll() {
                GatePoll::Empty => Ok(Progress::Idle { until_ms: self.next_tick_ms }),
                GatePoll::Lost(reason) => Err(failure("TASK-CHANNEL-LOST", reason, true)),
                GatePoll::Element { channel, element, bytes } => {
                    self.take_in(channel, element, bytes)?;
                    Ok(Progress::Worked)
                }
            },
        }
    }

    /// Does what is due by the clock.
    fn tick(&mut self, now_ms: u64) -> Result<(), TaskFailure> {
        if self.stopping.is_some() {
            return Ok(());
        }
        let watermark = self.chain.tick(now_ms, &mut self.outputs).map_err(task_failure)?;
        self.pass_on(watermark);
        if self.chain.is_idle() && !self.ended {
            self.outputs.broadcast(&StreamElement::Idle);
        }
        self.control.counters().progressed(self.chain.current_watermark(), self.chain.late_records());
        Ok(())
    }

    fn obey(&mut self, order: TaskOrder) -> Result<Progress, TaskFailure> {
        match order {
            TaskOrder::Trigger(barrier) => {
                // Only sources are triggered. Barriers reach other tasks through their inputs. A repeated or late order is
                // ignored.
                if self.inputs.is_none() && barrier.id > self.last_triggered {
                    self.last_triggered = barrier.id;
                    self.checkpoint(barrier, 0)?;
                }
            }
            TaskOrder::Complete { checkpoint, last } => {
                self.chain.notify_checkpoint_complete(checkpoint).map_err(task_failure)?;
                self.snapshots.confirm(checkpoint);
                if last && (self.ended || self.stopping == Some(checkpoint)) {
                    self.outputs.close(&Closure::Finished);
                    return Ok(Progress::Finished);
                }
            }
            TaskOrder::Aborted(checkpoint) => {
                if let Some(inputs) = &mut self.inputs {
                    let effects = inputs.aligner.on_aborted(checkpoint);
                    self.align(effects)?;
                } else {
                    self.last_triggered = self.last_triggered.max(checkpoint);
                }
                if self.stopping == Some(checkpoint) {
                    self.stop_after(None);
                }
                self.snapshots.abort(checkpoint);
                self.chain.notify_checkpoint_aborted(checkpoint);
            }
        }
        Ok(Progress::Worked)
    }

    /// Reads the remaining orders before the task is dropped, and tells the operators which checkpoints will never complete. So
    /// they can remove what they wrote for them.
    pub fn hear_aborted(&mut self) {
        while let Some(order) = self.control.next_order() {
            if let TaskOrder::Aborted(checkpoint) = order {
                self.chain.notify_checkpoint_aborted(checkpoint);
            }
        }
    }

    fn poll_source(&mut self, now_ms: u64) -> Result<Progress, TaskFailure> {
        let is_done = self.ended || self.stopping.is_some();
        if is_done || (now_ms < self.next_poll_ms && !self.chain.source_has_news()) {
            let until_ms = if is_done { self.next_tick_ms } else { self.next_tick_ms.min(self.next_poll_ms) };
            return Ok(Progress::Idle { until_ms });
        }
        match self.chain.poll_source(now_ms, self.max_batch_rows, &mut self.outputs).map_err(task_failure)? {
            ChainPoll::Processed { rows, watermark } => {
                self.control.counters().received(rows, 0);
                if self.outputs.is_empty() {
                    self.control.counters().sent(rows, 0);
                }
                self.pass_on(watermark);
                Ok(Progress::Worked)
            }
            ChainPoll::NothingUntil(time) => {
                self.next_poll_ms = time;
                Ok(Progress::Idle { until_ms: time.min(self.next_tick_ms) })
            }
            ChainPoll::End => {
                self.end()?;
                Ok(Progress::Worked)
            }
        }
    }

    fn take_in(&mut self, channel: usize, element: StreamElement, bytes: usize) -> Result<(), TaskFailure> {
        let Some(inputs) = &mut self.inputs else { return Ok(()) };
        match element {
            StreamElement::Batch(batch) => {
                inputs.valve.on_batch(channel);
                let rows = batch.num_rows() as u64;
                self.control.counters().received(rows, bytes as u64);
                let input = inputs.gate.input_of(channel);
                let watermark = self.chain.process(input, batch, &mut self.outputs).map_err(task_failure)?;
                if self.outputs.is_empty() {
                    self.control.counters().sent(rows, 0);
                }
                self.pass_on(watermark);
            }
            StreamElement::Watermark(watermark) => {
                let output = inputs.valve.on_watermark(channel, watermark);
                self.advance(output)?;
            }
            StreamElement::Idle => {
                let output = inputs.valve.on_idle(channel);
                self.advance(output)?;
            }
            StreamElement::Barrier(barrier) => {
                inputs.alignment_started.get_or_insert_with(Instant::now);
                let effects = inputs.aligner.on_barrier(channel, barrier);
                self.align(effects)?;
            }
            StreamElement::EndOfInput => {
                if inputs.gate.end(channel) {
                    // The valve is not needed: `end` emits the last watermark.
                    self.end()?;
                } else {
                    let output = inputs.valve.on_end(channel);
                    self.advance(output)?;
                }
            }
        }
        Ok(())
    }

    fn advance(&mut self, output: ValveOutput) -> Result<(), TaskFailure> {
        if let Some(watermark) = output.watermark {
            let passed = self.chain.watermark(watermark, &mut self.outputs).map_err(task_failure)?;
            self.pass_on(passed);
        }
        if output.became_idle {
            self.outputs.broadcast(&StreamElement::Idle);
        }
        Ok(())
    }

    fn pass_on(&mut self, watermark: Option<EventTime>) {
        if let Some(watermark) = watermark {
            self.outputs.broadcast(&StreamElement::Watermark(watermark));
        }
    }

    /// Called when all input is processed. The task stays and takes part in checkpoints until the final one is complete.
    fn end(&mut self) -> Result<(), TaskFailure> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        let watermark = self.chain.end_of_input(&mut self.outputs).map_err(task_failure)?;
        self.pass_on(watermark);
        self.outputs.broadcast(&StreamElement::EndOfInput);
        self.control.counters().progressed(self.chain.current_watermark(), self.chain.late_records());
        self.reports.tell_blocking(TaskReport::InputEnded(self.attempt()));
        Ok(())
    }

    fn align(&mut self, effects: Vec<AlignmentEffect>) -> Result<(), TaskFailure> {
        for effect in effects {
            let Some(inputs) = &mut self.inputs else { return Ok(()) };
            match effect {
                AlignmentEffect::Block(channel) => inputs.gate.block(channel),
                AlignmentEffect::UnblockAll => {
                    inputs.gate.unblock_all();
                    inputs.alignment_started = None;
                }
                AlignmentEffect::GiveUp(checkpoint) => {
                    self.decline(checkpoint, "the barrier of a newer checkpoint arrived before all barriers of this one");
                }
                AlignmentEffect::Snapshot(barrier) => {
                    let waited = inputs.alignment_started.take().map_or(0, |start| start.elapsed().as_micros() as u64);
                    self.checkpoint(barrier, waited)?;
                }
            }
        }
        Ok(())
    }

    /// Freezes the state and passes the barrier on. The rest of the snapshot happens in the background.
    fn checkpoint(&mut self, barrier: CheckpointBarrier, alignment_us: u64) -> Result<(), TaskFailure> {
        let start = Instant::now();
        let operators = self.chain.snapshot(&barrier).map_err(task_failure)?;
        if is_planted(Flaw::EarlyCommit) {
            self.chain.notify_checkpoint_complete(barrier.id).map_err(task_failure)?;
        }
        self.outputs.broadcast(&StreamElement::Barrier(barrier));
        if barrier.kind == CheckpointKind::Stop {
            self.stop_after(Some(barrier.id));
        }
        let sync_us = start.elapsed().as_micros() as u64;
        let frozen = FrozenSnapshot { barrier, operators, alignment_us, sync_us };
        if self.snapshots.submit(frozen).is_err() {
            self.decline(barrier.id, "too many snapshots wait to be written");
        }
        Ok(())
    }

    fn stop_after(&mut self, checkpoint: Option<CheckpointId>) {
        self.stopping = checkpoint;
        if let Some(inputs) = &mut self.inputs {
            inputs.gate.expect_end(checkpoint.is_some());
        }
    }

    fn decline(&self, checkpoint: CheckpointId, reason: &str) {
        let decline = CheckpointDecline { attempt: self.attempt(), checkpoint, reason: reason.to_owned() };
        self.reports.tell_blocking(TaskReport::Declined(decline));
    }

    /// Counts how the task spent time.
    pub fn spent(&self, on: TimeSpent, nanoseconds: u64) {
        self.control.counters().spent(on, nanoseconds);
    }

    /// Reports a change of state.
    pub fn report_state(&self, state: ExecutionState) {
        self.reports.tell_blocking(report::state(self.attempt(), state));
    }
}

/// Converts an operator's error into a task failure.
pub fn task_failure(error: OperatorError) -> TaskFailure {
    failure(error.code, error.message, error.retryable)
}
