//! A switch that is turned on for a limited time. It is turned off again even if the caller has ended by then.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A switch, which is off at first. Clones are the same switch.
#[derive(Clone)]
pub(crate) struct Switch {
    /// What is unavailable while it is on, for people.
    what: &'static str,
    state: Arc<Mutex<State>>,
}

struct State {
    turn: Box<dyn Fn(bool) + Send>,
    /// Set while it is on: the sender is dropped to turn it off early, and the number identifies this period.
    on: Option<(SyncSender<()>, u64)>,
    times: u64,
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch").field("what", &self.what).finish_non_exhaustive()
    }
}

impl State {
    fn turn_off(&mut self) -> bool {
        let was_on = self.on.take().is_some();
        if was_on {
            (self.turn)(false);
        }
        was_on
    }
}

impl Switch {
    /// Makes a switch. `turn` is called with true when it is turned on, and with false when it is turned off.
    pub(crate) fn new(what: &'static str, turn: impl Fn(bool) + Send + 'static) -> Self {
        Self { what, state: Arc::new(Mutex::new(State { turn: Box::new(turn), on: None, times: 0 })) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under this lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns it on for this time at most. `Err` if it is already on, or if nothing could turn it off again.
    pub(crate) fn turn_on(&self, time: Duration) -> Result<(), String> {
        let mut state = self.state();
        if state.on.is_some() {
            return Err(format!("{} is already unavailable", self.what));
        }
        let (early, ended) = sync_channel::<()>(1);
        state.times += 1;
        let (own, number) = (self.clone(), state.times);
        let timer = move || {
            if ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                own.time_is_up(number);
            }
        };
        std::thread::Builder::new().name("drill-fault".to_owned()).spawn(timer).map_err(|error| error.to_string())?;
        state.on = Some((early, number));
        (state.turn)(true);
        tracing::warn!(what = self.what, for_ms = time.as_millis() as u64, "a drill makes it unavailable to this process");
        Ok(())
    }

    fn time_is_up(&self, number: u64) {
        let mut state = self.state();
        let is_this_one = state.on.as_ref().is_some_and(|(_, on)| *on == number);
        if is_this_one && state.turn_off() {
            tracing::info!(what = self.what, "the time of a drill is up: it can be reached again");
        }
    }

    /// Turns it off, if it is on.
    pub(crate) fn turn_off(&self) {
        if self.state().turn_off() {
            tracing::info!(what = self.what, "a drill ended early: it can be reached again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use super::*;

    fn switch() -> (Switch, Arc<AtomicBool>) {
        let on = Arc::new(AtomicBool::new(false));
        let turned = on.clone();
        (Switch::new("it", move |on| turned.store(on, Ordering::SeqCst)), on)
    }

    #[test]
    fn a_switch_turns_itself_off() {
        let (switch, on) = switch();
        switch.turn_on(Duration::from_millis(30)).unwrap();
        assert!(on.load(Ordering::SeqCst));
        let started = Instant::now();
        while on.load(Ordering::SeqCst) {
            assert!(started.elapsed() < Duration::from_secs(30), "the switch was not turned off");
            std::thread::sleep(Duration::from_millis(1));
        }
        switch.turn_on(Duration::from_secs(300)).unwrap();
    }

    #[test]
    fn periods_do_not_overlap_and_the_end_of_one_does_not_end_the_next() {
        let (switch, on) = switch();
        switch.turn_on(Duration::from_secs(300)).unwrap();
        assert!(switch.turn_on(Duration::from_secs(1)).unwrap_err().contains("already"));
        switch.turn_off();
        assert!(!on.load(Ordering::SeqCst));
        switch.turn_on(Duration::from_secs(300)).unwrap();
        switch.time_is_up(1);
        assert!(on.load(Ordering::SeqCst));
        switch.time_is_up(2);
        assert!(!on.load(Ordering::SeqCst));
    }
}
