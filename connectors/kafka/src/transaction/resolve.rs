//! Decides how a stored transaction stands, from what its coordinator answers.
//!
//! The order of a restore makes the answers clear: a subtask first settles every stored transaction, and only then asks for new writers
//! under the same ids. So if a newer writer has come, an earlier attempt had settled the transaction before.

use crate::client::{EndOutcome, TransactionState};

/// What to do next about a stored transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Its records count, once.
    Settled,
    /// The cluster has timed it out. Ask whether its records were written again already.
    AskAgainId,
    /// The cluster has forgotten its transactional id. Look into the log.
    LookIntoLog,
    /// Write its records again.
    Rewrite,
    /// Its records were neither committed nor are they in the log.
    Lost,
}

/// How the records of a transaction stand in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Committed,
    Aborted,
    /// Retention or compaction has removed some of them.
    Gone,
}

/// After the attempt to commit it.
pub(super) fn after_commit(outcome: EndOutcome) -> Step {
    match outcome {
        EndOutcome::Ended(_) => Step::Settled,
        // The coordinator ended it by itself: only its timeout does that.
        EndOutcome::EndedOtherwise => Step::AskAgainId,
        // An earlier attempt had settled it, by a commit or by writing it again.
        EndOutcome::Superseded => Step::Settled,
        EndOutcome::Unknown => Step::LookIntoLog,
    }
}

/// After a look into the log.
pub(super) fn after_look(fate: Fate) -> Step {
    match fate {
        Fate::Committed => Step::Settled,
        Fate::Aborted => Step::AskAgainId,
        Fate::Gone => Step::Lost,
    }
}

/// After the question about the id under which the records would have been written again.
pub(super) fn after_again_id(state: TransactionState) -> Step {
    match state {
        TransactionState::Committed => Step::Settled,
        TransactionState::Unknown | TransactionState::Other => Step::Rewrite,
    }
}
