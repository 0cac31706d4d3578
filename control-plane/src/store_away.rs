//! The error of requests that must write to the coordination store while it does not answer.

use weir_ha::StoreAvailability;
use weir_protocol::utc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "HA-STORE-AWAY: the coordination store has not answered since {}: nothing new can be recorded and nothing was changed; running \
     jobs go on; try again when it answers (weir ha status)",
    utc::text(*since_ms)
)]
/// The coordination store does not answer. Requests that must write to it fail at once with this error.
pub struct StoreAway {
    /// The start of the outage: wall-clock milliseconds since 1970.
    pub since_ms: u64,
}

impl StoreAway {
    /// Fails if the coordination store does not answer.
    pub fn check(store: StoreAvailability) -> Result<(), Self> {
        store.away_since_ms().map_or(Ok(()), |since_ms| Err(Self { since_ms }))
    }
}
