//! Aligns barriers over all channels of all inputs of a task, for exactly-once. Pure.
//!
//! A barrier blocks its channel. The last barrier of a checkpoint lets the task snapshot and unblocks all channels. Ended
//! channels still deliver barriers, because producers stay alive until the final checkpoint is complete.

use std::collections::BTreeSet;

use weir_protocol::CheckpointId;
use weir_protocol::checkpoint::CheckpointBarrier;
use weir_world::flaw::{Flaw, is_planted};

/// Most remembered ids of aborted checkpoints. Their late barriers are dropped. For ids older than all of them, the highest
/// handled id decides.
const REMEMBERED_ABORTS: usize = 64;

/// What the task must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlignmentEffect {
    /// Stop reading this channel.
    Block(usize),
    /// Read all channels again.
    UnblockAll,
    /// All channels have delivered the barrier. Snapshot now, before anything else, and pass the barrier on.
    Snapshot(CheckpointBarrier),
    /// A newer checkpoint has overtaken this one, and its alignment has ended. Decline it.
    GiveUp(CheckpointId),
}

/// Aligns the barriers of one task.
#[derive(Debug, Clone, Hash)]
pub struct BarrierAligner {
    channels: usize,
    /// Whether each channel has delivered the barrier of the running alignment.
    arrived: Vec<bool>,
    current: Option<CheckpointBarrier>,
    /// Highest id that was snapshotted, overtaken, or aborted while aligning. Barriers up to it are late.
    handled_up_to: CheckpointId,
    aborted: BTreeSet<CheckpointId>,
}

impl BarrierAligner {
    /// An aligner for a task with this many channels over all inputs.
    pub fn new(channels: usize) -> Self {
        Self { channels, arrived: vec![false; channels], current: None, handled_up_to: CheckpointId(0), aborted: BTreeSet::new() }
    }

    /// The checkpoint being aligned.
    pub fn aligning(&self) -> Option<CheckpointId> {
        self.current.map(|barrier| barrier.id)
    }

    /// Whether this channel has delivered its barrier and must wait.
    pub fn is_blocked(&self, channel: usize) -> bool {
        self.current.is_some() && self.arrived.get(channel).copied().unwrap_or(false)
    }

    /// Handles a barrier that was read from `channel`.
    pub fn on_barrier(&mut self, channel: usize, barrier: CheckpointBarrier) -> Vec<AlignmentEffect> {
        let mut effects = Vec::new();
        // B3: late barriers of handled or aborted checkpoints are dropped.
        if barrier.id <= self.handled_up_to || self.aborted.contains(&barrier.id) || channel >= self.channels {
            return effects;
        }
        match self.current {
            Some(current) if barrier.id < current.id => return effects,
            Some(current) if barrier.id > current.id => {
                effects.push(AlignmentEffect::GiveUp(current.id));
                effects.push(AlignmentEffect::UnblockAll);
                self.finish(current.id);
                self.current = Some(barrier);
            }
            Some(_) => {}
            None => self.current = Some(barrier),
        }
        self.arrived[channel] = true;
        let waited_for = match self.channels {
            channels if is_planted(Flaw::ForgottenChannel) && channels > 1 => &self.arrived[..channels - 1],
            _ => &self.arrived[..],
        };
        if waited_for.iter().all(|&arrived| arrived) || is_planted(Flaw::UnalignedBarrier) {
            self.finish(barrier.id);
            effects.push(AlignmentEffect::Snapshot(barrier));
            effects.push(AlignmentEffect::UnblockAll);
        } else {
            effects.push(AlignmentEffect::Block(channel));
        }
        effects
    }

    /// Handles the notice that this checkpoint will never complete: unblocks its channels and drops its late barriers.
    pub fn on_aborted(&mut self, checkpoint: CheckpointId) -> Vec<AlignmentEffect> {
        if checkpoint <= self.handled_up_to {
            return Vec::new();
        }
        self.aborted.insert(checkpoint);
        while self.aborted.len() > REMEMBERED_ABORTS {
            self.aborted.pop_first();
        }
        if self.aligning() == Some(checkpoint) {
            self.finish(checkpoint);
            return vec![AlignmentEffect::UnblockAll];
        }
        Vec::new()
    }

    fn finish(&mut self, checkpoint: CheckpointId) {
        self.handled_up_to = self.handled_up_to.max(checkpoint);
        self.aborted.retain(|&aborted| aborted > checkpoint);
        self.current = None;
        self.arrived.fill(false);
    }
}

#[cfg(test)]
mod tests;
