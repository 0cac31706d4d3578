//! Clients that submit, describe and cancel jobs, take savepoints and transfer leadership, all the time. They record the answers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use weir_client::{ClientError, ClusterClient};
use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;
use weir_verdict::random::Random;

use super::CountingJob;
use crate::history::{Call, Operation, Outcome, Recorder, What};

/// How long a client waits for an answer.
const CALL: Duration = Duration::from_secs(4);
/// How long a job may take to end after it was cancelled.
const PATIENCE: Duration = Duration::from_secs(90);
const PACE: Duration = Duration::from_millis(100);
/// Time between transfers of leadership, in milliseconds: at least the first, less than the second.
const TRANSFERS_MS: (u64, u64) = (4_000, 9_000);

/// The clients, each in a thread.
#[derive(Debug)]
pub struct Churn {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Churn {
    /// Starts clients of these JobManagers. Their jobs write below `directory`.
    pub fn start(addresses: Vec<String>, seed: u64, directory: &Path, recorder: &Recorder) -> io::Result<Self> {
        let mut churn = Self { stop: Arc::default(), threads: Vec::new() };
        type Role = fn(&mut Client);
        let roles: [(&str, Role); 2] = [("jobs", Client::churn), ("transfers", Client::transfer)];
        for (name, role) in roles {
            let mut client = Client {
                name: name.to_owned(),
                client: ClusterClient::new(addresses.clone()).map_err(io::Error::other)?,
                runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
                random: Random::new(seed, name),
                directory: directory.to_owned(),
                recorder: recorder.clone(),
                stop: churn.stop.clone(),
            };
            churn.threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(move || role(&mut client))?);
        }
        Ok(churn)
    }

    /// Stops the clients after they have finished what they have begun.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A client that panicked has already printed why.
            let _ = thread.join();
        }
    }
}

struct Client {
    name: String,
    client: ClusterClient,
    runtime: Runtime,
    random: Random,
    directory: PathBuf,
    recorder: Recorder,
    stop: Arc<AtomicBool>,
}

/// What an error says about whether the call was carried out.
fn outcome_of(error: ClientError) -> Outcome {
    match error {
        ClientError::NotFound { .. } => Outcome::NotFound,
        ClientError::Refused { .. } | ClientError::StoreAway { uncertain: None, .. } => {
            Outcome::Refused { why: error.to_string() }
        }
        _ => Outcome::Unknown { why: error.to_string() },
    }
}

impl Client {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn call(&self, key: &str, operation: Operation, call: impl Future<Output = Result<Outcome, ClientError>>) -> Outcome {
        let began_ms = self.recorder.now_ms();
        let outcome = self.runtime.block_on(call).unwrap_or_else(outcome_of);
        let (client, key) = (self.name.clone(), key.to_owned());
        self.recorder.note(What::Call(Call { client, began_ms, key, operation, outcome: outcome.clone() }));
        outcome
    }

    /// Runs one job after the other: submits it, describes it, and then cancels it, takes a savepoint or lets it finish.
    fn churn(&mut self) {
        for number in 1.. {
            if self.stopped() {
                return;
            }
            let key = format!("churn-{number}");
            let finishes = self.random.chance(400);
            let Some(job) = self.submit(&key, finishes) else { return };
            for _ in 0..self.random.between(1, 6) {
                self.describe(&key, job);
                std::thread::sleep(PACE);
            }
            if self.random.chance(300) {
                self.savepoint(&key, job);
            }
            self.end(&key, job, !finishes);
        }
    }

    /// Submits a job until the submission is acknowledged. Every retry uses the same token, so that there is only one job.
    fn submit(&self, key: &str, finishes: bool) -> Option<JobId> {
        let rows = if finishes { 1_500 } else { 1_000_000 };
        let counting = CountingJob { rows, rows_per_second: 1_000, parallelism: 1, ..CountingJob::lasting(1) };
        let mut graph = counting.graph(&self.directory.join(key)).expect("the workload is a job graph");
        key.clone_into(&mut graph.name);
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let submission = async {
                let submitted = self.client.submit(&graph, Some(key), CALL).await?;
                Ok(Outcome::Ok { job: Some(submitted.job_id), status: None, epoch: None })
            };
            if let Outcome::Ok { job: Some(job), .. } = self.call(key, Operation::Submit, submission) {
                return Some(job);
            }
            std::thread::sleep(PACE);
        }
        None
    }

    fn describe(&self, key: &str, job: JobId) -> Option<JobStatus> {
        let description = async {
            let description = self.client.describe(job, CALL).await?;
            Ok(Outcome::Ok { job: Some(job), status: Some(description.status), epoch: Some(description.epoch.0) })
        };
        match self.call(key, Operation::Describe, description) {
            Outcome::Ok { status, .. } => status,
            _ => None,
        }
    }

    fn savepoint(&self, key: &str, job: JobId) {
        let target = self.directory.join("savepoints").display().to_string();
        self.call(key, Operation::Savepoint, async {
            self.client.savepoint(job, Some(&target), CALL).await?;
            Ok(Outcome::Ok { job: Some(job), status: None, epoch: None })
        });
    }

    /// Waits until the job has ended. Cancels it at once if `cancel` is set, and otherwise when the run ends. A leader that dies
    /// may lose the request, so it is repeated.
    fn end(&self, key: &str, job: JobId, cancel: bool) {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let status = self.describe(key, job);
            if status.is_some_and(JobStatus::is_globally_terminal) {
                return;
            }
            if (cancel || self.stopped()) && status != Some(JobStatus::Cancelling) {
                self.call(key, Operation::Cancel, async {
                    self.client.cancel(job, CALL).await?;
                    Ok(Outcome::Ok { job: Some(job), status: None, epoch: None })
                });
            }
            std::thread::sleep(PACE);
        }
    }

    /// Transfers leadership from time to time.
    fn transfer(&mut self) {
        let mut next = Instant::now() + Duration::from_millis(self.random.between(TRANSFERS_MS.0, TRANSFERS_MS.1));
        while !self.stopped() {
            if Instant::now() > next {
                self.call("leadership", Operation::Transfer, async {
                    let transfer = self.client.ha_transfer(None, CALL).await?;
                    Ok(Outcome::Ok { job: None, status: None, epoch: Some(transfer.epoch.0) })
                });
                next = Instant::now() + Duration::from_millis(self.random.between(TRANSFERS_MS.0, TRANSFERS_MS.1));
            }
            std::thread::sleep(PACE);
        }
    }
}
