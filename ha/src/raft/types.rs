//! The types with which openraft is instantiated.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fenced_store::{Applied, Command};

openraft::declare_raft_types!(
    /// The types of a raft log of [`Command`]s.
    pub(crate) TypeConfig:
        D = Command,
        R = Option<Applied>,
        NodeId = NodeId,
        Node = Member,
);

/// Raft's id of a member, never 0. A founder's id is derived from its name; a member that joins later draws a random id. See
/// `formation.rs` for the reason.
pub(crate) type NodeId = u64;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;

/// A member of the raft group, as in the configuration and in the membership.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Member {
    /// Stable name, e.g. `jm-1`.
    pub name: String,
    /// `host:port` of its raft peer service.
    pub address: String,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.address)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquire { candidate } => write!(f, "acquire for {}", candidate.name),
            Self::Publish { record } => write!(f, "publish epoch {}", record.epoch),
            Self::RaiseEpoch { epoch, floor } => write!(f, "raise epoch {epoch} to {floor}"),
            Self::Commit { epoch, operations } => write!(f, "commit {} operations under epoch {epoch}", operations.len()),
        }
    }
}

/// The node id of a founder: 64-bit FNV-1a of its name.
pub(crate) fn founder_id(name: &str) -> NodeId {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name.bytes() {
        hash ^= u64::from(byte);
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash.max(1)
}
