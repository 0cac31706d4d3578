//! A coordination store inside one process: for tests, and for `high-availability.type: none`.
//!
//! A [`MemoryStore`] is the coordination system; [`MemoryProvider`]s are the members that contend on it. It keeps every promise
//! of [`crate::HaProvider`], except that it does not survive the process. With its switches, a test can revoke leadership, stop a
//! member as `SIGSTOP` would, lose the answer of a commit, and make the store unavailable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use weir_protocol::LeaderEpoch;
use weir_world::wall_clock_ms;

use crate::availability::StoreContact;
use crate::election::{Contender, LeaderElection, election};
use crate::fenced_store::{Applied, Command, FencedStore};
use crate::watchers::Watchers;
use crate::{
    Candidate, CommitOutcome, CoordinationStore, Election, GroupAdmin, HaMember, HaStatus, LeaderRecord, Leadership,
    MemberChange, MembershipError, Operation, ReadError, StoreUsage, StoreWatch, TransferError, Versioned, WatchEvent,
};

/// The store that members contend on. Clones are the same store.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    published: watch::Sender<Option<LeaderRecord>>,
    contact: StoreContact,
    /// Changes whenever a member is paused, resumed or stopped.
    pauses: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    store: FencedStore,
    watchers: Watchers,
    members: BTreeMap<String, Member>,
    /// Names of contenders. The first one that is not paused leads next.
    queue: Vec<String>,
    leader: Option<String>,
    elections_stopped: bool,
    reads_unavailable: bool,
    next_commit: Option<UnknownCommit>,
    next_campaign: u64,
}

#[derive(Debug, Default)]
struct Member {
    campaign: Option<Campaign>,
    paused: bool,
    stopped: bool,
}

#[derive(Debug)]
struct Campaign {
    number: u64,
    candidate: Candidate,
    contender: Contender,
}

/// What really happens to a commit whose answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownCommit {
    /// The commit was applied.
    Applied,
    /// The commit was not applied.
    Lost,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store without members.
    pub fn new() -> Self {
        let shared = Shared {
            state: Mutex::default(),
            published: watch::Sender::new(None),
            contact: StoreContact::new("memory"),
            pauses: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts the member of this name. A former member of the same name loses its place, as if its process had died.
    pub fn member(&self, name: &str) -> MemoryProvider {
        let mut state = self.lock();
        state.members.insert(name.to_owned(), Member::default());
        state.depart(name);
        drop(state);
        MemoryProvider { name: name.to_owned(), shared: Arc::clone(&self.shared) }
    }

    /// Revokes the current leadership. The next contender in the queue leads; if there is no other, the same one leads again.
    pub fn revoke_leader(&self) {
        let mut state = self.lock();
        if let Some(leader) = state.leader.clone() {
            state.demote();
            state.queue.retain(|name| *name != leader);
            state.queue.push(leader);
            state.elect();
        }
    }

    /// After `false`, no contender is elected until `true`. A current leader keeps leading until it is revoked.
    pub fn set_elections(&self, on: bool) {
        let mut state = self.lock();
        state.elections_stopped = !on;
        state.elect();
    }

    /// Stops a member as `SIGSTOP` does: its calls hang, it gets no events, and the others elect a leader without it.
    pub fn pause(&self, name: &str) {
        let mut state = self.lock();
        if let Some(member) = state.members.get_mut(name) {
            member.paused = true;
        }
        if state.leader.as_deref() == Some(name) {
            state.leader = None;
        }
        state.elect();
        drop(state);
        self.shared.pauses.send_modify(|count| *count += 1);
    }

    /// Resumes a paused member. The store now decides about its calls in flight, and the member learns what it missed.
    pub fn resume(&self, name: &str) {
        let mut state = self.lock();
        let leads = state.leader.as_deref() == Some(name);
        if let Some(member) = state.members.get_mut(name) {
            member.paused = false;
            if let Some(campaign) = &member.campaign
                && !leads
            {
                campaign.contender.revoke();
            }
        }
        state.elect();
        drop(state);
        self.shared.pauses.send_modify(|count| *count += 1);
    }

    /// Makes the outcome of the next commit or publication `Unknown`. `truth` says what really happens to it.
    pub fn next_commit_unknown(&self, truth: UnknownCommit) {
        self.lock().next_commit = Some(truth);
    }

    /// After `true`, every member reports that the store does not answer, until `false`. The store still answers every call.
    pub fn set_away(&self, away: bool) {
        if away { self.shared.contact.lost(wall_clock_ms()) } else { self.shared.contact.regained() }
    }

    /// After `false`, every read fails with [`ReadError::Unavailable`] until `true`.
    pub fn set_reads_available(&self, on: bool) {
        self.lock().reads_unavailable = !on;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds this lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes `name` from the contenders.
    fn depart(&mut self, name: &str) {
        self.queue.retain(|other| other != name);
        if self.leader.as_deref() == Some(name) {
            self.demote();
        }
        self.elect();
    }

    fn demote(&mut self) {
        let Some(leader) = self.leader.take() else { return };
        if let Some(campaign) = self.members.get(&leader).and_then(|member| member.campaign.as_ref()) {
            campaign.contender.revoke();
        }
    }

    fn elect(&mut self) {
        if self.leader.is_some() || self.elections_stopped {
            return;
        }
        let running = |name: &&String| self.members.get(*name).is_some_and(|member| !member.paused);
        let Some(name) = self.queue.iter().find(running).cloned() else { return };
        let Some(campaign) = self.members.get(&name).and_then(|member| member.campaign.as_ref()) else { return };
        let candidate = campaign.candidate.clone();
        if let (Applied::Acquired(epoch), _) = self.store.apply(&Command::Acquire { candidate: candidate.clone() }, 0) {
            campaign.contender.grant(Leadership::grant(epoch, candidate, wall_clock_ms()));
            self.leader = Some(name);
        }
    }

    fn withdraw(&mut self, name: &str, number: u64) {
        let Some(member) = self.members.get_mut(name) else { return };
        if member.campaign.as_ref().is_some_and(|campaign| campaign.number == number) {
            member.campaign = None;
            self.depart(name);
        }
    }
}

/// A member: the access of one process to the store.
#[derive(Debug, Clone)]
pub struct MemoryProvider {
    name: String,
    shared: Arc<Shared>,
}

impl MemoryProvider {
    /// Waits while the member is paused. `Err` once it is stopped.
    async fn running(&self) -> Result<MutexGuard<'_, State>, Stopped> {
        let mut pauses = self.shared.pauses.subscribe();
        loop {
            pauses.borrow_and_update();
            {
                let state = self.shared.lock();
                match state.members.get(&self.name) {
                    Some(member) if member.stopped => return Err(Stopped),
                    Some(member) if !member.paused => return Ok(state),
                    _ => {}
                }
            }
            if pauses.changed().await.is_err() {
                return Err(Stopped);
            }
        }
    }

    async fn apply(&self, command: Command) -> CommitOutcome {
        let Ok(mut state) = self.running().await else {
            return CommitOutcome::Unknown { reason: "the provider was shut down".into() };
        };
        let unknown = state.next_commit.take();
        if unknown == Some(UnknownCommit::Lost) {
            return CommitOutcome::Unknown { reason: "the request was lost".into() };
        }
        let (applied, changes) = state.store.apply(&command, 0);
        state.watchers.notify(&changes);
        if let (Command::Publish { record }, Applied::Committed { .. }) = (&command, &applied) {
            self.shared.published.send_replace(Some(record.clone()));
        }
        match unknown {
            Some(_) => CommitOutcome::Unknown { reason: "the answer was lost".into() },
            None => applied.outcome(),
        }
    }

    async fn read<T>(&self, read: impl FnOnce(&mut State) -> T) -> Result<T, ReadError> {
        let Ok(mut state) = self.running().await else {
            return Err(ReadError::Unavailable("the provider was shut down".into()));
        };
        if state.reads_unavailable {
            return Err(ReadError::Unavailable("reads are switched off".into()));
        }
        Ok(read(&mut state))
    }
}

struct Stopped;

impl Election for MemoryProvider {
    fn campaign(&self, candidate: Candidate) -> LeaderElection {
        let mut state = self.shared.lock();
        state.next_campaign += 1;
        let number = state.next_campaign;
        let (shared, name) = (Arc::downgrade(&self.shared), self.name.clone());
        let (contender, election) = election(move || {
            if let Some(shared) = shared.upgrade() {
                shared.lock().withdraw(&name, number);
            }
        });
        state.depart(&self.name);
        if let Some(member) = state.members.get_mut(&self.name)
            && !member.stopped
        {
            member.campaign = Some(Campaign { number, candidate, contender });
            state.queue.push(self.name.clone());
            state.elect();
        }
        election
    }

    fn leader(&self) -> watch::Receiver<Option<LeaderRecord>> {
        self.shared.published.subscribe()
    }

    fn publish<'a>(&'a self, leadership: &'a Leadership) -> BoxFuture<'a, CommitOutcome> {
        self.apply(Command::Publish { record: leadership.record() }).boxed()
    }

    fn raise_epoch<'a>(&'a self, leadership: &'a Leadership, floor: LeaderEpoch) -> BoxFuture<'a, CommitOutcome> {
        let raise = async move {
            let outcome = self.apply(Command::RaiseEpoch { epoch: leadership.epoch(), floor }).await;
            if floor > leadership.epoch() && matches!(outcome, CommitOutcome::Committed { .. }) {
                MemoryStore { shared: Arc::clone(&self.shared) }.revoke_leader();
            }
            outcome
        };
        raise.boxed()
    }

    fn transfer_leadership<'a>(&'a self, to: Option<&'a str>) -> BoxFuture<'a, Result<(), TransferError>> {
        let transfer = async move {
            let Ok(mut state) = self.running().await else { return Err(TransferError::NotLeader) };
            if state.leader.as_deref() != Some(&self.name) {
                return Err(TransferError::NotLeader);
            }
            let able = |name: &&String| **name != self.name && state.members.get(*name).is_some_and(|member| !member.paused);
            let wanted = |name: &&String| to.is_none_or(|to| to == name.as_str());
            let Some(target) = state.queue.iter().find(|name| able(name) && wanted(name)).cloned() else {
                return Err(TransferError::NoTarget(to.unwrap_or("no other member contends").to_owned()));
            };
            state.demote();
            state.queue.retain(|name| *name != target && *name != self.name);
            state.queue.insert(0, target);
            state.queue.push(self.name.clone());
            state.elect();
            Ok(())
        };
        transfer.boxed()
    }
}

impl CoordinationStore for MemoryProvider {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>> {
        self.read(|state| state.store.get(key)).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, Versioned)>, ReadError>> {
        self.read(|state| state.store.list(prefix)).boxed()
    }

    fn commit<'a>(&'a self, leadership: &'a Leadership, operations: Vec<Operation>) -> BoxFuture<'a, CommitOutcome> {
        self.apply(Command::Commit { epoch: leadership.epoch(), operations }).boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<WatchEvent>, ReadError>> {
        self.read(|state| state.watchers.watch(prefix)).boxed()
    }

    fn availability(&self) -> StoreWatch {
        self.shared.contact.watch()
    }

    fn usage(&self) -> Option<StoreUsage> {
        Some(self.shared.lock().store.usage())
    }
}

impl GroupAdmin for MemoryProvider {
    fn status(&self) -> HaStatus {
        let state = self.shared.lock();
        let members = state.members.iter().filter(|(_, member)| !member.stopped).map(|(name, member)| HaMember {
            name: name.clone(),
            address: String::new(),
            voter: true,
            reachable: Some(!member.paused),
            lag_entries: Some(0),
        });
        HaStatus {
            provider: "memory".into(),
            epoch: state.store.epoch(),
            leader: state.leader.clone(),
            has_quorum: !state.reads_unavailable,
            // The store ends with the process.
            failures_tolerated: 0,
            members: members.collect(),
            removed: false,
        }
    }

    fn set_isolated(&self, _isolated: bool) -> bool {
        false
    }

    fn change_members<'a>(&'a self, _change: MemberChange) -> BoxFuture<'a, Result<(), MembershipError>> {
        Box::pin(std::future::ready(Err(MembershipError::Unsupported)))
    }

    fn shutdown<'a>(&'a self) -> BoxFuture<'a, ()> {
        let stop = async move {
            let mut state = self.shared.lock();
            if let Some(member) = state.members.get_mut(&self.name) {
                member.stopped = true;
                // Dropping the elector's end tells the contender that the provider has stopped.
                member.campaign = None;
            }
            state.depart(&self.name);
            drop(state);
            self.shared.pauses.send_modify(|count| *count += 1);
        };
        stop.boxed()
    }
}

#[cfg(test)]
mod tests;
