//! The refusal of what the coordination store would have to write while it does not answer.

use weir_ha::StoreAvailability;
use weir_protocol::utc;

/// The coordination store is away. Nobody waits to learn it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "HA-STORE-AWAY: the coordination store has not answered since {}: nothing new can be recorded and nothing was changed; running \
     jobs go on; try again when it answers (weir ha status)",
    utc::text(*since_ms)
)]
pub struct StoreAway {
    /// Since when: wall-clock milliseconds since 1970.
    pub since_ms: u64,
}

impl StoreAway {
    /// Whether there is a store to write to.
    pub fn check(store: StoreAvailability) -> Result<(), Self> {
        store.away_since_ms().map_or(Ok(()), |since_ms| Err(Self { since_ms }))
    }
}
