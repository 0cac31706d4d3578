//! Lowers streaming plans to JobGraphs.

mod operator;
mod two_phase;
mod vertices;

use std::rc::Rc;

use weir_protocol::job_graph::JobGraph;

use crate::script::SqlError;
use crate::stream::Node;

/// What a JobGraph depends on besides its plan.
#[derive(Debug, Clone, PartialEq)]
pub struct JobOptions {
    pub name: String,
    pub parallelism: u32,
    pub max_parallelism: u32,
    /// How far event time must advance before the next watermark, in milliseconds.
    pub auto_watermark_interval_ms: u64,
    /// After this many milliseconds without rows, watermarks no longer wait for a source; 0 means never.
    pub idle_timeout_ms: u64,
    /// How long the state of a key is kept after its last change, in milliseconds; 0 means for ever.
    pub state_ttl_ms: u64,
    /// Whether rows are aggregated before they are distributed by key; `None` if it is to be decided here.
    pub two_phase_aggregation: Option<bool>,
}

/// The JobGraph that computes these plans, each of which ends in a sink. Errors: those of the connectors, and `SQL-LIMIT`.
pub fn job_graph(sinks: &[Rc<Node>], options: &JobOptions) -> Result<JobGraph, SqlError> {
    let mut vertices = vertices::Vertices::new(sinks, options);
    for sink in sinks {
        vertices.place(sink)?;
    }
    let (vertices, edges) = vertices.finish();
    Ok(JobGraph {
        version: JobGraph::VERSION,
        job_id: None,
        name: options.name.clone(),
        max_parallelism: options.max_parallelism,
        vertices,
        edges,
        checkpointing: None,
        restart_strategy: None,
        restore_from: None,
        allow_non_restored_state: false,
    })
}
