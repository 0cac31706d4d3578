//! A source like `source.file`, over a directory into which files are moved while a job starts.
//!
//! Each listing finds one file more than the one before. The new file is the first in the order of names, so two subtasks that do
//! not agree on one listing read rows twice or never.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use arrow_schema::SchemaRef;
use bytes::Bytes;
use weir_connectors::file_splits::{CUT_BYTES, Split, deal};
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::operator::{OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::BuiltOperator;
use weir_dataflow::source::{Source, SourcePoll};
use weir_protocol::job_graph::OperatorDescriptor;

use super::{Ledger, batch, from_bytes, job_name, number, row_at, schema, to_bytes};

/// Number of files that are there before the job is submitted. They have the numbers from 0.
pub const FILES_AT_START: i64 = 6;
/// The number from which names are counted down.
const LAST: i64 = 1_000_000;

static DIRECTORIES: LazyLock<Mutex<Directories>> = LazyLock::new(Mutex::default);

/// The directories that jobs read, in this process. It is a static for the same reason as the [`Ledger`].
#[derive(Debug, Default)]
pub struct Directories {
    /// Number of files that arrived, by job.
    arrived: BTreeMap<String, i64>,
    listings: u64,
    lists_taken: u64,
}

impl Directories {
    /// Locks and returns the directories of this process.
    pub fn get() -> MutexGuard<'static, Self> {
        DIRECTORIES.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how often a subtask listed a directory, and how often one began with a recorded list and not with the state of a
    /// checkpoint.
    pub fn counts(&self) -> (u64, u64) {
        (self.listings, self.lists_taken)
    }

    /// Lists the directory of a job, whose files have `rows` rows of one byte each. Then another file arrives.
    fn list(&mut self, job: &str, rows: i64) -> Vec<Split> {
        self.listings += 1;
        let arrived = self.arrived.entry(job.to_owned()).or_default();
        let size = rows as u64;
        let file = |number: i64| Split {
            file: (LAST - number).to_string(),
            start: 0,
            end: size,
            size,
            modified_ms: 0,
            rows: 0,
            at_row: true,
        };
        let mut files: Vec<_> = (0..FILES_AT_START + *arrived).map(file).collect();
        files.sort();
        *arrived += 1;
        files
    }
}

struct Files {
    job: String,
    subtask: u32,
    parallelism: u32,
    /// Rows of each file.
    rows: i64,
    pause_ms: u64,
    not_before: u64,
    /// What is left to read; `None` until the recorded list was taken or a state was restored.
    splits: Option<VecDeque<Split>>,
    schema: SchemaRef,
}

pub(super) fn files(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    Ledger::get().starts += 1;
    let schema = schema(&["key", "source", "offset", "value"]);
    let source = Files {
        job: job_name(descriptor),
        subtask: context.subtask(),
        parallelism: context.parallelism,
        rows: number(descriptor, "rows"),
        pause_ms: number(descriptor, "pause_ms") as u64,
        not_before: 0,
        splits: None,
        schema: schema.clone(),
    };
    Ok(BuiltOperator::Source(Box::new(source), schema))
}

/// Returns the number of a file by its name.
fn file_number(split: &Split) -> Result<i64, OperatorError> {
    let name: i64 = split.file.parse().map_err(|_| OperatorError::fatal("SIM-FILE", format!("unknown file {}", split.file)))?;
    Ok(LAST - name)
}

impl Source for Files {
    fn poll(&mut self, now_ms: u64, _: usize) -> Result<SourcePoll, OperatorError> {
        let splits = self.splits.as_mut().ok_or_else(|| OperatorError::fatal("SIM-FILE", "no list was recorded"))?;
        let Some(split) = splits.front_mut() else { return Ok(SourcePoll::End) };
        if now_ms < self.not_before {
            return Ok(SourcePoll::NothingUntil(self.not_before));
        }
        self.not_before = now_ms + self.pause_ms;
        let (number, end) = (file_number(split)?, (split.start + 4).min(split.end));
        let row = |offset: u64| {
            let (key, value) = row_at(&self.job, number, offset as i64);
            vec![key, number, offset as i64, value]
        };
        let rows: Vec<_> = (split.start..end).map(row).collect();
        split.start = end;
        splits.pop_front_if(|split| split.start >= split.end);
        Ok(SourcePoll::Batch(batch(&self.schema, &rows)?))
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        Ok(StateSnapshot { operator_state: Some(to_bytes(&(self.subtask, &self.splits))?), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        for (_, bytes) in &restored.operator_state {
            let (subtask, splits): (u32, Option<VecDeque<Split>>) = from_bytes(bytes)?;
            if subtask == self.subtask {
                self.splits = splits;
            }
        }
        Ok(())
    }

    fn needs_splits(&self) -> bool {
        self.splits.is_none()
    }

    fn propose_splits(&mut self) -> Result<Bytes, OperatorError> {
        to_bytes(&Directories::get().list(&self.job, self.rows))
    }

    fn take_splits(&mut self, recorded: &[u8]) -> Result<(), OperatorError> {
        Directories::get().lists_taken += 1;
        let shares = deal(from_bytes(recorded)?, self.parallelism, CUT_BYTES);
        self.splits = Some(shares.into_iter().nth(self.subtask as usize).unwrap_or_default().into());
        Ok(())
    }
}
