//! Checks liveness: after all faults are healed, the cluster recovers within a bound.

use std::collections::BTreeMap;

use weir_protocol::job_status::JobStatus;

use super::Judgement;
use crate::history::{History, Phase, What};

/// What has been observed since the last fault was healed.
#[derive(Debug, Default)]
struct Seen<'a> {
    /// What each JobManager reported last: the leader, the epoch, and whether it has a quorum and reaches the store.
    leaders: BTreeMap<&'a str, (Option<&'a str>, u64, bool)>,
    taskmanagers: u32,
    job: Option<String>,
    checkpoint_after: bool,
}

/// When the cluster had first recovered after healing, in milliseconds since the run began. `Err` says what was still missing at
/// the end; `None` means that the run did not get as far as healing.
fn well_at(history: &History) -> Option<Result<u64, String>> {
    let healed_at = history.phase_at(Phase::Healing)?;
    let judged = history.judged_job();
    let before = history.jobs().filter(|(at, seen)| *at <= healed_at && Some(seen.job) == judged);
    let before = before.filter_map(|(_, seen)| seen.checkpoint).max().unwrap_or(0);
    let mut seen = Seen::default();
    for event in history.events.iter().filter(|event| event.at_ms >= healed_at) {
        match &event.what {
            What::Leader { seen_by, name, epoch, quorum, away } => {
                let observer = seen_by.split('/').next().unwrap_or(seen_by);
                seen.leaders.insert(observer, (name.as_deref(), *epoch, *quorum && !away));
            }
            What::Slots { taskmanagers, .. } => seen.taskmanagers = *taskmanagers,
            What::Job(job) if Some(job.job) == judged => {
                let ended = job.status == JobStatus::Finished;
                let runs = job.status == JobStatus::Running && job.running == job.tasks && job.tasks > 0;
                seen.checkpoint_after |= ended || job.checkpoint.is_some_and(|checkpoint| checkpoint > before);
                let tasks = (job.running, job.tasks);
                seen.job =
                    (!ended && !runs).then(|| format!("the job is {:?}, {} of {} tasks run", job.status, tasks.0, tasks.1));
            }
            _ => continue,
        }
        if missing(history, &seen).is_none() {
            return Some(Ok(event.at_ms));
        }
    }
    Some(Err(missing(history, &seen).unwrap_or_default()))
}

fn missing(history: &History, seen: &Seen<'_>) -> Option<String> {
    let header = &history.header;
    let agreed = seen.leaders.values().next();
    if seen.leaders.len() < header.jobmanagers.len() {
        return Some(format!("only {} of {} JobManagers have answered", seen.leaders.len(), header.jobmanagers.len()));
    }
    if seen.leaders.values().any(|leader| Some(leader) != agreed || leader.0.is_none() || !leader.2) {
        return Some(format!("the JobManagers do not agree on a leader: {:?}", seen.leaders));
    }
    if seen.taskmanagers as usize != header.taskmanagers.len() {
        return Some(format!("{} of {} TaskManagers are registered", seen.taskmanagers, header.taskmanagers.len()));
    }
    if let Some(job) = &seen.job {
        return Some(job.clone());
    }
    (!seen.checkpoint_after).then(|| "no new checkpoint is complete".to_owned())
}

/// The cluster recovered within the bound.
pub(super) fn check(history: &History) -> Judgement {
    let bound = history.header.recovery_bound_ms;
    let healed_at = history.phase_at(Phase::Healing).unwrap_or_default();
    let after = |at: u64| at.saturating_sub(healed_at);
    match well_at(history) {
        None => super::cut_short(),
        Some(Ok(at)) if after(at) <= bound => {
            Judgement::Held { seen: format!("recovered {} ms after the last fault", after(at)) }
        }
        Some(Ok(at)) => {
            Judgement::Broken { problems: vec![format!("the cluster recovered after {} ms, the bound is {bound} ms", after(at))] }
        }
        Some(Err(_)) if history.phase_at(Phase::Interrupted).is_some() => super::cut_short(),
        Some(Err(missing)) => Judgement::Broken { problems: vec![missing] },
    }
}

/// When the cluster recovered, in milliseconds since the run began. `Err` says what is still missing. A run polls this.
pub fn recovered(history: &History) -> Result<u64, String> {
    well_at(history).unwrap_or_else(|| Err("the faults are not healed yet".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{changed, condemned, history};
    use super::*;

    #[test]
    fn a_cluster_that_does_not_recover_is_found() {
        let mut healed = false;
        let stuck = changed(|what| match what {
            What::Phase { phase: Phase::Healing } => healed = true,
            What::Job(job) if healed => job.running = 1,
            _ => {}
        });
        assert!(condemned("recovery", &stuck).contains("1 of 2 tasks"));
        let mut healed = false;
        let still = changed(|what| match what {
            What::Phase { phase: Phase::Healing } => healed = true,
            What::Job(job) if healed => job.checkpoint = Some(3),
            _ => {}
        });
        assert!(condemned("recovery", &still).contains("no new checkpoint"));
        let split = changed(|what| match what {
            What::Leader { seen_by, name, .. } if seen_by == "jm-1/2" => *name = Some("jm-1".into()),
            _ => {}
        });
        assert!(condemned("recovery", &split).contains("do not agree"));
    }

    #[test]
    fn a_recovery_beyond_the_bound_is_found() {
        let mut late = history();
        late.header.recovery_bound_ms = 5;
        assert!(condemned("recovery", &late).contains("the bound is 5"));
    }
}
