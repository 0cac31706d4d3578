//! One member's raft node, and the operations on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::error::{ClientWriteError, RaftError};
use openraft::{Instant, RaftMetrics, ReadPolicy, ServerState};
use tokio::sync::oneshot;
use tracing::{info, warn};
use weir_world::Millis;
use weir_world::flaw::{Flaw, is_planted};

use super::followers::{Change, Followers, Seen};
use super::identity::Identity;
use super::machine::{Raft, Replica};
use super::messages::{Answer, PeerStatus, Question, Stage, Wire};
use super::network::Peer;
use super::options::RaftTiming;
use super::quorum::failures_tolerated;
use super::removal::excluded_as_of;
use super::senders::Senders;
use super::types::{LogId, Member, NodeId, TypeConfig};
use crate::fenced_store::{Applied, Command};
use crate::{CommitOutcome, HaMember, HaStatus, ReadError, Rejection};

/// After this time, the outcome of a write is unknown, and a read has failed.
pub(crate) const OPERATION_DEADLINE: Duration = Duration::from_secs(5);
/// How long to wait for an answer of another member.
const ANSWER_DEADLINE: Duration = Duration::from_millis(500);

/// A member's raft node, with the state that its tasks share.
pub(crate) struct Group {
    /// This member, as configured.
    pub me: Member,
    /// The founders, as configured.
    pub founders: Vec<Member>,
    pub timing: RaftTiming,
    pub wire: Arc<Wire>,
    pub replica: Arc<Replica>,
    pub senders: Senders,
    /// How the other members keep up, while this member leads.
    pub followers: Mutex<Followers>,
    /// Set once this member has an identity.
    pub identity: OnceLock<Identity>,
    /// Set once raft runs.
    pub raft: OnceLock<Raft>,
    /// Whether this member stands in elections. It does while a candidate here wants to lead.
    pub standing: AtomicBool,
    /// Whether this member was removed from the group.
    pub removed: AtomicBool,
    /// A connection to the leader, for read indices.
    leader_client: Mutex<Option<(NodeId, Arc<Peer>)>>,
    pub readers: Mutex<Readers>,
    /// Held during a membership change, so that there is only one at a time.
    pub changing: tokio::sync::Mutex<()>,
}

/// The reads that wait for this member to catch up.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    waiting: Vec<oneshot::Sender<Result<(), ReadError>>>,
    /// Whether a task asks the group.
    asking: bool,
}

/// Why a write got no result.
pub(crate) enum WriteError {
    /// The write was certainly not proposed.
    NotLeader,
    /// The write may have been proposed.
    Unknown(String),
}

impl Group {
    pub(crate) fn new(me: Member, founders: Vec<Member>, timing: RaftTiming, cluster_id: &str) -> Self {
        Self {
            me,
            founders,
            timing,
            wire: Wire::new(cluster_id),
            replica: Arc::new(Replica::new()),
            senders: Senders::default(),
            followers: Mutex::default(),
            identity: OnceLock::new(),
            raft: OnceLock::new(),
            standing: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            leader_client: Mutex::new(None),
            readers: Mutex::default(),
            changing: tokio::sync::Mutex::new(()),
        }
    }

    /// A copy of raft's own metrics. A borrow that lasts longer would block raft.
    pub(crate) fn metrics(&self) -> Option<RaftMetrics<TypeConfig>> {
        self.raft.get().map(|raft| raft.metrics().borrow_watched().clone())
    }

    /// Whether this node leads and a quorum answered lately.
    pub(crate) fn leads_with_quorum(&self, metrics: &RaftMetrics<TypeConfig>) -> bool {
        if metrics.state != ServerState::Leader {
            return false;
        }
        let alone = metrics.membership_config.voter_ids().all(|id| id == metrics.id);
        let age = metrics.last_quorum_acked.map(|at| at.into_inner().elapsed());
        alone || age.is_some_and(|age| age < self.timing.lease())
    }

    /// The status that this member reports to the others.
    pub(crate) fn peer_status(&self) -> PeerStatus {
        let metrics = self.metrics();
        let has_log = metrics.as_ref().is_some_and(|metrics| metrics.last_log_index.is_some());
        let stage = match self.identity.get() {
            _ if has_log => Stage::Member,
            None => Stage::Empty,
            Some(identity) if identity.founder => Stage::Founder,
            Some(_) => Stage::Joining,
        };
        PeerStatus {
            name: self.me.name.clone(),
            node_id: self.identity.get().map(|identity| identity.node_id),
            incarnation: self.wire.incarnation,
            stage,
            leads: metrics.is_some_and(|metrics| metrics.state == ServerState::Leader),
            stands: self.standing.load(Ordering::Relaxed),
        }
    }

    /// The entry as of which the sender of this question is no member, if it must get no other answer.
    ///
    /// A vote request of a process that this member does not know may be honest: its admission may not have come here yet. But if
    /// its log ends before the membership without it, it would get no vote anyway.
    pub(crate) fn excludes(&self, from: NodeId, question: &Question) -> Option<LogId> {
        let metrics = self.metrics()?;
        let as_of = excluded_as_of(from, &metrics.membership_config, &metrics.committed_membership_config)?;
        let excluded = match question {
            Question::Vote(request) | Question::PreVote(request) => request.last_log_id < Some(as_of),
            Question::ReadIndex => metrics.state == ServerState::Leader,
            Question::Transfer(_) | Question::Status | Question::Join { .. } => false,
        };
        excluded.then_some(as_of)
    }

    /// Asks the member at `address` for its status.
    pub(crate) async fn probe(&self, address: &str) -> Result<PeerStatus, String> {
        let peer = Peer::new(Arc::clone(&self.wire), 0, address);
        match peer.ask(&Question::Status, ANSWER_DEADLINE).await {
            Ok(Answer::Status(status)) => Ok(status),
            Ok(other) => Err(format!("unexpected answer: {other:?}")),
            Err(status) => Err(status.message().to_owned()),
        }
    }

    /// Proposes a command and waits until it is applied here.
    pub(crate) async fn write(&self, command: Command) -> Result<Applied, WriteError> {
        let Some(raft) = self.raft.get() else { return Err(WriteError::NotLeader) };
        let unknown = |text: String| Err(WriteError::Unknown(text));
        match tokio::time::timeout(OPERATION_DEADLINE, raft.client_write(command)).await {
            Ok(Ok(response)) => match response.data {
                Some(applied) => Ok(applied),
                None => unknown("the log holds another entry in its place".into()),
            },
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => Err(WriteError::NotLeader),
            Ok(Err(error)) => unknown(error.to_string()),
            Err(_) => unknown(format!("no outcome within {} s", OPERATION_DEADLINE.as_secs())),
        }
    }

    /// Proposes a fenced command and returns the outcome as the writer sees it.
    pub(crate) async fn commit(&self, epoch: weir_protocol::LeaderEpoch, command: Command) -> CommitOutcome {
        let current = self.replica.read(crate::fenced_store::FencedStore::epoch);
        if current > epoch && !is_planted(Flaw::EpochNotCompared) {
            return CommitOutcome::Rejected(Rejection::StaleEpoch { epoch, current });
        }
        match self.write(command).await {
            Ok(applied) => applied.outcome(),
            Err(WriteError::NotLeader) => CommitOutcome::Rejected(Rejection::StaleEpoch { epoch, current }),
            Err(WriteError::Unknown(reason)) => CommitOutcome::Unknown { reason },
        }
    }

    /// Returns when everything committed before the call is applied here. Calls share the question to the group: those that come
    /// while one is in flight wait for the next one. So any number of reads costs one round trip at a time.
    pub(crate) async fn catch_up(self: &Arc<Self>) -> Result<(), ReadError> {
        let (tell, told) = oneshot::channel();
        let first = {
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            readers.waiting.push(tell);
            !std::mem::replace(&mut readers.asking, true)
        };
        if first {
            weir_world::spawn("raft-read", Arc::clone(self).ask_for_readers());
        }
        let unavailable = |reason: &str| Err(ReadError::Unavailable(reason.into()));
        match tokio::time::timeout(OPERATION_DEADLINE, told).await {
            Ok(caught_up) => caught_up.unwrap_or_else(|_| unavailable("raft has stopped")),
            Err(_) => unavailable("no leader with a quorum answered in time"),
        }
    }

    /// Asks the group until no reader waits.
    async fn ask_for_readers(self: Arc<Self>) {
        loop {
            let waiting = {
                let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
                readers.asking = !readers.waiting.is_empty();
                std::mem::take(&mut readers.waiting)
            };
            if waiting.is_empty() {
                return;
            }
            let caught_up = self.catch_up_once().await;
            for reader in waiting {
                // A reader may have given up.
                let _ = reader.send(caught_up.clone());
            }
        }
    }

    async fn catch_up_once(&self) -> Result<(), ReadError> {
        let reading = async {
            loop {
                match self.try_catch_up().await {
                    Ok(()) => return,
                    // An election may be in progress. The deadline ends the wait.
                    Err(Retry) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let outcome = tokio::time::timeout(OPERATION_DEADLINE, reading).await;
        outcome.map_err(|_| ReadError::Unavailable("no leader with a quorum answered in time".into()))
    }

    async fn try_catch_up(&self) -> Result<(), Retry> {
        let raft = self.raft.get().ok_or(Retry)?;
        let leader = self.metrics().and_then(|metrics| metrics.current_leader).ok_or(Retry)?;
        let own = self.identity.get().is_some_and(|identity| identity.node_id == leader);
        let read_index = if own { self.read_index().await.map_err(|_| Retry)? } else { self.ask_read_index(leader).await? };
        let wait = raft.wait(Some(OPERATION_DEADLINE));
        wait.applied_index_at_least(Some(read_index.index), "read").await.map(|_| ()).map_err(|_| Retry)
    }

    /// The last entry that a read at this moment must have applied. Only the leader knows it.
    pub(crate) async fn read_index(&self) -> Result<LogId, String> {
        let raft = self.raft.get().ok_or("this member is not in the group yet")?;
        let linearizer = raft.get_read_linearizer(ReadPolicy::ReadIndex).await.map_err(|error| error.to_string())?;
        Ok(*linearizer.read_log_id().log_id())
    }

    async fn ask_read_index(&self, leader: NodeId) -> Result<LogId, Retry> {
        let address = self.member(leader).ok_or(Retry)?.address;
        let peer = {
            let mut client = self.leader_client.lock().unwrap_or_else(PoisonError::into_inner);
            match &*client {
                Some((node, peer)) if *node == leader => Arc::clone(peer),
                _ => {
                    let peer = Arc::new(Peer::new(Arc::clone(&self.wire), leader, &address));
                    *client = Some((leader, Arc::clone(&peer)));
                    peer
                }
            }
        };
        match peer.ask(&Question::ReadIndex, ANSWER_DEADLINE).await {
            Ok(Answer::ReadIndex(log_id)) => Ok(log_id),
            _ => Err(Retry),
        }
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        self.metrics()?.membership_config.get_node(&node).cloned()
    }

    /// Node ids of the members of this name. There are several while a member is being replaced.
    pub(crate) fn nodes_named(&self, name: &str) -> BTreeSet<NodeId> {
        let Some(metrics) = self.metrics() else { return BTreeSet::new() };
        metrics.membership_config.nodes().filter(|(_, member)| member.name == name).map(|(id, _)| *id).collect()
    }

    /// The member that could lead instead of this one. It must answer now and stand in elections, and have the given name if
    /// there is one. Of several such members, it is the one with most of the log.
    ///
    /// A raft leader that has started a hand-over accepts no more proposals and sends no more heartbeats, even if the hand-over
    /// fails. So it must not be started with a member that can't take over.
    pub(crate) async fn successor(&self, name: Option<&str>) -> Result<NodeId, String> {
        let metrics = self.metrics().ok_or("raft does not run")?;
        let replication = metrics.replication.as_ref().ok_or("this member does not lead")?;
        let others = metrics.membership_config.voter_ids().filter(|id| *id != metrics.id);
        let mut others: Vec<_> = others
            .filter_map(|id| Some((id, metrics.membership_config.get_node(&id)?)))
            .filter(|(_, member)| name.is_none_or(|name| name == member.name))
            .collect();
        if others.is_empty() {
            return Err("there is no other voter, or none of that name".into());
        }
        others.sort_by_key(|(id, _)| std::cmp::Reverse(replication.get(id).copied().flatten()));
        for (id, member) in others {
            if let Ok(status) = self.probe(&member.address).await
                && status.node_id == Some(id)
                && status.stands
            {
                return Ok(id);
            }
        }
        Err("no other voter answers and wants to lead".into())
    }

    /// The group as this member sees it.
    pub(crate) fn status(&self) -> HaStatus {
        let epoch = self.replica.read(crate::fenced_store::FencedStore::epoch);
        let Some(metrics) = self.metrics() else {
            return HaStatus { provider: "raft".into(), epoch, ..HaStatus::default() };
        };
        if self.removed.load(Ordering::Relaxed) {
            // What this member knows of the group may be long out of date.
            return HaStatus { provider: "raft".into(), epoch, removed: true, ..HaStatus::default() };
        }
        let leads = metrics.state == ServerState::Leader;
        let voters: BTreeSet<_> = metrics.membership_config.voter_ids().collect();
        let members: BTreeMap<_, _> = metrics
            .membership_config
            .nodes()
            .map(|(id, member)| (*id, self.member_status(&metrics, *id, member, voters.contains(id))))
            .collect();
        let silent = members.iter().filter(|(_, member)| member.reachable == Some(false)).map(|(id, _)| *id);
        let followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = silent.chain(followers.missing()).collect();
        let commits = self.leads_with_quorum(&metrics) && !followers.stalled();
        let has_quorum = if leads { commits } else { metrics.current_leader.is_some() };
        let leader = metrics.current_leader.and_then(|id| members.get(&id)).map(|member| member.name.clone());
        HaStatus {
            provider: "raft".into(),
            epoch,
            leader,
            has_quorum,
            failures_tolerated: failures_tolerated(metrics.membership_config.get_joint_config(), &silent),
            members: members.into_values().collect(),
            removed: false,
        }
    }

    /// Watches how the other members keep up while this member leads, and logs what an operator should know.
    pub(crate) fn watch_followers(&self, metrics: &RaftMetrics<TypeConfig>, now: Millis) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(replication), ServerState::Leader) = (&metrics.replication, metrics.state) else {
            *followers = Followers::default();
            return;
        };
        let others = replication.iter().filter(|(node, _)| **node != metrics.id);
        let seen: Vec<_> = others
            .map(|(node, matched)| Seen {
                node: *node,
                answers: self.answers(metrics, *node).unwrap_or_default(),
                entries: matched.map_or(0, |matched| matched.index + 1),
            })
            .collect();
        let entries = metrics.last_log_index.map_or(0, |last| last + 1);
        let committed = metrics.local_committed.map_or(0, |committed| committed.index + 1);
        let patience = (self.timing.election_max * 2).as_millis() as u64;
        let name = |node| metrics.membership_config.get_node(&node).map_or_else(String::new, |member| member.name.clone());
        for change in followers.observe(&seen, entries, committed, now, patience) {
            match change {
                Change::Silent(node) => warn!(member = name(node), "a member does not answer"),
                Change::Behind(node) => warn!(
                    member = name(node),
                    "a member answers, but its log does not follow: no failure is tolerated on its account"
                ),
                Change::Follows(node) => info!(member = name(node), "a member follows again"),
                Change::CommitsStalled => {
                    warn!(
                        entries = entries - committed,
                        "HA-RAFT-STALLED: no majority of the members stores new entries; submissions, checkpoints and results wait"
                    );
                }
                Change::CommitsResumed => info!("new entries are committed again"),
            }
        }
    }

    /// Whether the node answered a heartbeat lately. `None` if this member does not lead.
    fn answers(&self, metrics: &RaftMetrics<TypeConfig>, node: NodeId) -> Option<bool> {
        let heard = metrics.heartbeat.as_ref()?.get(&node).copied().flatten();
        Some(heard.is_some_and(|at| at.into_inner().elapsed() < self.timing.election_max))
    }

    fn member_status(&self, metrics: &RaftMetrics<TypeConfig>, id: NodeId, member: &Member, voter: bool) -> HaMember {
        let last = metrics.last_log_index;
        let matched = metrics.replication.as_ref().and_then(|replication| replication.get(&id));
        let lag = matched.map(|matched| {
            let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
            next(last).saturating_sub(next(matched.map(|log_id| log_id.index)))
        });
        HaMember {
            name: member.name.clone(),
            address: member.address.clone(),
            voter,
            reachable: if id == metrics.id { Some(true) } else { self.answers(metrics, id) },
            lag_entries: if id == metrics.id && metrics.state == ServerState::Leader { Some(0) } else { lag },
        }
    }
}

struct Retry;
