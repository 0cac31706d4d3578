//! Whether the members keep up with the leader's log, as the leader sees it. A pure core.
//!
//! A member that answers heartbeats but whose log does not grow counts in no quorum. So it must not be counted among the members
//! whose failure the group tolerates, and the operator must hear of it.

use std::collections::{BTreeMap, BTreeSet};

use weir_world::Millis;

use super::types::NodeId;

/// What the leader knows of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub node: NodeId,
    /// Whether it answered a heartbeat lately.
    pub answers: bool,
    /// The number of entries that it has.
    pub entries: u64,
}

/// A change that the operator should know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The member no longer answers.
    Silent(NodeId),
    /// The member answers, but its log does not reach what the leader's log held a while ago.
    Behind(NodeId),
    /// The member follows the leader's log again.
    Follows(NodeId),
    /// No entry was committed for a while, although there are new ones.
    CommitsStalled,
    /// Entries are committed again.
    CommitsResumed,
}

/// Compares a growing number with a goal that grows ahead of it.
#[derive(Debug, Clone, Copy, Default)]
struct Pursuit {
    /// The number to reach, and when it was set.
    goal: Option<(u64, Millis)>,
}

impl Pursuit {
    /// Whether `reached` has met the goal within `patience_ms`. The goal is then the `newest` number.
    fn keeps_up(&mut self, reached: u64, newest: u64, now: Millis, patience_ms: u64) -> bool {
        match self.goal {
            Some((goal, set_at)) if reached < goal => now < set_at.after(patience_ms),
            _ => {
                self.goal = Some((newest, now));
                true
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Standing {
    #[default]
    Follows,
    Behind,
    Silent,
}

#[derive(Debug)]
struct Follower {
    pursuit: Pursuit,
    standing: Standing,
    answered_at: Millis,
}

/// The members as the leader sees them, since it leads.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    members: BTreeMap<NodeId, Follower>,
    commits: Pursuit,
    stalled: bool,
}

impl Followers {
    /// Takes in the state of all other members, the length of the leader's log, and how many of its entries are committed. Returns
    /// what changed.
    pub(crate) fn observe(&mut self, seen: &[Seen], entries: u64, committed: u64, now: Millis, patience_ms: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        self.members.retain(|node, _| seen.iter().any(|seen| seen.node == *node));
        for Seen { node, answers, entries: reached } in seen.iter().copied() {
            let new = Follower { pursuit: Pursuit::default(), standing: Standing::default(), answered_at: now };
            let follower = self.members.entry(node).or_insert(new);
            if answers {
                follower.answered_at = now;
            }
            let current = if now >= follower.answered_at.after(patience_ms) {
                Standing::Silent
            } else if follower.pursuit.keeps_up(reached, entries, now, patience_ms) {
                Standing::Follows
            } else {
                Standing::Behind
            };
            if std::mem::replace(&mut follower.standing, current) != current {
                changes.push(match current {
                    Standing::Silent => Change::Silent(node),
                    Standing::Behind => Change::Behind(node),
                    Standing::Follows => Change::Follows(node),
                });
            }
        }
        let stalled = !self.commits.keeps_up(committed, entries, now, patience_ms);
        if std::mem::replace(&mut self.stalled, stalled) != stalled {
            changes.push(if stalled { Change::CommitsStalled } else { Change::CommitsResumed });
        }
        changes
    }

    /// The members that do not follow.
    pub(crate) fn missing(&self) -> BTreeSet<NodeId> {
        self.members.iter().filter(|(_, follower)| follower.standing != Standing::Follows).map(|(node, _)| *node).collect()
    }

    /// Whether entries have waited for a while to be committed.
    pub(crate) fn stalled(&self) -> bool {
        self.stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE_MS: u64 = 1_000;

    #[test]
    fn a_member_that_answers_but_does_not_follow_is_missing_until_it_catches_up() {
        let mut followers = Followers::default();
        let mut observe = |answers, reached, entries, at| {
            let seen = [Seen { node: 2, answers, entries: reached }];
            let changes = followers.observe(&seen, entries, entries, Millis(at), PATIENCE_MS);
            (changes, followers.missing().contains(&2))
        };
        assert_eq!(observe(true, 0, 10, 0), (vec![], false));
        // It lags, but always reaches what the log held a while ago.
        assert_eq!(observe(true, 10, 20, 900), (vec![], false));
        assert_eq!(observe(true, 15, 90, 1_800), (vec![], false));
        assert_eq!(observe(true, 15, 90, 1_901), (vec![Change::Behind(2)], true));
        assert_eq!(observe(true, 19, 90, 2_500), (vec![], true));
        assert_eq!(observe(true, 20, 90, 2_600), (vec![Change::Follows(2)], false));
        assert_eq!(observe(false, 90, 90, 2_700), (vec![], false));
        assert_eq!(observe(false, 90, 90, 3_600), (vec![Change::Silent(2)], true));
        assert_eq!(observe(true, 90, 90, 3_700), (vec![Change::Follows(2)], false));
    }

    #[test]
    fn commits_that_wait_for_a_quorum_are_reported_once() {
        let mut followers = Followers::default();
        let mut observe = |entries, committed, at| followers.observe(&[], entries, committed, Millis(at), PATIENCE_MS);
        assert_eq!(observe(5, 5, 0), []);
        assert_eq!(observe(6, 5, 5_000), []);
        assert_eq!(observe(6, 5, 6_000), [Change::CommitsStalled]);
        assert_eq!(observe(7, 5, 7_000), []);
        assert_eq!(observe(7, 7, 7_100), [Change::CommitsResumed]);
    }
}
