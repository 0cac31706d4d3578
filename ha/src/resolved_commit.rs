//! A fenced commit whose unknown outcome is resolved by reading back under the same epoch (G3).

use std::time::Duration;

use weir_world::flaw::{Flaw, is_planted};
use weir_world::{Backoff, rarely};

use crate::{CommitOutcome, CoordinationStore, Leadership, Operation, Rejection, StoreError};

/// How often a commit is sent while its outcome is unknown. After that the caller gets `Unresolved`.
const ATTEMPTS: u32 = 5;

/// Shortest and longest wait between two attempts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(160));

/// The certain outcome of a commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    Applied,
    /// Not applied: a key was not as expected.
    Conflict {
        key: String,
    },
}

/// Commits `operations`. If the outcome is unknown, reads back whether they are in the store; if they are not, sends them again.
///
/// This is sound only if two conditions hold. A second application of `operations` is refused or changes nothing. And no other
/// writer writes the same values, so that finding them in the store proves that this commit wrote them.
pub(crate) async fn commit(
    ha: &dyn CoordinationStore,
    leadership: &Leadership,
    operations: Vec<Operation>,
) -> Result<Resolved, StoreError> {
    commit_versioned(ha, leadership, operations).await.map(|(resolved, _)| resolved)
}

/// As [`commit`]. Returns also the version that the keys have now, if the commit was applied and its answer arrived.
pub(crate) async fn commit_versioned(
    ha: &dyn CoordinationStore,
    leadership: &Leadership,
    operations: Vec<Operation>,
) -> Result<(Resolved, Option<u64>), StoreError> {
    let read_back = (Resolved::Applied, None);
    let mut unknown: Option<String> = None;
    let mut backoff = BACKOFF;
    for _ in 0..ATTEMPTS {
        let outcome = commit_once(ha, leadership, operations.clone()).await;
        match outcome {
            CommitOutcome::Committed { version } => return Ok((Resolved::Applied, Some(version))),
            CommitOutcome::Rejected(Rejection::OverLimit(reason)) => return Err(StoreError::Refused { reason }),
            // The store refuses this epoch from now on, so a write that is not there now will never be applied.
            CommitOutcome::Rejected(Rejection::StaleEpoch { epoch, current }) => {
                if unknown.is_some() && is_applied(ha, &operations).await? {
                    return Ok(read_back);
                }
                return Err(StoreError::Superseded { epoch, current });
            }
            CommitOutcome::Rejected(Rejection::Conflict { key }) => {
                if unknown.is_some() && is_applied(ha, &operations).await? {
                    return Ok(read_back);
                }
                return Ok((Resolved::Conflict { key }, None));
            }
            CommitOutcome::Unknown { .. } if is_planted(Flaw::UnknownIsDone) => return Ok(read_back),
            CommitOutcome::Unknown { reason } => {
                if let Ok(true) = is_applied(ha, &operations).await {
                    return Ok(read_back);
                }
                unknown = Some(reason);
                backoff.wait().await;
            }
        }
    }
    let key = operations.first().map(|operation| key_of(operation).to_owned()).unwrap_or_default();
    Err(StoreError::Unresolved { key, reason: unknown.unwrap_or_default() })
}

/// Sends the commit once. In a simulation, the request or its answer may be lost.
async fn commit_once(ha: &dyn CoordinationStore, leadership: &Leadership, operations: Vec<Operation>) -> CommitOutcome {
    let lost = || CommitOutcome::Unknown { reason: "lost on the way".to_owned() };
    if rarely("commit-lost") {
        return lost();
    }
    let outcome = ha.commit(leadership, operations).await;
    if rarely("commit-unanswered") { lost() } else { outcome }
}

/// Whether the store shows every put value and no deleted key.
async fn is_applied(ha: &dyn CoordinationStore, operations: &[Operation]) -> Result<bool, StoreError> {
    for operation in operations {
        let found = ha.get(key_of(operation)).await.map_err(|error| StoreError::Unresolved {
            key: key_of(operation).to_owned(),
            reason: format!("can't be read back: {error}"),
        })?;
        let as_put = match operation {
            Operation::Put { value, .. } => found.is_some_and(|found| found.value == *value),
            Operation::Delete { .. } => found.is_none(),
        };
        if !as_put {
            return Ok(false);
        }
    }
    Ok(true)
}

fn key_of(operation: &Operation) -> &str {
    match operation {
        Operation::Put { key, .. } | Operation::Delete { key, .. } => key,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::contest::Contest;
    use crate::{Expect, UnknownCommit};

    fn put() -> Vec<Operation> {
        vec![Operation::Put { key: "k".to_owned(), value: Bytes::from_static(b"mine"), expect: Expect::Absent }]
    }

    #[tokio::test]
    async fn g3_an_unknown_outcome_that_can_not_be_read_back_stays_unresolved_and_may_be_repeated() {
        let contest = Contest::start().await;
        contest.store.next_commit_unknown(UnknownCommit::Applied);
        contest.store.set_reads_available(false);
        let outcome = commit(&*contest.ha(), &contest.leadership, put()).await;
        assert!(matches!(&outcome, Err(error @ StoreError::Unresolved { .. }) if error.is_retryable()), "{outcome:?}");
        contest.store.set_reads_available(true);
        let outcome = commit(&*contest.ha(), &contest.leadership, put()).await;
        assert_eq!(outcome, Ok(Resolved::Conflict { key: "k".to_owned() }), "the caller has to read whose value it is");
        assert_eq!(contest.dump().await, [("k".to_owned(), Bytes::from_static(b"mine"))]);
    }

    #[tokio::test]
    async fn a_conflict_after_an_unknown_outcome_counts_as_applied_only_if_the_value_is_ones_own() {
        let contest = Contest::start().await;
        contest.damage(&contest.leadership, "k", "somebody else's").await;
        contest.store.next_commit_unknown(UnknownCommit::Lost);
        let outcome = commit(&*contest.ha(), &contest.leadership, put()).await;
        assert_eq!(outcome, Ok(Resolved::Conflict { key: "k".to_owned() }));
    }

    #[tokio::test]
    async fn over_the_limit_is_refused() {
        let contest = Contest::start().await;
        let value = Bytes::from(vec![0; 2 * 1024 * 1024]);
        let huge = vec![Operation::Put { key: "k".to_owned(), value, expect: Expect::Any }];
        let outcome = commit(&*contest.ha(), &contest.leadership, huge).await;
        assert!(matches!(outcome, Err(StoreError::Refused { .. })), "{outcome:?}");
    }
}
