//! The endpoints under `/weir/v1/drills`: the current drill, and the results of earlier ones.

use serde::{Deserialize, Serialize};

/// Body of `POST /weir/v1/drills`: a drill begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillBegin {
    /// Id that the client draws: 1 to [`DrillBegin::MAX_ID_BYTES`] of the characters `A-Z a-z 0-9 . _ -`. A second request with
    /// the same id begins no new drill.
    pub id: String,
    /// Name of the drill, e.g. `leader-kill`.
    pub drill: String,
    /// Longest duration of the drill in milliseconds: 1 to [`DrillBegin::MAX_MS`]. After it, restarts count again.
    pub for_ms: u64,
}

impl DrillBegin {
    /// Longest id, in bytes.
    pub const MAX_ID_BYTES: usize = 64;
    /// Longest name of a drill, in bytes.
    pub const MAX_DRILL_BYTES: usize = 64;
    /// Longest drill, in milliseconds.
    pub const MAX_MS: u64 = 3_600_000;

    /// What is wrong with the request, if anything.
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
    /// When it began, in milliseconds since 1970 on the leader's clock.
    pub began_at_ms: u64,
    /// Restarts do not count until this time at the latest, in milliseconds since 1970 on the leader's clock.
    pub restarts_free_until_ms: u64,
    /// Whether the drill has ended. For a short time after its end, restarts may still not count.
    pub ended: bool,
}

/// Answer to `GET /weir/v1/drills`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrillsResponse {
    /// The current drill, if there is one.
    pub under_way: Option<DrillUnderWay>,
    /// Results of the newest drills, newest first.
    pub results: Vec<DrillResult>,
}

/// The result of a drill. Body of `POST /weir/v1/drills/:id/result`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrillResult {
    pub id: String,
    pub drill: String,
    /// When it began, in milliseconds since 1970.
    pub began_at_ms: u64,
    /// Total duration in milliseconds.
    pub took_ms: u64,
    /// What the drill broke, e.g. `jm-1`.
    pub victims: Vec<String>,
    /// Number of jobs that were watched.
    pub jobs: u32,
    /// Whether the drill met all its declared objectives.
    pub passed: bool,
    /// One sentence for each objective that was not met. Empty if the drill passed.
    pub missed: Vec<String>,
    /// Further remarks for people.
    pub notes: Vec<String>,
    pub objectives: DrillObjectives,
    pub measures: DrillMeasures,
}

impl DrillResult {
    /// Longest JSON form that is stored, in bytes.
    pub const MAX_BYTES: usize = 8 * 1024;
}

/// The objectives that were declared before a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrillObjectives {
    /// Longest allowed recovery in milliseconds. If `None`, it is enough to recover before the drill's deadline.
    pub rto_ms: Option<u64>,
    /// Most records that may be lost. If `None`, lost records do not count.
    pub rpo_records: Option<u64>,
}

/// The measures of a drill. Times are in milliseconds from the moment of the fault. For an outage of the coordination store or of
/// checkpoint storage, recovery and first checkpoint are measured from the end of the outage. `None` means "not measured" or
/// "does not apply", never 0. If there are several jobs or faults, the worst value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrillMeasures {
    /// Time until the first answer that names another leader, lacks the TaskManager, or shows the outage.
    pub detection_ms: Option<u64>,
    /// Longest time in which no JobManager answered as the leader.
    pub control_plane_outage_ms: Option<u64>,
    /// Longest time in which a job's record counters did not grow. Counters come with heartbeats, see `usual_gap_ms`.
    pub output_gap_ms: Option<u64>,
    /// The same before the fault. A gap that is not longer can't be distinguished from none.
    pub usual_gap_ms: Option<u64>,
    /// Time until a leader answered and every task of every job ran again.
    pub recovery_ms: Option<u64>,
    /// Time until each job had completed a checkpoint after it ran again.
    pub first_checkpoint_ms: Option<u64>,
    /// Time until the broken process took part again.
    pub back_ms: Option<u64>,
    /// Records that a completed checkpoint had covered and that were missing after recovery.
    pub records_lost: Option<u64>,
    /// Records that sources read again.
    pub records_reprocessed: Option<u64>,
    /// Time for which the coordination store was observed to be unavailable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_away_ms: Option<u64>,
    /// Checkpoints of all jobs that failed because their storage was unavailable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoints_failed: Option<u64>,
}

impl DrillMeasures {
    /// Combines two measures: the longer of each two times, and the sum of records and of checkpoints. A value that one of them
    /// lacks is `None`.
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

/// Answer to `GET /healthz` of a JobManager: what the process knows without a request to another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    pub status: String,
    pub name: String,
    /// Whether it leads and has taken over.
    pub leading: bool,
    /// The newest epoch that this process knows. If it leads, its own epoch.
    #[serde(default)]
    pub epoch: crate::LeaderEpoch,
    /// Name of the leader, as far as this process knows it.
    #[serde(default)]
    pub leader: Option<String>,
    /// Whether the coordination store is unavailable. Always false with raft, because there the members are the store.
    #[serde(default)]
    pub store_away: bool,
    /// A random text that is another one after every start of the process. Empty if an older version does not say.
    #[serde(default)]
    pub instance: String,
}
