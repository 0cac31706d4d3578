//! `source.nexmark`: emits the events of a generator. Subtask s of p makes events s, s + p, s + 2p, ...

use std::sync::Arc;

use serde::Deserialize;
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::operator::{OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::BuiltOperator;
use weir_dataflow::source::{Source, SourcePoll};
use weir_protocol::job_graph::OperatorDescriptor;

use super::columns::Columns;
use super::{Generator, Settings};
use crate::options;
use crate::rate::RateLimiter;
use crate::row_numbers::RowNumbers;

/// The options that are not [`Settings`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NexmarkOptions {
    #[serde(default = "all_columns")]
    columns: Vec<String>,
    rows: Option<u64>,
    rows_per_second: Option<u64>,
}

const OPTIONS: [&str; 3] = ["columns", "rows", "rows_per_second"];

fn all_columns() -> Vec<String> {
    ["event_type", "person", "auction", "bid"].map(str::to_owned).into()
}

pub(crate) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let source = Nexmark::new(descriptor, context)?;
    let schema = Arc::clone(source.columns.schema());
    Ok(BuiltOperator::Source(Box::new(source), schema))
}

/// A batch ends at so many bytes on average, even if it has few rows.
const BATCH_BYTES: u64 = 4 << 20;

pub(super) struct Nexmark {
    generator: Generator,
    columns: Columns,
    /// Most rows of a batch.
    most_rows: usize,
    limiter: Option<RateLimiter>,
    row_numbers: RowNumbers,
    numbers: Vec<u64>,
}

impl Nexmark {
    pub(super) fn new(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<Self, OperatorError> {
        let (options, settings) = descriptor.options.clone().into_iter().partition(|(name, _)| OPTIONS.contains(&name.as_str()));
        let options: NexmarkOptions = options::read(&OperatorDescriptor { options, ..descriptor.clone() })?;
        let settings: Settings = options::read(&OperatorDescriptor { options: settings, ..descriptor.clone() })?;
        let invalid = |reason: String| options::invalid(&descriptor.kind, reason);
        if options.columns.is_empty() || options.rows_per_second == Some(0) {
            return Err(invalid("needs at least one column, and rows_per_second must be at least 1".to_owned()));
        }
        let largest = settings.person_bytes.max(settings.auction_bytes).max(settings.bid_bytes).max(1);
        Ok(Self {
            columns: Columns::new(&options.columns).map_err(invalid)?,
            generator: Generator::new(settings).map_err(invalid)?,
            most_rows: (BATCH_BYTES / largest).max(1) as usize,
            limiter: options.rows_per_second.map(|rows| RateLimiter::new(rows, context.parallelism)),
            row_numbers: RowNumbers::new("source.nexmark", options.rows, context),
            numbers: Vec::new(),
        })
    }
}

impl Source for Nexmark {
    fn poll(&mut self, now_ms: u64, max_rows: usize) -> Result<SourcePoll, OperatorError> {
        if self.row_numbers.is_empty() {
            return Ok(SourcePoll::End);
        }
        let mut target = max_rows.clamp(1, self.most_rows);
        if let Some(limiter) = &mut self.limiter {
            match limiter.available(now_ms) {
                Ok(available) => target = target.min(available),
                Err(until) => return Ok(SourcePoll::NothingUntil(until)),
            }
        }
        self.row_numbers.take(target, &mut self.numbers);
        for number in &self.numbers {
            self.columns.push(&self.generator.event(*number));
        }
        if let Some(limiter) = &mut self.limiter {
            limiter.spend(self.numbers.len());
        }
        let batch = self.columns.finish().map_err(|error| OperatorError::fatal("DATAGEN-RANGE", error.to_string()))?;
        Ok(SourcePoll::Batch(batch))
    }

    fn snapshot(&mut self, _barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        self.row_numbers.snapshot()
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        self.row_numbers.restore(&restored)
    }
}
