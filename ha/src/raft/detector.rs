//! Sees a crashed leader at once, instead of waiting for an election timeout.
//!
//! Every follower keeps a silent stream to the leader. When it breaks, the follower tries the leader's address again:
//! if the connection is refused, or another process answers, the leader's process is gone, and no lease needs to be
//! waited for. A leader that is slow, paused or cut off keeps its port open, and gets its election timeout.
//!
//! Followers take turns by node id, a few milliseconds apart, so that they don't split the vote; who lacks entries is
//! refused by the others, and the next has its turn.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::counter;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::TransferLeaderRequest;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::group::Group;
use super::network::Peer;
use super::types::{Member, NodeId, Raft};
use crate::metrics as names;

/// Between one follower's turn and the next one's.
const TURN: Duration = Duration::from_millis(20);
/// For one election.
const ROUND: Duration = Duration::from_millis(60);
/// Elections stood in before leaving it to the election timeout.
const ROUNDS: u32 = 8;
/// To see whether somebody listens at the leader's address.
const CONNECT: Duration = Duration::from_millis(100);
/// For the leader's first message.
const HELLO: Duration = Duration::from_millis(500);
/// Between two attempts to reach a leader that neither answers nor refuses.
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
        info!(leader = member.name, "the leader's process is gone");
        take_over(&group, &raft, me, leader).await;
    }
}

/// Returns when the process that leads is certainly gone.
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
        // The stream broke, or there was none: see whether anybody is there.
        group.wire.passable().await;
        match timeout(CONNECT, TcpStream::connect(&member.address)).await {
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused && known.is_some() => return,
            Ok(Ok(_)) if known.is_some() => {}
            _ => sleep(RETRY).await,
        }
    }
}

/// Stands in elections until somebody leads.
async fn take_over(group: &Group, raft: &Raft, me: NodeId, gone: NodeId) {
    let turn = {
        let server = raft.server_metrics();
        let server = server.borrow_watched();
        let mut others: Vec<_> = server.membership_config.voter_ids().filter(|id| *id != gone).collect();
        others.sort_unstable();
        others.iter().position(|id| *id == me)
    };
    let Some(turn) = turn else { return };
    sleep(TURN * turn as u32).await;
    for _ in 0..ROUNDS {
        let (vote, leader) = {
            let server = raft.server_metrics();
            let server = server.borrow_watched();
            (server.vote, server.current_leader)
        };
        if leader.is_some_and(|leader| leader != gone) {
            return;
        }
        let standing = group.standing.load(Ordering::Relaxed);
        let outcome = if vote.is_committed() && vote.leader_id().node_id == gone {
            // The hand-over the leader would have asked for, had it been able to: the lease ends, and who stands here
            // is elected at once. Who does not stand only ends the lease, so that it can vote.
            let to = if standing { me } else { gone };
            let request = TransferLeaderRequest::new(vote, to, None);
            raft.handle_transfer_leader(request).await.map(|_| ()).map_err(|error| error.to_string())
        } else if standing {
            raft.trigger().elect(false).await.map_err(|error| error.to_string())
        } else {
            Ok(())
        };
        if let Err(error) = outcome {
            warn!(error, "could not stand in an election");
            return;
        }
        if standing {
            counter!(names::CRASH_ELECTIONS).increment(1);
        }
        let elected = raft.wait(Some(ROUND + TURN * turn as u32));
        let elected = elected.metrics(|metrics| metrics.current_leader.is_some_and(|leader| leader != gone), "a leader");
        if elected.await.is_ok() {
            return;
        }
    }
}
