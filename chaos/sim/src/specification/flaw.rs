//! Mistakes in the specification that a search must find.

/// A mistake that is planted in the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// A new leader does not raise the epoch in the store first (E2).
    EpochNotRaised,
    /// The store writes a pointer without comparing the epoch (E3).
    FenceForgotten,
    /// A TaskManager obeys orders of any epoch (E4).
    StaleOrderObeyed,
    /// A new leader does not restore the newest checkpoint (C6).
    NewestIgnored,
    /// A checkpoint whose outcome is unknown is deleted as if it had failed (G3).
    UnknownDeleted,
    /// The leader counts checkpoint ids in memory, not in the store.
    IdsCountedInMemory,
    /// The leader tells the task that a checkpoint is complete before it writes the pointer (C3).
    ToldBeforeWritten,
    /// The leader counts acknowledgements of any attempt that it deployed.
    AnyAcknowledgementCounts,
    /// The sink commits when the barrier arrives (T1).
    CommittedAtBarrier,
    /// A restored sink does not commit the pre-committed transactions.
    PreCommittedForgotten,
    /// A restored sink commits the pre-committed transactions under its own name, not under that of the attempt that wrote them.
    CommittedUnderAnotherName,
}

impl Flaw {
    /// All mistakes that can be planted.
    pub const ALL: [Self; 11] = [
        Self::EpochNotRaised,
        Self::FenceForgotten,
        Self::StaleOrderObeyed,
        Self::NewestIgnored,
        Self::UnknownDeleted,
        Self::IdsCountedInMemory,
        Self::ToldBeforeWritten,
        Self::AnyAcknowledgementCounts,
        Self::CommittedAtBarrier,
        Self::PreCommittedForgotten,
        Self::CommittedUnderAnotherName,
    ];
}
