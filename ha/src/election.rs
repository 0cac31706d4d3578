//! The channel between an elector and its contender.
//!
//! The elector sets the current state. The contender gets the difference between that state and its own last event. So events
//! strictly alternate (E7), and an elector never waits for a slow contender. A grant that is revoked before the contender looks
//! is never delivered.

use std::fmt;

use tokio::sync::watch;

use crate::{Leadership, LeadershipEvent};

/// A contender's place in the election. Dropping it withdraws the contender.
pub struct LeaderElection {
    current: watch::Receiver<Option<Leadership>>,
    told: Option<Leadership>,
    withdraw: Option<Box<dyn FnOnce() + Send + Sync>>,
}

/// The elector's end of the channel.
#[derive(Debug)]
pub(crate) struct Contender {
    current: watch::Sender<Option<Leadership>>,
}

/// Creates a place in an election. `withdraw` runs when the contender drops its place, and must not block.
pub(crate) fn election(withdraw: impl FnOnce() + Send + Sync + 'static) -> (Contender, LeaderElection) {
    let (sender, receiver) = watch::channel(None);
    (Contender { current: sender }, LeaderElection { current: receiver, told: None, withdraw: Some(Box::new(withdraw)) })
}

impl Contender {
    /// From now on the contender leads.
    pub(crate) fn grant(&self, leadership: Leadership) {
        self.current.send_replace(Some(leadership));
    }

    /// From now on the contender does not lead.
    pub(crate) fn revoke(&self) {
        self.current.send_if_modified(|current| current.take().is_some());
    }
}

impl LeaderElection {
    /// The next event; `None` when the provider has stopped. Cancellation-safe.
    pub async fn next(&mut self) -> Option<LeadershipEvent> {
        loop {
            let current = self.current.borrow_and_update().clone();
            if let Some(told) = &self.told {
                if current.as_ref() != Some(told) || self.current.has_changed().is_err() {
                    self.told = None;
                    return Some(LeadershipEvent::Revoked);
                }
            } else if self.current.has_changed().is_err() {
                return None;
            } else if let Some(leadership) = current {
                self.told = Some(leadership.clone());
                return Some(LeadershipEvent::Granted(leadership));
            }
            // An error means that the provider stopped: the next iteration reports it.
            let _ = self.current.changed().await;
        }
    }

    /// The next grant; skips a revocation before it. `None` when the provider has stopped. Cancellation-safe.
    pub async fn granted(&mut self) -> Option<Leadership> {
        loop {
            if let LeadershipEvent::Granted(leadership) = self.next().await? {
                return Some(leadership);
            }
        }
    }
}

impl Drop for LeaderElection {
    fn drop(&mut self) {
        if let Some(withdraw) = self.withdraw.take() {
            withdraw();
        }
    }
}

impl fmt::Debug for LeaderElection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderElection").field("told", &self.told).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use weir_protocol::LeaderEpoch;

    use super::*;
    use crate::Candidate;

    fn leadership(epoch: u64) -> Leadership {
        let leader = Candidate { name: "jm-1".into(), rpc_address: "h:1".into(), rest_address: "h:2".into() };
        Leadership::grant(LeaderEpoch(epoch), leader, 0)
    }

    #[tokio::test]
    async fn a_slow_contender_sees_grants_and_revocations_alternate() {
        let (elector, mut election) = election(|| {});
        elector.grant(leadership(1));
        assert_eq!(election.next().await, Some(LeadershipEvent::Granted(leadership(1))));
        elector.revoke();
        elector.grant(leadership(2));
        elector.revoke();
        elector.grant(leadership(3));
        assert_eq!(election.next().await, Some(LeadershipEvent::Revoked));
        assert_eq!(election.next().await, Some(LeadershipEvent::Granted(leadership(3))));
    }

    #[tokio::test]
    async fn a_grant_revoked_before_it_was_seen_is_not_delivered() {
        let (elector, mut election) = election(|| {});
        elector.grant(leadership(1));
        elector.revoke();
        drop(elector);
        assert_eq!(election.next().await, None);
    }

    #[tokio::test]
    async fn a_stopped_provider_revokes_before_it_ends() {
        let (elector, mut election) = election(|| {});
        elector.grant(leadership(1));
        assert_eq!(election.next().await, Some(LeadershipEvent::Granted(leadership(1))));
        drop(elector);
        assert_eq!(election.next().await, Some(LeadershipEvent::Revoked));
        assert_eq!(election.next().await, None);
    }
}
