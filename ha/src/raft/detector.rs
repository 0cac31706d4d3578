//! Detects a crashed leader at once, instead of waiting for an election timeout.
//!
//! Every follower keeps a silent stream to the leader. When the stream breaks, the follower connects to the leader's address
//! again. If the connection is refused or another process answers, the leader's process has ended, so there is no lease to wait
//! for. A leader that is slow, paused or cut off keeps its port open. For such a leader, the election timeout applies.
//!
//! Followers take turns by node id, a few milliseconds apart, so that they don't split the vote. If a candidate lacks entries,
//! the others refuse it, and the next follower has its turn.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::counter;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::TransferLeaderRequest;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use weir_world::net;

use super::group::Group;
use super::machine::Raft;
use super::network::Peer;
use super::types::{Member, NodeId, Vote};
use crate::metrics as names;

/// The time between the turns of two followers.
const TURN: Duration = Duration::from_millis(20);
/// How long to wait for the result of one election.
const ROUND: Duration = Duration::from_millis(60);
/// How often a follower tries to get a leader elected. After that, the election timeout applies.
const ROUNDS: u32 = 8;
/// The longest time to connect to the leader's address.
const CONNECT: Duration = Duration::from_millis(100);
/// How long to wait for the leader's first message.
const HELLO: Duration = Duration::from_millis(500);
/// The pause between two attempts to reach a leader that neither answers nor refuses the connection.
const RETRY: Duration = Duration::from_millis(100);

/// Watches the leader for as long as raft runs.
pub(crate) async fn watch_leaders(group: Arc<Group>, raft: Raft, me: NodeId) {
    let mut server = raft.server_metrics();
    let mut last = None;
    loop {
        let (leader, membership) = {
            let now = server.borrow_and_update();
            (now.current_leader, Arc::clone(&now.membership_config))
        };
        if leader.is_some() && leader != last {
            counter!(names::LEADER_CHANGES).increment(1);
            last = leader;
        }
        let other = leader.filter(|leader| *leader != me);
        let member = other.and_then(|leader| membership.get_node(&leader).cloned().map(|member| (leader, member)));
        let Some((leader, member)) = member else {
            if server.changed().await.is_err() {
                return;
            }
            continue;
        };
        let changed = async {
            while server.changed().await.is_ok() {
                if server.borrow_watched().current_leader != Some(leader) {
                    return true;
                }
            }
            false
        };
        tokio::select! {
            running = changed => {
                if !running {
                    return;
                }
                continue;
            }
            () = process_gone(&group, leader, &member) => {}
        }
        info!(leader = member.name, "the leader's process has ended");
        take_over(&group, &raft, me, leader).await;
    }
}

/// Returns when the leader's process has certainly ended.
async fn process_gone(group: &Arc<Group>, leader: NodeId, member: &Member) {
    let mut known = None;
    loop {
        let peer = Peer::new(Arc::clone(&group.wire), leader, &member.address);
        if let Ok(mut presence) = peer.presence(HELLO).await {
            if known.is_some_and(|incarnation| incarnation != presence.incarnation) {
                return;
            }
            known = Some(presence.incarnation);
            presence.ended().await;
        }
        // The stream broke, or could not be opened. Check whether a process listens at the address.
        group.wire.passable().await;
        match timeout(CONNECT, net::connect(&member.address)).await {
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused && known.is_some() => return,
            Ok(Ok(_)) if known.is_some() => {}
            _ => sleep(RETRY).await,
        }
    }
}

/// What a follower does in one round. Derived from the newest vote that it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// No member has stood yet: end the lease of the crashed leader, and stand if this member stands in elections.
    End,
    /// This member stood and was not elected: ask the others with a pre-vote before it stands again, so that no term is wasted.
    AskAgain,
    /// Another member stands: wait for its election.
    Wait,
}

/// How many rounds a follower waits for the election of another member.
const PATIENCE: u32 = 3;

fn next_step(vote: Vote, gone: NodeId, me: NodeId, round: u32) -> Step {
    let voted_for = vote.leader_id().node_id;
    if vote.is_committed() && voted_for == gone {
        Step::End
    } else if voted_for == me || round >= PATIENCE {
        Step::AskAgain
    } else {
        Step::Wait
    }
}

/// Stands in elections until there is a new leader.
async fn take_over(group: &Group, raft: &Raft, me: NodeId, gone: NodeId) {
    // The highest node id goes first, because raft also prefers it if two members stand in the same term.
    let above = {
        let server = raft.server_metrics();
        let server = server.borrow_watched();
        let voters = || server.membership_config.voter_ids();
        voters().any(|id| id == me).then(|| voters().filter(|id| *id != gone && *id > me).count() as u32)
    };
    let Some(above) = above else { return };
    let turn = TURN * above;
    sleep(turn).await;
    for round in 0..ROUNDS {
        let (vote, leader) = {
            let server = raft.server_metrics();
            let server = server.borrow_watched();
            (server.vote, server.current_leader)
        };
        if leader.is_some_and(|leader| leader != gone) {
            return;
        }
        let standing = group.standing.load(Ordering::Relaxed);
        let outcome = match next_step(vote, gone, me, round) {
            Step::End => {
                // This is the request that a leader sends when it hands over. If it names another member, it only ends the lease,
                // so that this member can vote.
                let to = if standing { me } else { gone };
                let request = TransferLeaderRequest::new(vote, to, None);
                raft.handle_transfer_leader(request).await.map(|_| ()).map_err(|error| error.to_string())
            }
            Step::AskAgain if standing => raft.trigger().elect(true).await.map_err(|error| error.to_string()),
            Step::AskAgain | Step::Wait => Ok(()),
        };
        if let Err(error) = outcome {
            warn!(error, "could not stand in an election");
            return;
        }
        counter!(names::CRASH_ELECTIONS).increment(u64::from(standing));
        let elected = raft.wait(Some(ROUND + turn));
        let elected = elected.metrics(|metrics| metrics.current_leader.is_some_and(|leader| leader != gone), "a leader");
        if elected.await.is_ok() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_ends_the_lease_waits_for_another_candidate_and_asks_before_it_stands_again() {
        let (gone, other, me) = (1, 2, 3);
        assert_eq!(next_step(Vote::new_committed(5, gone), gone, me, 0), Step::End);
        assert_eq!(next_step(Vote::new(6, other), gone, me, 0), Step::Wait);
        assert_eq!(next_step(Vote::new(6, me), gone, me, 0), Step::AskAgain);
        assert_eq!(next_step(Vote::new(6, other), gone, me, PATIENCE), Step::AskAgain);
    }
}
