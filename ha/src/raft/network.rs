//! This member's connections to the others.
//!
//! Every client has its own TCP connection, so votes, heartbeats, entries and snapshots never wait for each other.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
    VoteResponse,
};
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use weir_world::Backoff;
use weir_world::flaw::{Flaw, is_planted};
use weir_world::net::connect_channel_lazily;

use super::messages::proto::raft_peer_client::RaftPeerClient;
use super::messages::{Answer, MAX_MESSAGE_BYTES, Question, SNAPSHOT_PIECE_BYTES, SnapshotHead, Wire};
use super::types::{Member, NodeId, TypeConfig, Vote};

type OpenraftSnapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Bytes>;

/// The pause between two requests in a session with an unreachable member.
const BACKOFF: Duration = Duration::from_millis(100);
/// The first and the longest pause between two attempts to open a session. openraft's own pause is in the session, so it does not
/// hold when the session can't be opened.
const REOPEN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// A connection that receives nothing for this long gets a ping. If it then receives nothing for this long again, it is closed.
const KEEP_ALIVE: Duration = Duration::from_millis(500);
/// The longest time to establish a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Creates clients for openraft.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    wire: Arc<Wire>,
}

impl Network {
    pub(crate) fn new(wire: Arc<Wire>) -> Self {
        Self { wire }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> Peer {
        Peer::new(Arc::clone(&self.wire), target, &node.address)
    }
}

/// A connection to one member.
#[derive(Debug)]
pub(crate) struct Peer {
    wire: Arc<Wire>,
    target: NodeId,
    /// `Err` if the address is not valid.
    client: Result<RaftPeerClient<Channel>, String>,
    /// The pauses between failed attempts to open an append session.
    reopen: Backoff,
}

impl Peer {
    /// Connects at the first use. `target` is 0 if the member's node id is not known.
    pub(crate) fn new(wire: Arc<Wire>, target: NodeId, address: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map(|endpoint| {
            let endpoint =
                endpoint.connect_timeout(CONNECT_TIMEOUT).http2_keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
            connect_channel_lazily(&endpoint)
        });
        let client = endpoint.map_err(|error| format!("{address}: {error}")).map(|channel| {
            RaftPeerClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES)
        });
        Self { wire, target, client, reopen: Backoff::new(REOPEN.0, REOPEN.1) }
    }

    fn client(&self) -> Result<RaftPeerClient<Channel>, Status> {
        self.client.clone().map_err(Status::invalid_argument)
    }

    /// Asks a question and waits for the answer, for `deadline` at most.
    pub(crate) async fn ask(&self, question: &Question, deadline: Duration) -> Result<Answer, Status> {
        let asking = async {
            self.wire.passable().await;
            let envelope = self.wire.seal(self.target, question)?;
            let answer = self.client()?.call(envelope).await?.into_inner();
            self.wire.passable().await;
            let answer = self.wire.open(&answer)?;
            if let Answer::NotMember(as_of) = answer {
                self.wire.tell_excluded(as_of);
            }
            Ok(answer)
        };
        tokio::time::timeout(deadline, asking).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")))
    }

    /// Opens a presence stream. The peer sends who it is, and nothing more; the stream ends when its process ends.
    pub(crate) async fn presence(&self, deadline: Duration) -> Result<Presence, Status> {
        let opening = async {
            self.wire.passable().await;
            let envelope = self.wire.seal(self.target, &())?;
            let mut stream = self.client()?.presence(envelope).await?.into_inner();
            let hello = stream.message().await?.ok_or_else(|| Status::unavailable("the stream ended"))?;
            Ok(Presence { incarnation: self.wire.open(&hello)?, stream })
        };
        tokio::time::timeout(deadline, opening).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")))
    }

    /// Opens an append session. It ends when the caller drops the answers or a follower rejects an entry. From then on no more
    /// requests are read.
    ///
    /// After the end of a session, openraft considers its requests finished: it may purge their entries, and the next session
    /// reads from the same source. gRPC by itself would read more requests until the other side has learned that the answers were
    /// dropped.
    async fn append_stream<S>(&self, input: S) -> Result<BoxStream<'static, StreamItem>, Status>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        let (wire, target) = (Arc::clone(&self.wire), self.target);
        let (session, over) = oneshot::channel::<()>();
        let outbound = input
            .take_until(over)
            .then(move |request| {
                let wire = Arc::clone(&wire);
                async move {
                    wire.passable().await;
                    wire.seal(target, &request)
                }
            })
            // A request that can't be encoded ends the stream. openraft opens another stream and reports the error.
            .take_while(|sealed| futures::future::ready(sealed.is_ok()))
            .filter_map(|sealed| futures::future::ready(sealed.ok()));
        self.wire.passable().await;
        let inbound = self.client()?.append(outbound).await?.into_inner();
        let (wire, session) = (Arc::clone(&self.wire), Some(session));
        let answers = futures::stream::unfold((inbound, session), move |(mut inbound, session)| {
            let wire = Arc::clone(&wire);
            async move {
                let envelope = inbound.next().await?;
                wire.passable().await;
                let answer = envelope.and_then(|envelope| wire.open::<StreamAppendResult<TypeConfig>>(&envelope));
                let session = session.filter(|_| matches!(answer, Ok(Ok(_))));
                Some((answer.map_err(|status| rpc_error(&status)), (inbound, session)))
            }
        });
        Ok(answers.boxed())
    }

    async fn send_snapshot(&self, vote: Vote, snapshot: OpenraftSnapshot) -> Result<SnapshotResponse<TypeConfig>, Status> {
        let head = SnapshotHead { vote, meta: snapshot.meta, length: snapshot.snapshot.len() as u64 };
        let mut envelopes = vec![self.wire.seal(self.target, &head)?];
        let mut rest = snapshot.snapshot;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(SNAPSHOT_PIECE_BYTES));
            envelopes.push(self.wire.seal_bytes(self.target, piece));
        }
        let wire = Arc::clone(&self.wire);
        let outbound = futures::stream::iter(envelopes).then(move |envelope| {
            let wire = Arc::clone(&wire);
            async move {
                wire.passable().await;
                envelope
            }
        });
        let answer = self.client()?.install_snapshot(outbound).await?.into_inner();
        self.wire.passable().await;
        self.wire.open(&answer)
    }
}

/// A live presence stream.
pub(crate) struct Presence {
    /// Random number of the process at the other end.
    pub incarnation: u64,
    stream: tonic::Streaming<super::messages::Envelope>,
}

impl Presence {
    /// Returns when the stream ends, however it ends.
    pub(crate) async fn ended(&mut self) {
        while let Ok(Some(_)) = self.stream.message().await {}
    }
}

type StreamItem = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

fn rpc_error(status: &Status) -> RPCError<TypeConfig> {
    match status.code() {
        Code::Unavailable | Code::NotFound | Code::PermissionDenied | Code::FailedPrecondition | Code::InvalidArgument => {
            RPCError::Unreachable(Unreachable::new(status))
        }
        _ => RPCError::Network(NetworkError::new(status)),
    }
}

fn unexpected(answer: &Answer) -> RPCError<TypeConfig> {
    if let Answer::NotMember(as_of) = answer {
        return RPCError::Unreachable(Unreachable::from_string(format!("this process is no member as of {as_of}")));
    }
    RPCError::Network(NetworkError::from_string(format!("unexpected answer: {answer:?}")))
}

impl NetBackoff<TypeConfig> for Peer {
    fn backoff(&self) -> Option<openraft::network::Backoff> {
        Some(openraft::network::Backoff::new(std::iter::repeat(BACKOFF)))
    }
}

impl NetStreamAppend<TypeConfig> for Peer {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, StreamItem>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        let opening = async move {
            let opened = tokio::time::timeout(option.hard_ttl().max(CONNECT_TIMEOUT), self.append_stream(input)).await;
            let opened = opened.unwrap_or_else(|_| Err(Status::unavailable("no answer in time")));
            match opened {
                Ok(stream) => {
                    self.reopen.reset();
                    Ok(stream as BoxStream<'s, StreamItem>)
                }
                Err(status) => {
                    if !is_planted(Flaw::RetriedAtOnce) {
                        self.reopen.wait().await;
                    }
                    Err(rpc_error(&status))
                }
            }
        };
        opening.boxed()
    }
}

impl NetVote<TypeConfig> for Peer {
    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.ask(&Question::Vote(rpc), option.soft_ttl()).await.map_err(|status| rpc_error(&status))? {
            Answer::Vote(response) => Ok(response),
            answer => Err(unexpected(&answer)),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.ask(&Question::PreVote(rpc), option.soft_ttl()).await.map_err(|status| rpc_error(&status))? {
            Answer::Vote(response) => Ok(response),
            answer => Err(unexpected(&answer)),
        }
    }
}

impl NetSnapshot<TypeConfig> for Peer {
    type SnapshotData = Bytes;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: OpenraftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let sending = tokio::time::timeout(option.hard_ttl(), self.send_snapshot(vote, snapshot));
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sending => {
                let sent = sent.unwrap_or_else(|_| Err(Status::deadline_exceeded("the snapshot was not installed in time")));
                sent.map_err(|status| rpc_error(&status).into())
            }
        }
    }
}

impl NetTransferLeader<TypeConfig> for Peer {
    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.ask(&Question::Transfer(req), option.soft_ttl()).await.map_err(|status| rpc_error(&status))? {
            Answer::Transfer(response) => Ok(response),
            answer => Err(unexpected(&answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use openraft::raft::StreamAppendError;
    use tokio::sync::mpsc;
    use tonic::{Request, Response, Streaming};
    use weir_world::net::{BoundListener, ConnectionLimits};
    use weir_world::spawn;

    use super::super::messages::Envelope;
    use super::super::messages::proto::raft_peer_server::{RaftPeer, RaftPeerServer};
    use super::super::types::LogId;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Answers every append request with this result, and never ends the stream by itself.
    struct Answering(Arc<Wire>, StreamAppendResult<TypeConfig>);

    #[tonic::async_trait]
    impl RaftPeer for Answering {
        type AppendStream = BoxStream<'static, Result<Envelope, Status>>;
        type PresenceStream = Self::AppendStream;

        async fn append(&self, request: Request<Streaming<Envelope>>) -> Result<Response<Self::AppendStream>, Status> {
            let (wire, answer) = (Arc::clone(&self.0), self.1.clone());
            let answers = request.into_inner().map(move |_| wire.seal(0, &answer));
            Ok(Response::new(answers.chain(futures::stream::pending()).boxed()))
        }

        async fn call(&self, _: Request<Envelope>) -> Result<Response<Envelope>, Status> {
            Err(Status::unimplemented("not part of this test"))
        }

        async fn install_snapshot(&self, _: Request<Streaming<Envelope>>) -> Result<Response<Envelope>, Status> {
            Err(Status::unimplemented("not part of this test"))
        }

        async fn presence(&self, _: Request<Envelope>) -> Result<Response<Self::PresenceStream>, Status> {
            Err(Status::unimplemented("not part of this test"))
        }
    }

    type Requests = mpsc::Sender<AppendEntriesRequest<TypeConfig>>;

    fn request() -> AppendEntriesRequest<TypeConfig> {
        AppendEntriesRequest { vote: Vote::new_committed(1, 1), prev_log_id: None, leader_commit: None, entries: Vec::new() }
    }

    /// A session in which every request gets `answer`.
    async fn session(answer: StreamAppendResult<TypeConfig>) -> (Requests, BoxStream<'static, StreamItem>) {
        let listener = BoundListener::bind("127.0.0.1:0").unwrap();
        let peer = Peer::new(Wire::new("test"), 0, &listener.local_addr().unwrap().to_string());
        let service = RaftPeerServer::new(Answering(Wire::new("test"), answer));
        let server = tonic::transport::Server::builder().add_service(service);
        spawn("test", server.serve_with_incoming(listener.serve(ConnectionLimits::processes(4)).unwrap().incoming()));
        let (requests, input) = mpsc::channel(1);
        let input = futures::stream::unfold(input, async |mut input| input.recv().await.map(|request| (request, input)));
        let answers = peer.append_stream(input.boxed()).await.unwrap();
        (requests, answers)
    }

    /// Whether the requests are no longer read.
    async fn is_over(requests: &Requests) -> bool {
        tokio::time::timeout(PATIENCE, requests.closed()).await.is_ok()
    }

    #[tokio::test]
    async fn no_request_is_read_after_one_was_rejected() {
        let conflict =
            StreamAppendError::Conflict(LogId::new(openraft::impls::leader_id_adv::LeaderId { term: 1, node_id: 1 }, 7));
        let (requests, mut answers) = session(Err(conflict)).await;
        requests.send(request()).await.unwrap();
        assert!(matches!(answers.next().await, Some(Ok(Err(StreamAppendError::Conflict(_))))));
        assert!(is_over(&requests).await);
    }

    #[tokio::test]
    async fn no_request_is_read_after_the_answers_were_dropped() {
        let (requests, mut answers) = session(Ok(None)).await;
        for _ in 0..3 {
            requests.send(request()).await.unwrap();
            assert!(matches!(answers.next().await, Some(Ok(Ok(None)))));
        }
        drop(answers);
        assert!(is_over(&requests).await);
    }
}
