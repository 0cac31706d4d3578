//! A binary with a source and an operator of its own. It has all commands of `weir`, and runs every role.
//!
//!     cargo run --example own_operators local
//!     cargo run --example own_operators job submit weir/examples/own_operators.json --wait
//!
//! docs/own-operators.md explains it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::operator::{Collector, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::{BuiltOperator, only_input};
use weir_dataflow::source::{Source, SourcePoll};
use weir_protocol::job_graph::OperatorDescriptor;

fn main() -> std::process::ExitCode {
    weir::run(|registry| {
        registry.register("x.numbers", numbers);
        registry.register("x.square", square);
    })
}

/// Emits the numbers below `end`, each once.
struct Numbers {
    /// The numbers `next, next + step, …` are left to emit. A subtask has one such lane; after a change of the parallelism it may
    /// have none or several.
    lanes: Vec<[i64; 2]>,
    end: i64,
    subtask: u32,
    parallelism: u32,
    schema: SchemaRef,
}

fn numbers(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let end = descriptor.options.get("end").and_then(|value| value.as_i64());
    let end = end.ok_or_else(|| OperatorError::fatal("X-OPTION", "x.numbers: option \"end\" must be a number"))?;
    let schema = Arc::new(Schema::new(vec![Field::new("number", DataType::Int64, false)]));
    let (subtask, parallelism) = (context.subtask(), context.parallelism);
    let lanes = vec![[i64::from(subtask), i64::from(parallelism)]];
    Ok(BuiltOperator::Source(Box::new(Numbers { lanes, end, subtask, parallelism, schema: schema.clone() }), schema))
}

impl Source for Numbers {
    fn poll(&mut self, _now_ms: u64, max_rows: usize) -> Result<SourcePoll, OperatorError> {
        let Some([next, step]) = self.lanes.iter_mut().find(|[next, _]| *next < self.end) else { return Ok(SourcePoll::End) };
        let mut numbers = Vec::with_capacity(max_rows);
        while *next < self.end && numbers.len() < max_rows.max(1) {
            numbers.push(*next);
            *next += *step;
        }
        Ok(SourcePoll::Batch(batch(&self.schema, vec![Arc::new(Int64Array::from(numbers))])?))
    }

    fn snapshot(&mut self, _barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let state = self.lanes.iter().flatten().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
        Ok(StateSnapshot { operator_state: Some(Bytes::from(state)), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        let mut lanes = Vec::new();
        for (_, state) in &restored.operator_state {
            let numbers: Vec<_> = state.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
            lanes.extend_from_slice(numbers.as_chunks::<2>().0);
        }
        if restored.former_parallelism != self.parallelism {
            // Each subtask has got the lanes of all former ones, in the same order, and takes its share.
            let (subtask, parallelism) = (self.subtask as usize, self.parallelism as usize);
            lanes =
                lanes.into_iter().enumerate().filter(|(index, _)| index % parallelism == subtask).map(|(_, lane)| lane).collect();
        }
        self.lanes = lanes;
        Ok(())
    }
}

/// Adds a column `square` to rows with a column `number`.
struct Square {
    column: usize,
    schema: SchemaRef,
}

fn square(_descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let input = only_input(context)?;
    let column = input.index_of("number").map_err(|error| OperatorError::fatal("X-SCHEMA", format!("x.square: {error}")))?;
    if *input.field(column).data_type() != DataType::Int64 {
        return Err(OperatorError::fatal("X-SCHEMA", "x.square: column number must be a BIGINT"));
    }
    let mut fields = input.fields().to_vec();
    fields.push(Arc::new(Field::new("square", DataType::Int64, false)));
    let schema = Arc::new(Schema::new(fields));
    Ok(BuiltOperator::Transform(Box::new(Square { column, schema: schema.clone() }), schema))
}

impl Operator for Square {
    fn process(&mut self, _input: u32, rows: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let numbers = rows.column(self.column).as_primitive::<Int64Type>();
        let squares: Int64Array = numbers.values().iter().map(|number| number.wrapping_mul(*number)).collect();
        let columns = rows.columns().iter().cloned().chain([Arc::new(squares) as ArrayRef]).collect();
        out.collect(batch(&self.schema, columns)?)
    }
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, OperatorError> {
    RecordBatch::try_new(schema.clone(), columns).map_err(|error| OperatorError::fatal("X-SCHEMA", error.to_string()))
}
