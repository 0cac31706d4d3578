//! One job before and after a fault. Pure.

use weir_protocol::job_status::JobStatus;
use weir_protocol::rest::JobDescription;

/// The generation of a subtask, and how many rows it has read and written.
type Rows = (Option<String>, u64);

/// What was seen of one job before and after the fault.
#[derive(Debug)]
pub(super) struct JobTrack {
    pub(super) name: String,
    generations: Vec<Option<String>>,
    records: Vec<Rows>,
    last_growth: Option<u64>,
    gap_ms: u64,
    pub(super) usual_gap_ms: Option<u64>,
    newest_checkpoint: u64,
    /// Checkpoints that had failed before the fault.
    failed_before: u64,
    /// Checkpoints that have failed since the fault.
    pub(super) failed: u64,
    pub(super) recovered_at: Option<u64>,
    /// Whether the job continued from a state that covers every completed checkpoint. `None` until it runs again.
    pub(super) kept: Option<bool>,
    pub(super) restarted: bool,
    pub(super) first_checkpoint_at: Option<u64>,
    pub(super) ended: Option<JobStatus>,
}

impl JobTrack {
    pub(super) fn new(job: &JobDescription) -> Self {
        Self {
            name: if job.name.is_empty() { job.job_id.to_string() } else { job.name.clone() },
            generations: generations(job),
            records: records(job),
            last_growth: None,
            gap_ms: 0,
            usual_gap_ms: None,
            newest_checkpoint: newest_checkpoint(job),
            failed_before: job.checkpoints.counts.failed,
            failed: 0,
            recovered_at: None,
            kept: None,
            restarted: false,
            first_checkpoint_at: None,
            ended: None,
        }
    }

    /// Discards what was seen after the fault.
    pub(super) fn start_over(&mut self) {
        (self.recovered_at, self.first_checkpoint_at, self.kept, self.restarted) = (None, None, None, false);
    }

    /// Takes in a description. `runs`: every task runs as it should after the fault. Returns what is new, for people.
    pub(super) fn take(&mut self, at: u64, job: &JobDescription, after: bool, runs: bool) -> Option<&'static str> {
        self.count(at, job, after);
        let newest = newest_checkpoint(job);
        let failed = job.checkpoints.counts.failed;
        if after {
            self.failed = self.failed.max(failed.saturating_sub(self.failed_before));
        } else {
            self.failed_before = failed;
            self.newest_checkpoint = self.newest_checkpoint.max(newest);
            self.generations = generations(job);
            return None;
        }
        if job.status.is_globally_terminal() {
            // An ended job needs no recovery. Its status says whether it ended well.
            let first_news = self.ended.is_none();
            self.ended = Some(job.status);
            self.recovered_at.get_or_insert(at);
            self.kept.get_or_insert(job.status == JobStatus::Finished);
            return first_news.then_some("has ended");
        }
        if self.recovered_at.is_none() {
            if runs {
                self.recovered_at = Some(at);
                self.restarted = generations(job) != self.generations;
                let restored = job.checkpoints.latest_restored.as_ref().map(|checkpoint| checkpoint.id);
                self.kept = Some(!self.restarted || restored >= Some(self.newest_checkpoint));
                self.newest_checkpoint = self.newest_checkpoint.max(newest);
                return Some("runs again with every task");
            }
            return None;
        }
        if self.first_checkpoint_at.is_none() && newest > self.newest_checkpoint {
            self.first_checkpoint_at = Some(at);
            return Some("has completed a checkpoint");
        }
        None
    }

    fn count(&mut self, at: u64, job: &JobDescription, after: bool) {
        let now = records(job);
        let grew = |(now, then): (&Rows, &Rows)| {
            if now.0 == then.0 { now.1 > then.1 } else { now.0.is_some() && now.1 > 0 }
        };
        if now.iter().zip(&self.records).any(grew) {
            if let Some(last) = self.last_growth {
                let gap = at.saturating_sub(last);
                if after {
                    self.gap_ms = self.gap_ms.max(gap);
                } else {
                    self.usual_gap_ms = self.usual_gap_ms.max(Some(gap));
                }
            }
            self.last_growth = Some(at);
        }
        self.records = now;
    }

    /// The longest gap, which may last until `now`.
    pub(super) fn gap_until(&self, now: u64) -> u64 {
        let open = self.last_growth.filter(|_| self.ended.is_none()).map_or(0, |last| now.saturating_sub(last));
        self.gap_ms.max(open)
    }
}

fn generations(job: &JobDescription) -> Vec<Option<String>> {
    job.vertices.iter().flat_map(|vertex| &vertex.subtasks).map(|subtask| subtask.generation.clone()).collect()
}

fn records(job: &JobDescription) -> Vec<Rows> {
    let subtasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    subtasks
        .map(|subtask| {
            let rows = subtask.metrics.map_or(0, |metrics| metrics.records_in.saturating_add(metrics.records_out));
            (subtask.generation.clone(), rows)
        })
        .collect()
}

fn newest_checkpoint(job: &JobDescription) -> u64 {
    job.checkpoints.latest_completed.as_ref().map_or(0, |checkpoint| checkpoint.facts().id)
}
