//! What REST answers: Flink's shapes with Flink's field names, and ours under `/weir/v1`.
//!
//! Flink's clients tolerate unknown fields but fail on an absent number or flag, so no such field is ever left out:
//! what has no value is 0, -1 or null as in Flink. Times are wall-clock milliseconds since 1970, durations milliseconds.

mod checkpoints;
mod cluster;
mod drills;
mod jobs;
mod savepoints;
mod task_managers;
mod weir;

pub use checkpoints::*;
pub use cluster::*;
pub use drills::*;
pub use jobs::*;
pub use savepoints::*;
pub use task_managers::*;
pub use weir::*;

use serde::{Deserialize, Serialize};

/// Body of every refusal (400, 404, 409, 500, 503).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// What is wrong, one entry per fault; ours begin with a stable code.
    pub errors: Vec<String>,
}

impl ErrorResponse {
    /// A refusal for one reason.
    pub fn of(message: impl Into<String>) -> Self {
        Self { errors: vec![message.into()] }
    }
}

/// The body `{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// Header that a proxying JobManager sets: how often the request has been passed on. More than one hop is refused.
pub const HOPS_HEADER: &str = "weir-hops";

#[cfg(test)]
mod tests;
