//! Which process is a member.
//!
//! A copy of a member's directory that is started at another address has the same node id, log and vote. If both processes took
//! part, one member would vote twice, and two leaders could be elected in one term. Only one process can listen at the address
//! that the membership has for the member. So a member that gets the first message of a process asks at that address whether this is
//! the process that runs there, and refuses the message otherwise.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tonic::Status;
use tracing::warn;
use weir_world::flaw::{Flaw, is_planted};

use super::group::Group;
use super::messages::Envelope;
use super::types::{Member, NodeId, founder_id};

/// The processes from which messages came.
#[derive(Debug, Default)]
pub(crate) struct Senders {
    /// The random number of the process that is the member.
    verified: Mutex<BTreeMap<NodeId, u64>>,
    /// The random number of the process that was refused last in the member's name. For each, the log says so once.
    refused: Mutex<BTreeMap<NodeId, u64>>,
}

impl Senders {
    fn is_verified(&self, node: NodeId, process: u64) -> bool {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(&node) == Some(&process)
    }

    fn verify(&self, node: NodeId, process: u64) {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(node, process);
    }

    /// Whether this is the first refusal of the process.
    fn refuse(&self, node: NodeId, process: u64) -> bool {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(node, process) != Some(process)
    }

    /// Whether a process was refused in this member's name.
    #[cfg(test)]
    pub(crate) fn refuses(&self, node: NodeId) -> bool {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&node)
    }
}

impl Group {
    /// Checks that the sender of a vote request, of entries or of a snapshot is the process that runs at its member's address.
    /// Asks at that address unless it did so before. A member that this one does not know is not checked.
    pub(crate) async fn check_sender(&self, envelope: &Envelope) -> Result<(), Status> {
        let (node, process) = (envelope.from, envelope.process);
        if self.senders.is_verified(node, process) || is_planted(Flaw::CopyBelieved) {
            return Ok(());
        }
        let Some(member) = self.known_member(node) else { return Ok(()) };
        let found = self.probe(&member.address).await;
        let found = found
            .map_err(|error| Status::unavailable(format!("can't ask at {} who {} is: {error}", member.address, member.name)))?;
        if found.node_id == Some(node) && found.incarnation == process {
            self.senders.verify(node, process);
            return Ok(());
        }
        let text = format!(
            "HA-RAFT-COPY: {} runs at {}, and another process uses a copy of its directory; stop that process and remove the copy",
            member.name, member.address
        );
        if self.senders.refuse(node, process) {
            warn!("{text}");
        }
        Err(Status::permission_denied(text))
    }

    /// The member with this node id, from the membership or, before there is one, from the founders.
    fn known_member(&self, node: NodeId) -> Option<Member> {
        let founder = || self.founders.iter().find(|member| founder_id(&member.name) == node).cloned();
        match self.metrics() {
            Some(metrics) if metrics.membership_config.nodes().next().is_some() => {
                metrics.membership_config.get_node(&node).cloned()
            }
            _ => founder(),
        }
    }
}
