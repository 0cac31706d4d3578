//! E3: once the store has taken a write of an epoch, it takes none of a lower one that begins later.

use std::collections::BTreeMap;

use weir_protocol::LeaderEpoch;

use super::Invariant;
use crate::fact::Fact;

/// The highest epoch the store has taken a write of, or the beginning; and what it was when each write under way began.
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
            // What a member knows of an epoch it knows from the store.
            Fact::LeaderSeen { epoch, .. } => self.highest = self.highest.max(*epoch),
            Fact::WriteBegan { write, .. } => {
                self.at_start.insert(*write, self.highest);
            }
            Fact::WriteCommitted { write, epoch } => {
                let fence = self.at_start.remove(write).unwrap_or_default();
                self.highest = self.highest.max(*epoch);
                if *epoch < fence {
                    return Err(format!("a write of epoch {epoch} was taken though it began after one of epoch {fence} was"));
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
    fn a_write_of_a_former_leader_must_not_be_taken() {
        let mut writes = FencedWrites::default();
        for fact in [began(1, 1), began(2, 2), committed(2, 2), committed(1, 1)] {
            assert!(writes.observe(&fact).is_ok(), "they were under way at the same time");
        }
        assert!(writes.observe(&began(3, 1)).is_ok());
        assert!(writes.observe(&committed(3, 1)).is_err());
    }

    #[test]
    fn nor_of_one_whose_successor_has_only_begun() {
        let mut writes = FencedWrites::default();
        let seen = Fact::LeaderSeen { process: "b".into(), epoch: LeaderEpoch(2) };
        for fact in [began(1, 1), seen, committed(1, 1), began(2, 1)] {
            assert!(writes.observe(&fact).is_ok());
        }
        assert!(writes.observe(&committed(2, 1)).is_err());
    }
}
