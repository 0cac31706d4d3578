//! Whether the coordination store answers, as one process sees it: what could only wait for it is refused at once.
//!
//! It decides about nothing else. A store that is said to be there may fail the next write, and one that is said to be away may
//! take it: safety rests on the fence and on the three outcomes of a write alone.

use std::future::pending;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::watch;
use tracing::{info, warn};
use weir_protocol::utc;
use weir_world::wall_clock_ms;

use crate::metrics as names;

/// A silence shorter than this is not told: going from one server of the store to the next takes no longer.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

/// Whether the store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StoreAvailability {
    /// It does, or nothing else is known yet.
    #[default]
    Available,
    /// It does not, but leadership is not lost.
    Away {
        /// Since when: wall-clock milliseconds since 1970.
        since_ms: u64,
    },
}

impl StoreAvailability {
    /// Since when it is away, if it is: wall-clock milliseconds since 1970.
    pub fn away_since_ms(self) -> Option<u64> {
        match self {
            Self::Available => None,
            Self::Away { since_ms } => Some(since_ms),
        }
    }
}

/// Sees every change of a store's availability, or the last of several.
#[derive(Debug, Clone)]
pub struct StoreWatch(watch::Receiver<StoreAvailability>);

impl StoreWatch {
    /// Of a store that is there as long as it is of use.
    pub fn always_available() -> Self {
        Self(watch::channel(StoreAvailability::Available).1)
    }

    /// As it is now. [`Self::changed`] tells of changes after this.
    pub fn look(&mut self) -> StoreAvailability {
        *self.0.borrow_and_update()
    }

    /// As it is now.
    pub fn now(&self) -> StoreAvailability {
        *self.0.borrow()
    }

    /// Waits for a change and says what the store is from now on.
    pub async fn changed(&mut self) -> StoreAvailability {
        if self.0.changed().await.is_err() {
            // Nobody is left to tell of one.
            pending::<()>().await;
        }
        self.look()
    }
}

/// Where a provider says whether its store answers.
#[derive(Debug)]
pub(crate) struct StoreContact {
    store: &'static str,
    state: watch::Sender<StoreAvailability>,
}

impl StoreContact {
    /// Available until the contrary is known.
    pub(crate) fn new(store: &'static str) -> Self {
        Self { store, state: watch::Sender::default() }
    }

    /// No answer since this wall-clock time. Telling it again changes nothing.
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
                "HA-STORE-AWAY: the coordination store does not answer: running jobs go on, nothing new is recorded until it does"
            );
        }
    }

    /// It answers.
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

    /// For those who want to know.
    pub(crate) fn watch(&self) -> StoreWatch {
        StoreWatch(self.state.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn an_outage_is_told_once_with_its_beginning_and_so_is_its_end() {
        let contact = StoreContact::new("test");
        let mut watch = contact.watch();
        assert_eq!(watch.look(), StoreAvailability::Available);
        contact.regained();
        assert_eq!(watch.changed().now_or_never(), None);
        contact.lost(5);
        contact.lost(9);
        assert_eq!(watch.changed().await, StoreAvailability::Away { since_ms: 5 });
        assert_eq!(watch.changed().now_or_never(), None, "the second telling changes nothing");
        contact.regained();
        assert_eq!(watch.changed().await, StoreAvailability::Available);
        drop(contact);
        assert_eq!(watch.changed().now_or_never(), None, "the end of the provider is no change");
        assert_eq!(StoreWatch::always_available().changed().now_or_never(), None);
    }
}
