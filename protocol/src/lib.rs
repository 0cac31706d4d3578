//! The messages between Weir's processes, and the data that outlives a process.
//!
//! A type belongs in this crate only if it crosses a process boundary, outlives a process, or is a rule that both ends must
//! apply identically. The crate uses no clock, no network and no disk.

pub mod checkpoint;
pub mod convert;
pub mod drill;
pub mod epoch;
pub mod http_access;
pub mod ids;
pub mod job_graph;
pub mod job_status;
pub mod link;
pub mod pb;
pub mod quantity;
pub mod rest;
pub mod rpc;
pub mod utc;

pub use epoch::{EpochFence, Generation, LeaderEpoch, StaleEpoch};
pub use ids::{AllocationId, CheckpointId, ExecutionAttemptId, ExecutionVertexId, JobId, JobVertexId, TaskManagerId};
