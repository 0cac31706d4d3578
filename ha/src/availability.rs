//! Whether the coordination store answers, as one process sees it. While it does not, requests that could only wait for it are
//! refused at once.
//!
//! Nothing else depends on it. A store that is reported available may fail the next write, and one that is reported unavailable
//! may accept it. Safety rests only on the fence and on the three outcomes of a write.

use std::future::pending;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::watch;
use tracing::{info, warn};
use weir_protocol::utc;
use weir_world::wall_clock_ms;

use crate::metrics as names;

/// A shorter silence is not reported: switching from one server of the store to the next takes no longer.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

/// Whether the store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StoreAvailability {
    /// The store answers, or nothing else is known yet.
    #[default]
    Available,
    /// The store does not answer, but leadership is not lost.
    Away {
        /// When the outage began, in wall-clock milliseconds since 1970.
        since_ms: u64,
    },
}

impl StoreAvailability {
    /// When the outage began, in wall-clock milliseconds since 1970. `None` if the store is available.
    pub fn away_since_ms(self) -> Option<u64> {
        match self {
            Self::Available => None,
            Self::Away { since_ms } => Some(since_ms),
        }
    }
}

/// Observes changes of a store's availability. If several changes come in a row, it may see only the last.
#[derive(Debug, Clone)]
pub struct StoreWatch(watch::Receiver<StoreAvailability>);

impl StoreWatch {
    /// A watch that never reports an outage.
    pub fn always_available() -> Self {
        Self(watch::channel(StoreAvailability::Available).1)
    }

    /// The current state. [`Self::changed`] then reports only later changes.
    pub fn look(&mut self) -> StoreAvailability {
        *self.0.borrow_and_update()
    }

    /// The current state, without an effect on [`Self::changed`].
    pub fn now(&self) -> StoreAvailability {
        *self.0.borrow()
    }

    /// Waits for a change and returns the new state. Waits for ever once the provider has ended.
    pub async fn changed(&mut self) -> StoreAvailability {
        if self.0.changed().await.is_err() {
            // The provider has ended, so no change can come.
            pending::<()>().await;
        }
        self.look()
    }
}

/// The place where a provider reports whether its store answers.
#[derive(Debug)]
pub(crate) struct StoreContact {
    store: &'static str,
    state: watch::Sender<StoreAvailability>,
}

impl StoreContact {
    /// Starts as available.
    pub(crate) fn new(store: &'static str) -> Self {
        Self { store, state: watch::Sender::default() }
    }

    /// Reports that the store has not answered since this wall-clock time. A second report changes nothing.
    pub(crate) fn lost(&self, since_ms: u64) {
        let lost = self.state.send_if_modified(|state| {
            let lost = *state == StoreAvailability::Available;
            if lost {
                *state = StoreAvailability::Away { since_ms };
            }
            lost
        });
        if lost {
            gauge!(names::STORE_AWAY).set(1.0);
            counter!(names::STORE_OUTAGES).increment(1);
            let since = utc::text(since_ms);
            warn!(
                store = self.store,
                since,
                "HA-STORE-AWAY: the coordination store does not answer: running jobs continue, nothing new is recorded until it answers"
            );
        }
    }

    /// Reports that the store answers.
    pub(crate) fn regained(&self) {
        let mut since_ms = None;
        self.state.send_if_modified(|state| {
            since_ms = std::mem::take(state).away_since_ms();
            since_ms.is_some()
        });
        if let Some(since_ms) = since_ms {
            gauge!(names::STORE_AWAY).set(0.0);
            info!(store = self.store, away_ms = wall_clock_ms().saturating_sub(since_ms), "the coordination store answers again");
        }
    }

    /// A watch that sees what is reported here.
    pub(crate) fn watch(&self) -> StoreWatch {
        StoreWatch(self.state.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn an_outage_is_reported_once_with_its_beginning_and_so_is_its_end() {
        let contact = StoreContact::new("test");
        let mut watch = contact.watch();
        assert_eq!(watch.look(), StoreAvailability::Available);
        contact.regained();
        assert_eq!(watch.changed().now_or_never(), None);
        contact.lost(5);
        contact.lost(9);
        assert_eq!(watch.changed().await, StoreAvailability::Away { since_ms: 5 });
        assert_eq!(watch.changed().now_or_never(), None, "the second report changes nothing");
        contact.regained();
        assert_eq!(watch.changed().await, StoreAvailability::Available);
        drop(contact);
        assert_eq!(watch.changed().now_or_never(), None, "the end of the provider is no change");
        assert_eq!(StoreWatch::always_available().changed().now_or_never(), None);
    }
}
