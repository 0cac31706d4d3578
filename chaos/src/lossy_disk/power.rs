//! Whether the disk answers, and how: its power, the syncs that fail, and the time that syncs take.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::contents::{Answer, Contents, Loss, NodeId};

/// What a failed sync does with the bytes that it had to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedSync {
    /// The bytes count as written, but are not. Later syncs succeed without them, and only the next power loss shows that they
    /// are lost.
    Drops,
    /// A later sync may write the bytes.
    Keeps,
}

/// Counts of what happened to a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskFootprint {
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Syncs that were made to fail.
    pub failed_syncs: u64,
    /// Syncs that were delayed.
    pub delayed_syncs: u64,
    /// Writes, files and directories that were refused because the disk was full.
    pub refused_writes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    /// Requests are answered.
    On,
    /// Requests are answered until this many more changes have happened.
    Lasts(u64),
    /// No request is answered.
    Dark,
    /// Every request fails.
    Off,
}

#[derive(Debug)]
struct State {
    contents: Contents,
    power: Power,
    /// How often the power was lost. A request that began before a loss must not continue after it.
    losses: u64,
    failing: Option<FailedSync>,
    delay: Duration,
    /// There is no room for more.
    full: bool,
    /// Syncs succeed, but do nothing.
    lies: bool,
    footprint: DiskFootprint,
}

/// The contents, and what decides how requests to them are answered.
#[derive(Debug)]
pub(super) struct Switch {
    state: Mutex<State>,
    changed: Condvar,
}

impl Switch {
    pub(super) fn new(seed: u64) -> Self {
        let state = State {
            contents: Contents::new(seed),
            power: Power::On,
            losses: 0,
            failing: None,
            delay: Duration::ZERO,
            full: false,
            lies: false,
            footprint: DiskFootprint::default(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while no request is answered. Fails if the power was lost after `losses` was read.
    fn powered<'a>(&'a self, mut state: MutexGuard<'a, State>, losses: u64) -> Answer<MutexGuard<'a, State>> {
        while state.power == Power::Dark {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.power == Power::Off || state.losses != losses { Err(Errno::EIO) } else { Ok(state) }
    }

    /// Counts down the changes until the power is lost. Returns true if it is lost now.
    fn spend(&self, state: &mut State) -> bool {
        if let Power::Lasts(left) = &mut state.power {
            if *left == 0 {
                state.power = Power::Dark;
                self.changed.notify_all();
                return true;
            }
            *left -= 1;
        }
        false
    }

    /// Reads something, or changes something that needs no sync.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Contents) -> Answer<T>) -> Answer<T> {
        let state = self.state();
        let losses = state.losses;
        look(&mut self.powered(state, losses)?.contents)
    }

    /// Changes something. If the power is lost in the middle, the change is made but not durable, and the request fails.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Contents) -> Answer<T>) -> Answer<T> {
        let state = self.state();
        let losses = state.losses;
        let mut state = self.powered(state, losses)?;
        let done = change(&mut state.contents)?;
        if self.spend(&mut state) {
            drop(self.powered(state, losses)?);
        }
        Ok(done)
    }

    /// Changes something that needs room. Fails if the disk is full.
    pub(super) fn grow<T>(&self, change: impl FnOnce(&mut Contents) -> Answer<T>) -> Answer<T> {
        let mut state = self.state();
        if state.full {
            state.footprint.refused_writes += 1;
            return Err(Errno::ENOSPC);
        }
        drop(state);
        self.change(change)
    }

    /// Makes something durable. If the power is lost in the middle, nothing becomes durable.
    pub(super) fn sync(&self, node: NodeId) -> Answer<()> {
        let state = self.state();
        let losses = state.losses;
        let mut state = self.powered(state, losses)?;
        if state.contents.unsynced(Some(node)) > 0 {
            if let Some(what) = state.failing.take() {
                state.contents.fail_sync(node, what == FailedSync::Drops);
                state.footprint.failed_syncs += 1;
                return Err(Errno::EIO);
            }
            if self.spend(&mut state) {
                state = self.powered(state, losses)?;
            }
        }
        let delay = state.delay;
        if !delay.is_zero() {
            state.footprint.delayed_syncs += 1;
            drop(state);
            std::thread::sleep(delay);
            state = self.powered(self.state(), losses)?;
        }
        state.footprint.syncs += 1;
        if state.lies { Ok(()) } else { state.contents.sync(node) }
    }

    pub(super) fn arm(&self, changes: u64) {
        self.state().power = Power::Lasts(changes);
    }

    pub(super) fn await_darkness(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.state();
        while state.power != Power::Dark {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.power = Power::On;
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub(super) fn go_dark(&self) {
        self.state().power = Power::Dark;
        self.changed.notify_all();
    }

    pub(super) fn cut_power(&self) -> Loss {
        let mut state = self.state();
        state.power = Power::Off;
        state.losses += 1;
        let loss = state.contents.lose_power();
        self.changed.notify_all();
        loss
    }

    pub(super) fn restore_power(&self) {
        self.state().power = Power::On;
        self.changed.notify_all();
    }

    /// Fails all requests, so that none waits any more.
    pub(super) fn refuse_all(&self) {
        let mut state = self.state();
        state.delay = Duration::ZERO;
        state.power = Power::Off;
        self.changed.notify_all();
    }

    pub(super) fn fail_next_sync(&self, what: FailedSync) {
        self.state().failing = Some(what);
    }

    pub(super) fn let_syncs_succeed(&self) {
        self.state().failing = None;
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    pub(super) fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    pub(super) fn lie(&self) {
        self.state().lies = true;
    }

    /// Accesses the contents whatever the state of the power, as a person with the disk in hand can.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Contents) -> T) -> T {
        act(&mut self.state().contents)
    }

    pub(super) fn footprint(&self) -> DiskFootprint {
        self.state().footprint
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::sync::Arc;

    use super::super::contents::ROOT;
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn with_file() -> (Arc<Switch>, NodeId) {
        let switch = Switch::new(1);
        let file = switch.change(|contents| contents.create(ROOT, OsStr::new("x"), 0o644, false)).unwrap();
        (Arc::new(switch), file)
    }

    fn in_background(
        switch: &Arc<Switch>,
        act: impl FnOnce(&Switch) -> Answer<()> + Send + 'static,
    ) -> std::thread::JoinHandle<Answer<()>> {
        let switch = switch.clone();
        std::thread::spawn(move || act(&switch))
    }

    #[test]
    fn power_is_lost_in_the_middle_of_a_change_and_waiting_requests_fail() {
        let (switch, file) = with_file();
        switch.arm(1);
        switch.change(|contents| contents.write(file, 0, b"first")).unwrap();
        let writer = in_background(&switch, move |switch| switch.change(|contents| contents.write(file, 0, b"second")));
        assert!(switch.await_darkness(LONG));
        let reader = in_background(&switch, move |switch| switch.look(|contents| contents.read(file, 0, 9).map(drop)));
        let loss = switch.cut_power();
        assert_eq!(loss.at_stake, 3, "a name and two writes");
        assert_eq!(writer.join().unwrap(), Err(Errno::EIO));
        // The read fails if it was asked before the power was back. Otherwise it sees what is left.
        assert!(matches!(reader.join().unwrap(), Err(Errno::EIO | Errno::ENOENT)));
        switch.restore_power();
        assert_eq!(switch.with(|contents| contents.unsynced(None)), 0);
    }

    #[test]
    fn a_sync_during_which_the_power_is_lost_makes_nothing_durable() {
        let (switch, file) = with_file();
        switch.sync(ROOT).unwrap();
        switch.change(|contents| contents.write(file, 0, b"bytes")).unwrap();
        switch.arm(0);
        let syncing = in_background(&switch, move |switch| switch.sync(file));
        assert!(switch.await_darkness(LONG));
        assert_eq!(switch.with(|contents| contents.unsynced(None)), 1);
        switch.cut_power();
        assert_eq!(syncing.join().unwrap(), Err(Errno::EIO));
    }

    #[test]
    fn a_power_loss_that_nothing_triggers_is_cancelled() {
        let (switch, file) = with_file();
        switch.arm(0);
        assert!(!switch.await_darkness(Duration::ZERO));
        switch.change(|contents| contents.write(file, 0, b"bytes")).unwrap();
    }

    #[test]
    fn a_sync_fails_once_and_only_if_it_had_something_to_do() {
        let (switch, file) = with_file();
        switch.fail_next_sync(FailedSync::Drops);
        switch.sync(file).unwrap();
        switch.change(|contents| contents.write(file, 0, b"bytes")).unwrap();
        assert_eq!(switch.sync(file), Err(Errno::EIO));
        switch.sync(file).unwrap();
        assert_eq!(switch.footprint(), DiskFootprint { syncs: 2, failed_syncs: 1, ..DiskFootprint::default() });
    }

    #[test]
    fn a_full_disk_has_no_room_for_more_and_keeps_what_it_has() {
        let (switch, file) = with_file();
        switch.set_full(true);
        assert_eq!(switch.grow(|contents| contents.write(file, 0, b"bytes")), Err(Errno::ENOSPC));
        switch.change(|contents| contents.remove(ROOT, OsStr::new("x"), false)).unwrap();
        assert_eq!(switch.footprint().refused_writes, 1);
        switch.set_full(false);
        switch.grow(|contents| contents.create(ROOT, OsStr::new("y"), 0o644, false)).unwrap();
    }

    #[test]
    fn a_slow_sync_is_slow_and_fails_if_the_power_is_lost_meanwhile() {
        let (switch, file) = with_file();
        switch.set_delay(Duration::from_millis(50));
        let started = Instant::now();
        switch.sync(ROOT).unwrap();
        assert!(started.elapsed() >= Duration::from_millis(50));
        switch.change(|contents| contents.write(file, 0, b"bytes")).unwrap();
        switch.set_delay(Duration::from_millis(500));
        let syncing = in_background(&switch, move |switch| switch.sync(file));
        while switch.footprint().delayed_syncs < 2 {
            std::thread::yield_now();
        }
        switch.cut_power();
        switch.restore_power();
        assert_eq!(syncing.join().unwrap(), Err(Errno::EIO));
    }
}
