//! Converts job graphs.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use prost::Message;
use serde_json::Value;

use super::{DecodeError, all, id_bytes, id_from, required, try_all};
use crate::JobId;
use crate::job_graph::{
    CheckpointConfig, Field, JobEdge, JobGraph, JobVertex, OperatorDescriptor, Partitioning, RestartStrategyConfig,
};
use crate::pb::job_graph::v1 as pb;

/// First bytes of an encoded job graph. A big-endian `u32` with the format version follows, then protobuf.
const MAGIC: &[u8; 8] = b"WEIR-JG\n";

impl JobGraph {
    /// Longest encoded graph, in bytes. Both sides refuse longer ones.
    pub const MAX_ENCODED_BYTES: usize = 4 * 1024 * 1024;

    /// The graph's canonical bytes: magic, version, protobuf. Equal graphs have equal bytes on every machine.
    pub fn encode(&self) -> Bytes {
        let message = pb::JobGraph::from(self.clone());
        let mut bytes = BytesMut::with_capacity(MAGIC.len() + 4 + message.encoded_len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&Self::VERSION.to_be_bytes());
        bytes.extend_from_slice(&message.encode_to_vec());
        bytes.freeze()
    }

    /// Decodes the bytes of [`JobGraph::encode`] of this version or an older one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "job graph";
        if bytes.len() > Self::MAX_ENCODED_BYTES {
            return Err(DecodeError::TooLarge { what: WHAT, size: bytes.len(), limit: Self::MAX_ENCODED_BYTES });
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(DecodeError::Magic { what: "an encoded job graph" })?;
        let (version, body) =
            rest.split_first_chunk::<4>().ok_or_else(|| DecodeError::Malformed { what: WHAT, reason: "cut short".to_owned() })?;
        let found = u32::from_be_bytes(*version);
        if found == 0 || found > Self::VERSION {
            return Err(DecodeError::Version { what: WHAT, found, supported: Self::VERSION });
        }
        pb::JobGraph::decode(body).map_err(|error| DecodeError::Malformed { what: WHAT, reason: error.to_string() })?.try_into()
    }

    /// CRC32C over the canonical bytes without the job id and what to start from, because these may differ between two
    /// runs of one graph. Checkpoints carry it, for people.
    pub fn fingerprint(&self) -> u32 {
        let anonymous = Self { job_id: None, restore_from: None, allow_non_restored_state: false, ..self.clone() };
        crc32c::crc32c(&anonymous.encode())
    }
}

impl From<JobGraph> for pb::JobGraph {
    fn from(graph: JobGraph) -> Self {
        Self {
            version: graph.version,
            job_id: graph.job_id.map(|id| id_bytes(id.0)),
            name: graph.name,
            max_parallelism: graph.max_parallelism,
            vertices: all(graph.vertices),
            edges: all(graph.edges),
            checkpointing: graph.checkpointing.map(Into::into),
            restart_strategy: graph.restart_strategy.map(Into::into),
            restore_from: graph.restore_from,
            allow_non_restored_state: graph.allow_non_restored_state,
        }
    }
}

impl TryFrom<pb::JobGraph> for JobGraph {
    type Error = DecodeError;
    fn try_from(graph: pb::JobGraph) -> Result<Self, DecodeError> {
        Ok(Self {
            version: graph.version,
            job_id: graph.job_id.map(|id| id_from(&id, "JobGraph.job_id").map(JobId)).transpose()?,
            name: graph.name,
            max_parallelism: graph.max_parallelism,
            vertices: try_all(graph.vertices)?,
            edges: try_all(graph.edges)?,
            checkpointing: graph.checkpointing.map(Into::into),
            restart_strategy: graph.restart_strategy.map(TryInto::try_into).transpose()?,
            restore_from: graph.restore_from,
            allow_non_restored_state: graph.allow_non_restored_state,
        })
    }
}

impl From<JobVertex> for pb::JobVertex {
    fn from(vertex: JobVertex) -> Self {
        Self {
            uid: vertex.uid,
            name: vertex.name,
            parallelism: vertex.parallelism,
            operators: all(vertex.operators),
            output_schema: all(vertex.output_schema),
            input_schemas: vertex.input_schemas.into_iter().map(|fields| pb::Schema { fields: all(fields) }).collect(),
        }
    }
}

impl TryFrom<pb::JobVertex> for JobVertex {
    type Error = DecodeError;
    fn try_from(vertex: pb::JobVertex) -> Result<Self, DecodeError> {
        Ok(Self {
            uid: vertex.uid,
            name: vertex.name,
            parallelism: vertex.parallelism,
            operators: try_all(vertex.operators)?,
            output_schema: try_all(vertex.output_schema)?,
            input_schemas: vertex.input_schemas.into_iter().map(|schema| try_all(schema.fields)).collect::<Result<_, _>>()?,
        })
    }
}

impl From<OperatorDescriptor> for pb::Operator {
    fn from(operator: OperatorDescriptor) -> Self {
        Self { kind: operator.kind, options: operator.options.into_iter().map(entry).collect(), uid: operator.uid }
    }
}

impl TryFrom<pb::Operator> for OperatorDescriptor {
    type Error = DecodeError;
    fn try_from(operator: pb::Operator) -> Result<Self, DecodeError> {
        let options = operator.options.into_iter().map(entry_from).collect::<Result<BTreeMap<_, _>, _>>()?;
        Ok(Self { kind: operator.kind, uid: operator.uid, options })
    }
}

fn entry((name, value): (String, Value)) -> pb::Entry {
    pb::Entry { name, value: Some(value_to(value)) }
}

fn entry_from(entry: pb::Entry) -> Result<(String, Value), DecodeError> {
    Ok((entry.name, value_from(required(entry.value, "Entry.value")?)?))
}

fn value_to(value: Value) -> pb::Value {
    use pb::value::Kind;
    let kind = match value {
        Value::Null => Kind::Null(pb::Null {}),
        Value::Bool(boolean) => Kind::Boolean(boolean),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Kind::Integer(integer),
            (None, Some(unsigned)) => Kind::Unsigned(unsigned),
            // Numbers beyond f64 can't occur, because serde_json refuses to parse them.
            (None, None) => Kind::Number(number.as_f64().unwrap_or(f64::MAX)),
        },
        Value::String(text) => Kind::Text(text),
        Value::Array(items) => Kind::List(pb::List { items: items.into_iter().map(value_to).collect() }),
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.into_iter().map(entry).collect();
            // The entries are sorted already, unless some crate of the build has enabled serde_json's `preserve_order`.
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            Kind::Object(pb::Object { entries })
        }
    };
    pb::Value { kind: Some(kind) }
}

/// This recursion is bounded, because `prost` limits the nesting to 100 messages.
fn value_from(value: pb::Value) -> Result<Value, DecodeError> {
    use pb::value::Kind;
    Ok(match required(value.kind, "Value.kind")? {
        Kind::Null(pb::Null {}) => Value::Null,
        Kind::Boolean(boolean) => Value::Bool(boolean),
        Kind::Integer(integer) => Value::from(integer),
        Kind::Unsigned(unsigned) => Value::from(unsigned),
        Kind::Number(number) => serde_json::Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| DecodeError::Range { field: "Value.number", value: number.to_string() })?,
        Kind::Text(text) => Value::String(text),
        Kind::List(list) => Value::Array(list.items.into_iter().map(value_from).collect::<Result<_, _>>()?),
        Kind::Object(object) => Value::Object(object.entries.into_iter().map(entry_from).collect::<Result<_, _>>()?),
    })
}

impl From<Field> for pb::Field {
    fn from(field: Field) -> Self {
        Self { name: field.name, data_type: field.data_type.to_string(), nullable: field.nullable }
    }
}

impl TryFrom<pb::Field> for Field {
    type Error = DecodeError;
    fn try_from(field: pb::Field) -> Result<Self, DecodeError> {
        let data_type = field
            .data_type
            .parse()
            .map_err(|_| DecodeError::Range { field: "Field.data_type", value: field.data_type.chars().take(64).collect() })?;
        Ok(Self { name: field.name, data_type, nullable: field.nullable })
    }
}

impl From<JobEdge> for pb::JobEdge {
    fn from(edge: JobEdge) -> Self {
        Self { from: edge.from, to: edge.to, input: edge.input, partitioning: Some(edge.partitioning.into()) }
    }
}

impl TryFrom<pb::JobEdge> for JobEdge {
    type Error = DecodeError;
    fn try_from(edge: pb::JobEdge) -> Result<Self, DecodeError> {
        let partitioning = required(edge.partitioning, "JobEdge.partitioning")?.try_into()?;
        Ok(Self { from: edge.from, to: edge.to, input: edge.input, partitioning })
    }
}

impl From<Partitioning> for pb::Partitioning {
    fn from(partitioning: Partitioning) -> Self {
        use pb::partitioning::{Broadcast, Forward, Hash, Kind, Rebalance};
        let kind = match partitioning {
            Partitioning::Forward => Kind::Forward(Forward {}),
            Partitioning::Hash { keys } => Kind::Hash(Hash { keys }),
            Partitioning::Rebalance => Kind::Rebalance(Rebalance {}),
            Partitioning::Broadcast => Kind::Broadcast(Broadcast {}),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::Partitioning> for Partitioning {
    type Error = DecodeError;
    fn try_from(partitioning: pb::Partitioning) -> Result<Self, DecodeError> {
        use pb::partitioning::Kind;
        Ok(match required(partitioning.kind, "Partitioning.kind")? {
            Kind::Forward(_) => Self::Forward,
            Kind::Hash(hash) => Self::Hash { keys: hash.keys },
            Kind::Rebalance(_) => Self::Rebalance,
            Kind::Broadcast(_) => Self::Broadcast,
        })
    }
}

impl From<CheckpointConfig> for pb::CheckpointConfig {
    fn from(config: CheckpointConfig) -> Self {
        Self {
            interval_ms: config.interval_ms,
            timeout_ms: config.timeout_ms,
            min_pause_ms: config.min_pause_ms,
            max_concurrent: config.max_concurrent,
            tolerable_failures: config.tolerable_failures,
            retained: config.retained,
            retain_on_cancellation: config.retain_on_cancellation,
        }
    }
}

impl From<pb::CheckpointConfig> for CheckpointConfig {
    fn from(config: pb::CheckpointConfig) -> Self {
        Self {
            interval_ms: config.interval_ms,
            timeout_ms: config.timeout_ms,
            min_pause_ms: config.min_pause_ms,
            max_concurrent: config.max_concurrent,
            tolerable_failures: config.tolerable_failures,
            retained: config.retained,
            retain_on_cancellation: config.retain_on_cancellation,
        }
    }
}

impl From<RestartStrategyConfig> for pb::RestartStrategy {
    fn from(strategy: RestartStrategyConfig) -> Self {
        use pb::restart_strategy::{ExponentialDelay, FailureRate, FixedDelay, Kind, Never};
        let kind = match strategy {
            RestartStrategyConfig::None => Kind::Never(Never {}),
            RestartStrategyConfig::FixedDelay { attempts, delay_ms } => Kind::FixedDelay(FixedDelay { attempts, delay_ms }),
            RestartStrategyConfig::ExponentialDelay {
                initial_backoff_ms,
                max_backoff_ms,
                backoff_multiplier,
                reset_backoff_threshold_ms,
                jitter_factor,
            } => Kind::ExponentialDelay(ExponentialDelay {
                initial_backoff_ms,
                max_backoff_ms,
                backoff_multiplier,
                reset_backoff_threshold_ms,
                jitter_factor,
            }),
            RestartStrategyConfig::FailureRate { max_failures_per_interval, interval_ms, delay_ms } => {
                Kind::FailureRate(FailureRate { max_failures_per_interval, interval_ms, delay_ms })
            }
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::RestartStrategy> for RestartStrategyConfig {
    type Error = DecodeError;
    fn try_from(strategy: pb::RestartStrategy) -> Result<Self, DecodeError> {
        use pb::restart_strategy::{ExponentialDelay, FailureRate, FixedDelay, Kind, Never};
        Ok(match required(strategy.kind, "RestartStrategy.kind")? {
            Kind::Never(Never {}) => Self::None,
            Kind::FixedDelay(FixedDelay { attempts, delay_ms }) => Self::FixedDelay { attempts, delay_ms },
            Kind::ExponentialDelay(ExponentialDelay {
                initial_backoff_ms,
                max_backoff_ms,
                backoff_multiplier,
                reset_backoff_threshold_ms,
                jitter_factor,
            }) => Self::ExponentialDelay {
                initial_backoff_ms,
                max_backoff_ms,
                backoff_multiplier,
                reset_backoff_threshold_ms,
                jitter_factor,
            },
            Kind::FailureRate(FailureRate { max_failures_per_interval, interval_ms, delay_ms }) => {
                Self::FailureRate { max_failures_per_interval, interval_ms, delay_ms }
            }
        })
    }
}
