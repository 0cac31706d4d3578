//! Turns samples into measures: the effect of a fault, as seen from outside. Pure. Times are milliseconds since the watching
//! began.

mod job_track;
mod outage;

use std::collections::BTreeMap;

use weir_protocol::job_status::JobStatus;
use weir_protocol::rest::{DrillMeasures, Health, JobDescription};
use weir_protocol::{JobId, LeaderEpoch};

use job_track::JobTrack;
use outage::Outage;

use crate::precondition::all_running;
use crate::probe::{Sample, Seen};
use crate::step::{Disruption, Step};
use crate::survey::{Survey, resource_id, runs_on};
use crate::victim::Role;

/// What a fault hits. This decides what is waited for afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hit {
    /// The leader: another JobManager must lead, and every task must run under it.
    Leader,
    /// A standby JobManager: no other process should notice.
    Standby,
    /// A TaskManager: its tasks must run elsewhere.
    TaskManager,
    /// Something that every process needs: when it is available again, everything must work again.
    Everybody,
}

/// One fault and its effect.
#[derive(Debug)]
pub(super) struct Timeline {
    hit: Hit,
    victim_name: String,
    victim_process: String,
    /// Set if the fault is an outage.
    outage: Option<Outage>,
    /// Whether the victim is expected to come back.
    expected_back: bool,
    epoch_before: LeaderEpoch,
    injected_at: Option<u64>,
    newest_epoch: LeaderEpoch,
    last_served: Option<u64>,
    outage_ms: u64,
    detected_at: Option<u64>,
    served_at: Option<u64>,
    /// The victim's `instance` before the fault; `None` if it was not seen.
    victim_instance: Option<String>,
    /// Whether the victim was silent since the fault, or is another instance: only then can it come back.
    victim_was_away: bool,
    back_at: Option<u64>,
    jobs: BTreeMap<JobId, JobTrack>,
    newest_sample: u64,
    news: Vec<String>,
}

impl Timeline {
    /// Nothing has been seen yet. `expected_back`: whether the victim is expected to come back.
    pub(super) fn new(survey: &Survey, step: &Step, expected_back: bool) -> Self {
        let outage = Outage::of(survey, step);
        let hit = match (step.victim.role, step.leads) {
            _ if outage.is_some() => Hit::Everybody,
            (Role::TaskManager, _) => Hit::TaskManager,
            (Role::JobManager, true) => Hit::Leader,
            (Role::JobManager, false) => Hit::Standby,
        };
        Self {
            hit,
            victim_name: step.victim.name.clone(),
            victim_process: step.victim.process.clone(),
            expected_back: expected_back && step.disruption != Disruption::TransferLeadership && outage.is_none(),
            outage,
            epoch_before: survey.leader.epoch,
            injected_at: None,
            newest_epoch: survey.leader.epoch,
            last_served: None,
            outage_ms: 0,
            detected_at: None,
            served_at: None,
            victim_instance: None,
            victim_was_away: false,
            back_at: None,
            jobs: survey.jobs.iter().map(|job| (job.job_id, JobTrack::new(job))).collect(),
            newest_sample: 0,
            news: Vec::new(),
        }
    }

    /// Records when the fault began.
    pub(super) fn inject(&mut self, at: u64) {
        self.injected_at = Some(at);
    }

    /// Records when the outage ended, or will end.
    pub(super) fn ends(&mut self, at: u64) {
        if let Some(outage) = &mut self.outage {
            outage.ends_at = Some(at);
        }
    }

    /// Takes in a sample. Samples of one process must come in order.
    pub(super) fn take(&mut self, sample: Sample) {
        let Sample { at, seen } = sample;
        self.newest_sample = self.newest_sample.max(at);
        match seen {
            Seen::Health { from, answer: Some(health) } => self.answered(at, &from, &health),
            Seen::Health { from, answer: None } => {
                self.victim_was_away |= self.expected_back && self.after_the_fault(at) && from == self.victim_name;
            }
            Seen::Job(job) => self.job(at, &job),
            Seen::TaskManagers(ids) => self.task_managers(at, &ids),
        }
    }

    fn after_the_fault(&self, at: u64) -> bool {
        self.injected_at.is_some_and(|injected_at| at >= injected_at)
    }

    fn answered(&mut self, at: u64, from: &str, health: &Health) {
        let after = self.after_the_fault(at);
        let leads = health.leading && health.epoch >= self.newest_epoch;
        if after && self.hit == Hit::Everybody && health.epoch > self.newest_epoch {
            // The leader that answered until now had lost its leadership without knowing it, so its answers do not count.
            self.served_at = None;
            self.jobs.values_mut().for_each(JobTrack::start_over);
        }
        self.newest_epoch = self.newest_epoch.max(health.epoch);
        if from == self.victim_name && !health.instance.is_empty() {
            // A supervisor may restart a process so soon that no request finds it silent. The first instance counts, because the
            // moment of the fault is not exact: a restarted process may answer before it.
            let first = self.victim_instance.get_or_insert_with(|| health.instance.clone());
            self.victim_was_away |= self.expected_back && after && *first != health.instance;
        }
        if leads {
            if let Some(last) = self.last_served.filter(|_| after) {
                self.outage_ms = self.outage_ms.max(at.saturating_sub(last));
            }
            self.last_served = self.last_served.max(Some(at));
        }
        if !after {
            return;
        }
        if let Some(what) = self.outage.as_ref().and_then(|outage| outage.shows(health)).filter(|_| from == self.victim_name) {
            self.bites(at, format!("{from} {what}"));
        }
        let other = health.leader.as_deref().or(leads.then_some(health.name.as_str())).filter(|name| *name != self.victim_name);
        // The victim itself may be elected again after its restart.
        let newer = (health.epoch > self.epoch_before).then_some(self.victim_name.as_str());
        if let Some(leader) = other.or(newer).filter(|_| self.hit == Hit::Leader && self.detected_at.is_none()) {
            let news = format!("{from} reports that {leader} leads, epoch {}", health.epoch);
            self.detected_at = Some(at);
            self.tell(at, news);
        }
        let serves = match (self.hit, &self.outage) {
            (Hit::Leader, _) => health.epoch > self.epoch_before,
            (Hit::Everybody, Some(outage)) => outage.is_over(at) && !health.store_away,
            _ => true,
        };
        if leads && self.served_at.is_none() && serves {
            self.served_at = Some(at);
            if self.hit != Hit::TaskManager && self.hit != Hit::Standby {
                self.tell(at, format!("{from} answers as the leader, epoch {}", health.epoch));
            }
        }
        let follows = health.epoch >= self.newest_epoch && health.leader.is_some();
        if from == self.victim_name && self.victim_was_away && follows && self.back_at.is_none() {
            self.back_at = Some(at);
            self.tell(at, format!("{from} takes part again"));
        }
    }

    fn bites(&mut self, at: u64, news: String) {
        if let Some(outage) = &mut self.outage {
            outage.bit_at = Some(at);
            self.detected_at = Some(at);
            self.tell(at, news);
        }
    }

    fn task_managers(&mut self, at: u64, ids: &[String]) {
        if self.hit != Hit::TaskManager || !self.after_the_fault(at) {
            return;
        }
        if self.detected_at.is_none() && !ids.contains(&self.victim_process) {
            self.detected_at = Some(at);
            self.tell(at, format!("the leader has lost {}", self.victim_name));
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
                Hit::Everybody => job.epoch >= self.newest_epoch && self.outage.as_ref().is_some_and(|outage| outage.is_over(at)),
            };
        let Some(track) = self.jobs.get_mut(&job.job_id) else { return };
        let news = track.take(at, job, after, runs);
        let (name, failed) = (track.name.clone(), track.failed);
        if failed > 0 && self.outage.as_ref().is_some_and(|outage| !outage.of_store && outage.bit_at.is_none()) {
            self.bites(at, format!("a checkpoint of {name} has failed"));
        }
        if self.hit == Hit::TaskManager && after && self.detected_at.is_none() && job.status != JobStatus::Running {
            self.detected_at = Some(at);
            self.tell(at, format!("the leader has lost the tasks of {name} that ran there"));
        }
        if let Some(news) = news {
            self.tell(at, format!("{name} {news}"));
        }
    }

    fn tell(&mut self, at: u64, what: String) {
        let since = at.saturating_sub(self.injected_at.unwrap_or(at));
        self.news.push(format!("{since:>7} ms  {what}"));
    }

    /// What has happened since the last call, one line each.
    pub(super) fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// Whether everything that is waited for has been seen.
    pub(super) fn is_over(&self) -> bool {
        let in_vain = self.outage.as_ref().is_some_and(|outage| outage.did_not_bite(self.newest_sample));
        self.injected_at.is_some() && (in_vain || self.waits_for().is_empty())
    }

    /// What has not been seen yet, for people.
    pub(super) fn waits_for(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if let Some(outage) = self.outage.as_ref().filter(|outage| !outage.is_over(self.newest_sample)) {
            missing.push(format!("{} is unavailable", outage.what));
        }
        if self.hit != Hit::Standby && self.detected_at.is_none() {
            missing.push("the fault has not been detected".to_owned());
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

    /// What the fault caused but must not, or should have caused but did not: one sentence each.
    pub(super) fn unexpected(&self) -> Vec<String> {
        let Some(outage) = &self.outage else { return Vec::new() };
        let mut unexpected = Vec::new();
        if outage.bit_at.is_none() {
            let shown = if outage.of_store { "the leader did not report it" } else { "no checkpoint failed" };
            unexpected.push(format!("the fault had no effect: {} was not seen to be unavailable, {shown}", outage.what));
        }
        if outage.nobody_restarts {
            if self.newest_epoch > self.epoch_before {
                unexpected.push(format!("leadership changed (epoch {} to {})", self.epoch_before, self.newest_epoch));
            }
            let restarted = self.jobs.values().filter(|job| job.restarted);
            unexpected.extend(restarted.map(|job| format!("tasks of {} restarted", job.name)));
        }
        unexpected
    }

    /// Jobs that have failed since the fault, by name.
    pub(super) fn failed_jobs(&self) -> Vec<String> {
        let failed = self.jobs.values().filter(|job| job.ended == Some(JobStatus::Failed));
        failed.map(|job| job.name.clone()).collect()
    }

    /// Whether the victim is expected to come back and has not come back.
    pub(super) fn is_still_away(&self) -> bool {
        self.expected_back && self.back_at.is_none()
    }

    /// The measures so far.
    pub(super) fn measures(&self) -> DrillMeasures {
        let Some(injected_at) = self.injected_at else { return DrillMeasures::default() };
        let since = |at: u64| at.saturating_sub(injected_at);
        // Recovery from an outage counts from its end.
        let over_at = self.outage.as_ref().and_then(|outage| outage.ends_at).unwrap_or(injected_at);
        let since_over = |at: u64| at.saturating_sub(over_at);
        let of_storage = self.outage.as_ref().is_some_and(|outage| !outage.of_store);
        let away_since = self.outage.as_ref().filter(|outage| outage.of_store).and_then(|outage| outage.bit_at);
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
            recovery_ms: self.served_at.zip(recovered).map(|(served, recovered)| since_over(served.max(recovered))),
            first_checkpoint_ms: checkpoints.filter(|_| !lasting.is_empty()).map(since_over),
            back_ms: self.back_at.map(since),
            records_lost: lost,
            records_reprocessed: jobs().all(|job| job.recovered_at.is_some() && !job.restarted).then_some(0),
            store_away_ms: self.served_at.zip(away_since).map(|(served, away)| served.saturating_sub(away)),
            checkpoints_failed: of_storage.then(|| jobs().map(|job| job.failed).sum()),
        }
    }
}

#[cfg(test)]
pub(super) mod sample;
#[cfg(test)]
mod tests;
