//! From samples to measures: what a fault cost, as seen from outside. Pure; times are milliseconds since the watching began.

use std::collections::BTreeMap;

use weir_protocol::JobId;
use weir_protocol::LeaderEpoch;
use weir_protocol::job_status::JobStatus;
use weir_protocol::rest::{DrillMeasures, Health, JobDescription};

use super::plan::{Blow, Role, Step, runs_on};
use super::precondition::all_running;
use super::probe::{Sample, Seen};
use super::survey::{Survey, resource_id};

/// What is waited for after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hit {
    /// The leader: another must lead, and every task runs anew under it.
    Leader,
    /// A JobManager that stands by: nobody else should notice.
    Standby,
    /// A TaskManager: what ran there must run elsewhere.
    TaskManager,
}

/// One fault and what came of it.
#[derive(Debug)]
pub(super) struct Timeline {
    hit: Hit,
    victim_name: String,
    victim_process: String,
    /// Whether the victim is waited for.
    expected_back: bool,
    epoch_before: LeaderEpoch,
    struck_at: Option<u64>,
    newest_epoch: LeaderEpoch,
    last_served: Option<u64>,
    outage_ms: u64,
    detected_at: Option<u64>,
    served_at: Option<u64>,
    victim_was_silent: bool,
    back_at: Option<u64>,
    jobs: BTreeMap<JobId, JobTrack>,
    newest_sample: u64,
    news: Vec<String>,
}

/// Which attempt, and how many rows it has seen come and go.
type Rows = (Option<String>, u64);

/// One job before and after.
#[derive(Debug)]
struct JobTrack {
    name: String,
    generations: Vec<Option<String>>,
    /// By subtask.
    records: Vec<Rows>,
    last_growth: Option<u64>,
    gap_ms: u64,
    usual_gap_ms: Option<u64>,
    newest_checkpoint: u64,
    recovered_at: Option<u64>,
    /// Whether what it went on from covers everything it had completed. `None` until it runs again.
    kept: Option<bool>,
    restarted: bool,
    first_checkpoint_at: Option<u64>,
    ended: Option<JobStatus>,
}

impl Timeline {
    /// Nothing has happened yet. `expected_back`: whether the victim is waited for.
    pub(super) fn new(survey: &Survey, step: &Step, expected_back: bool) -> Self {
        let hit = match (step.victim.role, step.leads) {
            (Role::TaskManager, _) => Hit::TaskManager,
            (Role::JobManager, true) => Hit::Leader,
            (Role::JobManager, false) => Hit::Standby,
        };
        Self {
            hit,
            victim_name: step.victim.name.clone(),
            victim_process: step.victim.process.clone(),
            expected_back: expected_back && step.blow != Blow::TransferLeadership,
            epoch_before: survey.leader.epoch,
            struck_at: None,
            newest_epoch: survey.leader.epoch,
            last_served: None,
            outage_ms: 0,
            detected_at: None,
            served_at: None,
            victim_was_silent: false,
            back_at: None,
            jobs: survey.jobs.iter().map(|job| (job.job_id, JobTrack::new(job))).collect(),
            newest_sample: 0,
            news: Vec::new(),
        }
    }

    /// The fault began.
    pub(super) fn strike(&mut self, at: u64) {
        self.struck_at = Some(at);
    }

    /// Takes in what was seen. Samples of one process come in order.
    pub(super) fn take(&mut self, sample: Sample) {
        let Sample { at, seen } = sample;
        self.newest_sample = self.newest_sample.max(at);
        match seen {
            Seen::Health { from, answer: Some(health) } => self.answered(at, &from, &health),
            Seen::Health { from, answer: None } => {
                self.victim_was_silent |= self.after_the_fault(at) && from == self.victim_name;
            }
            Seen::Job(job) => self.job(at, &job),
            Seen::TaskManagers(ids) => self.task_managers(at, &ids),
        }
    }

    fn after_the_fault(&self, at: u64) -> bool {
        self.struck_at.is_some_and(|struck_at| at >= struck_at)
    }

    fn answered(&mut self, at: u64, from: &str, health: &Health) {
        let after = self.after_the_fault(at);
        let leads = health.leading && health.epoch >= self.newest_epoch;
        self.newest_epoch = self.newest_epoch.max(health.epoch);
        if leads {
            if let Some(last) = self.last_served.filter(|_| after) {
                self.outage_ms = self.outage_ms.max(at.saturating_sub(last));
            }
            self.last_served = self.last_served.max(Some(at));
        }
        if !after {
            return;
        }
        let other = health.leader.as_deref().or(leads.then_some(health.name.as_str())).filter(|name| *name != self.victim_name);
        // The victim, too, may be elected anew when it has been started again.
        let newer = (health.epoch > self.epoch_before).then_some(self.victim_name.as_str());
        if let Some(leader) = other.or(newer).filter(|_| self.hit == Hit::Leader && self.detected_at.is_none()) {
            let news = format!("{from} says that {leader} leads, epoch {}", health.epoch);
            self.detected_at = Some(at);
            self.tell(at, news);
        }
        if leads && self.served_at.is_none() && (self.hit != Hit::Leader || health.epoch > self.epoch_before) {
            self.served_at = Some(at);
            if self.hit == Hit::Leader {
                self.tell(at, format!("{from} answers as the leader, epoch {}", health.epoch));
            }
        }
        let follows = health.epoch >= self.newest_epoch && health.leader.is_some();
        if from == self.victim_name && self.victim_was_silent && follows && self.back_at.is_none() {
            self.back_at = Some(at);
            self.tell(at, format!("{from} takes part again"));
        }
    }

    fn task_managers(&mut self, at: u64, ids: &[String]) {
        if self.hit != Hit::TaskManager || !self.after_the_fault(at) {
            return;
        }
        if self.detected_at.is_none() && !ids.contains(&self.victim_process) {
            self.detected_at = Some(at);
            self.tell(at, format!("{} is lost, says the leader", self.victim_name));
        }
        let again = ids.iter().any(|id| *id != self.victim_process && resource_id(id) == self.victim_name);
        if again && self.back_at.is_none() {
            self.back_at = Some(at);
            self.tell(at, format!("{} has registered again", self.victim_name));
        }
    }

    fn job(&mut self, at: u64, job: &JobDescription) {
        let after = self.after_the_fault(at);
        let runs = all_running(job)
            && match self.hit {
                Hit::Leader => job.epoch > self.epoch_before,
                Hit::TaskManager => !runs_on(job, &self.victim_process),
                Hit::Standby => true,
            };
        let Some(track) = self.jobs.get_mut(&job.job_id) else { return };
        let news = track.take(at, job, after, runs);
        let name = track.name.clone();
        if self.hit == Hit::TaskManager && after && self.detected_at.is_none() && job.status != JobStatus::Running {
            self.detected_at = Some(at);
            self.tell(at, format!("the tasks of {name} that ran there are lost, says the leader"));
        }
        if let Some(news) = news {
            self.tell(at, format!("{name} {news}"));
        }
    }

    fn tell(&mut self, at: u64, what: String) {
        let since = at.saturating_sub(self.struck_at.unwrap_or(at));
        self.news.push(format!("{since:>7} ms  {what}"));
    }

    /// What has happened since this was last asked, a line each.
    pub(super) fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// Whether everything that is waited for has been seen.
    pub(super) fn is_over(&self) -> bool {
        self.struck_at.is_some() && self.waits_for().is_empty()
    }

    /// What has not been seen yet, for people.
    pub(super) fn waits_for(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.hit != Hit::Standby && self.detected_at.is_none() {
            missing.push("nobody has noticed the fault".to_owned());
        }
        if self.served_at.is_none() {
            missing.push("no leader answers".to_owned());
        }
        for job in self.jobs.values().filter(|job| job.ended.is_none()) {
            if job.recovered_at.is_none() {
                missing.push(format!("not every task of {} runs", job.name));
            } else if job.first_checkpoint_at.is_none() {
                missing.push(format!("{} has completed no checkpoint since", job.name));
            }
        }
        if self.expected_back && self.back_at.is_none() {
            missing.push(format!("{} does not take part again", self.victim_name));
        }
        missing
    }

    /// Whether a leader answers and every task of every job runs again.
    pub(super) fn has_recovered(&self) -> bool {
        self.served_at.is_some() && self.jobs.values().all(|job| job.recovered_at.is_some())
    }

    /// Jobs that have failed since the fault, by name.
    pub(super) fn failed_jobs(&self) -> Vec<String> {
        let failed = self.jobs.values().filter(|job| job.ended == Some(JobStatus::Failed));
        failed.map(|job| job.name.clone()).collect()
    }

    /// Whether the victim was waited for in vain.
    pub(super) fn is_still_away(&self) -> bool {
        self.expected_back && self.back_at.is_none()
    }

    /// What is known now.
    pub(super) fn measures(&self) -> DrillMeasures {
        let Some(struck_at) = self.struck_at else { return DrillMeasures::default() };
        let since = |at: u64| at.saturating_sub(struck_at);
        let jobs = || self.jobs.values();
        let recovered = jobs().map(|job| job.recovered_at).try_fold(0, |latest: u64, at| at.map(|at| latest.max(at)));
        let lasting: Vec<&JobTrack> = jobs().filter(|job| job.ended.is_none()).collect();
        let checkpoints =
            lasting.iter().map(|job| job.first_checkpoint_at).try_fold(0, |latest: u64, at| at.map(|at| latest.max(at)));
        let silent_since = self.last_served.filter(|_| self.served_at.is_none()).unwrap_or(self.newest_sample);
        let lost = jobs().all(|job| job.kept == Some(true)).then_some(0);
        DrillMeasures {
            detection_ms: self.detected_at.map(since),
            control_plane_outage_ms: Some(self.outage_ms.max(self.newest_sample.saturating_sub(silent_since))),
            output_gap_ms: jobs().map(|job| job.gap_until(self.newest_sample)).max(),
            usual_gap_ms: jobs().filter_map(|job| job.usual_gap_ms).max(),
            recovery_ms: self.served_at.zip(recovered).map(|(served, recovered)| since(served.max(recovered))),
            first_checkpoint_ms: checkpoints.filter(|_| !lasting.is_empty()).map(since),
            back_ms: self.back_at.map(since),
            records_lost: lost,
            records_reprocessed: jobs().all(|job| job.recovered_at.is_some() && !job.restarted).then_some(0),
        }
    }
}

impl JobTrack {
    fn new(job: &JobDescription) -> Self {
        Self {
            name: if job.name.is_empty() { job.job_id.to_string() } else { job.name.clone() },
            generations: generations(job),
            records: records(job),
            last_growth: None,
            gap_ms: 0,
            usual_gap_ms: None,
            newest_checkpoint: newest_checkpoint(job),
            recovered_at: None,
            kept: None,
            restarted: false,
            first_checkpoint_at: None,
            ended: None,
        }
    }

    /// Takes in a description; `runs`: every task runs as it should after the fault. What is new, for people.
    fn take(&mut self, at: u64, job: &JobDescription, after: bool, runs: bool) -> Option<&'static str> {
        self.count(at, job, after);
        let newest = newest_checkpoint(job);
        if !after {
            self.newest_checkpoint = self.newest_checkpoint.max(newest);
            self.generations = generations(job);
            return None;
        }
        if job.status.is_globally_terminal() {
            // It needs no recovery any more; whether that is well is judged by how it ended.
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
                return Some("runs again, every task");
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

    /// The longest gap, one that lasts until `now` included.
    fn gap_until(&self, now: u64) -> u64 {
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

#[cfg(test)]
pub(super) mod sample;
#[cfg(test)]
mod tests;
