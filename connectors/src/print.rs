//! `sink.print`, for trying out a job, and `sink.blackhole`, for measuring it.

use std::io::Write;

use arrow_array::RecordBatch;
use serde::Deserialize;
use weir_dataflow::operator::{Collector, Operator, OperatorContext, OperatorError};
use weir_dataflow::registry::BuiltOperator;
use weir_protocol::job_graph::OperatorDescriptor;

use crate::options;
use crate::rows::text;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrintOptions {
    #[serde(default)]
    prefix: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlackholeOptions {}

/// Builds `sink.print`. As in Flink, a line begins with `prefix:3> `, where 3 is the number of the subtask, counted from 1. If
/// there is only one subtask, the number is omitted.
pub(crate) fn build_print(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let options: PrintOptions = options::read(descriptor)?;
    if let Some(schema) = context.input_schemas.first() {
        text::check_schema(schema)?;
    }
    let subtask = context.subtask() + 1;
    let prefix = match (options.prefix.as_str(), context.parallelism > 1) {
        ("", false) => String::new(),
        ("", true) => format!("{subtask}> "),
        (prefix, false) => format!("{prefix}> "),
        (prefix, true) => format!("{prefix}:{subtask}> "),
    };
    Ok(BuiltOperator::Sink(Box::new(PrintSink { prefix, text: Vec::new() })))
}

pub(crate) fn build_blackhole(
    descriptor: &OperatorDescriptor,
    _context: &OperatorContext,
) -> Result<BuiltOperator, OperatorError> {
    let BlackholeOptions {} = options::read(descriptor)?;
    Ok(BuiltOperator::Sink(Box::new(BlackholeSink)))
}

struct PrintSink {
    prefix: String,
    text: Vec<u8>,
}

impl Operator for PrintSink {
    fn process(&mut self, _input: u32, batch: RecordBatch, _out: &mut dyn Collector) -> Result<(), OperatorError> {
        self.text.clear();
        text::append_print(&mut self.text, &self.prefix, &batch)?;
        let mut out = std::io::stdout().lock();
        out.write_all(&self.text)
            .and_then(|()| out.flush())
            .map_err(|error| OperatorError::retryable("SINK-PRINT", format!("standard output: {error}")))
    }
}

struct BlackholeSink;

impl Operator for BlackholeSink {
    fn process(&mut self, _input: u32, _batch: RecordBatch, _out: &mut dyn Collector) -> Result<(), OperatorError> {
        Ok(())
    }
}
