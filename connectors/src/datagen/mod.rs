//! `source.datagen`: generates rows. Row i is a function of the seed and i. Subtask s of p generates rows s, s + p, s + 2p, ...

mod generator;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_schema::SchemaRef;
use serde::Deserialize;
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::operator::{OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::BuiltOperator;
use weir_dataflow::schema::to_arrow;
use weir_dataflow::source::{Source, SourcePoll};
use weir_protocol::job_graph::{Field, OperatorDescriptor};

use self::generator::{Draw, FieldOptions, Generator};
use crate::options;
use crate::random::{STEP, mix};
use crate::rate::RateLimiter;
use crate::row_numbers::RowNumbers;
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
    limiter: Option<RateLimiter>,
    row_numbers: RowNumbers,
    buffer: RowBuffer,
    numbers: Vec<u64>,
}

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
        Ok(Self {
            schema,
            generators,
            seed: options.seed,
            limiter: options.rows_per_second.map(|rows| RateLimiter::new(rows, context.parallelism)),
            row_numbers: RowNumbers::new("source.datagen", options.rows, context),
            buffer,
            numbers: Vec::new(),
        })
    }
}

impl Source for Datagen {
    fn poll(&mut self, now_ms: u64, max_rows: usize) -> Result<SourcePoll, OperatorError> {
        if self.row_numbers.is_empty() {
            return Ok(SourcePoll::End);
        }
        let mut target = max_rows.max(1);
        if let Some(limiter) = &mut self.limiter {
            match limiter.available(now_ms) {
                Ok(available) => target = target.min(available),
                Err(until) => return Ok(SourcePoll::NothingUntil(until)),
            }
        }
        self.row_numbers.take(target, &mut self.numbers);
        for (index, generator) in self.generators.iter().enumerate() {
            let salt = mix(self.seed.wrapping_add((index as u64 + 1).wrapping_mul(STEP)));
            let column = self.buffer.column(index);
            for row in &self.numbers {
                let mut draw = Draw(salt.wrapping_add(row.wrapping_mul(STEP)));
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
        self.row_numbers.snapshot()
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        self.row_numbers.restore(&restored)
    }
}
