//! How a member gets its identity.
//!
//! A member with an empty directory is one of two: a founder of a group that does not exist yet, or a member that lost its
//! directory. The second must not vote. It has lost its earlier votes, and with its vote a group could elect a leader that lacks
//! committed entries. To tell the two cases apart, the member asks *all* other founders first:
//!
//! 1. If every other founder answers and none has a log, the member stores that it is a founder. The group is founded only when
//!    all founders have done so. Therefore the first start of a group needs all its members at once.
//! 2. If any other founder has a log, this member had stored its identity before (otherwise the group would not exist), and has
//!    lost it. It takes a *new* node id, which counts in no quorum. It asks the leader for admission in place of its former node
//!    id: first as a learner, and with a vote only when it has caught up.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use openraft::async_runtime::WatchReceiver;
use tracing::{info, warn};
use weir_world::random_id;

use super::group::Group;
use super::identity::{Identity, save};
use super::log::LogError;
use super::machine::Raft;
use super::messages::{Answer, PeerStatus, Question, Stage};
use super::network::Peer;
use super::types::{Member, NodeId, founder_id};

const RETRY: Duration = Duration::from_millis(100);
/// A long wait is logged once per this many retries.
const REPORT_EVERY: u32 = 100;
/// How long the leader may take to admit this member, which has to catch up first.
const JOIN_DEADLINE: Duration = Duration::from_secs(60);

/// What the answers of the others say about a member with an empty directory.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// There is no group yet.
    Founder,
    /// There is a group already.
    LateComer,
    /// It is not clear, because these members did not answer.
    Unclear(Vec<String>),
}

fn judge(answers: &[(Member, Result<PeerStatus, String>)]) -> Verdict {
    let stage = |answer: &Result<PeerStatus, String>| answer.as_ref().ok().map(|status| status.stage);
    if answers.iter().any(|(_, answer)| matches!(stage(answer), Some(Stage::Member | Stage::Joining))) {
        return Verdict::LateComer;
    }
    let silent: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_err()).map(|(member, _)| member.name.clone()).collect();
    if silent.is_empty() { Verdict::Founder } else { Verdict::Unclear(silent) }
}

async fn ask_others(group: &Group) -> Vec<(Member, Result<PeerStatus, String>)> {
    let others = group.founders.iter().filter(|member| member.name != group.me.name);
    join_all(others.map(|member| async { (member.clone(), group.probe(&member.address).await) })).await
}

/// Decides whether this member is a founder, and stores its identity durably.
pub(crate) async fn find_identity(group: &Group, cluster_id: &str, directory: &Path) -> Result<Identity, LogError> {
    let founding = group.founders.iter().any(|member| member.name == group.me.name);
    let mut tries: u32 = 0;
    let founder = loop {
        if !founding {
            break false;
        }
        match judge(&ask_others(group).await) {
            Verdict::Founder => break true,
            Verdict::LateComer => break false,
            Verdict::Unclear(silent) => {
                if tries.is_multiple_of(REPORT_EVERY) {
                    warn!(missing = ?silent, "the first start needs every member once: waiting for the others");
                }
            }
        }
        tries += 1;
        tokio::time::sleep(RETRY).await;
    };
    let node_id = if founder { founder_id(&group.me.name) } else { (random_id() as u64).max(1) };
    let name = group.me.name.clone();
    let identity = Identity { cluster_id: cluster_id.to_owned(), name, node_id, founder, formed: false };
    save(directory, &identity)?;
    info!(node = node_id, founder, "this member has got its identity");
    Ok(identity)
}

/// Founds the group once every founder has stored that it is a founder. The founder whose name sorts first does it.
pub(crate) async fn found(group: &Group, raft: &Raft) {
    let first = group.founders.iter().map(|member| &member.name).min() == Some(&group.me.name);
    let members: BTreeMap<NodeId, Member> =
        group.founders.iter().map(|member| (founder_id(&member.name), member.clone())).collect();
    while !raft.is_initialized().await.unwrap_or(true) {
        let ready = |answer: &Result<PeerStatus, String>| {
            answer.as_ref().is_ok_and(|status| matches!(status.stage, Stage::Founder | Stage::Member))
        };
        if first && ask_others(group).await.iter().all(|(_, answer)| ready(answer)) {
            match raft.initialize(members.clone()).await {
                Ok(()) => info!(members = members.len(), "the group is founded"),
                Err(error) => warn!(%error, "could not found the group"),
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Whether this member is a voter in the committed membership. An uncommitted change may be undone when its leader is replaced.
fn votes(raft: &Raft, node_id: NodeId) -> bool {
    let server = raft.server_metrics();
    let server = server.borrow_watched();
    server.committed_membership_config.voter_ids().any(|id| id == node_id)
}

/// Asks the leader for admission until this member is a voter.
pub(crate) async fn join(group: &Arc<Group>, raft: &Raft, node_id: NodeId) {
    let mut tries: u32 = 0;
    loop {
        if votes(raft, node_id) {
            info!("this member is a voter now");
            return;
        }
        for (member, answer) in ask_others(group).await {
            if !answer.is_ok_and(|status| status.leads) {
                continue;
            }
            let peer = Peer::new(Arc::clone(&group.wire), 0, &member.address);
            let question = Question::Join { member: group.me.clone(), node_id };
            match peer.ask(&question, JOIN_DEADLINE).await {
                Ok(Answer::Refused(reason)) if tries.is_multiple_of(REPORT_EVERY) => {
                    warn!(leader = member.name, reason, "not admitted to the group yet");
                }
                Err(status) if tries.is_multiple_of(REPORT_EVERY) => {
                    warn!(leader = member.name, reason = status.message(), "could not ask for admission to the group");
                }
                _ => {}
            }
        }
        tries += 1;
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str, stage: Option<Stage>) -> (Member, Result<PeerStatus, String>) {
        let member = Member { name: name.into(), address: "h:1".into() };
        let status = |stage| PeerStatus { name: name.into(), node_id: None, incarnation: 1, stage, leads: false, stands: false };
        (member, stage.map(status).ok_or_else(|| "silent".into()))
    }

    #[test]
    fn a_group_is_founded_only_when_every_founder_answers_and_none_has_a_log() {
        assert_eq!(judge(&[]), Verdict::Founder);
        let (empty, founder) = (answer("b", Some(Stage::Empty)), answer("c", Some(Stage::Founder)));
        assert_eq!(judge(&[empty.clone(), founder]), Verdict::Founder);
        assert_eq!(judge(&[empty.clone(), answer("c", None)]), Verdict::Unclear(vec!["c".into()]));
        assert_eq!(judge(&[empty, answer("c", Some(Stage::Member))]), Verdict::LateComer);
        assert_eq!(judge(&[answer("b", None), answer("c", Some(Stage::Member))]), Verdict::LateComer);
    }
}
