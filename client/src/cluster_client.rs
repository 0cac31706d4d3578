//! REST calls that continue across leader changes.

mod catalog;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_graph::validate::validate;
use weir_protocol::rest::{
    AsyncOperationResponse, CheckpointStatistics, ClusterOverview, DrillBegin, DrillResult, DrillUnderWay, DrillsResponse, Empty,
    ErrorResponse, HaResponse, JobDescription, JobsOverview, QueryRows, QueueStatusId, SavepointInfo, SavepointTriggerRequest,
    StopRequest, SubmitRequest, SubmitResponse, TaskManagersInfo, TransferRequest, TransferResponse, TriggerResponse,
};
use weir_world::{Millis, MonotonicClock, random_id};

use crate::ClientError;
use crate::outage::{Outage, time_text};
pub(crate) use catalog::CommitFailure;

/// Largest number of JobManager addresses.
const MAX_ADDRESSES: usize = 64;
/// Longest accepted answer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Longest wait for a connection, in milliseconds. A dead host delays the try at the next JobManager by this much.
const CONNECT_TIMEOUT_MS: u64 = 1_000;
/// Idle connections are closed after this time. A JobManager would close them a little later.
const POOL_IDLE: Duration = Duration::from_secs(20);
/// Longest wait for one answer, in milliseconds. A frozen JobManager delays the try at the next one by this much.
const ATTEMPT_TIMEOUT_MS: u64 = 10_000;
/// First and longest pause after no JobManager answered, in milliseconds.
const PAUSE_MS: (u64, u64) = (50, 1_000);
/// First and longest pause between polls of a running operation, in milliseconds.
const POLL_MS: (u64, u64) = (50, 500);

/// The cluster answers with this code if a request must write to the coordination store while the store is unavailable.
const STORE_AWAY: &str = "HA-STORE-AWAY";
/// The cluster answers with this code if it does not know whether the request was carried out.
const OUTCOME_UNKNOWN: &str = "HA-UNKNOWN";

/// A client of one cluster. It tries the JobManagers in turn, because each of them answers for the leader. While there is no
/// leader, or a JobManager does not answer, it retries the call until the call's deadline.
#[derive(Debug)]
pub struct ClusterClient {
    addresses: Vec<Url>,
    /// Index of the JobManager that answered last. The next call tries it first.
    answered_last: AtomicUsize,
    /// Whether any JobManager has answered.
    answered: AtomicBool,
    /// Is told, now and then, what a call without an answer waits for.
    report: Option<fn(&str)>,
    /// For how long to try while every connection is refused, in milliseconds.
    refused_patience_ms: u64,
    http: reqwest::Client,
    clock: MonotonicClock,
}

/// When a call started, and when it must end.
#[derive(Clone, Copy)]
struct Deadline {
    start: Millis,
    end: Millis,
}

/// Why one attempt at one JobManager failed.
enum Failure {
    /// Nothing listens at the address, so the request certainly had no effect.
    Refused(String),
    /// The request certainly had no effect. A retry, here or at another JobManager, may succeed.
    NotDone(String),
    /// The answer is lost. The request may have been carried out.
    Unknown(String),
    /// The request certainly had no effect, and no retry succeeds until the coordination store answers again.
    StoreAway(Vec<String>),
    /// A retry can't help.
    Final(ClientError),
}

/// Whether it does harm to repeat a request that may already have been carried out.
#[derive(Clone, Copy, PartialEq)]
enum Repeat {
    Harmless,
    Harmful,
}

impl ClusterClient {
    /// A client of the JobManagers with these REST addresses: `host:port` or `http://host:port`. Opens no connection yet.
    pub fn new(addresses: Vec<String>) -> Result<Self, ClientError> {
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            let message = format!("CLIENT-ADDRESS: {} JobManager addresses given; give 1 to {MAX_ADDRESSES}", addresses.len());
            return Err(ClientError::other(message));
        }
        let addresses = addresses.iter().map(|address| parse_address(address)).collect::<Result<_, _>>()?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_millis(CONNECT_TIMEOUT_MS))
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| ClientError::other(format!("CLIENT-HTTP: {error}")))?;
        Ok(Self {
            addresses,
            answered_last: AtomicUsize::new(0),
            answered: AtomicBool::new(false),
            report: None,
            refused_patience_ms: u64::MAX,
            http,
            clock: MonotonicClock::start(),
        })
    }

    /// The same client, but `report` is told what a call waits for: after a second without an answer, and then more and more
    /// rarely.
    #[must_use]
    pub fn report_waiting(mut self, report: fn(&str)) -> Self {
        self.report = Some(report);
        self
    }

    /// The same client, but a call fails with [`ClientError::Unreachable`] if every connection has been refused for this long and
    /// no JobManager has ever answered.
    #[must_use]
    pub fn give_up_if_refused(mut self, patience: Duration) -> Self {
        self.refused_patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Submits a job and returns once it is durable. Retries across leader changes use one client token, so that they create
    /// exactly one job. If `token` is absent, the client draws one.
    pub async fn submit(&self, graph: &JobGraph, token: Option<&str>, deadline: Duration) -> Result<SubmitResponse, ClientError> {
        self.submit_to("/weir/v1/jobs", graph, token, deadline).await
    }

    /// Submits the job of a query, whose rows [`Self::query_rows`] returns. See [`Self::submit`].
    pub async fn submit_query(&self, graph: &JobGraph, deadline: Duration) -> Result<SubmitResponse, ClientError> {
        self.submit_to("/weir/v1/queries", graph, None, deadline).await
    }

    /// The rows of a query from number `from` on, at most `max_rows`. If there are none yet, the answer comes after a moment without
    /// rows. The leader may forget the rows before `from`. Points in time are shown in time zone `zone`.
    pub async fn query_rows(
        &self,
        query: JobId,
        from: u64,
        max_rows: u64,
        zone: &str,
        deadline: Duration,
    ) -> Result<QueryRows, ClientError> {
        // The names of time zones have no other special characters.
        let zone = zone.replace('+', "%2B");
        let path = format!("/weir/v1/queries/{query}/rows?from={from}&max={max_rows}&zone={zone}");
        self.get(&path, self.within(deadline)).await
    }

    /// Ends a query: cancels its job if it runs, and removes its rows. Safe to repeat.
    pub async fn close_query(&self, query: JobId, deadline: Duration) -> Result<(), ClientError> {
        let path = format!("/weir/v1/queries/{query}");
        let Empty {} = self.call(Method::DELETE, &path, None, Repeat::Harmless, self.within(deadline)).await?;
        Ok(())
    }

    async fn submit_to(
        &self,
        path: &str,
        graph: &JobGraph,
        token: Option<&str>,
        deadline: Duration,
    ) -> Result<SubmitResponse, ClientError> {
        if let Err(errors) = validate(graph) {
            return Err(ClientError::Refused { errors: errors.iter().map(ToString::to_string).collect() });
        }
        let client_token = token.map_or_else(draw_token, str::to_owned);
        if !SubmitRequest::is_token(&client_token) {
            let message = format!(
                "CLIENT-TOKEN: a client token is 1 to {} letters, digits, '.', '_' or '-'",
                SubmitRequest::MAX_TOKEN_BYTES
            );
            return Err(ClientError::Refused { errors: vec![message] });
        }
        let request =
            SubmitRequest { job_graph: graph.clone(), client_token: Some(client_token), allow_non_restored_state: false };
        self.post(path, &request, Repeat::Harmless, self.within(deadline)).await
    }

    /// Lists all jobs, running and ended.
    pub async fn list(&self, deadline: Duration) -> Result<JobsOverview, ClientError> {
        self.get("/jobs/overview", self.within(deadline)).await
    }

    /// Describes one job in full.
    pub async fn describe(&self, job: JobId, deadline: Duration) -> Result<JobDescription, ClientError> {
        self.get(&format!("/weir/v1/jobs/{job}"), self.within(deadline)).await
    }

    /// The statistics of a job's checkpoints.
    pub async fn checkpoints(&self, job: JobId, deadline: Duration) -> Result<CheckpointStatistics, ClientError> {
        self.get(&format!("/jobs/{job}/checkpoints"), self.within(deadline)).await
    }

    /// Requests a job's cancellation. Use [`ClusterClient::wait`] to wait for the job's end.
    pub async fn cancel(&self, job: JobId, deadline: Duration) -> Result<(), ClientError> {
        let path = format!("/jobs/{job}?mode=cancel");
        let Empty {} = self
            .call(Method::PATCH, &path, Some(Value::Object(Default::default())), Repeat::Harmless, self.within(deadline))
            .await?;
        Ok(())
    }

    /// Takes a savepoint and returns its location. `target` is the directory; default: the cluster's own.
    pub async fn savepoint(&self, job: JobId, target: Option<&str>, deadline: Duration) -> Result<String, ClientError> {
        let trigger_id = draw_token();
        let request = SavepointTriggerRequest {
            target_directory: target.map(str::to_owned),
            trigger_id: Some(trigger_id),
            ..SavepointTriggerRequest::default()
        };
        self.savepoint_operation(job, &format!("/jobs/{job}/savepoints"), &request, self.within(deadline)).await
    }

    /// Stops a job with a savepoint and returns the savepoint's location. `drain` fires all windows first.
    pub async fn stop(&self, job: JobId, target: Option<&str>, drain: bool, deadline: Duration) -> Result<String, ClientError> {
        let request = StopRequest {
            target_directory: target.map(str::to_owned),
            drain,
            trigger_id: Some(draw_token()),
            ..StopRequest::default()
        };
        self.savepoint_operation(job, &format!("/jobs/{job}/stop"), &request, self.within(deadline)).await
    }

    /// Waits, across leader changes, until a job has finished, failed or been canceled. Returns its last description.
    pub async fn wait(&self, job: JobId, deadline: Duration) -> Result<JobDescription, ClientError> {
        self.wait_with(job, deadline, |_| {}).await
    }

    /// Like [`ClusterClient::wait`]. Calls `look` with every description of the job that it gets meanwhile, and with the last.
    pub async fn wait_with(
        &self,
        job: JobId,
        deadline: Duration,
        mut look: impl FnMut(&JobDescription),
    ) -> Result<JobDescription, ClientError> {
        let deadline = self.within(deadline);
        let mut pause = POLL_MS.0;
        loop {
            let description: JobDescription = self.get(&format!("/weir/v1/jobs/{job}"), deadline).await?;
            look(&description);
            if description.status.is_globally_terminal() {
                return Ok(description);
            }
            if !self.pause(&mut pause, POLL_MS.1, deadline).await {
                return Err(self.timed_out(deadline, format!("job {job} is {}", description.status.as_str())));
            }
        }
    }

    /// The cluster's overview: numbers of jobs, slots and TaskManagers.
    pub async fn overview(&self, deadline: Duration) -> Result<ClusterOverview, ClientError> {
        self.get("/overview", self.within(deadline)).await
    }

    /// The registered TaskManagers.
    pub async fn taskmanagers(&self, deadline: Duration) -> Result<TaskManagersInfo, ClientError> {
        self.get("/taskmanagers", self.within(deadline)).await
    }

    /// The coordination group as the first JobManager that answers sees it. Works without a leader too.
    pub async fn ha_status(&self, deadline: Duration) -> Result<HaResponse, ClientError> {
        self.get("/weir/v1/ha", self.within(deadline)).await
    }

    /// The coordination group as its leader sees it. Only the leader knows how far the other members are, and how many may fail.
    pub async fn ha_group(&self, deadline: Duration) -> Result<HaResponse, ClientError> {
        self.get("/weir/v1/ha/group", self.within(deadline)).await
    }

    /// The coordination group as each JobManager sees it, by address. Asks each JobManager once.
    pub async fn ha_status_of_each(&self, deadline: Duration) -> Vec<(String, Result<HaResponse, ClientError>)> {
        let deadline = self.within(deadline);
        let mut answers = Vec::with_capacity(self.addresses.len());
        let patience = Duration::from_millis(deadline.end.since(deadline.start).clamp(1, ATTEMPT_TIMEOUT_MS));
        for address in &self.addresses {
            let answer = match self.attempt(address, &Method::GET, "/weir/v1/ha", None, patience).await {
                Ok(bytes) => decode(&bytes),
                Err(Failure::Final(error)) => Err(error),
                Err(Failure::StoreAway(errors)) => Err(ClientError::StoreAway { errors, uncertain: None }),
                Err(Failure::Refused(last) | Failure::NotDone(last) | Failure::Unknown(last)) => {
                    Err(ClientError::NoLeader { waited_ms: self.clock.now().since(deadline.start), last })
                }
            };
            answers.push((authority(address), answer));
        }
        answers
    }

    /// Transfers leadership to `to`; default: the most caught-up member. Returns when another member leads.
    pub async fn ha_transfer(&self, to: Option<&str>, deadline: Duration) -> Result<TransferResponse, ClientError> {
        let request = TransferRequest { to: to.map(str::to_owned) };
        // With a named target, a second transfer changes nothing; without one, it would move leadership again.
        let repeat = if to.is_some() { Repeat::Harmless } else { Repeat::Harmful };
        self.post("/weir/v1/ha/transfer", &request, repeat, self.within(deadline)).await
    }

    /// Adds the JobManager `name`, whose peer service is at `address`, to the coordination group.
    pub async fn ha_add_member(&self, name: &str, address: &str, deadline: Duration) -> Result<HaResponse, ClientError> {
        let change = serde_json::json!({"action": "add", "name": name, "address": address});
        self.post("/weir/v1/ha/members", &change, Repeat::Harmless, self.within(deadline)).await
    }

    /// Removes a member from the coordination group.
    pub async fn ha_remove_member(&self, name: &str, deadline: Duration) -> Result<HaResponse, ClientError> {
        let change = serde_json::json!({"action": "remove", "name": name});
        // A repeated removal fails, because the member no longer exists.
        self.post("/weir/v1/ha/members", &change, Repeat::Harmful, self.within(deadline)).await
    }

    /// The current drill and the results of the newest ended ones.
    pub async fn drills(&self, deadline: Duration) -> Result<DrillsResponse, ClientError> {
        self.get("/weir/v1/drills", self.within(deadline)).await
    }

    /// Tells the cluster that a drill begins. Until it ends or its time is up, restarts of tasks do not count against any job's
    /// restart strategy.
    pub async fn begin_drill(&self, begin: &DrillBegin, deadline: Duration) -> Result<DrillUnderWay, ClientError> {
        self.post("/weir/v1/drills", begin, Repeat::Harmless, self.within(deadline)).await
    }

    /// Tells the cluster the result of a drill. Returns once the result is durable.
    pub async fn end_drill(&self, result: &DrillResult, deadline: Duration) -> Result<DrillsResponse, ClientError> {
        self.post(&format!("/weir/v1/drills/{}/result", result.id), result, Repeat::Harmless, self.within(deadline)).await
    }

    /// Triggers a savepoint and polls it. If the leader does not know the trigger, as after a leader change, triggers it again
    /// under the same trigger id, so that a savepoint that was already taken is not taken twice.
    async fn savepoint_operation(
        &self,
        job: JobId,
        path: &str,
        request: &impl Serialize,
        deadline: Deadline,
    ) -> Result<String, ClientError> {
        loop {
            let TriggerResponse { request_id } = self.post(path, request, Repeat::Harmless, deadline).await?;
            if request_id.is_empty() || !request_id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
                return Err(ClientError::other("CLIENT-ANSWER: the cluster's answer has no usable request-id"));
            }
            let poll = format!("/jobs/{job}/savepoints/{request_id}");
            let mut pause = POLL_MS.0;
            loop {
                match self.get::<AsyncOperationResponse<SavepointInfo>>(&poll, deadline).await {
                    Ok(AsyncOperationResponse { operation: Some(savepoint), .. }) => return Ok(savepoint.location),
                    Ok(answer) if answer.status.id == QueueStatusId::Completed => {
                        return Err(ClientError::other("CLIENT-ANSWER: the savepoint ended without a location"));
                    }
                    Ok(_) => {}
                    Err(ClientError::NotFound { .. }) => break,
                    Err(error) => return Err(error),
                }
                if !self.pause(&mut pause, POLL_MS.1, deadline).await {
                    return Err(self.timed_out(deadline, format!("the savepoint of job {job} is not complete")));
                }
            }
            let mut pause = POLL_MS.1;
            if !self.pause(&mut pause, POLL_MS.1, deadline).await {
                return Err(self.timed_out(deadline, format!("the savepoint of job {job} is unknown to the leader")));
            }
        }
    }

    fn within(&self, duration: Duration) -> Deadline {
        let start = self.clock.now();
        Deadline { start, end: start.after(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)) }
    }

    fn timed_out(&self, deadline: Deadline, what: String) -> ClientError {
        ClientError::TimedOut { waited_ms: self.clock.now().since(deadline.start), what }
    }

    /// Sleeps, twice as long each time. Returns false, without sleeping, if the sleep would reach the deadline.
    async fn pause(&self, pause: &mut u64, longest: u64, deadline: Deadline) -> bool {
        let until = self.clock.now().after(*pause);
        *pause = (*pause * 2).min(longest);
        if until >= deadline.end {
            return false;
        }
        self.clock.sleep_until(until).await;
        true
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, deadline: Deadline) -> Result<T, ClientError> {
        self.call(Method::GET, path, None, Repeat::Harmless, deadline).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        repeat: Repeat,
        deadline: Deadline,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_value(body).map_err(|error| ClientError::other(format!("CLIENT-REQUEST: {error}")))?;
        self.call(Method::POST, path, Some(body), repeat, deadline).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        repeat: Repeat,
        deadline: Deadline,
    ) -> Result<T, ClientError> {
        self.call_noting(method, path, body, repeat, deadline, &mut false).await
    }

    /// As [`Self::call`]. Notes whether an attempt before the last may have been carried out. A standby does not tell this apart
    /// from a missing leader, so each attempt counts that something has answered, or may have.
    async fn call_noting<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        repeat: Repeat,
        deadline: Deadline,
        may_be_done: &mut bool,
    ) -> Result<T, ClientError> {
        let mut pause = PAUSE_MS.0;
        let (mut last, mut uncertain) = (String::new(), None);
        let mut outage = Outage::new(self.clock.now());
        loop {
            let first = self.answered_last.load(Ordering::Relaxed);
            for step in 0..self.addresses.len() {
                let index = (first + step) % self.addresses.len();
                // Each JobManager gets an equal share of the remaining time, so that a frozen one leaves time for the others.
                let share = deadline.end.since(self.clock.now()) / (self.addresses.len() - step) as u64;
                let patience = Duration::from_millis(share.clamp(1, ATTEMPT_TIMEOUT_MS));
                let attempt = self.attempt(&self.addresses[index], &method, path, body.as_ref(), patience);
                match self.reporting(attempt, &mut outage, &last, deadline).await {
                    Ok(answer) => {
                        self.answered_last.store(index, Ordering::Relaxed);
                        return decode(&answer);
                    }
                    Err(Failure::Final(error)) => {
                        self.answered_last.store(index, Ordering::Relaxed);
                        return Err(error);
                    }
                    Err(Failure::StoreAway(errors)) => return Err(ClientError::StoreAway { errors, uncertain }),
                    Err(Failure::Unknown(why)) if repeat == Repeat::Harmful => {
                        let message =
                            format!("CLIENT-UNKNOWN: the answer was lost; the request may have been carried out: {why}");
                        return Err(ClientError::other(message));
                    }
                    Err(Failure::Refused(why)) => {
                        outage.failed(true);
                        last = why;
                    }
                    Err(Failure::NotDone(why)) => {
                        outage.failed(false);
                        *may_be_done = true;
                        last = why;
                    }
                    Err(Failure::Unknown(why)) => {
                        outage.failed(false);
                        *may_be_done = true;
                        last.clone_from(&why);
                        uncertain = Some(why);
                    }
                }
                self.answered_last.store((index + 1) % self.addresses.len(), Ordering::Relaxed);
                if self.clock.now() >= deadline.end {
                    break;
                }
            }
            let now = self.clock.now();
            let end = self.end_of(&outage, deadline);
            if now >= end && end < deadline.end {
                let addresses = self.addresses.iter().map(authority).collect();
                return Err(ClientError::Unreachable { addresses, waited_ms: now.since(deadline.start) });
            }
            let paused = self.reporting(self.pause(&mut pause, PAUSE_MS.1, deadline), &mut outage, &last, deadline).await;
            if self.clock.now() >= deadline.end || !paused {
                return Err(ClientError::NoLeader { waited_ms: self.clock.now().since(deadline.start), last });
            }
        }
    }

    /// When a call without an answer gives up.
    fn end_of(&self, outage: &Outage, deadline: Deadline) -> Millis {
        let may_end_sooner = !self.answered.load(Ordering::Relaxed);
        if may_end_sooner { outage.end(deadline.end, self.refused_patience_ms) } else { deadline.end }
    }

    /// Awaits `step` of a call. If the call has had no answer for a while, reports meanwhile what it waits for.
    async fn reporting<T>(&self, step: impl Future<Output = T>, outage: &mut Outage, last: &str, deadline: Deadline) -> T {
        let Some(report) = self.report else { return step.await };
        let mut step = std::pin::pin!(step);
        loop {
            tokio::select! {
                biased;
                done = &mut step => return done,
                () = self.clock.sleep_until(outage.report_at()) => {
                    let now = self.clock.now();
                    if outage.is_report_due(now) {
                        let addresses: Vec<_> = self.addresses.iter().map(authority).collect();
                        let why = if last.is_empty() { "no answer yet" } else { last };
                        let left = time_text(self.end_of(outage, deadline).since(now));
                        report(&format!("cannot reach a leader through {} yet ({why}); trying for {left} more", addresses.join(", ")));
                    }
                }
            }
        }
    }

    /// Sends one request to one JobManager.
    async fn attempt(
        &self,
        address: &Url,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Vec<u8>, Failure> {
        let name = authority(address);
        let url = address.join(path).map_err(|error| Failure::Final(ClientError::other(format!("CLIENT-ADDRESS: {error}"))))?;
        let mut request = self.http.request(method.clone(), url).timeout(patience);
        if let Some(body) = body {
            request = request.json(body);
        }
        let lost = |error: reqwest::Error| {
            if is_refused(&error) {
                return Failure::Refused(format!("{name}: connection refused"));
            }
            let why = format!("{name}: {}", causes(&error));
            if error.is_connect() { Failure::NotDone(why) } else { Failure::Unknown(why) }
        };
        let mut response = request.send().await.map_err(lost)?;
        self.answered.store(true, Ordering::Relaxed);
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if answer.len() + chunk.len() > MAX_ANSWER_BYTES {
                let message = format!("CLIENT-ANSWER: {name} answers with more than {MAX_ANSWER_BYTES} bytes");
                return Err(Failure::Final(ClientError::other(message)));
            }
            answer.extend_from_slice(&chunk);
        }
        judge(&name, status, answer)
    }
}

/// Classifies an HTTP answer.
fn judge(name: &str, status: StatusCode, answer: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if status.is_success() {
        return Ok(answer);
    }
    let errors = match serde_json::from_slice::<ErrorResponse>(&answer) {
        Ok(response) if !response.errors.is_empty() => response.errors,
        _ => vec![format!("HTTP {status}")],
    };
    let says = |code: &str| errors.iter().any(|error| error.split(':').next() == Some(code));
    Err(match status {
        StatusCode::SERVICE_UNAVAILABLE if says(STORE_AWAY) => Failure::StoreAway(errors),
        StatusCode::SERVICE_UNAVAILABLE if says(OUTCOME_UNKNOWN) => Failure::Unknown(format!("{name}: {}", errors.join("; "))),
        // A JobManager answers this while there is no leader. A standby also answers it if the leader did not get the request.
        StatusCode::SERVICE_UNAVAILABLE => Failure::NotDone(format!("{name}: {}", errors.join("; "))),
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Failure::Unknown(format!("{name}: {}", errors.join("; "))),
        StatusCode::NOT_FOUND => Failure::Final(ClientError::NotFound { errors }),
        status if status.is_client_error() => Failure::Final(ClientError::Refused { errors }),
        status => Failure::Final(ClientError::other(format!("{name} answers HTTP {status}: {}", errors.join("; ")))),
    })
}

fn decode<T: DeserializeOwned>(answer: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(answer)
        .map_err(|error| ClientError::other(format!("CLIENT-ANSWER: the answer is not one of a Weir JobManager: {error}")))
}

fn draw_token() -> String {
    format!("{:032x}", random_id())
}

fn authority(address: &Url) -> String {
    address.authority().to_owned()
}

/// Whether nothing listens at the address.
fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = error.is_connect().then_some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if kind == Some(std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The text of an error and its causes. reqwest's own text omits the causes.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn parse_address(address: &str) -> Result<Url, ClientError> {
    let invalid = |why: &str| {
        let shown: String = address.chars().take(128).collect();
        ClientError::other(format!("CLIENT-ADDRESS: {shown:?} is not the address of a JobManager ({why}); give host:port"))
    };
    let address = address.trim();
    if address.starts_with("https://") {
        return Err(invalid("this build does not support TLS"));
    }
    let text = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let url = Url::parse(&text).map_err(|error| invalid(&error.to_string()))?;
    if url.scheme() != "http" {
        return Err(invalid("its scheme is not http"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(invalid("it has more than host and port"));
    }
    Ok(url)
}

#[cfg(test)]
pub(crate) mod tests;
