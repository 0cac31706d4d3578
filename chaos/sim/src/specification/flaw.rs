//! Mistakes that a search must find.

/// One mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// A leadership that does not raise the epoch in the store first (E2).
    EpochNotRaised,
    /// The store writes a pointer without comparing the epoch (E3).
    FenceForgotten,
    /// A TaskManager obeys whoever speaks (E4).
    StaleOrderObeyed,
    /// A new leader that does not use the newest checkpoint (C6).
    NewestIgnored,
    /// A checkpoint whose outcome is unknown is deleted as failed (G3).
    UnknownDeleted,
    /// Ids of checkpoints are counted by the leader, not in the store.
    IdsCountedInMemory,
    /// Completion is told before the pointer is written (C3).
    ToldBeforeWritten,
    /// Acknowledgements of any attempt count.
    AnyAcknowledgementCounts,
    /// The sink commits when the barrier comes (T1).
    CommittedAtBarrier,
    /// A restored sink does not commit what was pre-committed.
    PreCommittedForgotten,
    /// The sink names what it wrote by checkpoint alone, and a restored one commits under its own name.
    CommittedUnderAnotherName,
}

impl Flaw {
    /// All of them.
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
