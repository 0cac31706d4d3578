//! The bodies of the REST API: Flink's types with Flink's field names, and Weir's own under `/weir/v1`.
//!
//! Flink's clients tolerate unknown fields but fail if a number or flag is absent. Such a field is therefore never omitted.
//! Without a value it is 0, -1 or null, as in Flink. Times are wall-clock milliseconds since 1970; durations are milliseconds.

mod checkpoints;
mod cluster;
mod drills;
mod jobs;
mod queries;
mod savepoints;
mod task_managers;
mod weir;

pub use checkpoints::*;
pub use cluster::*;
pub use drills::*;
pub use jobs::*;
pub use queries::*;
pub use savepoints::*;
pub use task_managers::*;
pub use weir::*;

use serde::{Deserialize, Serialize};

/// Body of every refusal (400, 404, 409, 500, 503).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// One entry per problem. Weir's own entries begin with a stable code.
    pub errors: Vec<String>,
}

impl ErrorResponse {
    /// A refusal with one entry.
    pub fn of(message: impl Into<String>) -> Self {
        Self { errors: vec![message.into()] }
    }
}

/// The empty body `{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// Header that a proxying JobManager sets. It counts how often the request was forwarded. More than one hop is refused.
pub const HOPS_HEADER: &str = "weir-hops";

#[cfg(test)]
mod tests;
