//! The campaign of a provider's candidate. A caller starts it; the provider's thread observes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::Candidate;
use crate::election::{Contender, LeaderElection, election};

/// A candidate of this process that wants to lead.
#[derive(Clone)]
pub(crate) struct Campaign {
    /// Distinguishes the campaigns of one provider.
    pub number: u64,
    pub candidate: Candidate,
    pub contender: Arc<Contender>,
}

/// The current campaign of one provider: the newest one, until it is withdrawn.
pub(crate) struct Campaigns {
    current: watch::Sender<Option<Campaign>>,
    begun: AtomicU64,
}

impl Campaigns {
    /// Starts without a campaign.
    pub(crate) fn new() -> Self {
        Self { current: watch::Sender::new(None), begun: AtomicU64::new(0) }
    }

    /// The current campaign, for the thread that contends.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Campaign>> {
        self.current.subscribe()
    }

    /// Contends until the handle is dropped or another campaign begins.
    pub(crate) fn begin(&self, candidate: Candidate) -> LeaderElection {
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let current = self.current.clone();
        let (contender, election) = election(move || {
            current.send_if_modified(|campaign| {
                let own = campaign.as_ref().is_some_and(|campaign| campaign.number == number);
                if own {
                    *campaign = None;
                }
                own
            });
        });
        self.current.send_replace(Some(Campaign { number, candidate, contender: Arc::new(contender) }));
        election
    }

    /// Ends the current campaign: no candidate of this process wants to lead any more.
    pub(crate) fn end(&self) {
        self.current.send_replace(None);
    }
}
