//! What is switched on for a time, and off again whatever becomes of whoever wanted it.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Off at first. Clones are the same switch.
#[derive(Clone)]
pub(crate) struct Switch {
    /// What is away while it is on, for people.
    what: &'static str,
    state: Arc<Mutex<State>>,
}

struct State {
    turn: Box<dyn Fn(bool) + Send>,
    /// While it is on: dropped to turn it off early, and the number of this time.
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
    /// `turn` does what it is for.
    pub(crate) fn new(what: &'static str, turn: impl Fn(bool) + Send + 'static) -> Self {
        Self { what, state: Arc::new(Mutex::new(State { turn: Box::new(turn), on: None, times: 0 })) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is done under this lock can't leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On, for this time at most. `Err` if it is on already, or if nothing could turn it off again.
    pub(crate) fn turn_on(&self, time: Duration) -> Result<(), String> {
        let mut state = self.state();
        if state.on.is_some() {
            return Err(format!("{} is away already", self.what));
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
        tracing::warn!(what = self.what, for_ms = time.as_millis() as u64, "a drill takes it away from this process");
        Ok(())
    }

    fn time_is_up(&self, number: u64) {
        let mut state = self.state();
        let is_this_one = state.on.as_ref().is_some_and(|(_, on)| *on == number);
        if is_this_one && state.turn_off() {
            tracing::info!(what = self.what, "a drill's time is up: it may be reached again");
        }
    }

    /// Off, if it is on.
    pub(crate) fn turn_off(&self) {
        if self.state().turn_off() {
            tracing::info!(what = self.what, "a drill is over early: it may be reached again");
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
    fn its_time_ends_by_itself() {
        let (switch, on) = switch();
        switch.turn_on(Duration::from_millis(30)).unwrap();
        assert!(on.load(Ordering::SeqCst));
        let started = Instant::now();
        while on.load(Ordering::SeqCst) {
            assert!(started.elapsed() < Duration::from_secs(30), "nobody turned it off");
            std::thread::sleep(Duration::from_millis(1));
        }
        switch.turn_on(Duration::from_secs(300)).unwrap();
    }

    #[test]
    fn one_time_after_the_other_and_the_end_of_the_first_is_not_that_of_the_second() {
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
