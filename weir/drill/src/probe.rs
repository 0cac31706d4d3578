//! Requests to single processes. Each process is asked separately, so that a process that does not answer delays no other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weir_protocol::JobId;
use weir_protocol::rest::{ErrorResponse, Health, JobDescription, TaskManagersInfo};

/// Pause between two rounds of requests to one JobManager.
const PACE: Duration = Duration::from_millis(10);
/// A JobManager that does not report its health within this time counts as not answering.
const HEALTH_PATIENCE: Duration = Duration::from_millis(250);
/// How long the leader may take to describe a job.
const JOB_PATIENCE: Duration = Duration::from_secs(1);
/// TaskManagers are asked for once in this many rounds.
const TASK_MANAGERS_EVERY: u32 = 4;
/// Longest answer that is read, in bytes.
const ANSWER_LIMIT: u64 = 16 << 20;

/// What an observation brought.
#[derive(Debug)]
pub(super) enum Seen {
    /// The health of a JobManager; `None` if it does not answer.
    Health { from: String, answer: Option<Health> },
    /// The leader describes a job.
    Job(Box<JobDescription>),
    /// The leader's TaskManagers, by id.
    TaskManagers(Vec<String>),
}

/// What an observation brought, and when, in milliseconds since the watching began.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) at: u64,
    pub(super) seen: Seen,
}

/// An HTTP client for requests to single processes.
#[derive(Debug, Clone)]
pub(super) struct ProcessClient {
    http: reqwest::Client,
}

impl ProcessClient {
    /// Makes a client, which does not connect yet.
    pub(super) fn new() -> Result<Self, String> {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).tcp_nodelay(true).build();
        Ok(Self { http: http.map_err(|error| format!("CLIENT-HTTP: {error}"))? })
    }

    /// Sends a `GET` request, which is answered with JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, address: &str, path: &str, patience: Duration) -> Result<T, String> {
        let request = self.http.get(url(address, path)?).timeout(patience);
        answer(address, request).await
    }

    /// Sends a `POST` request with JSON, which is answered with JSON.
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

/// An address is `host:port`, with or without `http://` before it.
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

/// Tasks that observe until this is dropped.
#[derive(Debug)]
pub(super) struct Watchers {
    tasks: Vec<JoinHandle<()>>,
}

impl Watchers {
    /// Asks each of these JobManagers (name, address) for its health, in separate tasks. The leader is also asked for the jobs.
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
    /// Runs until the receiver of the samples is dropped.
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
