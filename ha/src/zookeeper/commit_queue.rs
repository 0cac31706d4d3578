//! The queue of waiting commits, and the choice of those that share a transaction. Pure.
//!
//! A leader can have only one transaction in flight, because each is conditional on the one before. So the commits that arrive
//! meanwhile share the next transaction.

use std::collections::{BTreeSet, VecDeque};

use weir_protocol::LeaderEpoch;

use super::layout::{Layout, parent};
use super::plan::WRITE_OVERHEAD;
use crate::{CommitOutcome, Operation};

/// Limits of one transaction with several commits. They do not apply to a single commit, whose own limits were checked before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Maximum number of operations of all its commits.
    pub operations: usize,
    /// Maximum size of the request in bytes.
    pub bytes: usize,
}

/// A commit, and the way to answer its caller.
#[derive(Debug)]
pub(super) struct Waiting<A> {
    /// Number of the commit, unique in its queue.
    pub number: u64,
    /// The epoch of the leadership under which it is made.
    pub epoch: LeaderEpoch,
    pub operations: Vec<Operation>,
    /// The outcome of the last attempt, if there was one.
    pub last: Option<CommitOutcome>,
    pub attempts: u32,
    /// It must have its own transaction, because a shared one was refused.
    pub alone: bool,
    pub answer: A,
}

/// The commits that wait for a transaction, in the order in which they arrived.
#[derive(Debug)]
pub(super) struct CommitQueue<A> {
    waiting: VecDeque<Waiting<A>>,
    numbers: u64,
}

impl<A> Default for CommitQueue<A> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), numbers: 0 }
    }
}

impl<A> CommitQueue<A> {
    /// Adds a commit behind all others. Returns its number.
    pub(super) fn push(&mut self, epoch: LeaderEpoch, operations: Vec<Operation>, answer: A) -> u64 {
        self.numbers += 1;
        let number = self.numbers;
        self.waiting.push_back(Waiting { number, epoch, operations, last: None, attempts: 0, alone: false, answer });
        number
    }

    /// Puts a commit before all others: it was taken and still has no answer.
    pub(super) fn put_back(&mut self, waiting: Waiting<A>) {
        self.waiting.push_front(waiting);
    }

    /// Removes a commit whose caller gives up. `None` if the commit was already taken.
    pub(super) fn remove(&mut self, number: u64) -> Option<Waiting<A>> {
        let at = self.waiting.iter().position(|waiting| waiting.number == number)?;
        self.waiting.remove(at)
    }

    /// Takes the first commit and those after it that can share its transaction. They must have the same epoch, stay within the
    /// limits together, and have no key in common, so that none changes what another expects. Keeps the order.
    pub(super) fn take(&mut self, layout: &Layout, limits: Limits) -> Vec<Waiting<A>> {
        let Some(first) = self.waiting.pop_front() else { return Vec::new() };
        let mut keys: BTreeSet<String> = keys_of(&first).map(str::to_owned).collect();
        let (mut operations, mut bytes) = (first.operations.len(), weight(layout, &first.operations));
        let mut group = vec![first];
        while let Some(next) = self.waiting.front() {
            operations += next.operations.len();
            bytes += weight(layout, &next.operations);
            let goes_along = !next.alone
                && !group[0].alone
                && next.epoch == group[0].epoch
                && operations <= limits.operations
                && bytes <= limits.bytes
                && !keys_of(next).any(|key| keys.contains(key));
            if !goes_along {
                break;
            }
            keys.extend(keys_of(next).map(str::to_owned));
            group.extend(self.waiting.pop_front());
        }
        group
    }
}

fn keys_of<A>(waiting: &Waiting<A>) -> impl Iterator<Item = &str> {
    waiting.operations.iter().map(|operation| operation.key_and_expect().0)
}

/// Maximum size in bytes of the writes for these operations: one write for each key, and one for each znode that nests it.
fn weight(layout: &Layout, operations: &[Operation]) -> usize {
    let store = layout.store();
    let of_operation = |operation: &Operation| {
        let value = match operation {
            // An escaped value is one byte longer.
            Operation::Put { value, .. } => value.len() + 1,
            Operation::Delete { .. } => 0,
        };
        let mut path = layout.key_path(operation.key_and_expect().0);
        let mut bytes = value;
        while path.len() > store.len() {
            bytes += WRITE_OVERHEAD + path.len();
            path.truncate(parent(&path).len());
        }
        bytes
    };
    operations.iter().map(of_operation).sum()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::Expect;

    const LIMITS: Limits = Limits { operations: 10, bytes: 10_000 };

    fn layout() -> Layout {
        Layout::new("/weir", "/default")
    }

    fn put(key: &str, bytes: usize) -> Operation {
        Operation::Put { key: key.into(), value: Bytes::from(vec![1; bytes]), expect: Expect::Any }
    }

    fn queue(commits: &[&[&str]]) -> CommitQueue<()> {
        let mut queue = CommitQueue::default();
        for keys in commits {
            queue.push(LeaderEpoch(1), keys.iter().map(|key| put(key, 1)).collect(), ());
        }
        queue
    }

    fn take(queue: &mut CommitQueue<()>) -> Vec<u64> {
        queue.take(&layout(), LIMITS).into_iter().map(|waiting| waiting.number).collect()
    }

    #[test]
    fn waiting_commits_share_a_transaction_in_order() {
        let mut queue = queue(&[&["a"], &["b", "c"], &["d"]]);
        assert_eq!(take(&mut queue), [1, 2, 3]);
        assert_eq!(take(&mut queue), [0; 0]);
    }

    #[test]
    fn commits_with_a_common_key_have_separate_transactions() {
        let mut queue = queue(&[&["a"], &["b", "a"], &["b"], &["c"]]);
        assert_eq!(take(&mut queue), [1]);
        assert_eq!(take(&mut queue), [2]);
        assert_eq!(take(&mut queue), [3, 4]);
    }

    #[test]
    fn a_commit_over_the_limits_has_its_own_transaction() {
        let mut queue = CommitQueue::default();
        for (commit, bytes) in [9_000, 9_000, 20_000, 1, 1].into_iter().enumerate() {
            queue.push(LeaderEpoch(1), vec![put(&commit.to_string(), bytes)], ());
        }
        queue.push(LeaderEpoch(1), (0..9).map(|key| put(&format!("m{key}"), 1)).collect(), ());
        let taken: Vec<_> = std::iter::repeat_with(|| take(&mut queue)).take_while(|group| !group.is_empty()).collect();
        assert_eq!(taken, [vec![1], vec![2], vec![3], vec![4, 5], vec![6]]);
    }

    #[test]
    fn another_epoch_or_a_commit_marked_alone_has_its_own_transaction() {
        let mut queue = queue(&[&["a"], &["b"]]);
        queue.push(LeaderEpoch(2), vec![put("c", 1)], ());
        assert_eq!(take(&mut queue), [1, 2]);
        assert_eq!(take(&mut queue), [3]);

        let mut queue = self::queue(&[&["a"], &["b"], &["c"]]);
        let mut group = queue.take(&layout(), LIMITS);
        for waiting in group.drain(..).rev() {
            let alone = waiting.number == 2;
            queue.put_back(Waiting { alone, ..waiting });
        }
        assert_eq!(take(&mut queue), [1]);
        assert_eq!(take(&mut queue), [2]);
        assert_eq!(take(&mut queue), [3]);
    }

    #[test]
    fn a_removed_commit_is_not_taken() {
        let mut queue = queue(&[&["a"], &["b"]]);
        assert!(queue.remove(1).is_some());
        assert_eq!(take(&mut queue), [2]);
        assert!(queue.remove(2).is_none(), "the commit was already taken");
    }

    proptest! {
        /// Every waiting commit is taken exactly once and in order, and no group breaks a rule.
        #[test]
        fn every_commit_is_taken_once(commits in proptest::collection::vec(
            (1_u64..3, proptest::collection::btree_set("[a-f](/[ab])?", 1..4), 0_usize..4_000), 0..30)) {
            let mut queue = CommitQueue::default();
            for (epoch, keys, bytes) in &commits {
                queue.push(LeaderEpoch(*epoch), keys.iter().map(|key| put(key, *bytes)).collect(), ());
            }
            let mut numbers = Vec::new();
            loop {
                let group = queue.take(&layout(), LIMITS);
                if group.is_empty() {
                    break;
                }
                numbers.extend(group.iter().map(|waiting| waiting.number));
                if group.len() > 1 {
                    let keys: Vec<_> = group.iter().flat_map(keys_of).collect();
                    prop_assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
                    prop_assert!(keys.len() <= LIMITS.operations);
                    prop_assert!(group.iter().all(|waiting| waiting.epoch == group[0].epoch));
                    let bytes: usize = group.iter().map(|waiting| weight(&layout(), &waiting.operations)).sum();
                    prop_assert!(bytes <= LIMITS.bytes);
                }
            }
            prop_assert_eq!(numbers, (1..=commits.len() as u64).collect::<Vec<_>>());
        }
    }
}
