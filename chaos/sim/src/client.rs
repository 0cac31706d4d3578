//! The client: submits jobs, cancels and takes savepoints, looks at everything, and notes what it was told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use weir_protocol::job_status::JobStatus;
use weir_protocol::{JobId, LeaderEpoch};
use weir_world::spawn;

use crate::cluster::{job_managers, rest_address};
use crate::http::request;
use crate::pipeline;
use crate::world::World;
use crate::world::observations::Observations;
use weir_verdict::fact::Fact;

/// Between two looks at everything.
const LOOK: Duration = Duration::from_millis(200);
/// Before an unanswered request is repeated.
const RETRY: Duration = Duration::from_millis(300);

/// A job of the plan.
#[derive(Debug, Clone)]
pub struct PlannedJob {
    /// Its name, and its token.
    pub name: String,
    /// Rows per source; 0: it never ends.
    pub rows: i64,
    /// When it is submitted, in milliseconds.
    pub submit_at_ms: u64,
    /// When it is canceled, if it is.
    pub cancel_at_ms: Option<u64>,
    /// When savepoints are asked for.
    pub savepoints_at_ms: Vec<u64>,
    /// Time between its checkpoints.
    pub checkpoint_interval_ms: u64,
    /// Time between two batches of a source.
    pub pause_ms: u64,
}

/// What is known of a job.
#[derive(Debug, Clone, Default)]
pub struct KnownJob {
    /// Its id, once its submission was acknowledged.
    pub id: Option<JobId>,
    /// Its last seen status.
    pub status: Option<JobStatus>,
    /// The last seen number of tasks that run.
    pub running: u64,
    /// The newest completed checkpoint that was seen.
    pub checkpoint: u64,
    /// Whether it is to be canceled.
    pub cancel: bool,
}

/// What the client knows, as of its last look.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// When it looked last and found a leader.
    pub looked_at_ms: u64,
    pub leader: Option<String>,
    /// Under which epoch.
    pub epoch: LeaderEpoch,
    /// How many JobManagers may fail before there is no quorum any more, as the leader sees it.
    pub failures_tolerated: u64,
    pub task_managers: u64,
    pub jobs: BTreeMap<String, KnownJob>,
    /// Savepoints asked for, and completed ones.
    pub savepoints: (u64, u64),
    /// Leader changes seen.
    pub leader_changes: u64,
    /// Requests that were not answered.
    pub unanswered: u64,
}

/// The client. Clones are the same.
#[derive(Clone)]
pub struct Client {
    plan: Arc<Vec<PlannedJob>>,
    known: Arc<Mutex<Known>>,
    world: World,
    observations: Observations,
}

impl Client {
    /// A client that will do this.
    pub fn new(plan: Vec<PlannedJob>, world: World, observations: Observations) -> Self {
        let jobs = plan.iter().map(|job| (job.name.clone(), KnownJob::default())).collect();
        let known = Known { jobs, ..Known::default() };
        Self { plan: Arc::new(plan), known: Arc::new(Mutex::new(known)), world, observations }
    }

    /// What it knows.
    pub fn known(&self) -> Known {
        self.lock().clone()
    }

    /// What it does.
    pub fn plan(&self) -> &[PlannedJob] {
        &self.plan
    }

    /// From now on it wants this job canceled.
    pub fn cancel(&self, name: &str) {
        if let Some(job) = self.lock().jobs.get_mut(name) {
            job.cancel = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client's process.
    pub async fn run(self) -> turmoil::Result {
        self.world.network.enter("client");
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

    /// Asks every JobManager in turn until one answers with something else than that it does not lead.
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

    /// Does with one job what the plan says.
    async fn follow(self, job: PlannedJob) {
        self.wait_until(job.submit_at_ms).await;
        let graph = pipeline::graph(&job.name, job.rows, job.checkpoint_interval_ms, job.pause_ms);
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

    /// Finds the leader and looks at everything through its eyes.
    async fn look(&self) {
        for host in job_managers() {
            let Ok((200, ha)) = request(&rest_address(&host), "GET", "/weir/v1/ha", None).await else { continue };
            let leads = ha["leader"]["name"].as_str() == Some(host.as_str());
            let epoch: Option<LeaderEpoch> = serde_json::from_value(ha["leader"]["epoch"].clone()).ok();
            // What a former leader says is of yesterday.
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
            // Of an ended job only the status may be known.
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
