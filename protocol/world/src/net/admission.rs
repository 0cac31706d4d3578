//! Which connections a listener keeps. A pure core, without sockets and clock.
//!
//! A connection is idle until it does something for which the port exists: an HTTP request in progress, or a first valid message
//! of another process. Idle connections make room for new ones, the longest idle first. So connections that say nothing can
//! neither use up the file descriptors of the process nor keep others out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Millis;

/// Times of one connection that its reader and writer set without a lock.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// When bytes last passed that show progress, in milliseconds of the listener's clock.
    last: AtomicU64,
}

impl Progress {
    pub(super) fn note(&self, now: Millis) {
        self.last.fetch_max(now.0, Ordering::Relaxed);
    }
}

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Admission {
    most: usize,
    patience_ms: u64,
    silence_ms: u64,
    next: u64,
    open: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    /// Number of requests in progress.
    busy: u32,
    /// Whether the other side has sent a valid message.
    proven: bool,
    idle_since: Millis,
    progress: Arc<Progress>,
}

impl Connection {
    fn idle_since(&self) -> Millis {
        self.idle_since.max(Millis(self.progress.last.load(Ordering::Relaxed)))
    }

    fn is_evictable(&self) -> bool {
        self.busy == 0 && !self.proven
    }
}

impl Admission {
    /// At most `most` connections. One that is idle for `patience_ms` is overdue, and so is a proven one without progress for
    /// `silence_ms`.
    pub(super) fn new(most: usize, patience_ms: u64, silence_ms: u64) -> Self {
        Self { most: most.max(1), patience_ms, silence_ms, next: 0, open: BTreeMap::new() }
    }

    /// Admits a new connection and returns its number. If there is no room, `None`: evict an idle connection or refuse this one.
    pub(super) fn admit(&mut self, now: Millis, progress: Arc<Progress>) -> Option<u64> {
        if self.open.len() >= self.most {
            return None;
        }
        self.next += 1;
        self.open.insert(self.next, Connection { busy: 0, proven: false, idle_since: now, progress });
        Some(self.next)
    }

    /// Removes the connection that has been idle for the longest time, so that there is room for another.
    pub(super) fn evict(&mut self) -> Option<u64> {
        let idle = self.open.iter().filter(|(_, connection)| connection.is_evictable());
        let number = *idle.min_by_key(|(_, connection)| connection.idle_since())?.0;
        self.open.remove(&number);
        Some(number)
    }

    /// A request begins on the connection.
    pub(super) fn begin(&mut self, number: u64) {
        if let Some(connection) = self.open.get_mut(&number) {
            connection.busy += 1;
        }
    }

    /// A request on the connection has been answered.
    pub(super) fn end(&mut self, number: u64, now: Millis) {
        if let Some(connection) = self.open.get_mut(&number) {
            connection.busy = connection.busy.saturating_sub(1);
            connection.idle_since = now;
        }
    }

    /// The other side has sent a valid message.
    pub(super) fn prove(&mut self, number: u64, now: Millis) {
        if let Some(connection) = self.open.get_mut(&number) {
            connection.proven = true;
            connection.idle_since = now;
        }
    }

    /// The connection has ended.
    pub(super) fn ended(&mut self, number: u64) {
        self.open.remove(&number);
    }

    /// Removes the connections that made no progress for too long, and returns their numbers.
    pub(super) fn overdue(&mut self, now: Millis) -> Vec<u64> {
        let overdue: Vec<u64> =
            self.open.iter().filter(|(_, connection)| self.is_due(connection, now)).map(|(number, _)| *number).collect();
        overdue.iter().for_each(|number| drop(self.open.remove(number)));
        overdue
    }

    /// When to look for overdue connections again; `None` while there is none that could become overdue.
    pub(super) fn look_again(&self, now: Millis) -> Option<Millis> {
        if self.open.is_empty() {
            return None;
        }
        let ends = self.open.values().filter(|connection| connection.busy == 0);
        let ends = ends.map(|connection| connection.idle_since().after(self.allowed_ms(connection)));
        // A connection that is busy now may become idle right away.
        Some(ends.fold(now.after(self.patience_ms), Millis::min))
    }

    fn allowed_ms(&self, connection: &Connection) -> u64 {
        if connection.proven { self.silence_ms } else { self.patience_ms }
    }

    fn is_due(&self, connection: &Connection, now: Millis) -> bool {
        connection.busy == 0 && now.since(connection.idle_since()) >= self.allowed_ms(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: u64 = 10;
    const SILENCE: u64 = 60;

    fn with(connections: u64) -> Admission {
        let mut admission = Admission::new(3, PATIENCE, SILENCE);
        for at in 0..connections {
            assert_eq!(admission.admit(Millis(at), Arc::default()), Some(at + 1));
        }
        admission
    }

    #[test]
    fn a_connection_that_says_nothing_is_overdue_and_one_with_a_request_is_not() {
        let mut admission = with(2);
        admission.begin(1);
        assert_eq!(admission.look_again(Millis(1)), Some(Millis(11)));
        assert!(admission.overdue(Millis(10)).is_empty());
        assert_eq!(admission.overdue(Millis(11)), [2]);
        assert!(admission.overdue(Millis(1_000)).is_empty());
        admission.end(1, Millis(1_000));
        assert!(admission.overdue(Millis(1_009)).is_empty());
        assert_eq!(admission.overdue(Millis(1_010)), [1]);
        assert_eq!(admission.look_again(Millis(1_010)), None);
    }

    #[test]
    fn the_longest_idle_connection_makes_room_and_one_that_is_of_use_never_does() {
        let mut admission = with(3);
        assert_eq!(admission.admit(Millis(3), Arc::default()), None);
        admission.begin(1);
        admission.prove(3, Millis(3));
        assert_eq!(admission.evict(), Some(2));
        assert_eq!(admission.admit(Millis(4), Arc::default()), Some(4));
        admission.begin(4);
        assert_eq!(admission.evict(), None, "every connection is of use");
        assert_eq!(admission.admit(Millis(4), Arc::default()), None);
        admission.ended(4);
        assert_eq!(admission.admit(Millis(5), Arc::default()), Some(5));
    }

    #[test]
    fn a_proven_connection_is_overdue_only_after_a_long_silence() {
        let mut admission = Admission::new(3, PATIENCE, SILENCE);
        let progress = Arc::<Progress>::default();
        admission.admit(Millis(0), progress.clone());
        admission.prove(1, Millis(5));
        progress.note(Millis(50));
        assert!(admission.overdue(Millis(109)).is_empty());
        assert_eq!(admission.look_again(Millis(105)), Some(Millis(110)));
        assert_eq!(admission.overdue(Millis(110)), [1]);
    }

    #[test]
    fn what_happens_to_a_closed_connection_changes_nothing() {
        let mut admission = with(1);
        admission.ended(1);
        admission.begin(1);
        admission.end(1, Millis(5));
        admission.prove(1, Millis(5));
        assert_eq!((admission.evict(), admission.overdue(Millis(9_999))), (None, vec![]));
    }
}
