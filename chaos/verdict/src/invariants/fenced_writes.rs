//! E3: once the store has accepted a write of an epoch, it accepts no write of a lower epoch that begins later.

use std::collections::BTreeMap;

use weir_protocol::LeaderEpoch;

use super::Invariant;
use crate::fact::Fact;

/// The highest epoch that the store is known to hold: now, and at the start of each write in flight.
#[derive(Debug, Default)]
pub(super) struct FencedWrites {
    highest: LeaderEpoch,
    at_start: BTreeMap<u64, LeaderEpoch>,
}

impl Invariant for FencedWrites {
    fn id(&self) -> &'static str {
        "E3"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), String> {
        match fact {
            // A process learns of an epoch only from the store, so the store already holds it.
            Fact::LeaderSeen { epoch, .. } => self.highest = self.highest.max(*epoch),
            Fact::WriteBegan { write, .. } => {
                self.at_start.insert(*write, self.highest);
            }
            Fact::WriteCommitted { write, epoch } => {
                let fence = self.at_start.remove(write).unwrap_or_default();
                self.highest = self.highest.max(*epoch);
                if *epoch < fence {
                    return Err(format!(
                        "a write of epoch {epoch} was accepted, although it began when the store already held epoch {fence}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn began(write: u64, epoch: u64) -> Fact {
        Fact::WriteBegan { write, process: "a".into(), epoch: LeaderEpoch(epoch) }
    }

    fn committed(write: u64, epoch: u64) -> Fact {
        Fact::WriteCommitted { write, epoch: LeaderEpoch(epoch) }
    }

    #[test]
    fn a_write_of_a_former_leader_must_be_refused() {
        let mut writes = FencedWrites::default();
        for fact in [began(1, 1), began(2, 2), committed(2, 2), committed(1, 1)] {
            assert!(writes.observe(&fact).is_ok(), "both writes were in flight at the same time");
        }
        assert!(writes.observe(&began(3, 1)).is_ok());
        assert!(writes.observe(&committed(3, 1)).is_err());
    }

    #[test]
    fn a_write_of_a_former_leader_must_be_refused_before_its_successor_writes() {
        let mut writes = FencedWrites::default();
        let seen = Fact::LeaderSeen { process: "b".into(), epoch: LeaderEpoch(2) };
        for fact in [began(1, 1), seen, committed(1, 1), began(2, 1)] {
            assert!(writes.observe(&fact).is_ok());
        }
        assert!(writes.observe(&committed(2, 1)).is_err());
    }
}
