//! What was seen of the simulated cluster and not judged yet, and which process is to die at which write.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_verdict::fact::Fact;

/// What was seen and not judged yet, and who must die. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Observations {
    facts: Arc<Mutex<Vec<Fact>>>,
    writes: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    unknown: Arc<AtomicU64>,
    state_files: Arc<AtomicU64>,
    damaged_disks: Arc<AtomicU64>,
    doomed: Arc<Mutex<Doom>>,
    last_writer: Arc<Mutex<Option<String>>>,
}

/// At which write a process dies.
#[derive(Debug, Default)]
struct Doom {
    /// The so-manieth write from now on, and whether it takes effect first.
    at: Option<(u64, bool)>,
    /// Hosts whose process is to end at once.
    hosts: BTreeSet<String>,
    died: u64,
}

impl Observations {
    /// Notes a fact.
    pub fn note(&self, fact: Fact) {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).push(fact);
    }

    /// What was noted since the last call.
    pub fn drain(&self) -> Vec<Fact> {
        std::mem::take(&mut *self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn doom(&self) -> MutexGuard<'_, Doom> {
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process that makes the so-manieth write from now on dies at it: before it is made, or after it took effect and
    /// before it knows.
    pub fn die_at_write(&self, count: u64, after: bool) {
        self.doom().at = Some((count, after));
    }

    /// Nobody dies at a write any more.
    pub fn spare(&self) {
        self.doom().at = None;
    }

    /// The process of this host ends at once.
    pub fn doom_host(&self, host: &str) {
        self.doom().hosts.insert(host.to_owned());
    }

    /// Whose processes must end now.
    pub fn doomed_hosts(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.doom().hosts)
    }

    /// The host whose process wrote last: the leader, most likely.
    pub fn last_writer(&self) -> Option<String> {
        self.last_writer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Processes that died at a write.
    pub fn deaths(&self) -> u64 {
        self.doom().died
    }

    /// Fenced writes so far: the persistence points there are.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Writes that the store refused because of their epoch.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// A process of this host begins a fenced write; its number.
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

    /// How often a completed checkpoint named a state file.
    pub fn state_files(&self) -> u64 {
        self.state_files.load(Ordering::Relaxed)
    }

    /// A process found its disk damaged and did not start.
    pub fn note_refused_disk(&self) {
        self.damaged_disks.fetch_add(1, Ordering::Relaxed);
    }

    /// Damaged disks that were found to be.
    pub fn damaged_disks(&self) -> u64 {
        self.damaged_disks.load(Ordering::Relaxed)
    }

    /// Writes whose outcome was unknown.
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Whether this write is fatal to its process, and if so whether it takes effect.
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
