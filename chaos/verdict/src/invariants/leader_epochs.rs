//! E1 and E8: an epoch belongs to one process for ever, and no observer goes back to a lower epoch.

use std::collections::BTreeMap;

use weir_protocol::LeaderEpoch;

use super::Invariant;
use crate::fact::Fact;

/// The process that wrote under each epoch, the leader that answers named for it, and the newest epoch that each process saw.
#[derive(Debug, Default)]
pub(super) struct LeaderEpochs {
    holders: BTreeMap<LeaderEpoch, String>,
    named: BTreeMap<LeaderEpoch, String>,
    seen: BTreeMap<String, LeaderEpoch>,
}

impl Invariant for LeaderEpochs {
    fn id(&self) -> &'static str {
        "E1"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::WriteBegan { process, epoch, .. } => {
                let holder = self.holders.entry(*epoch).or_insert_with(|| process.clone());
                if holder != process {
                    return Err(format!("epoch {epoch} was used by {holder} and by {process}"));
                }
            }
            Fact::LeaderNamed { leader, epoch } => {
                let holder = self.named.entry(*epoch).or_insert_with(|| leader.clone());
                if holder != leader {
                    return Err(format!("epoch {epoch} is said to belong to {holder} and to {leader}"));
                }
            }
            Fact::LeaderSeen { process, epoch } => {
                let newest = self.seen.entry(process.clone()).or_default();
                if *epoch < *newest {
                    return Err(format!("E8: {process} saw epoch {newest} and then {epoch}"));
                }
                *newest = *epoch;
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(process: &str, epoch: u64) -> Fact {
        Fact::WriteBegan { write: 1, process: process.into(), epoch: LeaderEpoch(epoch) }
    }

    #[test]
    fn one_epoch_has_one_holder() {
        let mut epochs = LeaderEpochs::default();
        assert!(epochs.observe(&write("a", 1)).is_ok());
        assert!(epochs.observe(&write("a", 1)).is_ok());
        assert!(epochs.observe(&write("b", 2)).is_ok());
        assert!(epochs.observe(&write("a", 2)).is_err());
    }

    #[test]
    fn all_answers_name_the_same_leader_of_an_epoch() {
        let mut epochs = LeaderEpochs::default();
        let named = |leader: &str, epoch| Fact::LeaderNamed { leader: leader.into(), epoch: LeaderEpoch(epoch) };
        assert!(epochs.observe(&named("a", 1)).is_ok());
        assert!(epochs.observe(&named("a", 1)).is_ok());
        assert!(epochs.observe(&named("b", 1)).is_err());
    }

    #[test]
    fn an_observer_never_goes_back() {
        let mut epochs = LeaderEpochs::default();
        let seen = |epoch| Fact::LeaderSeen { process: "a".into(), epoch: LeaderEpoch(epoch) };
        assert!(epochs.observe(&seen(3)).is_ok());
        assert!(epochs.observe(&seen(3)).is_ok());
        assert!(epochs.observe(&seen(2)).is_err());
    }
}
