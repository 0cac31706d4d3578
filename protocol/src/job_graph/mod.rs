//! The JobGraph: what a client submits and the cluster executes as it is.

pub mod catalog;
pub mod validate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{JobId, JobVertexId};

/// A directed acyclic graph of operator chains. The JSON form of this type is what people write and read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobGraph {
    /// Version of the format; [`JobGraph::VERSION`].
    pub version: u32,
    /// The job's id; absent in JSON means that the client or the Dispatcher draws one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// A name for people.
    pub name: String,
    /// Number of key groups, the unit of state and of rescaling; fixed for the life of the job.
    #[serde(default = "default_max_parallelism")]
    pub max_parallelism: u32,
    /// The vertices, in any order.
    pub vertices: Vec<JobVertex>,
    /// The edges, in any order.
    #[serde(default)]
    pub edges: Vec<JobEdge>,
    /// When and how to checkpoint. Left out, the cluster's settings are filled in at submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpointing: Option<CheckpointConfig>,
    /// What to do when a task fails. Left out, the cluster's settings are filled in at submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_strategy: Option<RestartStrategyConfig>,
    /// Path of a completed checkpoint or savepoint to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_from: Option<String>,
}

impl JobGraph {
    /// The version this build writes.
    pub const VERSION: u32 = 1;

    /// When and how to checkpoint; no periodic checkpoints if nobody has said.
    pub fn checkpoint_config(&self) -> CheckpointConfig {
        self.checkpointing.unwrap_or_default()
    }

    /// What to do when a task fails.
    pub fn restart_strategy_config(&self) -> RestartStrategyConfig {
        self.restart_strategy.clone().unwrap_or_default()
    }

    /// The vertex with this user-chosen id.
    pub fn vertex(&self, uid: &str) -> Option<&JobVertex> {
        self.vertices.iter().find(|vertex| vertex.uid == uid)
    }

    /// The edges into `uid`, by input number.
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

/// A chain of operators that run in one task, called one after the other without an exchange in between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobVertex {
    /// User-chosen, unique in the graph, and stable when the graph is edited: state is found by it.
    #[serde(rename = "id")]
    pub uid: String,
    /// A name for people; the `uid` if empty.
    #[serde(default)]
    pub name: String,
    /// Number of parallel instances.
    pub parallelism: u32,
    /// The chain, upstream first. At least one.
    pub operators: Vec<OperatorDescriptor>,
    /// What the chain emits. Required of every vertex with outputs; edges are checked against it, and the
    /// worker checks that the chain really yields it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_schema: Vec<Field>,
    /// What the chain expects on each input. Optional: an input left out takes what its edge brings.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorDescriptor {
    /// Which operator, e.g. `source.file`, `filter`, `window.tumbling`, `sink.file`.
    pub kind: String,
    /// Its options by name; the catalog lists them.
    #[serde(default)]
    pub options: BTreeMap<String, serde_json::Value>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name, unique in the schema.
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Whether it may be null.
    #[serde(default = "yes")]
    pub nullable: bool,
}

fn yes() -> bool {
    true
}

/// The column types of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// True or false.
    Boolean,
    /// 32-bit signed integer.
    Int,
    /// 64-bit signed integer.
    Bigint,
    /// 64-bit floating point.
    Double,
    String,
    /// Milliseconds since 1970, UTC.
    TimestampMs,
}

/// How records travel from one vertex to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobEdge {
    /// `uid` of the producer.
    pub from: String,
    /// `uid` of the consumer.
    pub to: String,
    /// Which input of the consumer, from 0. Several edges into one input are a union.
    #[serde(default)]
    pub input: u32,
    /// Which consumer subtask gets a record.
    #[serde(default)]
    pub partitioning: Partitioning,
}

/// Which consumer subtask gets a record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Partitioning {
    /// The subtask with the producer's number; both sides have the same parallelism.
    #[default]
    Forward,
    /// By key group of these columns.
    Hash {
        /// The key columns.
        keys: Vec<String>,
    },
    /// Batch by batch in turn.
    Rebalance,
    /// Every subtask gets everything.
    Broadcast,
}

/// When and how to checkpoint. Durations in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Time between triggers; 0 = no periodic checkpoints.
    pub interval_ms: u64,
    /// A checkpoint not complete by then is aborted.
    pub timeout_ms: u64,
    /// Least time between the end of one and the start of the next.
    pub min_pause_ms: u64,
    /// How many may be under way.
    pub max_concurrent: u32,
    /// How many may fail in a row before the job fails over.
    pub tolerable_failures: u32,
    /// How many completed ones are kept.
    pub retained: u32,
    /// Whether the retained ones survive cancellation of the job.
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

/// When to restart after a failure. Flink's strategies and defaults; durations in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RestartStrategyConfig {
    /// Never: the first failure fails the job.
    None,
    /// Up to `attempts` times, `delay_ms` apart.
    FixedDelay {
        /// How many restarts over the life of the job.
        attempts: u32,
        /// Wait before each.
        delay_ms: u64,
    },
    /// Waiting longer each time, until the job has run well for a while.
    ExponentialDelay {
        /// The first wait.
        initial_backoff_ms: u64,
        /// The longest wait.
        max_backoff_ms: u64,
        /// Factor from one wait to the next.
        backoff_multiplier: f64,
        /// Running this long without failure resets the wait.
        reset_backoff_threshold_ms: u64,
        /// Each wait is varied by up to this fraction, either way.
        jitter_factor: f64,
    },
    /// As long as no more than `max_failures_per_interval` fall into one interval.
    FailureRate {
        /// Failures allowed in one interval.
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
