//! The names, units and meanings of the TaskManager's metrics, and the counters of one task.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, histogram};
use weir_protocol::ExecutionAttemptId;
use weir_protocol::link::TaskMetrics;

/// Slots of this TaskManager.
pub const SLOTS: &str = "weir_taskmanager_slots";
/// Tasks that this TaskManager holds.
pub const TASKS: &str = "weir_taskmanager_tasks";
/// Whether a leader has accepted this TaskManager.
pub const REGISTERED: &str = "weir_taskmanager_registered";
/// Orders refused because of their epoch.
pub const STALE_ORDERS: &str = "weir_taskmanager_stale_orders_total";
/// Times a leader was lost.
pub const LEADER_LOST: &str = "weir_taskmanager_leader_lost_total";
/// Messages that found no leader and no room in the outbox.
pub const OUTBOX_DROPPED: &str = "weir_taskmanager_outbox_dropped_total";
/// Failed tasks, by code.
pub const TASK_FAILURES: &str = "weir_task_failures_total";
/// Rows into tasks.
pub const RECORDS_IN: &str = "weir_task_records_in_total";
/// Rows out of tasks.
pub const RECORDS_OUT: &str = "weir_task_records_out_total";
/// Bytes into tasks.
pub const BYTES_IN: &str = "weir_task_bytes_in_total";
/// Bytes out of tasks.
pub const BYTES_OUT: &str = "weir_task_bytes_out_total";
/// Time spent processing.
pub const BUSY: &str = "weir_task_busy_milliseconds_total";
/// Time spent waiting for room.
pub const BACKPRESSURED: &str = "weir_task_backpressured_milliseconds_total";
/// Time spent waiting for input.
pub const IDLE: &str = "weir_task_idle_milliseconds_total";
/// Current watermark of a task, in milliseconds since 1970.
pub const WATERMARK: &str = "weir_task_watermark_milliseconds";
/// Rows that came too late.
pub const LATE_RECORDS: &str = "weir_task_late_records_total";
/// Reads one counter of an attempt.
pub type ReadCounter = fn(&TaskMetrics) -> u64;

/// The counters that every task has, with their meaning. Their series are in [`crate::task_series`].
pub const COUNTERS_OF_TASKS: [(&str, &str, ReadCounter); 8] = [
    (RECORDS_IN, "Rows received from channels, or read by a source.", |task| task.records_in),
    (RECORDS_OUT, "Rows sent into channels, or written by a sink.", |task| task.records_out),
    (BYTES_IN, "Bytes received from channels.", |task| task.bytes_in),
    (BYTES_OUT, "Bytes sent into channels.", |task| task.bytes_out),
    (BUSY, "Time a task spent processing.", |task| task.busy_ms),
    (BACKPRESSURED, "Time a task spent waiting for room downstream.", |task| task.backpressured_ms),
    (IDLE, "Time a task spent waiting for input.", |task| task.idle_ms),
    (LATE_RECORDS, "Rows dropped because they came too late for their window.", |task| task.late_records),
];
/// What [`WATERMARK`] means.
pub const WATERMARK_DOC: &str = "Current watermark of a task, milliseconds since 1970.";

/// Bytes sent to other TaskManagers.
pub const NETWORK_SENT: &str = "weir_network_sent_bytes_total";
/// Bytes received from other TaskManagers.
pub const NETWORK_RECEIVED: &str = "weir_network_received_bytes_total";
/// Time of aligning barriers.
pub const ALIGNMENT: &str = "weir_checkpoint_alignment_seconds";
/// Time of the synchronous part of snapshots.
pub const SNAPSHOT_SYNC: &str = "weir_checkpoint_sync_seconds";
/// Time of the asynchronous part of snapshots.
pub const SNAPSHOT_ASYNC: &str = "weir_checkpoint_async_seconds";
/// Bytes of state written.
pub const SNAPSHOT_BYTES: &str = "weir_checkpoint_written_bytes_total";
/// Snapshots that could not be made durable.
pub const SNAPSHOT_DECLINED: &str = "weir_checkpoint_declined_total";

/// Tells the recorder what each metric means.
pub fn describe() {
    describe_gauge!(SLOTS, Unit::Count, "Slots of this TaskManager.");
    describe_gauge!(TASKS, Unit::Count, "Tasks this TaskManager holds.");
    describe_gauge!(REGISTERED, Unit::Count, "1 while a leader has accepted this TaskManager, else 0.");
    describe_counter!(STALE_ORDERS, Unit::Count, "Orders refused because they carried the epoch of a superseded leader.");
    describe_counter!(LEADER_LOST, Unit::Count, "Times the connection to a leader was lost.");
    describe_counter!(OUTBOX_DROPPED, Unit::Count, "Messages dropped because there was no leader and the outbox was full.");
    describe_counter!(TASK_FAILURES, Unit::Count, "Tasks that failed, by code.");
    describe_counter!(NETWORK_SENT, Unit::Bytes, "Bytes of stream elements sent to other TaskManagers.");
    describe_counter!(NETWORK_RECEIVED, Unit::Bytes, "Bytes of stream elements received from other TaskManagers.");
    describe_histogram!(ALIGNMENT, Unit::Seconds, "From a checkpoint's first barrier to its last, per task.");
    describe_histogram!(SNAPSHOT_SYNC, Unit::Seconds, "Time a task stands still for a snapshot.");
    describe_histogram!(SNAPSHOT_ASYNC, Unit::Seconds, "Time to serialise and upload a snapshot in the background.");
    describe_counter!(SNAPSHOT_BYTES, Unit::Bytes, "Bytes of state written for checkpoints.");
    describe_counter!(SNAPSHOT_DECLINED, Unit::Count, "Snapshots declined because they could not be made durable.");
}

/// Counts the bytes of an element sent to another TaskManager.
pub(crate) fn network_bytes_sent(bytes: usize) {
    counter!(NETWORK_SENT).increment(bytes as u64);
}

/// Counts the bytes of an element received from another TaskManager.
pub(crate) fn network_bytes_received(bytes: usize) {
    counter!(NETWORK_RECEIVED).increment(bytes as u64);
}

/// Records the statistics of a durable snapshot.
pub(crate) fn snapshot_written(stats: &weir_protocol::checkpoint::SubtaskCheckpointStats) {
    histogram!(ALIGNMENT).record(stats.alignment_us as f64 / 1e6);
    histogram!(SNAPSHOT_SYNC).record(stats.sync_us as f64 / 1e6);
    histogram!(SNAPSHOT_ASYNC).record(stats.async_us as f64 / 1e6);
    counter!(SNAPSHOT_BYTES).increment(stats.checkpointed_bytes);
}

/// Counters of one attempt since its start, written by its slot thread and read by the agent.
#[derive(Debug)]
pub struct TaskCounters {
    records_in: AtomicU64,
    records_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    busy_ns: AtomicU64,
    backpressured_ns: AtomicU64,
    idle_ns: AtomicU64,
    watermark_ms: AtomicI64,
    late_records: AtomicU64,
}

impl Default for TaskCounters {
    fn default() -> Self {
        Self {
            records_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            backpressured_ns: AtomicU64::new(0),
            idle_ns: AtomicU64::new(0),
            watermark_ms: AtomicI64::new(i64::MIN),
            late_records: AtomicU64::new(0),
        }
    }
}

/// How a task spent some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeSpent {
    Busy,
    /// Waiting for room downstream.
    Backpressured,
    /// Waiting for input.
    Idle,
}

impl TaskCounters {
    /// Counts rows and bytes received.
    pub fn received(&self, rows: u64, bytes: u64) {
        self.records_in.fetch_add(rows, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts rows and bytes sent.
    pub fn sent(&self, rows: u64, bytes: u64) {
        self.records_out.fetch_add(rows, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts time, by how it was spent.
    pub fn spent(&self, on: TimeSpent, nanoseconds: u64) {
        let counter = match on {
            TimeSpent::Busy => &self.busy_ns,
            TimeSpent::Backpressured => &self.backpressured_ns,
            TimeSpent::Idle => &self.idle_ns,
        };
        counter.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Sets the task's watermark and its number of late rows.
    pub fn progressed(&self, watermark_ms: i64, late_records: u64) {
        self.watermark_ms.store(watermark_ms, Ordering::Relaxed);
        self.late_records.store(late_records, Ordering::Relaxed);
    }

    /// Reads all counters, for a heartbeat.
    pub fn read(&self, attempt: ExecutionAttemptId) -> TaskMetrics {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TaskMetrics {
            attempt,
            records_in: load(&self.records_in),
            records_out: load(&self.records_out),
            bytes_in: load(&self.bytes_in),
            bytes_out: load(&self.bytes_out),
            busy_ms: load(&self.busy_ns) / 1_000_000,
            backpressured_ms: load(&self.backpressured_ns) / 1_000_000,
            idle_ms: load(&self.idle_ns) / 1_000_000,
            watermark_ms: self.watermark_ms.load(Ordering::Relaxed),
            late_records: load(&self.late_records),
        }
    }
}
