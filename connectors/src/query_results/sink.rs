//! `sink.collect`: writes the rows of a query as `sink.file` does, and waits while too many of them are unread.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::Deserialize;
use weir_dataflow::codec::BatchCodec;
use weir_dataflow::element::{CheckpointBarrier, EventTime};
use weir_dataflow::operator::{Collector, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::BuiltOperator;
use weir_dataflow::schema;
use weir_protocol::CheckpointId;
use weir_protocol::job_graph::{Field, OperatorDescriptor};

use super::directory_of;
use crate::filesystem::local_path;
use crate::filesystem::sink::FileSink;
use crate::filesystem::sink::commits::names_in;
use crate::filesystem::sink::names::is_visible;
use crate::filesystem::sink::part::{PartFormat, write_failed};
use crate::options;

/// How often a sink without room looks for files that were read and removed, in milliseconds.
const LOOK_EVERY_MS: u64 = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CollectOptions {
    /// The directory of all results. Only the leader knows it.
    #[serde(default)]
    path: Option<String>,
    /// The columns with their exact types, of which a batch does not know all.
    #[serde(default)]
    schema: Option<Vec<Field>>,
    /// If more committed bytes than this are unread, the sink takes no rows.
    #[serde(default = "default_unread_bytes")]
    unread_bytes: u64,
}

fn default_unread_bytes() -> u64 {
    64 << 20
}

pub(crate) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let options: CollectOptions = options::read(descriptor)?;
    let kind = &descriptor.kind;
    if context.parallelism != 1 {
        return Err(options::invalid(kind, "its vertex must have parallelism 1, because rows have an order"));
    }
    let input = context.input_schemas.first().map(Arc::clone);
    let input = input.ok_or_else(|| options::invalid(kind, "a sink needs an input"))?;
    let columns = match options.schema {
        Some(columns) => columns,
        None => schema::from_arrow(&input)?,
    };
    if let Some(difference) = schema::mismatch(&input, schema::to_arrow(&columns)?.as_ref()) {
        return Err(options::invalid(kind, format!("the input has other columns than the option schema: {difference}")));
    }
    let format = PartFormat::Frames { codec: BatchCodec::new(input.clone())?, columns: columns.into() };
    let Some(path) = options.path else { return Ok(BuiltOperator::Sink(Box::new(Unplaced))) };
    let directory = directory_of(&local_path(kind, &path)?, context.attempt.job);
    let sink = FileSink::of_own_directory(directory.clone(), format, "rows", input, context);
    let unread = Unread { directory, limit: options.unread_bytes, bytes: 0, next_look_ms: 0 };
    Ok(BuiltOperator::Sink(Box::new(CollectSink { sink, unread })))
}

/// The sink of a graph that was not submitted as a query. It can be checked, but not run.
struct Unplaced;

impl Operator for Unplaced {
    fn process(&mut self, _input: u32, _batch: RecordBatch, _out: &mut dyn Collector) -> Result<(), OperatorError> {
        let message = "sink.collect has no path; submit the job as a query (POST /weir/v1/queries), which gives it one";
        Err(OperatorError::fatal("CONN-OPTION", message))
    }
}

struct CollectSink {
    sink: FileSink,
    unread: Unread,
}

/// The committed rows that are not read yet, as far as the sink knows.
struct Unread {
    directory: PathBuf,
    limit: u64,
    /// At least as many bytes as there are.
    bytes: u64,
    next_look_ms: u64,
}

impl Unread {
    fn has_room(&self) -> bool {
        self.bytes <= self.limit
    }

    /// Counts what is there. The reader removes files that it no longer needs.
    fn look(&mut self) -> Result<(), OperatorError> {
        self.bytes = 0;
        for name in names_in(&self.directory)?.iter().filter(|name| is_visible(name)) {
            let path = self.directory.join(name);
            match std::fs::metadata(&path) {
                Ok(metadata) => self.bytes += metadata.len(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(write_failed(&path, &error)),
            }
        }
        Ok(())
    }
}

impl Operator for CollectSink {
    fn process(&mut self, input: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        self.sink.process(input, batch, out)
    }

    fn on_tick(&mut self, now_ms: u64, _out: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        if !self.unread.has_room() && now_ms >= self.unread.next_look_ms {
            self.unread.next_look_ms = now_ms.saturating_add(LOOK_EVERY_MS);
            self.unread.look()?;
        }
        Ok(None)
    }

    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        self.sink.snapshot(barrier)
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        self.sink.restore(restored)?;
        self.unread.look()
    }

    fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        self.unread.bytes = self.unread.bytes.saturating_add(self.sink.pending_bytes(checkpoint));
        self.sink.notify_checkpoint_complete(checkpoint)
    }

    fn notify_checkpoint_aborted(&mut self, checkpoint: CheckpointId) {
        self.sink.notify_checkpoint_aborted(checkpoint);
    }

    fn has_room(&self) -> bool {
        self.unread.has_room()
    }
}
