//! Bugs that can be planted in the product's own code, one at a time, to prove that the checks find them.
//!
//! Each bug leaves out a step that an invariant needs, or does it too early. Bugs exist only with the feature `planted-flaws`,
//! which the simulation turns on. A program built without that feature can't have one.

macro_rules! flaws {
    ($($flaw:ident, $name:literal, $what:literal;)*) => {
        /// A bug that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Flaw {
            $(#[doc = $what] $flaw,)*
        }

        impl Flaw {
            /// All bugs that can be planted.
            pub const ALL: &'static [Self] = &[$(Self::$flaw),*];

            /// The bug's name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$flaw => $name),* }
            }

            /// One sentence that says what goes wrong.
            pub fn what(self) -> &'static str {
                match self { $(Self::$flaw => $what),* }
            }
        }
    };
}

flaws! {
    UnsyncedLog, "unsynced-log", "Raft entries are acknowledged without an fsync.";
    LossUnnoticed, "loss-unnoticed", "A raft member that lost the end of its log starts as if it had never acknowledged it.";
    CopyBelieved, "copy-believed", "A process with a copy of a raft member's directory votes beside the member.";
    MemberEvicted, "member-evicted", "A process with the name of a running raft member takes its place.";
    RestoreUnnoticed, "restore-unnoticed", "A leader acts on a coordination store that was put back from a backup.";
    RestoredLeader, "restored-leader", "A raft leader that restarts keeps leading in its old term.";
    ShortSnapshot, "short-snapshot", "A snapshot of the coordination store lacks its last key.";
    EpochNotRaised, "epoch-not-raised", "A new leader acts under the epoch of its predecessor.";
    EpochNotCompared, "epoch-not-compared", "The coordination store accepts a write of a former leader.";
    UnknownIsDone, "unknown-is-done", "A commit whose answer is lost is treated as applied.";
    AnsweredBeforeDurable, "answered-before-durable", "A submission is acknowledged before the job graph is durable.";
    ForgottenToken, "forgotten-token", "A repeated submission is not recognised by its token.";
    StartedTwice, "started-twice", "A job whose submission is answered after its repetition is started a second time.";
    ResultsForgotten, "results-forgotten", "A leader forgets the results of jobs that ended a moment ago.";
    ResultNotStored, "result-not-stored", "The result of a job is reported but not stored.";
    OlderCheckpoint, "older-checkpoint", "A job restores the second newest checkpoint.";
    NoCheckpoint, "no-checkpoint", "A job that has checkpoints starts without state.";
    StateNotRestored, "state-not-restored", "One subtask of a job starts without its state.";
    FirstAcknowledgementCompletes, "first-acknowledgement-completes", "A checkpoint is complete when one subtask has acknowledged it.";
    NotifiedBeforeDurable, "notified-before-durable", "Sinks commit when a checkpoint's metadata is written, but before its pointer is.";
    UnknownAppendIsFailure, "unknown-append-is-failure", "A checkpoint whose pointer may have been written is aborted as if it had not been.";
    ReusedIds, "reused-ids", "Checkpoint ids are handed out without being reserved.";
    FilesBeforePointers, "files-before-pointers", "Files of subsumed checkpoints are deleted before their pointers.";
    OldestCollected, "oldest-collected", "Garbage collection deletes the files of all checkpoints but the newest.";
    YoungCollected, "young-collected", "Garbage collection deletes files of checkpoints in progress.";
    ReusedCollected, "reused-collected", "Garbage collection deletes files of earlier checkpoints that a retained checkpoint reuses.";
    UnalignedBarrier, "unaligned-barrier", "A task snapshots at the first barrier and does not wait for the others.";
    ForgottenChannel, "forgotten-channel", "Alignment does not wait for the last channel.";
    RowsPassBarriers, "rows-pass-barriers", "During alignment, a task keeps reading channels whose barrier has arrived.";
    EarlyCommit, "early-commit", "A sink commits at the barrier, not when the checkpoint is complete.";
    LostCompletion, "lost-completion", "Tasks are not told that a checkpoint is complete.";
    SlotsNotCleared, "slots-not-cleared", "Slots are granted while a former leader's tasks still run in them.";
    NeverReconnects, "never-reconnects", "A TaskManager that lost its leader does not look for a new one.";
    FormerAttemptsNotAwaited, "former-attempts-not-awaited", "Tasks are deployed again while their former attempts still run.";
    UnsettledRestart, "unsettled-restart", "A job restarts while it is not certain which checkpoint is its newest.";
    LateAnswerTaken, "late-answer-taken", "A job restores the checkpoint from the late answer to an earlier request.";
    EndingJobRestarts, "ending-job-restarts", "A job that is being canceled restarts when one of its tasks fails.";
    FormerAttemptBelieved, "former-attempt-believed", "A report of a subtask's former attempt is attributed to its current attempt.";
    LostSlotsKept, "lost-slots-kept", "A job deploys into the slots of a lost TaskManager.";
    LostNotCanceled, "lost-not-canceled", "Tasks of a lost TaskManager are not canceled there, although it may have reconnected.";
    StopForgotten, "stop-forgotten", "A job that stopped with a savepoint does not answer the request.";
    StaleOrderObeyed, "stale-order-obeyed", "A TaskManager obeys a leader although it has seen a newer one.";
    RefusesNoSlot, "refuses-no-slot", "A TaskManager starts a task in a slot that another task still holds.";
    EndsUntold, "ends-untold", "A TaskManager does not report tasks that ended while there was no leader.";
    HeldUntold, "held-untold", "A TaskManager that registers does not say which tasks it holds.";
    CancellationForgotten, "cancellation-forgotten", "A cancellation is acknowledged but not carried out.";
    ListedBySubtasks, "listed-by-subtasks", "Each subtask of a source reads its share of the files that it lists itself.";
    RetriedAtOnce, "retried-at-once", "A raft leader connects to a dead member again without a pause.";
    DamageBelieved, "damage-believed", "JobManagers and TaskManagers accept each other's messages despite a wrong checksum.";
}

#[cfg(feature = "planted-flaws")]
mod planted {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Flaw;

    const NONE: u8 = u8::MAX;
    static PLANTED: AtomicU8 = AtomicU8::new(NONE);

    /// Plants a bug in this process for the rest of its life, in place of the one before.
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
    /// Always false: this program was built without the feature.
    pub const fn is_planted(_: super::Flaw) -> bool {
        false
    }
}

pub use planted::*;
