//! The membership of the group, and its changes.
//!
//! A change of voters takes two entries, joint and then uniform (section 6 of the Raft paper). If a leader dies between the two,
//! the group needs the majorities of both sets. If one of them contains a member that is lost for ever, no other member may fail.
//! So every leader completes a change that it finds half done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, ServerState};
use tracing::{debug, info};
use weir_world::flaw::{Flaw, is_planted};

use super::group::Group;
use super::machine::Raft;
use super::types::{Member, NodeId, TypeConfig};
use crate::MembershipError;

/// How long a new member may take to catch up, and a change to be committed.
const CHANGE_DEADLINE: Duration = Duration::from_secs(30);
/// The pause between two attempts to complete a change.
const RETRY: Duration = Duration::from_millis(100);

impl Group {
    /// Admits the process that runs at `member.address` now, in place of the former member of its name. Only the leader can do
    /// this.
    pub(crate) async fn admit(&self, member: Member, expected: Option<NodeId>) -> Result<(), MembershipError> {
        let _one = self.changing.lock().await;
        let status = self.probe(&member.address).await.map_err(MembershipError::Unreachable)?;
        let known = status.node_id.filter(|node| expected.is_none_or(|expected| expected == *node));
        let (Some(node), true) = (known, status.name == member.name) else {
            let text = format!("the member at this address is {:?}, in stage {:?}", status.name, status.stage);
            return Err(MembershipError::Refused(text));
        };
        let raft = self.raft.get().ok_or(MembershipError::NotLeader)?;
        self.complete(raft).await?;
        let former: BTreeSet<_> = self.nodes_named(&member.name).into_iter().filter(|id| *id != node).collect();
        let mut voters = self.voters()?;
        if voters.contains(&node) && former.is_empty() {
            return Ok(());
        }
        // The member gets the entries first and the vote later, because a member without entries must not count in a quorum.
        let (name, address) = (member.name.clone(), member.address.clone());
        let learning = tokio::time::timeout(CHANGE_DEADLINE, raft.add_learner(node, member, true)).await;
        learning.map_err(|_| MembershipError::TimedOut)?.map_err(|error| refusal(&error))?;
        voters.insert(node);
        change(raft, without(&voters, &former)).await?;
        info!(name, address, node, replaced = ?former, "admitted a member to the group");
        Ok(())
    }

    /// Why the process `newcomer` may not take the place of the member of this name: the member still runs. A member that lost its
    /// directory has ended, or it is the newcomer itself.
    pub(crate) async fn in_use(&self, newcomer: &Member, node: NodeId) -> Option<String> {
        let metrics = self.metrics()?;
        let former: Vec<_> = self.nodes_named(&newcomer.name).into_iter().filter(|id| *id != node).collect();
        for id in former {
            let Some(member) = metrics.membership_config.get_node(&id) else { continue };
            let runs = id == metrics.id || self.probe(&member.address).await.is_ok_and(|status| status.node_id == Some(id));
            if runs && !is_planted(Flaw::MemberEvicted) {
                let Member { name, address } = member;
                return Some(format!(
                    "HA-RAFT-TWIN: {name} runs at {address}; a process at {} with the same name can't take its place. Give one of them another name, or stop {name} first",
                    newcomer.address
                ));
            }
        }
        None
    }

    /// Removes the member of this name. Only the leader can do this.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), MembershipError> {
        let _one = self.changing.lock().await;
        let raft = self.raft.get().ok_or(MembershipError::NotLeader)?;
        self.complete(raft).await?;
        let gone = self.nodes_named(name);
        if gone.is_empty() {
            return Err(MembershipError::Refused(format!("there is no member {name:?}")));
        }
        let voters = self.voters()?;
        if voters.is_subset(&gone) {
            return Err(MembershipError::Refused(format!("{name:?} is the last voter")));
        }
        change(raft, without(&voters, &gone)).await
    }

    fn voters(&self) -> Result<BTreeSet<NodeId>, MembershipError> {
        let metrics = self.metrics().ok_or(MembershipError::NotLeader)?;
        Ok(metrics.membership_config.voter_ids().collect())
    }

    /// Whether this member leads a group whose voters are half changed.
    fn leads_half_changed(&self) -> bool {
        self.metrics()
            .is_some_and(|metrics| metrics.state == ServerState::Leader && metrics.membership_config.get_joint_config().len() > 1)
    }

    /// Completes a change of voters of which only the first entry exists.
    async fn complete(&self, raft: &Raft) -> Result<(), MembershipError> {
        if !self.leads_half_changed() {
            return Ok(());
        }
        // Adding no voter makes raft continue to the voters of the half-done change.
        change(raft, ChangeMembers::AddVoterIds(BTreeSet::new())).await?;
        info!("completed a half-done change of the group's members");
        Ok(())
    }
}

/// The change that removes the nodes in `gone` from the group, both as voters and as learners.
fn without(voters: &BTreeSet<NodeId>, gone: &BTreeSet<NodeId>) -> ChangeMembers<NodeId, Member> {
    // A removed voter stays in the membership until the change is complete. Then raft removes it.
    let learners = gone.difference(voters).copied().collect();
    let left = voters.difference(gone).copied().collect();
    ChangeMembers::Batch(vec![ChangeMembers::RemoveNodes(learners), ChangeMembers::ReplaceAllVoters(left)])
}

async fn change(raft: &Raft, changes: ChangeMembers<NodeId, Member>) -> Result<(), MembershipError> {
    let changing = tokio::time::timeout(CHANGE_DEADLINE, raft.change_membership(changes, false)).await;
    changing.map_err(|_| MembershipError::TimedOut)?.map(|_| ()).map_err(|error| refusal(&error))
}

fn refusal(error: &RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> MembershipError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => MembershipError::NotLeader,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_))) => {
            MembershipError::InProgress
        }
        other => MembershipError::Refused(other.to_string()),
    }
}

/// Completes changes that a former leader left half done, whenever this member leads. Runs until raft stops.
pub(crate) async fn complete_changes(group: Arc<Group>, raft: Raft) {
    let mut server = raft.server_metrics();
    loop {
        while group.leads_half_changed() {
            // Usually this member is making a change itself, and the change is complete once the lock is free.
            let _one = group.changing.lock().await;
            if let Err(error) = group.complete(&raft).await {
                debug!(%error, "could not complete a change of the group's members");
                tokio::time::sleep(RETRY).await;
            }
        }
        if server.changed().await.is_err() {
            return;
        }
    }
}
