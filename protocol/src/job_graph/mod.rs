//! The JobGraph, which a client submits and the cluster executes unchanged.

pub mod catalog;
mod data_type;
mod data_type_parser;
pub mod json_words;
pub mod program;
pub mod validate;

use std::collections::BTreeMap;

pub use data_type::{DataType, ElementType, MAX_TYPE_NESTING, MAX_TYPE_TEXT, RowField};
use serde::{Deserialize, Serialize};

use crate::{JobId, JobVertexId};

/// A directed acyclic graph of operator chains. People write and read the JSON form of this type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobGraph {
    /// Version of the format: [`JobGraph::VERSION`].
    pub version: u32,
    /// The job's id. If it is absent in JSON, the client or the Dispatcher draws one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// A name for people.
    pub name: String,
    /// Number of key groups, the units of keyed state and of rescaling. It is fixed for the life of the job. Default: 128.
    #[serde(default = "default_max_parallelism")]
    pub max_parallelism: u32,
    /// The vertices, in any order.
    pub vertices: Vec<JobVertex>,
    /// The edges, in any order.
    #[serde(default)]
    pub edges: Vec<JobEdge>,
    /// When and how to checkpoint. If it is absent, the cluster fills in its settings at submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpointing: Option<CheckpointConfig>,
    /// What to do when a task fails. If it is absent, the cluster fills in its settings at submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_strategy: Option<RestartStrategyConfig>,
    /// Path of a completed checkpoint or savepoint to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_from: Option<String>,
    /// Whether the state of vertices and operators that this graph no longer has may be dropped from the checkpoint to start
    /// from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", alias = "allowNonRestoredState")]
    pub allow_non_restored_state: bool,
}

impl JobGraph {
    /// The version that this build writes.
    pub const VERSION: u32 = 1;

    /// When and how to checkpoint. If the graph does not say, there are no periodic checkpoints.
    pub fn checkpoint_config(&self) -> CheckpointConfig {
        self.checkpointing.unwrap_or_default()
    }

    /// What to do when a task fails. If the graph does not say, this is the default strategy.
    pub fn restart_strategy_config(&self) -> RestartStrategyConfig {
        self.restart_strategy.clone().unwrap_or_default()
    }

    /// The vertex with this user-chosen id.
    pub fn vertex(&self, uid: &str) -> Option<&JobVertex> {
        self.vertices.iter().find(|vertex| vertex.uid == uid)
    }

    /// The edges into `uid`, in the order of `edges`.
    pub fn inputs_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a JobEdge> {
        self.edges.iter().filter(move |edge| edge.to == uid)
    }

    /// The edges out of `uid`, in the order of `edges`.
    pub fn outputs_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a JobEdge> {
        self.edges.iter().filter(move |edge| edge.from == uid)
    }
}

fn default_max_parallelism() -> u32 {
    128
}

/// A chain of operators that run in one task. They call each other directly, without an exchange in between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobVertex {
    /// User-chosen id, unique in the graph. Keep it when you edit the graph, because the state of operators without a `uid` of
    /// their own is found by it.
    #[serde(rename = "id")]
    pub uid: String,
    /// A name for people; the `uid` if empty.
    #[serde(default)]
    pub name: String,
    /// Number of parallel instances.
    pub parallelism: u32,
    /// The chain, upstream first. At least one.
    pub operators: Vec<OperatorDescriptor>,
    /// The columns that the chain emits. Every vertex with outputs needs them. Edges are checked against them, and the worker
    /// checks that the chain really emits them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_schema: Vec<Field>,
    /// The columns that the chain expects on each input. An input that is absent here accepts the columns of its edge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_schemas: Vec<Vec<Field>>,
}

impl JobVertex {
    /// The id derived from the `uid`.
    pub fn id(&self) -> JobVertexId {
        JobVertexId::from_uid(&self.uid)
    }

    /// The name for people: `name`, or `uid` if that is empty.
    pub fn display_name(&self) -> &str {
        if self.name.is_empty() { &self.uid } else { &self.name }
    }
}

/// One operator: a kind from the catalog and its options.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorDescriptor {
    /// The operator's kind, e.g. `source.file`, `filter`, `window.tumbling`, `sink.file`.
    pub kind: String,
    /// User-chosen id of the operator, unique in the job. A restore finds the operator's state by it, also if the operator has
    /// moved within its chain or to another vertex. An operator without one is found by vertex and position in the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The operator's options by name. The catalog lists them.
    #[serde(default)]
    pub options: BTreeMap<String, serde_json::Value>,
}

impl OperatorDescriptor {
    /// An operator without a `uid`.
    pub fn new(kind: impl Into<String>, options: BTreeMap<String, serde_json::Value>) -> Self {
        Self { kind: kind.into(), uid: None, options }
    }
}

/// A column of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The column's name, unique in the schema.
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Whether values may be null. Default: true.
    #[serde(default = "yes")]
    pub nullable: bool,
}

fn yes() -> bool {
    true
}

/// A connection on which records travel from one vertex to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobEdge {
    /// `uid` of the producer.
    pub from: String,
    /// `uid` of the consumer.
    pub to: String,
    /// Number of the consumer's input, from 0. Several edges into one input are a union.
    #[serde(default)]
    pub input: u32,
    #[serde(default)]
    pub partitioning: Partitioning,
}

/// The rule that decides which consumer subtask gets a record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Partitioning {
    /// The subtask with the producer's number. Both sides have the same parallelism.
    #[default]
    Forward,
    /// The subtask that owns the key group of the key columns.
    Hash {
        /// The key columns.
        keys: Vec<String>,
    },
    /// The subtasks in turn, batch by batch.
    Rebalance,
    /// Every subtask gets every record.
    Broadcast,
}

/// When and how to checkpoint. Durations are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Time between triggers; 0 means no periodic checkpoints.
    pub interval_ms: u64,
    /// A checkpoint that takes longer is aborted.
    pub timeout_ms: u64,
    /// Shortest time between the end of one checkpoint and the start of the next.
    pub min_pause_ms: u64,
    /// Most checkpoints that may be in progress at once.
    pub max_concurrent: u32,
    /// Number of checkpoints that may fail in a row before the job fails over.
    pub tolerable_failures: u32,
    /// Number of completed checkpoints that are retained.
    pub retained: u32,
    /// Whether the retained checkpoints survive cancellation of the job.
    pub retain_on_cancellation: bool,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            interval_ms: 0,
            timeout_ms: 600_000,
            min_pause_ms: 0,
            max_concurrent: 1,
            tolerable_failures: 0,
            retained: 1,
            retain_on_cancellation: false,
        }
    }
}

/// When to restart after a failure. Strategies and defaults are Flink's. Durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RestartStrategyConfig {
    /// Never restarts: the first failure fails the job.
    None,
    /// Restarts up to `attempts` times, each time after `delay_ms`.
    FixedDelay {
        /// Most restarts over the life of the job.
        attempts: u32,
        /// Wait before each restart.
        delay_ms: u64,
    },
    /// Restarts after a wait that grows each time, until the job has run without failure for a while.
    ExponentialDelay {
        /// The first wait.
        initial_backoff_ms: u64,
        /// The longest wait.
        max_backoff_ms: u64,
        /// Factor from one wait to the next.
        backoff_multiplier: f64,
        /// If the job runs this long without failure, the wait starts over.
        reset_backoff_threshold_ms: u64,
        /// Each wait varies by up to this fraction in both directions.
        jitter_factor: f64,
    },
    /// Restarts as long as at most `max_failures_per_interval` failures fall into one interval.
    FailureRate {
        /// Number of failures allowed in one interval.
        max_failures_per_interval: u32,
        interval_ms: u64,
        /// Wait before each restart.
        delay_ms: u64,
    },
}

impl Default for RestartStrategyConfig {
    fn default() -> Self {
        Self::ExponentialDelay {
            initial_backoff_ms: 1_000,
            max_backoff_ms: 60_000,
            backoff_multiplier: 1.5,
            reset_backoff_threshold_ms: 3_600_000,
            jitter_factor: 0.1,
        }
    }
}
