//! Searches the BarrierAligner. Its surrounding is the input channels, which deliver rows and barriers in any order among them,
//! and a JobManager that aborts checkpoints.

use std::collections::BTreeSet;

use weir_protocol::CheckpointId;
use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointKind};
use weir_worker::checkpoint::barrier_aligner::{AlignmentEffect, BarrierAligner};

use super::{Surrounding, require};

/// Number of checkpoints, and of barriers that never arrive, because their checkpoint was aborted before they were injected.
const CHECKPOINTS: u64 = 3;
const SKIPPED: u32 = 1;

/// A channel as its task has read it.
#[derive(Debug, Clone, Hash, Default)]
struct Channel {
    /// The last barrier that arrived on the channel, or was skipped.
    at: u64,
    /// Whether a row has arrived since.
    row: bool,
    /// Whether that barrier was skipped.
    left_out: bool,
    blocked: bool,
}

/// The BarrierAligner and its surrounding.
#[derive(Debug, Clone, Hash)]
pub struct Barriers {
    core: BarrierAligner,
    channels: Vec<Channel>,
    skipped: u32,
    aborted: BTreeSet<u64>,
    snapshot: u64,
}

/// An event that may happen next.
#[derive(Debug, Clone)]
pub enum Step {
    /// A row arrives on a channel.
    Row(usize),
    /// The next barrier arrives on a channel.
    Barrier(usize),
    /// The producer of a channel learns that the next checkpoint is aborted before it has injected the barrier.
    Skip(usize),
    /// The task learns that a checkpoint is aborted.
    Aborted(u64),
}

/// Returns the states from which the search starts, by name.
pub(super) fn starts() -> Vec<(&'static str, Barriers)> {
    vec![("two channels", Barriers::between(2)), ("three channels", Barriers::between(3))]
}

impl Barriers {
    fn between(channels: usize) -> Self {
        let core = BarrierAligner::new(channels);
        Self { core, channels: vec![Channel::default(); channels], skipped: 0, aborted: BTreeSet::new(), snapshot: 0 }
    }

    fn perform(&mut self, effects: Vec<AlignmentEffect>) -> Result<(), String> {
        for effect in effects {
            match effect {
                AlignmentEffect::Block(channel) => self.channels[channel].blocked = true,
                AlignmentEffect::UnblockAll => self.channels.iter_mut().for_each(|channel| channel.blocked = false),
                AlignmentEffect::GiveUp(id) => require(id.0 > self.snapshot, "a checkpoint is given up after its snapshot")?,
                AlignmentEffect::Snapshot(barrier) => {
                    let id = barrier.id.0;
                    let exact = |channel: &Channel| channel.at == id && !channel.row && !channel.left_out;
                    require(
                        self.channels.iter().all(exact),
                        "X1: a snapshot does not hold exactly the rows before its barriers",
                    )?;
                    require(id > self.snapshot, "B1: the ids of snapshots do not increase")?;
                    require(!self.aborted.contains(&id), "B3: the task takes a snapshot for an aborted checkpoint")?;
                    self.snapshot = id;
                }
            }
        }
        Ok(())
    }

    /// Checks that every blocked channel waits for a barrier that can still arrive (B3).
    fn nobody_waits_for_ever(&self) -> Result<(), String> {
        let Some(waits_for) = self.core.aligning() else {
            return require(
                !self.channels.iter().any(|channel| channel.blocked),
                "B3: a channel is blocked although no checkpoint is aligning",
            );
        };
        require(!self.aborted.contains(&waits_for.0), "B3: the aligner waits for the barriers of an aborted checkpoint")?;
        require(!self.channels.iter().all(|channel| channel.blocked), "B3: every channel is blocked")?;
        let agree = (0..self.channels.len()).all(|channel| self.core.is_blocked(channel) == self.channels[channel].blocked);
        require(agree, "the aligner and the gate differ about which channels are blocked")
    }
}

impl Surrounding for Barriers {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (number, channel) in self.channels.iter().enumerate().filter(|(_, channel)| !channel.blocked) {
            if !channel.row {
                steps.push(Step::Row(number));
            }
            if channel.at < CHECKPOINTS {
                steps.push(Step::Barrier(number));
                if self.skipped < SKIPPED {
                    steps.push(Step::Skip(number));
                }
            }
        }
        let injected = self.channels.iter().map(|channel| channel.at).max().unwrap_or(0);
        steps.extend((self.snapshot + 1..=injected).filter(|id| !self.aborted.contains(id)).map(Step::Aborted));
        steps
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Row(channel) => self.channels[channel].row = true,
            Step::Barrier(number) => {
                let channel = &mut self.channels[number];
                (channel.at, channel.row, channel.left_out) = (channel.at + 1, false, false);
                let barrier =
                    CheckpointBarrier { id: CheckpointId(channel.at), kind: CheckpointKind::Checkpoint, timestamp_ms: 0 };
                let effects = self.core.on_barrier(number, barrier);
                self.perform(effects)?;
            }
            Step::Skip(channel) => {
                let channel = &mut self.channels[channel];
                (channel.at, channel.row, channel.left_out) = (channel.at + 1, false, true);
                self.skipped += 1;
            }
            Step::Aborted(id) => {
                self.aborted.insert(id);
                let effects = self.core.on_aborted(CheckpointId(id));
                self.perform(effects)?;
            }
        }
        self.nobody_waits_for_ever()
    }
}
