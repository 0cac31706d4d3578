//! Decides how a stored transaction stands, from what its coordinator answers.
//!
//! The order of a restore makes the answers clear: a subtask first settles every stored transaction, and only then asks for new writers
//! under the same ids. So if a newer writer has come, an earlier attempt had settled the transaction before.
//!
//! Records that are written again lie behind all others. So that each partition keeps the order in which its rows were written, the
//! transactions of later checkpoints are then not committed, but aborted and written again as well.

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

/// After the attempt to end it: to commit it, or to abort it because records before it were written again.
pub(super) fn after_end(committing: bool, outcome: EndOutcome) -> Step {
    match (outcome, committing) {
        (EndOutcome::Ended(_), true) => Step::Settled,
        (EndOutcome::Ended(_), false) => Step::AskAgainId,
        // The coordinator aborted it by itself: only its timeout does that.
        (EndOutcome::EndedOtherwise, true) => Step::AskAgainId,
        // It was committed, so it must not be written again.
        (EndOutcome::EndedOtherwise, false) => Step::Settled,
        // An earlier attempt had settled it, by a commit or by writing it again.
        (EndOutcome::Superseded, _) => Step::Settled,
        (EndOutcome::Unknown, _) => Step::LookIntoLog,
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
