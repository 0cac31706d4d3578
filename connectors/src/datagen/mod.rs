//! `source.datagen`: generates rows. Row i is a function of the seed and i. Subtask s of p generates rows s, s + p, s + 2p, ...

mod generator;
mod sequences;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_schema::SchemaRef;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::operator::{OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::BuiltOperator;
use weir_dataflow::schema::to_arrow;
use weir_dataflow::source::{Source, SourcePoll};
use weir_protocol::job_graph::{Field, OperatorDescriptor};

use self::generator::{Draw, FieldOptions, Generator};
use self::sequences::Sequences;
use crate::options;
use crate::rate::RateLimiter;
use crate::rows::RowBuffer;

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
            .map(|field| Field { name: field.name.clone(), data_type: field.data_type.clone(), nullable: field.can_be_null() })
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
                let mut draw = Draw(salt.wrapping_add(row.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
                generator.push(column, *row, &mut draw).map_err(|reason| {
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
