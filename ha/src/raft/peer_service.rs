//! The service that answers the other members.

use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use futures::{Stream, StreamExt};
use openraft::raft::AppendEntriesRequest;
use tonic::{Request, Response, Status, Streaming};
use tracing::{error, warn};

use super::group::Group;
use super::machine::Raft;
use super::messages::proto::raft_peer_server::RaftPeer;
use super::messages::{Answer, Envelope, Question, SnapshotHead};
use super::snapshot::MAX_SNAPSHOT_BYTES;
use super::types::{NodeId, TypeConfig};

type EnvelopeStream = Pin<Box<dyn Stream<Item = Result<Envelope, Status>> + Send>>;
type OpenraftSnapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, bytes::Bytes>;

/// The peer service of one member.
pub(crate) struct PeerService {
    pub group: Arc<Group>,
}

impl PeerService {
    fn raft(&self) -> Result<&Raft, Status> {
        self.group.raft.get().ok_or_else(|| Status::unavailable("this member is not in the group yet"))
    }

    async fn answer(&self, question: Question) -> Result<Answer, Status> {
        let failed = |error: &dyn std::fmt::Display| Status::internal(error.to_string());
        match question {
            Question::Vote(request) => self.raft()?.vote(request).await.map(Answer::Vote).map_err(|error| failed(&error)),
            Question::PreVote(request) => self.raft()?.pre_vote(request).await.map(Answer::Vote).map_err(|error| failed(&error)),
            Question::Transfer(request) => {
                self.raft()?.handle_transfer_leader(request).await.map(Answer::Transfer).map_err(|error| failed(&error))
            }
            Question::ReadIndex => Ok(self.group.read_index().await.map_or_else(Answer::Refused, Answer::ReadIndex)),
            Question::Status => Ok(Answer::Status(self.group.peer_status())),
            Question::Join { member, node_id } => self.join(member, node_id).await,
        }
    }

    /// Admits a process only in place of a member of the same name. An operator must add any other
    /// ([`super::MemberChange::Add`]).
    async fn join(&self, member: super::Member, node_id: NodeId) -> Result<Answer, Status> {
        if self.group.nodes_named(&member.name).is_empty() {
            return Ok(Answer::Refused(format!("there is no member {:?} that it could replace", member.name)));
        }
        if let Some(reason) = self.group.in_use(&member, node_id).await {
            warn!(name = member.name, address = member.address, reason, "refused to replace a member");
            return Ok(Answer::Refused(reason));
        }
        let admitted = self.group.admit(member, Some(node_id)).await;
        Ok(admitted.map_or_else(|error| Answer::Refused(error.to_string()), |()| Answer::Joined))
    }
}

/// Whether the entries follow the previous entry and each other without a gap. openraft checks this only in builds with
/// assertions. Without the check, an entry in a wrong place would make a hole in the log (P2).
fn is_consecutive(request: &AppendEntriesRequest<TypeConfig>) -> bool {
    let first = request.prev_log_id.map_or(0, |before| before.index + 1);
    let consecutive = request.entries.iter().zip(first..).all(|(entry, index)| entry.log_id.index == index);
    if !consecutive {
        error!(%request, "rejected entries that do not follow each other");
    }
    consecutive
}

#[tonic::async_trait]
impl RaftPeer for PeerService {
    async fn call(&self, request: Request<Envelope>) -> Result<Response<Envelope>, Status> {
        let envelope = request.into_inner();
        let wire = &self.group.wire;
        wire.passable().await;
        let question = wire.open(&envelope)?;
        if matches!(question, Question::Vote(_) | Question::PreVote(_) | Question::Transfer(_)) {
            self.group.check_sender(&envelope).await?;
        }
        let answer = match self.group.excludes(envelope.from, &question) {
            Some(as_of) => Answer::NotMember(as_of),
            None => self.answer(question).await?,
        };
        wire.passable().await;
        Ok(Response::new(wire.seal(0, &answer)?))
    }

    type AppendStream = EnvelopeStream;

    async fn append(&self, request: Request<Streaming<Envelope>>) -> Result<Response<EnvelopeStream>, Status> {
        let raft = self.raft()?.clone();
        let group = Arc::clone(&self.group);
        let requests = request.into_inner().then(move |envelope| {
            let group = Arc::clone(&group);
            async move {
                group.wire.passable().await;
                let envelope = envelope?;
                let request = group.wire.open::<AppendEntriesRequest<TypeConfig>>(&envelope)?;
                group.check_sender(&envelope).await?;
                Ok(request)
            }
        });
        // A request that can't be decoded, of a process that is not the member, or whose entries are not consecutive ends the
        // stream. The leader opens another stream.
        let requests = requests
            .take_while(|request: &Result<_, Status>| futures::future::ready(request.as_ref().is_ok_and(is_consecutive)))
            .filter_map(|request| futures::future::ready(request.ok()));
        let group = Arc::clone(&self.group);
        let answers = raft.stream_append(requests.boxed()).then(move |answer| {
            let group = Arc::clone(&group);
            async move {
                group.wire.passable().await;
                let answer = answer.map_err(|fatal| Status::internal(fatal.to_string()))?;
                group.wire.seal(0, &answer)
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn install_snapshot(&self, request: Request<Streaming<Envelope>>) -> Result<Response<Envelope>, Status> {
        let wire = &self.group.wire;
        let mut pieces = request.into_inner();
        let first = pieces.message().await?.ok_or_else(|| Status::invalid_argument("an empty stream"))?;
        let head: SnapshotHead = wire.open(&first)?;
        self.group.check_sender(&first).await?;
        if head.length > MAX_SNAPSHOT_BYTES {
            return Err(Status::out_of_range(format!("a snapshot of {} bytes is over the limit", head.length)));
        }
        let mut snapshot = BytesMut::new();
        while let Some(piece) = pieces.message().await? {
            wire.passable().await;
            wire.check(&piece)?;
            snapshot.extend_from_slice(&piece.body);
            if snapshot.len() as u64 > head.length {
                return Err(Status::invalid_argument("the snapshot is longer than announced"));
            }
        }
        if snapshot.len() as u64 != head.length {
            return Err(Status::invalid_argument("the snapshot is shorter than announced"));
        }
        let snapshot = OpenraftSnapshot { meta: head.meta, snapshot: snapshot.freeze() };
        let installed = self.raft()?.install_full_snapshot(head.vote, snapshot).await;
        let answer = installed.map_err(|fatal| Status::internal(fatal.to_string()))?;
        wire.passable().await;
        Ok(Response::new(wire.seal(0, &answer)?))
    }

    type PresenceStream = EnvelopeStream;

    async fn presence(&self, request: Request<Envelope>) -> Result<Response<EnvelopeStream>, Status> {
        let wire = &self.group.wire;
        wire.passable().await;
        wire.check(&request.into_inner())?;
        let hello = wire.seal(0, &wire.incarnation)?;
        let stream = futures::stream::iter([Ok(hello)]).chain(futures::stream::pending());
        Ok(Response::new(stream.boxed()))
    }
}

#[cfg(test)]
mod tests {
    use openraft::Vote;
    use openraft::entry::RaftEntry;
    use openraft::impls::leader_id_adv::LeaderId;

    use super::*;
    use crate::raft::types::{Entry, LogId};

    #[test]
    fn entries_are_taken_only_if_each_follows_the_one_before() {
        let log_id = |index| LogId::new(LeaderId { term: 1, node_id: 7 }, index);
        let consecutive = |before: Option<u64>, indexes: &[u64]| {
            is_consecutive(&AppendEntriesRequest {
                vote: Vote::new_committed(1, 7),
                prev_log_id: before.map(log_id),
                entries: indexes.iter().map(|index| Entry::new_blank(log_id(*index))).collect(),
                leader_commit: None,
            })
        };
        assert!(
            consecutive(None, &[]) && consecutive(None, &[0, 1]) && consecutive(Some(4), &[]) && consecutive(Some(4), &[5, 6])
        );
        assert!(!consecutive(None, &[1]), "the first entry is missing");
        assert!(!consecutive(Some(258), &[301]), "entries after the previous one are missing");
        assert!(!consecutive(Some(4), &[5, 7]), "an entry in between is missing");
        assert!(!consecutive(Some(4), &[4, 5]), "the previous entry is repeated");
    }
}
