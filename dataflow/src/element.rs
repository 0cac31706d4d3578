//! The elements that travel through channels and chains, in order.

use arrow_array::RecordBatch;
pub use weir_protocol::checkpoint::CheckpointBarrier;

/// Event time in milliseconds since 1970.
pub type EventTime = i64;

/// The lowest watermark; it holds until the first one arrives.
pub const MIN_WATERMARK: EventTime = i64::MIN;

/// The highest watermark. It is sent when an input ends, so that every window and timer fires.
pub const MAX_WATERMARK: EventTime = i64::MAX;

/// One item in a channel.
#[derive(Debug, Clone)]
pub enum StreamElement {
    Batch(RecordBatch),
    /// Later rows have an event time after this one. A later row that does not is called late.
    Watermark(EventTime),
    /// The channel is idle until its next element: the combined watermark must not wait for it.
    Idle,
    /// Separates the elements that are in a checkpoint from those that are not.
    Barrier(CheckpointBarrier),
    /// No rows or watermarks follow. Barriers still follow until the task finishes.
    EndOfInput,
}
