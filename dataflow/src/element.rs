//! What travels through channels and chains, in order.

use arrow_array::RecordBatch;
pub use weir_protocol::checkpoint::CheckpointBarrier;

/// Event time in milliseconds since 1970.
pub type EventTime = i64;

/// The watermark before any other.
pub const MIN_WATERMARK: EventTime = i64::MIN;

/// The watermark after all others: sent when an input ends, so that every window and timer fires.
pub const MAX_WATERMARK: EventTime = i64::MAX;

/// One item in a channel.
#[derive(Debug, Clone)]
pub enum StreamElement {
    Batch(RecordBatch),
    /// No later row will be at or before this time, save late ones.
    Watermark(EventTime),
    /// This channel brings nothing for now; the watermark need not wait for it. Ends with its next element.
    Idle,
    /// A checkpoint passes here.
    Barrier(CheckpointBarrier),
    /// No more rows and watermarks; barriers still follow until the task finishes.
    EndOfInput,
}
