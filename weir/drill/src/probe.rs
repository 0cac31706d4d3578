//! Questions to single processes, each by itself: what one knows is not asked of another, and nobody waits for the frozen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weir_protocol::JobId;
use weir_protocol::rest::{ErrorResponse, Health, JobDescription, TaskManagersInfo};

/// Between two rounds of questions to one JobManager.
const PACE: Duration = Duration::from_millis(10);
/// A JobManager that has not said how it is by then does not answer.
const HEALTH_PATIENCE: Duration = Duration::from_millis(250);
/// A leader that has not described a job by then has not answered.
const JOB_PATIENCE: Duration = Duration::from_secs(1);
/// TaskManagers are asked for in every so many rounds.
const TASK_MANAGERS_EVERY: u32 = 4;
/// Longest answer read, bytes.
const ANSWER_LIMIT: u64 = 16 << 20;

/// What a poll brought.
#[derive(Debug)]
pub(super) enum Seen {
    /// A JobManager says how it is, or does not answer.
    Health { from: String, answer: Option<Health> },
    /// The leader describes a job.
    Job(Box<JobDescription>),
    /// The leader's TaskManagers, by id.
    TaskManagers(Vec<String>),
}

/// What a poll brought, and when: milliseconds since the watching began.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) at: u64,
    pub(super) seen: Seen,
}

/// HTTP to one process at a time.
#[derive(Debug, Clone)]
pub(super) struct ProcessClient {
    http: reqwest::Client,
}

impl ProcessClient {
    /// Connects to nothing yet.
    pub(super) fn new() -> Result<Self, String> {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).tcp_nodelay(true).build();
        Ok(Self { http: http.map_err(|error| format!("CLIENT-HTTP: {error}"))? })
    }

    /// `GET` of JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, address: &str, path: &str, patience: Duration) -> Result<T, String> {
        let request = self.http.get(url(address, path)?).timeout(patience);
        answer(address, request).await
    }

    /// `POST` of JSON.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        address: &str,
        path: &str,
        body: &impl Serialize,
        patience: Duration,
    ) -> Result<T, String> {
        let request = self.http.post(url(address, path)?).json(body).timeout(patience);
        answer(address, request).await
    }
}

/// Addresses are `host:port`, or with `http://` before it.
fn url(address: &str, path: &str) -> Result<Url, String> {
    let base = if address.contains("://") { address.trim_end_matches('/').to_owned() } else { format!("http://{address}") };
    Url::parse(&format!("{base}{path}")).map_err(|error| format!("CLIENT-ADDRESS: {address:?}: {error}"))
}

async fn answer<T: DeserializeOwned>(address: &str, request: reqwest::RequestBuilder) -> Result<T, String> {
    let lost = |error: reqwest::Error| format!("{address} does not answer: {error}");
    let response = request.send().await.map_err(lost)?;
    let status = response.status();
    if response.content_length().is_some_and(|length| length > ANSWER_LIMIT) {
        return Err(format!("CLIENT-ANSWER: {address} answers with more than {ANSWER_LIMIT} bytes"));
    }
    let bytes = response.bytes().await.map_err(lost)?;
    if !status.is_success() {
        let errors = serde_json::from_slice::<ErrorResponse>(&bytes).map(|answer| answer.errors.join("; "));
        return Err(errors.unwrap_or_else(|_| format!("{address} answers HTTP {status}")));
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("CLIENT-ANSWER: {address}: {error}"))
}

/// Polls until dropped.
#[derive(Debug)]
pub(super) struct Watchers {
    tasks: Vec<JoinHandle<()>>,
}

impl Watchers {
    /// Asks each of these JobManagers (name, address) in a task of its own how it is; whoever leads is asked for the jobs, too.
    pub(super) fn start(
        http: &ProcessClient,
        jobmanagers: &[(String, String)],
        jobs: &[JobId],
        since: Instant,
        samples: &mpsc::Sender<Sample>,
    ) -> Self {
        let jobs: Arc<[JobId]> = jobs.into();
        let watch = |(name, address): &(String, String)| {
            let watcher = Watcher {
                http: http.clone(),
                name: name.clone(),
                address: address.clone(),
                jobs: jobs.clone(),
                since,
                samples: samples.clone(),
            };
            weir_world::spawn("drill-watch", watcher.run())
        };
        Self { tasks: jobmanagers.iter().map(watch).collect() }
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Watcher {
    http: ProcessClient,
    name: String,
    address: String,
    jobs: Arc<[JobId]>,
    since: Instant,
    samples: mpsc::Sender<Sample>,
}

impl Watcher {
    /// Runs until nobody wants to know.
    async fn run(self) {
        let mut round = 0_u32;
        while self.look(round).await {
            round = round.wrapping_add(1);
            tokio::time::sleep(PACE).await;
        }
    }

    async fn look(&self, round: u32) -> bool {
        let health: Option<Health> = self.http.get(&self.address, "/healthz", HEALTH_PATIENCE).await.ok();
        let leads = health.as_ref().is_some_and(|health| health.leading);
        if !self.tell(Seen::Health { from: self.name.clone(), answer: health }).await {
            return false;
        }
        if !leads {
            return true;
        }
        for job in self.jobs.iter() {
            let description = self.http.get(&self.address, &format!("/weir/v1/jobs/{job}"), JOB_PATIENCE).await;
            if let Ok(description) = description
                && !self.tell(Seen::Job(Box::new(description))).await
            {
                return false;
            }
        }
        if round.is_multiple_of(TASK_MANAGERS_EVERY)
            && let Ok(found) = self.http.get::<TaskManagersInfo>(&self.address, "/taskmanagers", JOB_PATIENCE).await
        {
            return self.tell(Seen::TaskManagers(found.taskmanagers.into_iter().map(|info| info.id.0).collect())).await;
        }
        true
    }

    async fn tell(&self, seen: Seen) -> bool {
        self.samples.send(Sample { at: self.since.elapsed().as_millis() as u64, seen }).await.is_ok()
    }
}
