//! The gRPC stream to the leader.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use weir_protocol::convert::DecodeError;
use weir_protocol::link::{LeaderAddress, ToJobManager, ToTaskManager};
use weir_protocol::pb::link::v1 as pb;
use weir_protocol::rpc::{self, JobManagerServiceClient, MAX_MESSAGE_BYTES};
use weir_world::net::connect_channel;

use super::event::{Event, LinkNumber};
use crate::network::server::AbortOnDrop;

/// Most messages that wait for the connection. If there are more, the connection is stuck. All tasks of a TaskManager may report at the
/// same moment, before any message is sent.
const OUT_QUEUE: usize = 65_536;
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Interval of HTTP/2 pings, and longest wait for their answer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5));

/// Why a link could not be opened, or ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The text is not an address.
    #[error("LINK-ADDRESS: {0:?} is not host:port")]
    Address(String),
    /// The connection failed.
    #[error("LINK-TRANSPORT: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The JobManager refused the stream or aborted it.
    #[error("LINK-STATUS: {0}")]
    Status(Box<tonic::Status>),
    /// A message can't be decoded.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// The JobManager ended the stream in order.
    #[error("LINK-ENDED: the JobManager ended the stream")]
    Ended,
}

impl From<tonic::Status> for LinkError {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// The endpoint of the JobManager at `address`, with timeouts and keep-alive.
pub fn endpoint(address: &str) -> Result<Endpoint, LinkError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| LinkError::Address(address.to_owned()))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(16 * 1024 * 1024))
}

/// How long an orderly end of a link may take. Waiting messages are sent first.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// The link to one leader. Dropping it breaks the connection; [`LeaderLink::close`] ends it in order.
pub struct LeaderLink {
    out: mpsc::Sender<pb::ToJobManager>,
    task: AbortOnDrop,
}

/// The connection accepts no more messages.
#[derive(Debug)]
pub struct LinkClosed;

impl LeaderLink {
    /// Starts to connect to `leader`. Its progress and the leader's messages arrive as events.
    pub fn open(number: LinkNumber, leader: LeaderAddress, events: mpsc::Sender<Event>) -> Self {
        let (out, messages) = mpsc::channel(OUT_QUEUE);
        let task = weir_world::spawn("leader-link", async move {
            let error = match converse(number, &leader, messages, &events).await {
                Ok(()) => LinkError::Ended,
                Err(error) => error,
            };
            if let LinkError::Status(status) = &error
                && let Some(hint) = rpc::leader_hint(status)
            {
                let _ = events.send(Event::LeaderSeen(hint)).await;
            }
            let _ = events.send(Event::LinkLost { link: number, reason: error.to_string() }).await;
        });
        Self { out, task: AbortOnDrop(task) }
    }

    /// Sends the waiting messages and ends the stream, so that the leader does not take this for a failure. Gives up if the
    /// leader does not end its half soon.
    pub async fn close(self) {
        let Self { out, mut task } = self;
        drop(out);
        // If the leader is silent, the connection is broken instead.
        let _ = tokio::time::timeout(CLOSE_PATIENCE, &mut task.0).await;
    }

    /// Queues a message.
    pub fn send(&self, message: ToJobManager) -> Result<(), LinkClosed> {
        self.out.try_send(message.into()).map_err(|_| LinkClosed)
    }
}

async fn converse(
    number: LinkNumber,
    leader: &LeaderAddress,
    messages: mpsc::Receiver<pb::ToJobManager>,
    events: &mpsc::Sender<Event>,
) -> Result<(), LinkError> {
    let channel = connect_channel(&endpoint(&leader.rpc_address)?).await?;
    // Send the registration together with the call, because the JobManager may wait for it before it answers.
    if events.send(Event::LinkUp(number)).await.is_err() {
        return Ok(());
    }
    let mut client = JobManagerServiceClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let mut orders = client.connect(ReceiverStream::new(messages)).await?.into_inner();
    while let Some(order) = orders.message().await? {
        let message = ToTaskManager::try_from(order)?;
        if events.send(Event::FromLeader { link: number, message }).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use weir_protocol::{ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch};

    use super::*;

    #[tokio::test]
    async fn thousands_of_tasks_may_report_before_anything_is_sent() {
        let leader = LeaderAddress {
            epoch: LeaderEpoch(1),
            name: "jm-1".to_owned(),
            rpc_address: "127.0.0.1:1".to_owned(),
            rest_address: String::new(),
        };
        let (events, _events) = mpsc::channel(1);
        let link = LeaderLink::open(LinkNumber(1), leader, events);
        for subtask in 0..50_000 {
            let execution_vertex = ExecutionVertexId { vertex: JobVertexId::default(), subtask };
            let generation = Generation { epoch: LeaderEpoch(1), attempt: 1 };
            let attempt = ExecutionAttemptId { job: JobId::default(), execution_vertex, generation };
            link.send(ToJobManager::InputEnded(attempt)).expect("there is room");
        }
    }
}
