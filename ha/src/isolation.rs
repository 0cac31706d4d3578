//! Cut off from the store on order, for drills: no connection is made then, and none that there is stays.

use std::future::{Future, pending};

use tokio::sync::watch;

/// Whether this process is cut off: an odd number of turns says so.
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

    /// Ends once this process is cut off, even if that is over again: at once if it is. Holds on to nothing.
    pub(crate) fn begins(&self) -> impl Future<Output = ()> + Send + use<> {
        let turns = self.0.subscribe();
        let before = *turns.borrow();
        until(turns, move |now| is_cut_off(now) || now != before)
    }

    /// Ends once it is not.
    pub(crate) fn ends(&self) -> impl Future<Output = ()> + Send + use<> {
        until(self.0.subscribe(), |now| !is_cut_off(now))
    }
}

fn is_cut_off(turns: u64) -> bool {
    turns % 2 == 1
}

async fn until(mut turns: watch::Receiver<u64>, condition: impl Fn(u64) -> bool) {
    if turns.wait_for(|turns| condition(*turns)).await.is_err() {
        // Nobody is left to turn it.
        pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn an_interruption_that_is_over_again_is_not_missed() {
        let isolation = Isolation::default();
        let begins = isolation.begins();
        isolation.set(true);
        isolation.set(false);
        assert!(begins.now_or_never().is_some(), "it was cut off since");
        assert!(isolation.begins().now_or_never().is_none(), "it is not");
    }

    #[test]
    fn what_is_said_twice_is_no_turn() {
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
