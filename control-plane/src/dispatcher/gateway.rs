//! The handle of the Dispatcher, which other actors hold.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;

use super::effect::{CancelError, SubmitError, Submitted};
use crate::job_master::effect::JobEnded;
use crate::job_master::view::JobView;

/// Number of requests that may wait. If the queue is full, further callers wait too, up to their own deadline.
const REQUESTS: usize = 256;

/// A cheap handle of the Dispatcher. Clones reach the same Dispatcher.
#[derive(Clone)]
pub struct DispatcherGateway {
    requests: mpsc::Sender<Request>,
}

/// A request in the queue of the runner.
pub(super) enum Request {
    Submit { graph: Box<JobGraph>, client_token: Option<String>, reply: oneshot::Sender<Result<Submitted, SubmitError>> },
    Cancel { job: JobId, reply: oneshot::Sender<Result<(), CancelError>> },
    JobEnded { ended: JobEnded, last_view: Arc<JobView> },
}

pub(super) type Requests = mpsc::Receiver<Request>;

impl fmt::Debug for DispatcherGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DispatcherGateway")
    }
}

/// Creates a gateway and the runner's end of it.
pub(super) fn channel() -> (DispatcherGateway, Requests) {
    let (requests, requests_end) = mpsc::channel(REQUESTS);
    (DispatcherGateway { requests }, requests_end)
}

impl DispatcherGateway {
    /// Submits a validated job. Returns `Ok` only when the job is durable.
    ///
    /// With a client token, the call can be repeated after any error. The job is created once (G2).
    pub async fn submit(&self, graph: JobGraph, client_token: Option<String>) -> Result<Submitted, SubmitError> {
        let unavailable = |outcome: &str| format!("NO-LEADER: this JobManager stopped leading; {outcome}");
        let (reply, answer) = oneshot::channel();
        let request = Request::Submit { graph: Box::new(graph), client_token, reply };
        if self.requests.send(request).await.is_err() {
            return Err(SubmitError::Unavailable(unavailable("the job was not accepted; try again")));
        }
        let unknown = || SubmitError::Unknown(unavailable("submit again with the same client token"));
        answer.await.unwrap_or_else(|_| Err(unknown()))
    }

    /// Cancels a job. Returns when its JobMaster has been told. The job's status then shows the progress.
    pub async fn cancel(&self, job: JobId) -> Result<(), CancelError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Cancel { job, reply }).await.map_err(|_| CancelError::NotLeader)?;
        answer.await.unwrap_or(Err(CancelError::NotLeader))
    }

    /// Tells the Dispatcher that a job has ended. Returns when the Dispatcher has the message.
    pub async fn job_ended(&self, ended: JobEnded, last_view: Arc<JobView>) {
        // A Dispatcher that has stopped can't use it. The next leader runs the job again and learns of its end.
        let _ = self.requests.send(Request::JobEnded { ended, last_view }).await;
    }
}
