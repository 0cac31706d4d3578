//! The messages between members, and their envelope.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use openraft::raft::{TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tonic::Status;
use weir_world::random_id;

use super::types::{LogId, Member, NodeId, SnapshotMeta, TypeConfig, Vote};

/// The generated service.
pub(crate) mod proto {
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines, reason = "generated")]
    tonic::include_proto!("weir.ha.raft.v1");
}

pub(crate) use proto::Envelope;

/// Version of the encoding of bodies. Members with different versions refuse each other's messages.
const ENCODING: u32 = 2;

/// The most bytes of one message: enough for several of the largest commits.
pub(crate) const MAX_MESSAGE_BYTES: usize = 8 << 20;
/// Bytes of one piece of a snapshot.
pub(crate) const SNAPSHOT_PIECE_BYTES: usize = 1 << 20;

/// A question to another member.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Question {
    /// Asks for a vote.
    Vote(VoteRequest<TypeConfig>),
    /// Asks whether the receiver would vote for the sender.
    PreVote(VoteRequest<TypeConfig>),
    /// Asks the receiver to lead instead of the sender.
    Transfer(TransferLeaderRequest<TypeConfig>),
    /// Asks the leader up to which entry a read at this moment must have applied the log.
    ReadIndex,
    /// Asks for the status of the receiver.
    Status,
    /// Asks the leader to admit the sender, in place of the former member of the same name.
    Join { member: Member, node_id: NodeId },
}

/// An answer to a [`Question`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The answer to `Vote` and `PreVote`.
    Vote(VoteResponse<TypeConfig>),
    Transfer(TransferLeaderResponse<TypeConfig>),
    ReadIndex(LogId),
    Status(PeerStatus),
    /// The answer to `Join`: the member is in the membership now.
    Joined,
    /// The request was refused, for the reason in the text.
    Refused(String),
    /// The request was refused because the sender is no member as of this committed entry.
    NotMember(LogId),
}

/// The status of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerStatus {
    pub name: String,
    /// Its node id, once it has one.
    pub node_id: Option<NodeId>,
    /// Random number of this process.
    pub incarnation: u64,
    /// How far the process is in becoming a member.
    pub stage: Stage,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it stands in elections, because a candidate there wants to lead.
    pub stands: bool,
}

/// How far a process is in becoming a member of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Its directory is empty and it has no identity yet.
    Empty,
    /// It will found the group with the others. There is no log yet.
    Founder,
    /// It waits for admission to an existing group.
    Joining,
    /// It has a log.
    Member,
}

/// First message of a snapshot. The pieces follow as raw bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotHead {
    /// The leader's vote.
    pub vote: Vote,
    /// What the snapshot covers.
    pub meta: SnapshotMeta,
    pub length: u64,
}

/// What all connections of one member share.
#[derive(Debug)]
pub(crate) struct Wire {
    cluster_id: String,
    /// Node id of this member; 0 until it is known.
    me: AtomicU64,
    /// Random number of this process.
    pub incarnation: u64,
    isolated: watch::Sender<bool>,
    /// The newest entry as of which another member said that this one is no member.
    excluded: Mutex<Option<LogId>>,
}

impl Wire {
    pub(crate) fn new(cluster_id: &str) -> Arc<Self> {
        let isolated = watch::Sender::new(false);
        Arc::new(Self {
            cluster_id: cluster_id.to_owned(),
            me: AtomicU64::new(0),
            incarnation: random_id() as u64,
            isolated,
            excluded: Mutex::default(),
        })
    }

    pub(crate) fn set_me(&self, me: NodeId) {
        self.me.store(me, Ordering::Relaxed);
    }

    /// After `true`, no message passes in either direction until `false`, as if the cable were pulled.
    pub(crate) fn set_isolated(&self, isolated: bool) {
        self.isolated.send_replace(isolated);
    }

    /// Waits while isolated.
    pub(crate) async fn passable(&self) {
        if !*self.isolated.borrow() {
            return;
        }
        // The sender is part of `self`, so this can't fail.
        let _ = self.isolated.subscribe().wait_for(|isolated| !isolated).await;
    }

    /// Takes in an answer which says that this member is none as of this entry.
    pub(crate) fn tell_excluded(&self, as_of: LogId) {
        let mut excluded = self.excluded.lock().unwrap_or_else(PoisonError::into_inner);
        *excluded = (*excluded).max(Some(as_of));
    }

    /// The newest entry as of which another member said that this one is no member.
    pub(crate) fn excluded(&self) -> Option<LogId> {
        *self.excluded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message to node `to`; 0 if the node id is not known.
    pub(crate) fn seal<T: Serialize>(&self, to: NodeId, body: &T) -> Result<Envelope, Status> {
        let body = postcard::to_stdvec(body).map_err(|error| Status::internal(error.to_string()))?;
        Ok(self.seal_bytes(to, body.into()))
    }

    /// A message whose body is not encoded with postcard.
    pub(crate) fn seal_bytes(&self, to: NodeId, body: bytes::Bytes) -> Envelope {
        let from = self.me.load(Ordering::Relaxed);
        Envelope { cluster_id: self.cluster_id.clone(), version: ENCODING, from, to, body, process: self.incarnation }
    }

    /// Checks that a message is for this member.
    pub(crate) fn check(&self, envelope: &Envelope) -> Result<(), Status> {
        if envelope.cluster_id != self.cluster_id {
            let theirs: String = envelope.cluster_id.chars().take(64).collect();
            return Err(Status::permission_denied(format!("this is cluster {:?}, not {theirs:?}", self.cluster_id)));
        }
        if envelope.version != ENCODING {
            let text = format!("this member speaks encoding {ENCODING}, not {}", envelope.version);
            return Err(Status::failed_precondition(text));
        }
        let me = self.me.load(Ordering::Relaxed);
        if envelope.to != 0 && envelope.to != me {
            return Err(Status::not_found(format!("this is node {me}, not {}", envelope.to)));
        }
        Ok(())
    }

    /// The body of a message for this member.
    pub(crate) fn open<T: DeserializeOwned>(&self, envelope: &Envelope) -> Result<T, Status> {
        self.check(envelope)?;
        postcard::from_bytes(&envelope.body).map_err(|error| Status::invalid_argument(format!("unreadable: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_of_another_cluster_version_or_node_is_refused() {
        let (here, there) = (Wire::new("a"), Wire::new("b"));
        here.set_me(7);
        let seal = |to| here.seal(to, &Question::Status).expect("encodes");
        assert!(here.check(&seal(7)).is_ok());
        assert!(here.check(&seal(0)).is_ok());
        assert!(here.check(&seal(8)).is_err());
        assert!(there.check(&seal(0)).is_err());
        assert!(here.check(&Envelope { version: 9, ..seal(7) }).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_open_without_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let wire = Wire::new("a");
            let envelope = wire.seal_bytes(0, body.into());
            let _ = wire.open::<Question>(&envelope);
            let _ = wire.open::<Answer>(&envelope);
            let _ = wire.open::<SnapshotHead>(&envelope);
            let _ = wire.open::<openraft::raft::AppendEntriesRequest<TypeConfig>>(&envelope);
        }
    }
}
