//! Runs a job graph in this thread: every subtask of every vertex, with channels between them. A seed picks how large batches are
//! and which subtask makes the next step. A job can be checkpointed at any step, and a new one, of another parallelism too, can be
//! restored from the checkpoint.

mod channel;
mod collect;
mod rows;
mod snapshot;
mod task;

use std::collections::BTreeMap;

use weir_dataflow::operator::OperatorError;
use weir_dataflow::registry::OperatorRegistry;
use weir_protocol::CheckpointId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_graph::validate::validate;

use channel::Channel;
pub(crate) use collect::{collect, collected, forget_uncommitted, watermark_of};
pub(crate) use rows::{Table, read_from, release};
pub(crate) use snapshot::Snapshot;
use task::{Task, build};

/// Every operator that a job can have.
pub(crate) fn registry() -> OperatorRegistry {
    let mut registry = OperatorRegistry::default();
    weir_dataflow::operators::register_operators(&mut registry);
    weir_connectors::register_connectors(&mut registry);
    collect::register(&mut registry);
    rows::register(&mut registry);
    registry
}

/// A reproducible choice (SplitMix64).
pub(crate) struct Choice {
    state: u64,
    /// Whether no batch has two rows.
    row_by_row: bool,
}

impl Choice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, row_by_row: false }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % bound.max(1)
    }

    /// The most rows of a batch: one of these.
    fn batch_rows(&mut self, sizes: [usize; 4]) -> usize {
        let chosen = sizes[self.below(4)];
        if self.row_by_row { 1 } else { chosen }
    }
}

/// Runs the job until all its sources have ended. Returns how many rows were late.
pub(crate) fn run(graph: &JobGraph, seed: u64) -> Result<u64, OperatorError> {
    Job::start(graph, seed, None)?.run()
}

/// Runs the job row by row: no operator sees two rows at once, so that each change is visible.
pub(crate) fn run_row_by_row(graph: &JobGraph) -> Result<(), OperatorError> {
    let mut job = Job::start(graph, 1, None)?;
    job.choice.row_by_row = true;
    job.run().map(drop)
}

/// A running job.
pub(crate) struct Job {
    tasks: Vec<Task>,
    channels: Vec<Channel>,
    choice: Choice,
    now_ms: u64,
}

impl Job {
    /// Builds all subtasks, with the state of a snapshot if there is one.
    pub(crate) fn start(graph: &JobGraph, seed: u64, from: Option<&Snapshot>) -> Result<Self, OperatorError> {
        if let Err(errors) = validate(graph) {
            panic!("the cluster refuses the job: {errors:?}");
        }
        let (tasks, channels) = build(graph, &registry(), from)?;
        Ok(Self { tasks, channels, choice: Choice::new(seed), now_ms: 1_700_000_000_000 })
    }

    /// Runs until all sources have ended. Returns how many rows were late.
    fn run(&mut self) -> Result<u64, OperatorError> {
        self.settle()?;
        assert!(self.has_ended(), "the job waits for ever");
        Ok(self.tasks.iter().map(|task| task.chain.late_records()).sum())
    }

    /// Lets sources that wait for rows look again.
    pub(crate) fn wake(&mut self) {
        self.tasks.iter_mut().for_each(Task::wake);
    }

    /// Whether all sources have ended, and nothing is left to do.
    pub(crate) fn has_ended(&self) -> bool {
        self.tasks.iter().all(|task| task.ended)
    }

    /// Lets one subtask make one step. `false` if there is nothing to do now.
    pub(crate) fn step(&mut self) -> Result<bool, OperatorError> {
        let channels = &self.channels;
        let able: Vec<_> = (0..self.tasks.len()).filter(|task| self.tasks[*task].can_step(channels, self.now_ms)).collect();
        if let Some(task) = able.get(self.choice.below(able.len())) {
            self.tasks[*task].step(&mut self.channels, self.now_ms, &mut self.choice)?;
            return Ok(true);
        }
        // Sources may wait for a later time.
        let Some(until) = self.tasks.iter().filter_map(Task::waits_until).min() else { return Ok(false) };
        self.now_ms = until.max(self.now_ms + 1);
        Ok(true)
    }

    /// Runs until nothing is left to do: all sources have ended, or wait for rows.
    pub(crate) fn settle(&mut self) -> Result<(), OperatorError> {
        while self.step()? {}
        Ok(())
    }

    /// Tells all subtasks that time has passed, so that watermarks that were held back go out.
    pub(crate) fn tick(&mut self) -> Result<(), OperatorError> {
        for _ in 0..2 {
            self.now_ms += 1_000;
            for task in &mut self.tasks {
                task.tick(&mut self.channels, self.now_ms, &mut self.choice)?;
            }
        }
        Ok(())
    }

    /// Takes a checkpoint while the job goes on, and completes it.
    pub(crate) fn checkpoint(&mut self, id: u64) -> Result<Snapshot, OperatorError> {
        let id = CheckpointId(id);
        self.tasks.iter_mut().for_each(|task| task.trigger(id));
        while self.tasks.iter().any(|task| task.acknowledged != Some(id)) {
            assert!(self.step()?, "the barrier of checkpoint {id} is stuck");
        }
        let mut snapshot = Snapshot { checkpoint: id.0, operators: BTreeMap::new() };
        for task in &mut self.tasks {
            task.take_snapshot(&mut snapshot)?;
        }
        for task in &mut self.tasks {
            task.chain.notify_checkpoint_complete(id)?;
        }
        Ok(snapshot)
    }
}
