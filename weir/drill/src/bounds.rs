//! How long an outage may last, by the configuration of a cluster and of its jobs.

use std::time::Duration;

use weir_protocol::quantity;
use weir_protocol::rest::{CheckpointConfigResponse, ConfigEntry, JobDescription};

use crate::finding::{Finding, finding};
use crate::probe::ProcessClient;
use crate::step::Disruption;

/// How long one request may take.
const LOOK: Duration = Duration::from_secs(5);
/// How long it may take to connect again after an outage, in milliseconds.
const RECONNECT_MS: u64 = 1_500;

/// How a job takes checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JobCheckpoints {
    pub(super) job: String,
    pub(super) config: CheckpointConfigResponse,
}

/// What an outage is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Bounds {
    /// A JobManager that is silent for this many milliseconds loses its lease or session; `None` on raft.
    pub(super) lease_ms: Option<u64>,
    /// A leader gives up after this many milliseconds without its store; `None` on raft, where it gives up at once.
    pub(super) tolerance_ms: Option<u64>,
    /// How the watched jobs take checkpoints.
    pub(super) jobs: Vec<JobCheckpoints>,
}

impl Bounds {
    /// Asks the leader at this REST address for its configuration and for the configuration of `jobs`.
    pub(super) async fn ask(http: &ProcessClient, leader: &str, provider: &str, jobs: &[JobDescription]) -> Result<Self, String> {
        let config: Vec<ConfigEntry> = http.get(leader, "/jobmanager/config", LOOK).await?;
        let mut bounds = Self::of(provider, &config);
        for job in jobs {
            let config = http.get(leader, &format!("/jobs/{}/checkpoints/config", job.job_id), LOOK).await?;
            bounds.jobs.push(JobCheckpoints { job: job.name.clone(), config });
        }
        Ok(bounds)
    }

    fn of(provider: &str, config: &[ConfigEntry]) -> Self {
        let milliseconds = |key: &str| {
            let entry = config.iter().find(|entry| entry.key == key)?;
            quantity::parse_duration(&entry.value).ok().map(|duration| duration.as_millis() as u64)
        };
        let lease = match provider {
            "etcd" => "high-availability.etcd.lease-ttl",
            "zookeeper" => "high-availability.zookeeper.client.session-timeout",
            _ => return Self::default(),
        };
        let tolerance_ms = milliseconds("high-availability.outage-tolerance");
        Self { lease_ms: milliseconds(lease), tolerance_ms, jobs: Vec::new() }
    }

    /// Whether a lease or session certainly survives an outage of the store. A third of its time may have passed when the outage
    /// begins.
    pub(super) fn leadership_outlives(&self, for_ms: u64) -> bool {
        self.lease_ms.is_some_and(|lease| for_ms.saturating_add(RECONNECT_MS) < lease / 3 * 2)
    }

    /// The preconditions of this outage.
    pub(super) fn examine(&self, disruption: Disruption, provider: &str, members: usize) -> Vec<Finding> {
        match disruption {
            Disruption::StoreOutage { for_ms } => {
                let mut findings = vec![a_store(provider, members), self.leadership(for_ms)];
                findings.extend(self.tolerance_ms.map(|tolerance| within_tolerance(for_ms, tolerance)));
                findings
            }
            Disruption::CheckpointStorageOutage { for_ms } => {
                let mut findings = vec![self.due(for_ms)];
                findings.extend(self.jobs.iter().filter(|job| job.is_periodic()).map(|job| job.tolerates(for_ms)));
                findings
            }
            _ => Vec::new(),
        }
    }

    /// This precondition always holds. It tells operators beforehand what will happen.
    fn leadership(&self, for_ms: u64) -> Finding {
        let found = match self.lease_ms {
            None => {
                "on raft, the JobManagers are the store: the leader steps down, tasks keep running, and a JobManager leads afterwards".to_owned()
            }
            Some(lease) if self.leadership_outlives(for_ms) => {
                format!("a lease of {lease} ms, an outage of {for_ms} ms: the same leader must continue, and no task may restart")
            }
            Some(lease) => format!(
                "a lease of {lease} ms, an outage of {for_ms} ms: another JobManager may lead afterwards, and tasks may continue from the newest \
                 checkpoint"
            ),
        };
        finding(true, "the effect on leadership is known", found)
    }

    fn due(&self, for_ms: u64) -> Finding {
        let condition = "a job takes a checkpoint during the outage, so that its effect is seen";
        let shortest = self.jobs.iter().filter(|job| job.is_periodic()).map(JobCheckpoints::pace_ms).min();
        match shortest {
            None => finding(false, condition, "no job takes periodic checkpoints"),
            Some(pace) => {
                let found = format!(
                    "a checkpoint every {pace} ms, an outage of {for_ms} ms: the outage must last at least twice as long"
                );
                finding(pace.saturating_mul(2) <= for_ms, condition, found)
            }
        }
    }
}

impl JobCheckpoints {
    fn is_periodic(&self) -> bool {
        self.config.interval < i64::MAX
    }

    /// The time between two checkpoints, in milliseconds.
    fn pace_ms(&self) -> u64 {
        self.config.interval.max(self.config.min_pause).max(1).cast_unsigned()
    }

    fn tolerates(&self, for_ms: u64) -> Finding {
        let Self { job, config } = self;
        let failing = (for_ms / self.pace_ms()).saturating_add(1 + u64::from(config.max_concurrent));
        let tolerable = u64::from(config.tolerable_failed_checkpoints);
        let condition =
            format!("job {job} tolerates the failed checkpoints: if it restarted, it would have nothing to restore from");
        let found = format!(
            "up to {failing} may fail in a row, {tolerable} are tolerable (execution.checkpointing.tolerable-failed-checkpoints, or \
             tolerable_failures in its graph)"
        );
        finding(failing <= tolerable, &condition, found)
    }
}

fn a_store(provider: &str, members: usize) -> Finding {
    let condition = "there is a coordination store that can be unavailable";
    match provider {
        "raft" if members < 2 => finding(false, condition, "a raft group of one member is its own store"),
        "raft" | "etcd" | "zookeeper" => finding(true, condition, provider),
        other => finding(false, condition, format!("the store is {other}, in the memory of one process")),
    }
}

fn within_tolerance(for_ms: u64, tolerance: u64) -> Finding {
    let found =
        format!("an outage of {for_ms} ms; the leader gives up after {tolerance} ms (high-availability.outage-tolerance)");
    finding(for_ms < tolerance, "the leader does not give up before the outage is over", found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entries: &[(&str, &str)]) -> Vec<ConfigEntry> {
        entries.iter().map(|(key, value)| ConfigEntry { key: (*key).to_owned(), value: (*value).to_owned() }).collect()
    }

    fn refused(bounds: &Bounds, disruption: Disruption, provider: &str, members: usize) -> Vec<String> {
        let findings = bounds.examine(disruption, provider, members).into_iter();
        findings.filter(|finding| !finding.holds).map(|finding| format!("{}: {}", finding.condition, finding.found)).collect()
    }

    fn job(interval: i64, tolerable: u32) -> Bounds {
        let config = CheckpointConfigResponse {
            interval,
            max_concurrent: 1,
            tolerable_failed_checkpoints: tolerable,
            ..CheckpointConfigResponse::default()
        };
        Bounds { jobs: vec![JobCheckpoints { job: "orders".to_owned(), config }], ..Bounds::default() }
    }

    #[test]
    fn leadership_outlives_an_outage_that_is_well_within_the_lease() {
        let etcd = config(&[("high-availability.etcd.lease-ttl", "15 s"), ("high-availability.outage-tolerance", "1 min")]);
        let etcd = Bounds::of("etcd", &etcd);
        assert_eq!((etcd.lease_ms, etcd.tolerance_ms), (Some(15_000), Some(60_000)));
        assert!(etcd.leadership_outlives(8_000) && !etcd.leadership_outlives(9_000));
        assert!(!Bounds::of("raft", &[]).leadership_outlives(1), "a raft leader steps down");
    }

    #[test]
    fn an_outage_beyond_the_tolerance_and_an_outage_without_a_store_are_refused() {
        let bounds = Bounds { lease_ms: Some(3_000), tolerance_ms: Some(20_000), jobs: Vec::new() };
        let outage = |for_ms| Disruption::StoreOutage { for_ms };
        assert_eq!(refused(&bounds, outage(19_999), "etcd", 3), Vec::<String>::new());
        assert!(refused(&bounds, outage(20_000), "etcd", 3)[0].contains("outage-tolerance"));
        assert_eq!(refused(&Bounds::default(), outage(300_000), "raft", 3), Vec::<String>::new());
        assert_eq!(refused(&Bounds::default(), outage(1), "raft", 1).len(), 1);
        assert_eq!(refused(&Bounds::default(), outage(1), "memory", 1).len(), 1);
    }

    #[test]
    fn jobs_must_tolerate_every_checkpoint_that_may_fail_and_one_must_be_due() {
        let outage = Disruption::CheckpointStorageOutage { for_ms: 10_000 };
        assert_eq!(refused(&job(1_000, 12), outage, "raft", 3), Vec::<String>::new());
        assert!(refused(&job(1_000, 11), outage, "raft", 3)[0].contains("up to 12 may fail"));
        assert!(refused(&job(5_001, 100), outage, "raft", 3)[0].contains("at least twice"));
        assert!(refused(&job(i64::MAX, 100), outage, "raft", 3)[0].contains("no job takes"));
        assert_eq!(refused(&Bounds::default(), outage, "raft", 3).len(), 1);
    }
}
