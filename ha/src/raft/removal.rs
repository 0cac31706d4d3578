//! Whether this member was removed from the group. A pure core.
//!
//! The leader sends nothing more to a member that it removes, often not even the entry that removes it. So the log of such a member
//! still counts it among the voters. But if it asks others for a vote or a read, they say as of which entry it is no member.

use super::types::{LogId, NodeId, StoredMembership};

/// What this member knows about its own removal.
#[derive(Debug)]
pub(crate) struct Removal {
    me: NodeId,
    /// Whether it was ever a member. A process that waits for its admission was not removed.
    was_member: bool,
    removed: bool,
}

/// The answer for a process that is no member.
///
/// `Some` if neither the `committed` nor the newest membership contains `node`, with the entry of the committed one.
pub(crate) fn excluded_as_of(node: NodeId, newest: &StoredMembership, committed: &StoredMembership) -> Option<LogId> {
    let known = newest.get_node(&node).is_some() || committed.get_node(&node).is_some();
    committed.log_id().filter(|_| !known)
}

impl Removal {
    /// A founder is a member from the first entry on.
    pub(crate) fn new(me: NodeId, founder: bool) -> Self {
        Self { me, was_member: founder, removed: false }
    }

    /// Takes in the memberships in this member's log, and the newest entry as of which others said that it is no member. Returns
    /// whether it is removed now, if that changed. A member that was added again gets a newer membership that contains it.
    pub(crate) fn observe(
        &mut self,
        newest: &StoredMembership,
        committed: &StoredMembership,
        told: Option<LogId>,
    ) -> Option<bool> {
        let contains_me = |membership: &StoredMembership| membership.get_node(&self.me).is_some();
        let removed = if contains_me(newest) {
            told > *newest.log_id()
        } else {
            self.was_member && committed.log_id().is_some() && !contains_me(committed)
        };
        self.was_member |= contains_me(committed);
        (std::mem::replace(&mut self.removed, removed) != removed).then_some(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use openraft::impls::leader_id_adv::LeaderId;

    use super::super::types::Member;
    use super::*;

    const ME: NodeId = 3;

    fn log_id(index: u64) -> LogId {
        LogId::new(LeaderId { term: 1, node_id: 1 }, index)
    }

    fn membership(index: u64, nodes: &[NodeId]) -> StoredMembership {
        let members: BTreeMap<_, _> = nodes.iter().map(|node| (*node, Member::default())).collect();
        let voters: BTreeSet<_> = nodes.iter().copied().collect();
        StoredMembership::new(Some(log_id(index)), openraft::Membership::new(vec![voters], members).unwrap())
    }

    #[test]
    fn a_member_is_removed_by_a_committed_entry_of_its_log() {
        let (with, without) = (membership(0, &[1, 2, ME]), membership(9, &[1, 2]));
        let mut removal = Removal::new(ME, true);
        assert_eq!(
            removal.observe(&StoredMembership::default(), &StoredMembership::default(), None),
            None,
            "before the founding"
        );
        assert_eq!(removal.observe(&with, &with, None), None);
        assert_eq!(removal.observe(&without, &with, None), None, "the entry may be undone");
        assert_eq!(removal.observe(&without, &without, None), Some(true));
        assert_eq!(removal.observe(&without, &without, None), None, "it is said once");
        let again = membership(12, &[1, 2, ME]);
        assert_eq!(removal.observe(&again, &again, None), Some(false));
    }

    #[test]
    fn a_member_is_removed_if_others_know_a_newer_membership_without_it() {
        let (joint, added_again) = (membership(8, &[1, 2, ME]), membership(20, &[1, 2, ME]));
        let mut removal = Removal::new(ME, true);
        assert_eq!(removal.observe(&joint, &joint, Some(log_id(5))), None, "the other lags: it does not know this member yet");
        assert_eq!(removal.observe(&joint, &joint, Some(log_id(9))), Some(true));
        assert_eq!(removal.observe(&added_again, &joint, Some(log_id(9))), Some(false));
    }

    #[test]
    fn a_process_that_waits_for_its_admission_was_not_removed() {
        let without = membership(9, &[1, 2]);
        let mut removal = Removal::new(ME, false);
        assert_eq!(removal.observe(&without, &without, Some(log_id(12))), None);
    }

    #[test]
    fn others_say_so_only_of_a_process_that_is_in_neither_membership() {
        let (with, without) = (membership(0, &[1, 2, ME]), membership(9, &[1, 2]));
        assert_eq!(excluded_as_of(ME, &without, &without), Some(log_id(9)));
        assert_eq!(excluded_as_of(ME, &without, &with), None, "its removal may be undone");
        assert_eq!(excluded_as_of(ME, &with, &without), None, "it is being added");
        assert_eq!(excluded_as_of(ME, &StoredMembership::default(), &StoredMembership::default()), None);
    }
}
