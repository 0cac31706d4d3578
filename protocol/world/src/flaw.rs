//! Bugs that can be planted in the product's own code, one at a time, to prove that the checks find them.
//!
//! Each is a line that leaves out, or does too early, what an invariant rests on. They exist only with the feature
//! `planted-flaws`, which the chaos crate turns on; a program built without that crate can't have one.

macro_rules! flaws {
    ($($flaw:ident, $name:literal, $what:literal;)*) => {
        /// A bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Flaw {
            $(#[doc = $what] $flaw,)*
        }

        impl Flaw {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$flaw),*];

            /// What it is called on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$flaw => $name),* }
            }

            /// What is wrong, in a sentence.
            pub fn what(self) -> &'static str {
                match self { $(Self::$flaw => $what),* }
            }
        }
    };
}

flaws! {
    UnsyncedLog, "unsynced-log", "Raft entries are acknowledged without an fsync.";
    RestoredLeader, "restored-leader", "A raft leader that was started again leads on in its old term.";
    ShortSnapshot, "short-snapshot", "A snapshot of the coordination store lacks its last key.";
    EpochNotRaised, "epoch-not-raised", "A new leader acts under the epoch of the one before.";
    EpochNotCompared, "epoch-not-compared", "The coordination store takes a write of a former leader.";
    UnknownIsDone, "unknown-is-done", "A commit without an answer is taken for done.";
    AnsweredBeforeDurable, "answered-before-durable", "A submission is acknowledged before the job graph is durable.";
    ForgottenToken, "forgotten-token", "A repeated submission is not recognised by its token.";
    ResultNotStored, "result-not-stored", "How a job ended is told, and not written down.";
    OlderCheckpoint, "older-checkpoint", "A job restores the checkpoint before the newest.";
    NoCheckpoint, "no-checkpoint", "A job that has checkpoints starts from nothing.";
    StateNotRestored, "state-not-restored", "One subtask of a job starts without its state.";
    FirstAcknowledgementCompletes, "first-acknowledgement-completes", "A checkpoint is complete when one subtask has acknowledged it.";
    NotifiedBeforeDurable, "notified-before-durable", "Sinks commit when a checkpoint's metadata is written, before its pointer is.";
    UnknownAppendIsFailure, "unknown-append-is-failure", "A checkpoint whose pointer may have been written is given up and its ids go on.";
    ReusedIds, "reused-ids", "Checkpoint ids are handed out without being reserved.";
    FilesBeforePointers, "files-before-pointers", "Files of subsumed checkpoints are deleted before their pointers.";
    OldestCollected, "oldest-collected", "The files of all checkpoints but the newest are taken for garbage.";
    YoungCollected, "young-collected", "Files of checkpoints under way are taken for garbage.";
    ReusedCollected, "reused-collected", "Files of earlier checkpoints are taken for garbage though a kept one reuses them.";
    UnalignedBarrier, "unaligned-barrier", "A task snapshots at the first barrier, and does not wait for the others.";
    ForgottenChannel, "forgotten-channel", "Alignment does not wait for the last channel.";
    RowsPassBarriers, "rows-pass-barriers", "A channel whose barrier has arrived is read on during alignment.";
    EarlyCommit, "early-commit", "A sink commits at the barrier, not when the checkpoint is complete.";
    LostCompletion, "lost-completion", "Tasks are not told that a checkpoint is complete.";
    SlotsNotCleared, "slots-not-cleared", "Slots are granted while a former leader's tasks still run in them.";
    NeverReconnects, "never-reconnects", "A TaskManager that lost its leader does not look for another.";
    FormerAttemptsNotAwaited, "former-attempts-not-awaited", "Tasks are deployed anew while their former attempts still run.";
    UnsettledRestart, "unsettled-restart", "A job restarts while it is not certain which checkpoint is its newest.";
    LateAnswerTaken, "late-answer-taken", "A job restores what it was told about an earlier question.";
    EndingJobRestarts, "ending-job-restarts", "A job that is being canceled restarts when one of its tasks fails.";
    FormerAttemptBelieved, "former-attempt-believed", "What a former attempt of a subtask reports is taken for the present one's.";
    LostSlotsKept, "lost-slots-kept", "A job deploys into the slots of a TaskManager that is lost.";
    LostNotCanceled, "lost-not-canceled", "Tasks of a TaskManager that is lost are not canceled there, should it be back already.";
    StopForgotten, "stop-forgotten", "A job that stopped with a savepoint does not tell whoever asked.";
    StaleOrderObeyed, "stale-order-obeyed", "A TaskManager obeys a leader although it has seen a newer one.";
    RefusesNoSlot, "refuses-no-slot", "A TaskManager starts a task in a slot that another still holds.";
    EndsUntold, "ends-untold", "How tasks ended while there was no leader is told to nobody.";
    HeldUntold, "held-untold", "A TaskManager that registers does not say which tasks it holds.";
    CancellationForgotten, "cancellation-forgotten", "A cancellation is acknowledged and nothing is done about it.";
    DamageBelieved, "damage-believed", "What JobManagers and TaskManagers say to each other is believed although its checksum is wrong.";
}

#[cfg(feature = "planted-flaws")]
mod planted {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Flaw;

    const NONE: u8 = u8::MAX;
    static PLANTED: AtomicU8 = AtomicU8::new(NONE);

    /// From now on this process has this bug.
    pub fn plant(flaw: Flaw) {
        PLANTED.store(flaw as u8, Ordering::Relaxed);
    }

    /// Whether this bug is planted in this process.
    pub fn is_planted(flaw: Flaw) -> bool {
        PLANTED.load(Ordering::Relaxed) == flaw as u8
    }
}

#[cfg(not(feature = "planted-flaws"))]
mod planted {
    /// Whether this bug is planted in this process: never, in a program built without the feature.
    pub const fn is_planted(_: super::Flaw) -> bool {
        false
    }
}

pub use planted::*;
