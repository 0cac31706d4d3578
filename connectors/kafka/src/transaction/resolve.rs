//! Decides how a stored transaction stands, from what its coordinator answers.
//!
//! The order of a restore makes the answers clear: a subtask first settles every stored transaction, and only then asks for new writers
//! under the same ids. So if a newer writer has come, an earlier attempt had settled the transaction before. But a broker that was
//! frozen and does not know yet that another one coordinates says the same of a transaction that is open. So nothing counts as settled
//! until a coordinator has committed it, or the log shows how it ended.
//!
//! Records that are written again lie behind all others. So that each partition keeps the order in which its rows were written, the
//! transactions of later checkpoints are then not committed, but aborted and written again as well.

#[cfg(test)]
mod tests;

use crate::client::{DescribedTransaction, EndOutcome, ProducerIdentity, TransactionState};

/// What to do next about a stored transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Its records count, once.
    Settled,
    /// The cluster has timed it out. Ask whether its records were written again already.
    AskAgainId,
    /// The log must show how it ended.
    LookIntoLog {
        /// Whether the coordinator has said that it was settled before.
        known: bool,
    },
    /// An attempt before this one is writing its records again, or has died while it did. End that, then ask again.
    AbortAgain { writer: ProducerIdentity },
    /// Write its records again. The id for that was last used by this writer.
    Rewrite { after: Option<ProducerIdentity> },
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
        // It was committed, or a newer writer has come: so it was settled, by a commit or by writing it again.
        (EndOutcome::EndedOtherwise, false) | (EndOutcome::Superseded, _) => Step::LookIntoLog { known: true },
        (EndOutcome::Unknown, _) => Step::LookIntoLog { known: false },
    }
}

/// After a look into the log.
pub(super) fn after_look(known: bool, fate: Fate) -> Step {
    match fate {
        Fate::Committed => Step::Settled,
        Fate::Aborted => Step::AskAgainId,
        // What is gone was there for long enough.
        Fate::Gone if known => Step::Settled,
        Fate::Gone => Step::Lost,
    }
}

/// After the question about the id under which the records would have been written again.
pub(super) fn after_again_id(described: DescribedTransaction) -> Step {
    match (described.state, described.writer) {
        (TransactionState::Committed, _) => Step::Settled,
        (TransactionState::Open, Some(writer)) => Step::AbortAgain { writer },
        (TransactionState::Open | TransactionState::None, after) => Step::Rewrite { after },
    }
}

/// Whether `writer` comes right after `after`, so that no other attempt has used their transactional id in between.
pub(super) fn is_next(after: Option<ProducerIdentity>, writer: ProducerIdentity) -> bool {
    match after {
        None => writer.epoch == 0,
        // Epochs that are used up begin again with another producer id.
        Some(after) => {
            writer.id != after.id && writer.epoch == 0 || writer == ProducerIdentity { epoch: after.epoch + 1, ..after }
        }
    }
}
