//! The client: it submits and cancels jobs, takes savepoints, polls the cluster, and notes the answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use weir_protocol::job_status::JobStatus;
use weir_protocol::{JobId, LeaderEpoch};
use weir_verdict::fact::Fact;
use weir_world::spawn;

use crate::cluster::{job_managers, rest_address};
use crate::http::request;
use crate::pipeline;
use crate::world::World;
use crate::world::network::CLIENT;
use crate::world::observations::Observations;

/// Time between two polls of the cluster.
const LOOK: Duration = Duration::from_millis(200);
/// Time before a request is retried.
const RETRY: Duration = Duration::from_millis(300);

/// A job of the plan.
#[derive(Debug, Clone)]
pub struct PlannedJob {
    /// Name of the job, and its client token.
    pub name: String,
    /// Rows per source, which is a subtask or a file. 0: the job never ends.
    pub rows: i64,
    /// Whether the job reads files.
    pub files: bool,
    /// Time of the submission, in simulated milliseconds.
    pub submit_at_ms: u64,
    /// Time of the cancellation, in simulated milliseconds. `None`: the plan does not cancel the job.
    pub cancel_at_ms: Option<u64>,
    /// Times of the savepoint requests, in simulated milliseconds.
    pub savepoints_at_ms: Vec<u64>,
    pub checkpoint_interval_ms: u64,
    /// Milliseconds between two batches of a source.
    pub pause_ms: u64,
}

/// What the client knows of a job.
#[derive(Debug, Clone, Default)]
pub struct KnownJob {
    /// Id of the job, once the submission was acknowledged.
    pub id: Option<JobId>,
    /// The last status that the client saw.
    pub status: Option<JobStatus>,
    /// Number of running tasks at the last poll.
    pub running: u64,
    /// Id of the newest completed checkpoint that the client saw.
    pub checkpoint: u64,
    /// Whether the client is to cancel the job.
    pub cancel: bool,
}

/// What the client knows as of its last poll.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Time of the last poll that found a leader, in simulated milliseconds.
    pub looked_at_ms: u64,
    pub leader: Option<String>,
    /// The highest epoch of a leader that the client saw.
    pub epoch: LeaderEpoch,
    /// How many JobManagers may fail before the quorum is lost, according to the leader.
    pub failures_tolerated: u64,
    pub task_managers: u64,
    pub jobs: BTreeMap<String, KnownJob>,
    /// Number of requested savepoints, and of completed ones.
    pub savepoints: (u64, u64),
    /// Number of leader changes that the client saw.
    pub leader_changes: u64,
    /// Number of requests that were not answered.
    pub unanswered: u64,
}

/// The client of a simulated cluster. Clones share their state.
#[derive(Clone)]
pub struct Client {
    plan: Arc<Vec<PlannedJob>>,
    known: Arc<Mutex<Known>>,
    world: World,
    observations: Observations,
}

impl Client {
    /// A client that will carry out `plan`.
    pub fn new(plan: Vec<PlannedJob>, world: World, observations: Observations) -> Self {
        let jobs = plan.iter().map(|job| (job.name.clone(), KnownJob::default())).collect();
        let known = Known { jobs, ..Known::default() };
        Self { plan: Arc::new(plan), known: Arc::new(Mutex::new(known)), world, observations }
    }

    /// Returns what the client knows.
    pub fn known(&self) -> Known {
        self.lock().clone()
    }

    /// Returns the jobs of the plan.
    pub fn plan(&self) -> &[PlannedJob] {
        &self.plan
    }

    /// Makes the client cancel the job with this name.
    pub fn cancel(&self, name: &str) {
        if let Some(job) = self.lock().jobs.get_mut(name) {
            job.cancel = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the process of the client, which never ends by itself.
    pub async fn run(self) -> turmoil::Result {
        self.world.network.enter(CLIENT);
        for job in self.plan.iter() {
            spawn("client-job", self.clone().follow(job.clone()));
        }
        loop {
            self.look().await;
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn wait_until(&self, at_ms: u64) {
        let left = at_ms.saturating_sub(self.world.elapsed_ms());
        tokio::time::sleep(Duration::from_millis(left)).await;
    }

    /// Sends a request to the JobManagers in turn until the leader answers. A JobManager that does not lead answers 503.
    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        loop {
            for host in job_managers() {
                match request(&rest_address(&host), method, path, body).await {
                    Ok((503, _)) => {}
                    Ok(answer) => return answer,
                    Err(_) => self.lock().unanswered += 1,
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Carries out the plan of one job.
    async fn follow(self, job: PlannedJob) {
        self.wait_until(job.submit_at_ms).await;
        let graph = pipeline::graph(&job);
        let body = json!({"job_graph": graph, "client_token": job.name});
        let id: JobId = loop {
            let (status, answer) = self.ask("POST", "/weir/v1/jobs", Some(&body)).await;
            tracing::info!(job = job.name, status, %answer, "submitted");
            match answer["job_id"].as_str().and_then(|id| id.parse().ok()) {
                Some(id) if status < 300 => break id,
                _ => tokio::time::sleep(RETRY).await,
            }
        };
        self.observations.note(Fact::Submitted { token: job.name.clone(), job: id });
        if let Some(known) = self.lock().jobs.get_mut(&job.name) {
            known.id = Some(id);
        }
        if let Some(at_ms) = job.cancel_at_ms {
            let client = self.clone();
            let name = job.name.clone();
            spawn("client-cancel", async move {
                client.wait_until(at_ms).await;
                client.cancel(&name);
            });
        }
        for at_ms in &job.savepoints_at_ms {
            spawn("client-savepoint", self.clone().savepoint(id, *at_ms));
        }
        loop {
            let (cancel, ended) = {
                let known = self.lock();
                let own = known.jobs.get(&job.name).cloned().unwrap_or_default();
                (own.cancel, own.status.is_some_and(JobStatus::is_globally_terminal))
            };
            if ended {
                return;
            }
            if cancel {
                let (status, _) = self.ask("PATCH", &format!("/jobs/{id}?mode=cancel"), Some(&json!({}))).await;
                tracing::info!(job = job.name, status, "cancel");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn savepoint(self, job: JobId, at_ms: u64) {
        self.wait_until(at_ms).await;
        self.lock().savepoints.0 += 1;
        let (_, answer) = self.ask("POST", &format!("/jobs/{job}/savepoints"), Some(&json!({}))).await;
        let Some(trigger) = answer["request-id"].as_str() else { return };
        let path = format!("/jobs/{job}/savepoints/{trigger}");
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let (_, answer) = self.ask("GET", &path, None).await;
            if answer["operation"]["location"].is_string() {
                self.lock().savepoints.1 += 1;
                return;
            }
        }
    }

    /// Finds the leader, and polls it for the state of the cluster.
    async fn look(&self) {
        for host in job_managers() {
            let Ok((200, ha)) = request(&rest_address(&host), "GET", "/weir/v1/ha", None).await else { continue };
            let leads = ha["leader"]["name"].as_str() == Some(host.as_str());
            let epoch: Option<LeaderEpoch> = serde_json::from_value(ha["leader"]["epoch"].clone()).ok();
            // The answers of a former leader are outdated.
            let Some(epoch) = epoch.filter(|epoch| leads && *epoch >= self.lock().epoch) else { continue };
            if self.look_through(&host, epoch).await.is_some() {
                let mut known = self.lock();
                known.looked_at_ms = self.world.elapsed_ms();
                known.failures_tolerated = ha["failures_tolerated"].as_u64().unwrap_or_default();
                if known.epoch != epoch {
                    known.leader_changes += 1;
                }
                (known.leader, known.epoch) = (Some(host), epoch);
                return;
            }
        }
        self.lock().leader = None;
    }

    async fn look_through(&self, host: &str, epoch: LeaderEpoch) -> Option<()> {
        let get = |path: String| {
            let address = rest_address(host);
            async move { request(&address, "GET", &path, None).await.ok().filter(|(status, _)| *status != 503) }
        };
        let (_, overview) = get("/overview".to_owned()).await?;
        let task_managers = overview["taskmanagers"].as_u64()?;
        let jobs: Vec<_> = self.lock().jobs.iter().filter_map(|(name, job)| Some((name.clone(), job.id?))).collect();
        for (name, id) in jobs {
            let (code, job) = get(format!("/jobs/{id}")).await?;
            // If a job has ended, the leader may know only its status.
            let (code, status) = match job["state"].as_str() {
                Some(_) => (code, job["state"].clone()),
                None => get(format!("/jobs/{id}/status")).await.map(|(code, answer)| (code, answer["status"].clone()))?,
            };
            let status: Option<JobStatus> = serde_json::from_value(status).ok();
            if status.is_none() && code != 404 {
                continue;
            }
            let (_, checkpoints) = get(format!("/jobs/{id}/checkpoints")).await?;
            let vertices = job["vertices"].as_array().cloned().unwrap_or_default();
            let mut known = self.lock();
            if epoch < known.epoch {
                return None;
            }
            self.observations.note(Fact::StatusSeen { job: id, status });
            if let Some(own) = known.jobs.get_mut(&name) {
                own.status = status.or(own.status);
                own.running = vertices.iter().filter_map(|vertex| vertex["tasks"]["RUNNING"].as_u64()).sum();
                own.checkpoint = checkpoints["latest"]["completed"]["id"].as_u64().unwrap_or(own.checkpoint).max(own.checkpoint);
            }
        }
        self.lock().task_managers = task_managers;
        Some(())
    }
}
