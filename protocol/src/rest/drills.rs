//! `/weir/v1/drills`: the drill under way, and how earlier ones ended.

use serde::{Deserialize, Serialize};

/// Body of `POST /weir/v1/drills`: a drill begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillBegin {
    /// Drawn by the client: 1 to [`DrillBegin::MAX_ID_BYTES`] of `A-Z a-z 0-9 . _ -`. The same id again begins nothing new.
    pub id: String,
    /// Which drill, e.g. `leader-kill`.
    pub drill: String,
    /// The drill is over after so many milliseconds at the latest, and restarts count again: 1 to [`DrillBegin::MAX_MS`].
    pub for_ms: u64,
}

impl DrillBegin {
    /// Longest id.
    pub const MAX_ID_BYTES: usize = 64;
    /// Longest name of a drill.
    pub const MAX_DRILL_BYTES: usize = 64;
    /// Longest drill, milliseconds.
    pub const MAX_MS: u64 = 3_600_000;

    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<String> {
        let plain = |text: &str, limit: usize| {
            (1..=limit).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if !plain(&self.id, Self::MAX_ID_BYTES) || !plain(&self.drill, Self::MAX_DRILL_BYTES) {
            return Some("id and drill have 1 to 64 of the characters A-Z a-z 0-9 . _ -".to_owned());
        }
        let fits = (1..=Self::MAX_MS).contains(&self.for_ms);
        (!fits).then(|| format!("a drill lasts 1 to {} ms, not {}", Self::MAX_MS, self.for_ms))
    }
}

/// A drill that has begun. Restarts of tasks do not count against a job's restart strategy until `restarts_free_until_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrillUnderWay {
    pub id: String,
    pub drill: String,
    /// When it began, milliseconds since 1970 on the leader's clock.
    pub began_at_ms: u64,
    /// Until when restarts are free at most, milliseconds since 1970 on the leader's clock.
    pub restarts_free_until_ms: u64,
    /// Whether it has ended; restarts may still be free for a moment.
    pub ended: bool,
}

/// `GET /weir/v1/drills`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrillsResponse {
    /// The drill under way, if there is one.
    pub under_way: Option<DrillUnderWay>,
    /// How the newest drills ended, newest first.
    pub results: Vec<DrillResult>,
}

/// How a drill ended; body of `POST /weir/v1/drills/:id/result`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrillResult {
    pub id: String,
    pub drill: String,
    /// When it began, milliseconds since 1970.
    pub began_at_ms: u64,
    /// How long it took in all, milliseconds.
    pub took_ms: u64,
    /// What was broken, e.g. `jm-1`.
    pub victims: Vec<String>,
    /// Jobs that were watched.
    pub jobs: u32,
    /// Whether everything declared was met.
    pub passed: bool,
    /// What was not met, a sentence each; empty if it passed.
    pub missed: Vec<String>,
    /// What is worth knowing besides.
    pub notes: Vec<String>,
    /// What was declared.
    pub objectives: DrillObjectives,
    /// What was measured.
    pub measures: DrillMeasures,
}

impl DrillResult {
    /// Longest JSON form that is kept, bytes.
    pub const MAX_BYTES: usize = 8 * 1024;
}

/// What was declared before a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrillObjectives {
    /// Longest recovery, milliseconds; `None`: only that it recovers before the drill's deadline.
    pub rto_ms: Option<u64>,
    /// Most records lost; `None`: not compared.
    pub rpo_records: Option<u64>,
}

/// What a drill measured. Milliseconds are from the moment of the fault (after an outage of the coordination store or of checkpoint
/// storage, those of recovery and first checkpoint from its end); `None` is "not measured" or "does not apply", never 0. Of several
/// jobs or several faults the worst counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrillMeasures {
    /// Until the first answer that names another leader, in which the TaskManager is gone, or that shows an outage.
    pub detection_ms: Option<u64>,
    /// Longest time in which no JobManager answered as the leader.
    pub control_plane_outage_ms: Option<u64>,
    /// Longest time in which a job's record counters did not grow. Counters come with heartbeats, see `usual_gap_ms`.
    pub output_gap_ms: Option<u64>,
    /// The same before the fault: what can't be told apart from none.
    pub usual_gap_ms: Option<u64>,
    /// Until a leader answered and every task of every job ran again.
    pub recovery_ms: Option<u64>,
    /// Until each job had completed a checkpoint after it ran again.
    pub first_checkpoint_ms: Option<u64>,
    /// Until the process that was broken took part again.
    pub back_ms: Option<u64>,
    /// Records that a completed checkpoint had covered and that were not there after recovery.
    pub records_lost: Option<u64>,
    /// Records that sources read again.
    pub records_reprocessed: Option<u64>,
    /// How long the coordination store was seen to be away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_away_ms: Option<u64>,
    /// Checkpoints that failed because of an outage of their storage, of all jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoints_failed: Option<u64>,
}

impl DrillMeasures {
    /// Both, the worse of each; what one of them could not measure is not measured.
    pub fn worst_with(&self, other: &Self) -> Self {
        fn worst(one: Option<u64>, other: Option<u64>) -> Option<u64> {
            one.zip(other).map(|(one, other)| one.max(other))
        }
        Self {
            detection_ms: worst(self.detection_ms, other.detection_ms),
            control_plane_outage_ms: worst(self.control_plane_outage_ms, other.control_plane_outage_ms),
            output_gap_ms: worst(self.output_gap_ms, other.output_gap_ms),
            usual_gap_ms: worst(self.usual_gap_ms, other.usual_gap_ms),
            recovery_ms: worst(self.recovery_ms, other.recovery_ms),
            first_checkpoint_ms: worst(self.first_checkpoint_ms, other.first_checkpoint_ms),
            back_ms: worst(self.back_ms, other.back_ms),
            records_lost: self.records_lost.zip(other.records_lost).map(|(one, other)| one + other),
            records_reprocessed: self.records_reprocessed.zip(other.records_reprocessed).map(|(one, other)| one + other),
            store_away_ms: worst(self.store_away_ms, other.store_away_ms),
            checkpoints_failed: self.checkpoints_failed.zip(other.checkpoints_failed).map(|(one, other)| one + other),
        }
    }
}

/// `GET /healthz` of a JobManager: what it knows without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    pub status: String,
    pub name: String,
    /// Whether it leads and has taken over.
    pub leading: bool,
    /// The newest epoch known here; the one it leads under if it leads.
    #[serde(default)]
    pub epoch: crate::LeaderEpoch,
    /// Who leads as far as known here.
    #[serde(default)]
    pub leader: Option<String>,
    /// Whether the coordination store does not answer. Always false on raft, whose members are the store.
    #[serde(default)]
    pub store_away: bool,
}
