//! Checks whether a coordination system can be relied on: a short examination of everything that a leader needs from it.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use crate::{Candidate, CommitOutcome, Expect, HaProvider, LeaderElection, Leadership, Operation, Rejection, WatchEvent};

/// The longest wait for one step. A step that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many commits, and how many reads, are timed.
const SAMPLES: usize = 100;
/// The key that the examination writes. It is removed at the end.
const KEY: &str = "fitness/probe";
/// If the 99th percentile of commits is above this, every checkpoint is noticeably delayed.
const SLOW_COMMIT: Duration = Duration::from_millis(100);

/// The finding about one thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub what: &'static str,
    pub result: FindingResult,
    /// Figures, or what is wrong; for people.
    pub text: String,
}

/// How well the store did one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingResult {
    /// It works as it must.
    Good,
    /// It works, but is noticeably slow or incomplete.
    Poor,
    /// It can't be relied on.
    Bad,
}

/// Examines a store through two members. No other member may contend meanwhile. Stops at the first `Bad` finding.
pub async fn examine(first: &dyn HaProvider, second: &dyn HaProvider) -> Vec<Finding> {
    let mut examination = Examination { findings: Vec::new(), what: "an election" };
    if let Err(text) = examination.run(first, second).await {
        examination.found(FindingResult::Bad, text);
    }
    examination.findings
}

struct Examination {
    findings: Vec<Finding>,
    /// What is being examined now.
    what: &'static str,
}

impl Examination {
    fn found(&mut self, result: FindingResult, text: String) {
        self.findings.push(Finding { what: self.what, result, text });
    }

    fn good(&mut self, text: String) {
        self.found(FindingResult::Good, text);
    }

    async fn run(&mut self, first: &dyn HaProvider, second: &dyn HaProvider) -> Result<(), String> {
        let started = Instant::now();
        let mut election = first.campaign(candidate("check-1"));
        let leadership = granted(&mut election).await?;
        self.good(format!("a leader was granted epoch {} after {:.1?}", leadership.epoch(), started.elapsed()));

        self.what = "a watch";
        let mut changes = first.watch("fitness/").await.map_err(|error| error.to_string())?;
        put(first, &leadership).await?;
        let started = Instant::now();
        match timeout(PATIENCE, changes.recv()).await {
            Ok(Some(WatchEvent::Put { .. })) => {
                self.good(format!("a change was seen {:.1?} after its commit", started.elapsed()))
            }
            other => return Err(format!("a change was not seen: {other:?}")),
        }

        self.what = "fenced commits";
        let commits = sampled(async || put(first, &leadership).await).await?;
        let result = if commits.p99 > SLOW_COMMIT { FindingResult::Poor } else { FindingResult::Good };
        self.found(result, commits.to_string());

        self.what = "reads";
        let reads = sampled(async || first.get(KEY).await.map(drop).map_err(|error| error.to_string())).await?;
        self.good(reads.to_string());

        self.what = "a planned hand-over";
        let mut other_election = second.campaign(candidate("check-2"));
        let started = Instant::now();
        let newer = hand_over(first, &mut other_election).await?;
        if newer.epoch() <= leadership.epoch() {
            return Err(format!("E1: epoch {} came after epoch {}", newer.epoch(), leadership.epoch()));
        }
        self.good(format!("the successor was granted epoch {} after {:.1?}", newer.epoch(), started.elapsed()));

        self.what = "the fence";
        match first.commit(&leadership, vec![write()]).await {
            CommitOutcome::Rejected(Rejection::StaleEpoch { current, .. }) => {
                self.good(format!("a write of the former leader was refused: epoch {current} leads"));
            }
            other => return Err(format!("E3: a write of the former leader was not refused as stale: {other:?}")),
        }

        self.what = "cleaning up";
        let remove = Operation::Delete { key: KEY.to_owned(), expect: Expect::Any };
        match second.commit(&newer, vec![remove]).await {
            CommitOutcome::Committed { .. } => self.good("nothing is left".to_owned()),
            other => return Err(format!("{KEY} could not be removed: {other:?}")),
        }
        Ok(())
    }
}

fn candidate(name: &str) -> Candidate {
    Candidate { name: name.to_owned(), rpc_address: String::new(), rest_address: String::new() }
}

fn write() -> Operation {
    Operation::Put { key: KEY.to_owned(), value: Bytes::from_static(&[b'.'; 256]), expect: Expect::Any }
}

async fn put(provider: &dyn HaProvider, leadership: &Leadership) -> Result<(), String> {
    match provider.commit(leadership, vec![write()]).await {
        CommitOutcome::Committed { .. } => Ok(()),
        other => Err(format!("a commit of the leader was not applied: {other:?}")),
    }
}

async fn granted(election: &mut LeaderElection) -> Result<Leadership, String> {
    match timeout(PATIENCE, election.granted()).await {
        Ok(granted) => granted.ok_or_else(|| "the provider has stopped".to_owned()),
        Err(_) => Err(format!("no leader was elected within {} s", PATIENCE.as_secs())),
    }
}

/// Repeats the hand-over until the other member has registered and takes it.
async fn hand_over(first: &dyn HaProvider, other: &mut LeaderElection) -> Result<Leadership, String> {
    let started = Instant::now();
    loop {
        match first.transfer_leadership(None).await {
            Ok(()) => return granted(other).await,
            Err(error) if started.elapsed() > PATIENCE => return Err(error.to_string()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// How long one operation takes.
struct Latency {
    p50: Duration,
    p99: Duration,
    longest: Duration,
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "one after the other, {SAMPLES} times: p50 {:.1?}, p99 {:.1?}, longest {:.1?}",
            self.p50, self.p99, self.longest
        )
    }
}

async fn sampled(mut once: impl AsyncFnMut() -> Result<(), String>) -> Result<Latency, String> {
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let started = Instant::now();
        once().await?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let at = |percent: usize| times[(SAMPLES * percent / 100).min(SAMPLES - 1)];
    Ok(Latency { p50: at(50), p99: at(99), longest: at(100) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CoordinationStore, GroupAdmin, MemoryStore};

    #[tokio::test]
    async fn a_sound_store_gets_only_good_findings_and_is_left_as_it_was() {
        let store = MemoryStore::new();
        let (first, second) = (store.member("check-1"), store.member("check-2"));
        let findings = examine(&first, &second).await;
        assert_eq!(findings.len(), 7, "{findings:#?}");
        assert!(findings.iter().all(|finding| finding.result != FindingResult::Bad), "{findings:#?}");
        assert_eq!(second.list("").await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_stopped_store_gets_a_bad_finding() {
        let store = MemoryStore::new();
        let (first, second) = (store.member("check-1"), store.member("check-2"));
        first.shutdown().await;
        let findings = examine(&first, &second).await;
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_eq!((findings[0].what, findings[0].result), ("an election", FindingResult::Bad));
    }
}
