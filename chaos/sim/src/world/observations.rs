//! The facts that were observed of the simulated cluster and not judged yet, and the write at which a process is to die.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_verdict::fact::Fact;

/// Facts that were not judged yet, counts, and the processes that must end. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct Observations {
    facts: Arc<Mutex<Vec<Fact>>>,
    writes: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    unknown: Arc<AtomicU64>,
    state_files: Arc<AtomicU64>,
    damaged_disks: Arc<AtomicU64>,
    refused_stores: Arc<AtomicU64>,
    /// What the world saw that must never happen, with the id of the invariant.
    wrongs: Arc<Mutex<Vec<(&'static str, String)>>>,
    doomed: Arc<Mutex<Doom>>,
    last_writer: Arc<Mutex<Option<String>>>,
}

/// The write at which a process dies, and the processes that must end.
#[derive(Debug, Default)]
struct Doom {
    /// The number of writes before the fatal one, and whether the fatal one takes effect first.
    at: Option<(u64, bool)>,
    /// Hosts whose process must end at once.
    hosts: BTreeSet<String>,
    died: u64,
}

impl Observations {
    /// Notes a fact for the judge.
    pub fn note(&self, fact: Fact) {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).push(fact);
    }

    /// Returns the facts that were noted since the last call.
    pub fn drain(&self) -> Vec<Fact> {
        std::mem::take(&mut *self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn doom(&self) -> MutexGuard<'_, Doom> {
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills the process that makes the n-th write from now on, counted from 0. With `after` the write takes effect, but the
    /// process dies before it learns so. Otherwise the process dies before it makes the write.
    pub fn die_at_write(&self, count: u64, after: bool) {
        self.doom().at = Some((count, after));
    }

    /// No process dies at a write from now on.
    pub fn spare(&self) {
        self.doom().at = None;
    }

    /// Makes the process of this host end at once.
    pub fn doom_host(&self, host: &str) {
        self.doom().hosts.insert(host.to_owned());
    }

    /// Returns the hosts whose processes must end now, and forgets them.
    pub fn doomed_hosts(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.doom().hosts)
    }

    /// Returns the host whose process wrote last. Most likely it is the leader.
    pub fn last_writer(&self) -> Option<String> {
        self.last_writer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the number of processes that died at a write.
    pub fn deaths(&self) -> u64 {
        self.doom().died
    }

    /// Returns the number of fenced writes so far. Each is a point at which a process can die.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Returns the number of writes that the store refused because of their epoch.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Notes that a process of this host begins a fenced write, and returns the number of the write.
    pub(super) fn begin_write(&self, host: &str) -> u64 {
        *self.last_writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(host.to_owned());
        self.writes.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn note_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_unknown(&self) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_state_files(&self, count: u64) {
        self.state_files.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns how often a completed checkpoint named a state file.
    pub fn state_files(&self) -> u64 {
        self.state_files.load(Ordering::Relaxed)
    }

    /// Notes that an invariant is broken.
    pub fn note_wrong(&self, id: &'static str, what: String) {
        self.wrongs.lock().unwrap_or_else(PoisonError::into_inner).push((id, what));
    }

    /// Returns what was noted by `note_wrong` since the last call.
    pub fn drain_wrongs(&self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut *self.wrongs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that a JobManager refused to act on its coordination store.
    pub fn note_refused_store(&self) {
        self.refused_stores.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often a JobManager refused to act on its coordination store.
    pub fn refused_stores(&self) -> u64 {
        self.refused_stores.load(Ordering::Relaxed)
    }

    /// Notes that a process found its disk damaged and did not start.
    pub fn note_refused_disk(&self) {
        self.damaged_disks.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often a process found its disk damaged.
    pub fn damaged_disks(&self) -> u64 {
        self.damaged_disks.load(Ordering::Relaxed)
    }

    /// Returns the number of writes whose outcome was unknown.
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Returns `None` if the process survives this write. Otherwise returns whether the write takes effect before the process
    /// dies.
    pub(super) fn fatal(&self) -> Option<bool> {
        let mut doom = self.doom();
        let (left, after) = doom.at?;
        if left > 0 {
            doom.at = Some((left - 1, after));
            return None;
        }
        doom.at = None;
        doom.died += 1;
        Some(after)
    }
}
