//! For drills: cuts this process off from the store. Meanwhile connections break and no new one is made.

use std::future::{Future, pending};

use tokio::sync::watch;

/// Whether this process is cut off. The value counts the switches between the two states; an odd count means that it is cut off.
#[derive(Debug, Default)]
pub(crate) struct Isolation(watch::Sender<u64>);

impl Isolation {
    pub(crate) fn set(&self, isolated: bool) {
        self.0.send_if_modified(|turns| {
            let turned = is_cut_off(*turns) != isolated;
            *turns += u64::from(turned);
            turned
        });
    }

    /// Completes once this process has been cut off, even if it is connected again by then. Completes at once if it is cut off
    /// now. The future borrows nothing.
    pub(crate) fn begins(&self) -> impl Future<Output = ()> + Send + use<> {
        let turns = self.0.subscribe();
        let before = *turns.borrow();
        until(turns, move |now| is_cut_off(now) || now != before)
    }

    /// Completes once this process is no longer cut off. The future borrows nothing.
    pub(crate) fn ends(&self) -> impl Future<Output = ()> + Send + use<> {
        until(self.0.subscribe(), |now| !is_cut_off(now))
    }
}

fn is_cut_off(turns: u64) -> bool {
    turns % 2 == 1
}

async fn until(mut turns: watch::Receiver<u64>, condition: impl Fn(u64) -> bool) {
    if turns.wait_for(|turns| condition(*turns)).await.is_err() {
        // The `Isolation` was dropped, so the state can't change any more.
        pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_short_interruption_is_not_missed() {
        let isolation = Isolation::default();
        let begins = isolation.begins();
        isolation.set(true);
        isolation.set(false);
        assert!(begins.now_or_never().is_some(), "it was cut off in the meantime");
        assert!(isolation.begins().now_or_never().is_none(), "it is not cut off now");
    }

    #[test]
    fn setting_the_same_state_again_changes_nothing() {
        let isolation = Isolation::default();
        let begins = isolation.begins();
        isolation.set(false);
        assert!(begins.now_or_never().is_none());
        isolation.set(true);
        isolation.set(true);
        assert!(isolation.begins().now_or_never().is_some());
        assert!(isolation.ends().now_or_never().is_none());
    }
}
