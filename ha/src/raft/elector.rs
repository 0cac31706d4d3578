//! Decides when a raft leader may act as leader. A pure core.
//!
//! A raft leader that has a candidate and answers from a quorum proposes `Acquire`. Leadership is granted only when that entry is
//! applied here. Then the granted epoch is durable (E2), every older entry is applied, and no older leader can write any more. If
//! one of these conditions ends, leadership is revoked at once (E9), with or without a successor.

use weir_protocol::LeaderEpoch;
use weir_world::Millis;

/// The pause between two attempts to acquire, in milliseconds.
const RETRY_MS: u64 = 50;
/// After this many milliseconds, a raft leader without a candidate hands over. Until then its own candidate may still come.
const PATIENCE_MS: u64 = 1_000;

/// An input of the elector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The current state of raft.
    Raft {
        /// The term in which this node leads, if it leads.
        leads: Option<u64>,
        /// Whether a quorum answered within the lease.
        quorum: bool,
    },
    /// Whether this process has a candidate that wants to lead.
    Candidate(bool),
    /// Whether this member was removed from the group.
    Removed(bool),
    /// The proposal with this number was applied under this epoch.
    Acquired(u64, LeaderEpoch),
    /// The proposal with this number failed, or its outcome is unknown.
    AcquireFailed(u64),
    /// The newest epoch that is applied here.
    Epoch(LeaderEpoch),
    /// Raft refused a commit because it does not lead.
    Doubted,
}

/// An action that the runner carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Propose `Acquire`, and report the result under this number.
    Acquire(u64),
    /// Tell the contender that it leads.
    Grant(LeaderEpoch),
    /// Tell the contender that it no longer leads.
    Revoke,
    /// Stand in raft's elections, or stop standing in them.
    StandInElections(bool),
    /// Hand leadership to another member, because this one leads without a candidate.
    HandOver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Idle,
    Acquiring {
        number: u64,
        term: u64,
    },
    Granted {
        epoch: LeaderEpoch,
        term: u64,
    },
}

/// The state of one member's leadership.
#[derive(Debug, Default)]
pub(crate) struct Elector {
    candidate: bool,
    removed: bool,
    /// Whether this member stands in elections.
    stands: bool,
    leads: Option<u64>,
    quorum: bool,
    epoch: LeaderEpoch,
    phase: Phase,
    proposals: u64,
    retry_at: Millis,
    /// When to hand over a raft leadership for which there is no candidate.
    hand_over_at: Option<Millis>,
}

impl Elector {
    /// Processes one event and returns the effects to carry out.
    pub(crate) fn handle(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Raft { leads, quorum } => (self.leads, self.quorum) = (leads, quorum),
            Event::Candidate(candidate) => {
                if self.candidate != candidate {
                    self.candidate = candidate;
                    self.hand_over_at = (!candidate).then_some(now);
                }
            }
            Event::Removed(removed) => self.removed = removed,
            Event::Acquired(number, epoch) => {
                self.epoch = self.epoch.max(epoch);
                if let Phase::Acquiring { number: pending, term } = self.phase
                    && pending == number
                {
                    self.phase = Phase::Idle;
                    if self.may_lead() == Some(term) && self.epoch == epoch {
                        self.phase = Phase::Granted { epoch, term };
                        effects.push(Effect::Grant(epoch));
                    }
                }
            }
            Event::AcquireFailed(number) => {
                if matches!(self.phase, Phase::Acquiring { number: pending, .. } if pending == number) {
                    self.phase = Phase::Idle;
                    self.retry_at = now.after(RETRY_MS);
                }
            }
            Event::Epoch(epoch) => self.epoch = self.epoch.max(epoch),
            Event::Doubted => {
                if let Phase::Granted { .. } = self.phase {
                    self.phase = Phase::Idle;
                    self.retry_at = now.after(RETRY_MS);
                    effects.push(Effect::Revoke);
                }
            }
        }
        self.settle(now, &mut effects);
        effects
    }

    /// The term in which this member may act as leader.
    fn may_lead(&self) -> Option<u64> {
        self.leads.filter(|_| self.candidate && self.quorum)
    }

    fn settle(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let stands = self.candidate && !self.removed;
        if std::mem::replace(&mut self.stands, stands) != stands {
            effects.push(Effect::StandInElections(stands));
        }
        match self.phase {
            Phase::Granted { epoch, term } if self.may_lead() != Some(term) || self.epoch > epoch => {
                self.phase = Phase::Idle;
                effects.push(Effect::Revoke);
            }
            Phase::Acquiring { term, .. } if self.may_lead() != Some(term) => self.phase = Phase::Idle,
            _ => {}
        }
        if let Some(term) = self.may_lead()
            && self.phase == Phase::Idle
            && now >= self.retry_at
        {
            self.proposals += 1;
            self.phase = Phase::Acquiring { number: self.proposals, term };
            effects.push(Effect::Acquire(self.proposals));
        }
        if self.leads.is_none() || self.candidate {
            self.hand_over_at = None;
        } else if now >= *self.hand_over_at.get_or_insert(now.after(PATIENCE_MS)) {
            self.hand_over_at = Some(now.after(PATIENCE_MS));
            effects.push(Effect::HandOver);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000);

    fn led(elector: &mut Elector, term: u64) -> Vec<Effect> {
        elector.handle(Event::Raft { leads: Some(term), quorum: true }, NOW)
    }

    fn granted() -> Elector {
        let mut elector = Elector::default();
        assert_eq!(elector.handle(Event::Candidate(true), NOW), [Effect::StandInElections(true)]);
        assert_eq!(led(&mut elector, 3), [Effect::Acquire(1)]);
        assert_eq!(elector.handle(Event::Acquired(1, LeaderEpoch(9)), NOW), [Effect::Grant(LeaderEpoch(9))]);
        elector
    }

    #[test]
    fn leadership_is_granted_only_when_the_epoch_is_applied() {
        let mut elector = granted();
        assert_eq!(led(&mut elector, 3), []);
    }

    #[test]
    fn without_a_candidate_nothing_is_granted_and_leadership_is_handed_over_later() {
        let mut elector = Elector::default();
        assert_eq!(led(&mut elector, 3), []);
        let later = NOW.after(PATIENCE_MS);
        let led_later = |elector: &mut Elector| elector.handle(Event::Raft { leads: Some(3), quorum: true }, later);
        assert_eq!(led_later(&mut elector), [Effect::HandOver]);
        assert_eq!(led_later(&mut elector), []);
        let effects = elector.handle(Event::Candidate(true), later);
        assert_eq!(effects, [Effect::StandInElections(true), Effect::Acquire(1)]);
    }

    #[test]
    fn a_lost_quorum_revokes_and_a_regained_one_acquires_a_new_epoch() {
        let mut elector = granted();
        assert_eq!(elector.handle(Event::Raft { leads: Some(3), quorum: false }, NOW), [Effect::Revoke]);
        assert_eq!(led(&mut elector, 3), [Effect::Acquire(2)]);
    }

    #[test]
    fn a_lost_raft_leadership_revokes_without_a_successor() {
        let mut elector = granted();
        assert_eq!(elector.handle(Event::Raft { leads: None, quorum: false }, NOW), [Effect::Revoke]);
    }

    #[test]
    fn leading_again_in_another_term_is_another_leadership() {
        let mut elector = granted();
        assert_eq!(led(&mut elector, 4), [Effect::Revoke, Effect::Acquire(2)]);
    }

    #[test]
    fn a_newer_epoch_revokes() {
        let mut elector = granted();
        let effects = elector.handle(Event::Epoch(LeaderEpoch(10)), NOW);
        assert_eq!(effects[0], Effect::Revoke);
    }

    #[test]
    fn an_answer_after_the_loss_of_leadership_grants_nothing() {
        let mut elector = Elector::default();
        elector.handle(Event::Candidate(true), NOW);
        led(&mut elector, 3);
        elector.handle(Event::Raft { leads: None, quorum: false }, NOW);
        assert_eq!(elector.handle(Event::Acquired(1, LeaderEpoch(9)), NOW), []);
    }

    #[test]
    fn an_answer_overtaken_by_a_newer_epoch_grants_nothing() {
        let mut elector = Elector::default();
        elector.handle(Event::Candidate(true), NOW);
        led(&mut elector, 3);
        elector.handle(Event::Epoch(LeaderEpoch(12)), NOW);
        assert_eq!(elector.handle(Event::Acquired(1, LeaderEpoch(9)), NOW), [Effect::Acquire(2)]);
    }

    #[test]
    fn a_failed_proposal_is_repeated_after_a_pause() {
        let mut elector = Elector::default();
        elector.handle(Event::Candidate(true), NOW);
        led(&mut elector, 3);
        assert_eq!(elector.handle(Event::AcquireFailed(1), NOW), []);
        let later = NOW.after(RETRY_MS);
        assert_eq!(elector.handle(Event::Raft { leads: Some(3), quorum: true }, later), [Effect::Acquire(2)]);
    }

    #[test]
    fn a_doubted_leader_is_revoked_and_tries_again() {
        let mut elector = granted();
        assert_eq!(elector.handle(Event::Doubted, NOW), [Effect::Revoke]);
        let later = NOW.after(RETRY_MS);
        assert_eq!(elector.handle(Event::Raft { leads: Some(3), quorum: true }, later), [Effect::Acquire(2)]);
    }

    #[test]
    fn a_removed_member_stands_in_no_election_until_it_is_added_again() {
        let mut elector = Elector::default();
        assert_eq!(elector.handle(Event::Removed(true), NOW), []);
        assert_eq!(elector.handle(Event::Candidate(true), NOW), []);
        assert_eq!(elector.handle(Event::Removed(false), NOW), [Effect::StandInElections(true)]);
        assert_eq!(elector.handle(Event::Removed(true), NOW), [Effect::StandInElections(false)]);
    }

    #[test]
    fn withdrawing_revokes_and_hands_over() {
        let mut elector = granted();
        let effects = elector.handle(Event::Candidate(false), NOW);
        assert_eq!(effects, [Effect::StandInElections(false), Effect::Revoke, Effect::HandOver]);
    }
}
