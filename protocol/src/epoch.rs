//! Fencing tokens. Comparing numbers alone decides which leader may act (E1-E4).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of one leadership of the cluster. It strictly increases over the life of the cluster (E1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct LeaderEpoch(pub u64);

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of one (re)deployment within a job: the epoch of the leader that ordered it, then a counter. A later deployment
/// always has a greater number, also across leaders. This needs no write to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Generation {
    /// Epoch of the leader that ordered the deployment.
    pub epoch: LeaderEpoch,
    /// Counts the deployments of this job under that epoch, from 1.
    pub attempt: u32,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.attempt)
    }
}

/// The receiver refused a message from a superseded leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stale leader epoch {stale}: epoch {current} has been seen")]
pub struct StaleEpoch {
    /// The epoch of the message.
    pub stale: LeaderEpoch,
    /// The highest epoch seen so far.
    pub current: LeaderEpoch,
}

/// The receiver's half of fencing. It keeps the highest epoch seen and refuses lower ones (E4).
#[derive(Debug, Clone, Copy, Hash, Default)]
pub struct EpochFence {
    highest: LeaderEpoch,
}

impl EpochFence {
    /// Admits and remembers `epoch`, unless a higher epoch was seen.
    pub fn admit(&mut self, epoch: LeaderEpoch) -> Result<(), StaleEpoch> {
        if epoch < self.highest {
            return Err(StaleEpoch { stale: epoch, current: self.highest });
        }
        self.highest = epoch;
        Ok(())
    }

    /// The highest epoch admitted.
    pub fn highest(&self) -> LeaderEpoch {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_admits_equal_and_higher_epochs_and_refuses_lower_ones() {
        let mut fence = EpochFence::default();
        assert_eq!(fence.admit(LeaderEpoch(3)), Ok(()));
        assert_eq!(fence.admit(LeaderEpoch(3)), Ok(()));
        assert_eq!(fence.admit(LeaderEpoch(5)), Ok(()));
        assert_eq!(fence.admit(LeaderEpoch(4)), Err(StaleEpoch { stale: LeaderEpoch(4), current: LeaderEpoch(5) }));
    }

    #[test]
    fn generations_of_a_later_leader_are_greater() {
        let old = Generation { epoch: LeaderEpoch(1), attempt: 90 };
        let new = Generation { epoch: LeaderEpoch(2), attempt: 1 };
        assert!(new > old);
    }
}
