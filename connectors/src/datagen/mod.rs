//! `source.datagen`: generates rows. Row i is a function of the seed and i. Subtask s of p generates rows s, s + p, s + 2p, ...

mod sequences;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_schema::SchemaRef;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::operator::{OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::BuiltOperator;
use weir_dataflow::schema::to_arrow;
use weir_dataflow::source::{Source, SourcePoll};
use weir_protocol::job_graph::{DataType, Field, OperatorDescriptor};

use self::sequences::Sequences;
use crate::options;
use crate::rate::RateLimiter;
use crate::rows::RowBuffer;
use crate::rows::buffer::{BadValue, Column};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatagenOptions {
    fields: Vec<FieldOptions>,
    #[serde(default)]
    rows: Option<u64>,
    #[serde(default)]
    rows_per_second: Option<u64>,
    #[serde(default)]
    seed: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldOptions {
    name: String,
    #[serde(rename = "type")]
    data_type: DataType,
    kind: FieldKind,
    #[serde(default)]
    min: Option<Number>,
    #[serde(default)]
    max: Option<Number>,
    #[serde(default)]
    values: Option<Vec<Value>>,
    #[serde(default)]
    step_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FieldKind {
    Sequence,
    Random,
    Constant,
    Timestamp,
}

/// Generates the values of one column.
enum Generator {
    /// The number `first + i * step` for row i.
    Linear { first: i64, step: i64 },
    /// A random integer in `min..=max`.
    Integer { min: i64, max: i64 },
    /// A random number in `min..max`.
    Double { min: f64, max: f64 },
    /// A random boolean.
    Boolean,
    /// Sixteen random hexadecimal digits.
    Text,
    /// A random element of the list.
    Choice(Vec<Value>),
}

pub(crate) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let source = Datagen::new(descriptor, context)?;
    let schema = Arc::clone(&source.schema);
    Ok(BuiltOperator::Source(Box::new(source), schema))
}

struct Datagen {
    schema: SchemaRef,
    generators: Vec<Generator>,
    seed: u64,
    subtask: u32,
    parallelism: u32,
    limiter: Option<RateLimiter>,
    rows: u64,
    sequences: Sequences,
    buffer: RowBuffer,
    numbers: Vec<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct DatagenState {
    version: u32,
    sequences: Sequences,
}

const STATE_VERSION: u32 = 1;

impl Datagen {
    fn new(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<Self, OperatorError> {
        let options: DatagenOptions = options::read(descriptor)?;
        if options.fields.is_empty() || options.rows_per_second == Some(0) {
            return Err(options::invalid(&descriptor.kind, "needs at least one field, and rows_per_second must be at least 1"));
        }
        let fields: Vec<_> = options
            .fields
            .iter()
            .map(|field| Field { name: field.name.clone(), data_type: field.data_type.clone(), nullable: false })
            .collect();
        let schema = to_arrow(&fields)?;
        let mut buffer = RowBuffer::new(Arc::clone(&schema))?;
        let mut generators = Vec::new();
        for (index, field) in options.fields.iter().enumerate() {
            let generator = Generator::new(field)
                .and_then(|generator| generator.check(buffer.column(index)).map(|()| generator).map_err(|reason| reason.0));
            let invalid = |reason| options::invalid(&descriptor.kind, format!("field {:?}: {reason}", field.name));
            generators.push(generator.map_err(invalid)?);
        }
        buffer.rollback_row();
        let rows = options.rows.unwrap_or(u64::MAX);
        Ok(Self {
            schema,
            generators,
            seed: options.seed,
            subtask: context.subtask(),
            parallelism: context.parallelism,
            limiter: options.rows_per_second.map(|rows| RateLimiter::new(rows, context.parallelism)),
            rows,
            sequences: Sequences::share(0, rows, context.subtask(), context.parallelism),
            buffer,
            numbers: Vec::new(),
        })
    }
}

impl Generator {
    fn new(field: &FieldOptions) -> Result<Self, String> {
        let number = |number: &Option<Number>, default: i64| match number {
            None => Ok(default),
            Some(number) => number.as_i64().ok_or_else(|| format!("{number} is not a 64-bit integer")),
        };
        let numeric = matches!(field.data_type, DataType::Int | DataType::Bigint | DataType::Double | DataType::Timestamp(3));
        match (field.kind, &field.values) {
            (FieldKind::Constant, Some(values)) if values.len() == 1 => Ok(Self::Choice(values.clone())),
            (FieldKind::Constant, _) => Err("a constant needs \"values\" with one value".to_owned()),
            (FieldKind::Random, Some(values)) if !values.is_empty() => Ok(Self::Choice(values.clone())),
            (FieldKind::Random, Some(_)) => Err("\"values\" is empty".to_owned()),
            (FieldKind::Sequence, None) if numeric => Ok(Self::Linear { first: number(&field.min, 0)?, step: 1 }),
            (FieldKind::Timestamp, None) if matches!(field.data_type, DataType::Timestamp(3) | DataType::Bigint) => {
                Ok(Self::Linear { first: number(&field.min, 0)?, step: field.step_ms.unwrap_or(1) })
            }
            (FieldKind::Random, None) => match field.data_type {
                DataType::Boolean => Ok(Self::Boolean),
                DataType::String => Ok(Self::Text),
                DataType::Double => {
                    let min = field.min.as_ref().and_then(Number::as_f64).unwrap_or(0.0);
                    let max = field.max.as_ref().and_then(Number::as_f64).unwrap_or(min + 1.0);
                    if min <= max { Ok(Self::Double { min, max }) } else { Err(format!("min {min} is greater than max {max}")) }
                }
                DataType::Int | DataType::Bigint | DataType::Timestamp(3) => {
                    let greatest = if field.data_type == DataType::Int { i64::from(i32::MAX) } else { i64::MAX };
                    let (min, max) = (number(&field.min, 0)?, number(&field.max, greatest)?);
                    if min <= max { Ok(Self::Integer { min, max }) } else { Err(format!("min {min} is greater than max {max}")) }
                }
                _ => Err(format!("random values of type {} are not made", field.data_type)),
            },
            (kind, _) => Err(format!("kind {kind:?} can't be used with this type or with \"values\"").to_lowercase()),
        }
    }

    /// Pushes every value that the column may refuse. The caller must roll back the row.
    fn check(&self, column: &mut Column) -> Result<(), BadValue> {
        match self {
            Self::Choice(values) => values.iter().try_for_each(|value| push_value(column, value)),
            Self::Integer { min, max } => column.push_i64(*min).and_then(|()| column.push_i64(*max)),
            Self::Linear { first, .. } => column.push_i64(*first),
            Self::Double { .. } | Self::Boolean | Self::Text => Ok(()),
        }
    }

    fn push(&self, column: &mut Column, row: u64, random: impl Fn() -> u64) -> Result<(), BadValue> {
        match self {
            Self::Linear { first, step } => {
                let value = i128::from(*first) + i128::from(row) * i128::from(*step);
                column.push_i64(i64::try_from(value).map_err(|_| BadValue(format!("{value} is out of range")))?)
            }
            Self::Integer { min, max } => {
                let span = (i128::from(*max) - i128::from(*min) + 1) as u128;
                // The product is less than `span`, so the sum is at most `max`.
                column.push_i64((i128::from(*min) + ((u128::from(random()) * span) >> 64) as i128) as i64)
            }
            Self::Double { min, max } => column.push_f64(min + (max - min) * ((random() >> 11) as f64 / (1_u64 << 53) as f64)),
            Self::Boolean => column.push_bool(random() >> 63 == 1),
            Self::Text => column.push_str(&format!("{:016x}", random())),
            Self::Choice(values) => {
                let index = ((u128::from(random()) * values.len() as u128) >> 64) as usize;
                push_value(column, &values[index])
            }
        }
    }
}

fn push_value(column: &mut Column, value: &Value) -> Result<(), BadValue> {
    match value {
        Value::Bool(value) => column.push_bool(*value),
        Value::String(value) => column.push_str(value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => column.push_i64(value),
            (None, Some(value)) => column.push_f64(value),
            (None, None) => Err(BadValue(format!("{number} is out of range"))),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Err(BadValue(format!("{value} is not a boolean, number or text"))),
    }
}

/// The finaliser of SplitMix64, a bijection that distributes values well.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Source for Datagen {
    fn poll(&mut self, now_ms: u64, max_rows: usize) -> Result<SourcePoll, OperatorError> {
        if self.sequences.is_empty() {
            return Ok(SourcePoll::End);
        }
        let mut target = max_rows.max(1);
        if let Some(limiter) = &mut self.limiter {
            match limiter.available(now_ms) {
                Ok(available) => target = target.min(available),
                Err(until) => return Ok(SourcePoll::NothingUntil(until)),
            }
        }
        self.numbers.clear();
        self.sequences.take(target, &mut self.numbers);
        for (index, generator) in self.generators.iter().enumerate() {
            let salt = mix(self.seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            let column = self.buffer.column(index);
            for row in &self.numbers {
                let random = || mix(salt.wrapping_add(row.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
                generator.push(column, *row, random).map_err(|reason| {
                    OperatorError::fatal("DATAGEN-RANGE", format!("row {row}, column {:?}: {}", column.name(), reason.0))
                })?;
            }
        }
        for _ in &self.numbers {
            self.buffer.commit_row(0);
        }
        if let Some(limiter) = &mut self.limiter {
            limiter.spend(self.numbers.len());
        }
        let batch = self.buffer.finish().map_err(|error| OperatorError::fatal("DATAGEN-RANGE", error.to_string()))?;
        Ok(SourcePoll::Batch(batch))
    }

    fn snapshot(&mut self, _barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let state = DatagenState { version: STATE_VERSION, sequences: self.sequences.clone() };
        let bytes = serde_json::to_vec(&state).map_err(|error| OperatorError::fatal("DATAGEN-STATE", error.to_string()))?;
        Ok(StateSnapshot { operator_state: Some(Bytes::from(bytes)), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        if restored.operator_state.is_empty() {
            // The checkpoint was taken before the job had this operator, so start at the first row.
            return Ok(());
        }
        let rescaled = restored.former_parallelism != self.parallelism;
        let mut former = Vec::new();
        for (subtask, bytes) in &restored.operator_state {
            if !rescaled && *subtask != self.subtask {
                continue;
            }
            let state: DatagenState = serde_json::from_slice(bytes).map_err(|error| {
                OperatorError::fatal("DATAGEN-STATE", format!("source.datagen: the state can't be read: {error}"))
            })?;
            if state.version != STATE_VERSION || !state.sequences.is_legal() {
                return Err(OperatorError::fatal(
                    "DATAGEN-STATE",
                    "source.datagen: the state has an unknown version or an illegal sequence",
                ));
            }
            former.push(state.sequences);
        }
        let generated = former.iter().map(Sequences::generated).max().unwrap_or_default();
        if generated > self.rows {
            return Err(OperatorError::fatal(
                "DATAGEN-ROWS",
                format!(
                    "source.datagen: rows is {}, but the restored job has already generated {generated} rows; set rows to at least \
                     {generated}, or start without the checkpoint",
                    self.rows
                ),
            ));
        }
        let restored = if rescaled { Sequences::redeal(&former, self.subtask, self.parallelism) } else { former.pop() };
        let restored = restored.ok_or_else(|| {
            OperatorError::fatal("DATAGEN-STATE", format!("source.datagen: the state of subtask {} is missing", self.subtask))
        })?;
        self.sequences = restored.until(self.rows);
        Ok(())
    }
}
