//! `sink.file`: writes rows to files, exactly once, by two-phase commit.
//!
//! Rows are written to a file with a hidden name. At a barrier the sink finishes the file, and adds it to operator state as a
//! pending transaction. The file is synced in the background, before the snapshot is acknowledged. When the checkpoint is
//! complete, the sink renames the file to its visible name. The visible name is fixed in the transaction, so a repeated commit
//! finds that it is already done.
//!
//! A restored sink commits the pending transactions of the checkpoint. It removes the other hidden files of older generations,
//! because at that moment no attempt can still own them. An attempt that ends removes its own parts that no checkpoint can hold.
//! Readers that skip names with a leading dot see each row once.

mod claim;
pub(crate) mod commits;
mod kinds;
pub(crate) mod names;
pub(crate) mod part;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::operator::{Collector, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::BuiltOperator;
use weir_protocol::CheckpointId;
use weir_protocol::job_graph::OperatorDescriptor;

use self::claim::Claim;
use self::commits::{Commits, OnMissing, Transaction, names_in, remove_if_present};
use self::kinds::KindColumn;
use self::names::PartNames;
use self::part::{OpenPart, PartFormat, UnsyncedParts, sync_directory, write_failed};
use super::{Format, local_path};
use crate::formats::CsvOptions;
use crate::options;
use crate::rows::text;
use crate::rows::times::TimestampFormat;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSinkOptions {
    path: String,
    format: Format,
    #[serde(default = "yes")]
    header: bool,
    #[serde(default = "comma")]
    delimiter: char,
    #[serde(default = "double_quote")]
    quote: String,
    #[serde(default)]
    escape: Option<String>,
    #[serde(default)]
    null_literal: String,
    #[serde(default)]
    timestamp_format: TimestampFormat,
    #[serde(default)]
    shared: bool,
    #[serde(default)]
    on_missing: OnMissing,
    #[serde(default)]
    kind_column: Option<String>,
}

fn yes() -> bool {
    true
}

fn comma() -> char {
    ','
}

fn double_quote() -> String {
    "\"".to_owned()
}

impl FileSinkOptions {
    /// How rows of this schema are written. Errors: `CONN-OPTION`, and `CONN-TYPE` for types that the format has no form for.
    fn part_format(&self, kind: &str, schema: &Schema) -> Result<PartFormat, OperatorError> {
        text::check_schema(schema)?;
        let timestamps = self.timestamp_format;
        match self.format {
            Format::Csv => {
                text::check_flat(schema)?;
                let options = CsvOptions {
                    delimiter: self.delimiter,
                    quote: self.quote.clone(),
                    escape: self.escape.clone(),
                    null_literal: Some(self.null_literal.clone()),
                    timestamp_format: timestamps,
                    ..CsvOptions::default()
                };
                Ok(PartFormat::Csv { style: options.style(kind)?, header: self.header })
            }
            Format::Json => Ok(PartFormat::Json(timestamps)),
            Format::Parquet => {
                text::check_fields(schema)?;
                Ok(PartFormat::Parquet)
            }
        }
    }
}

pub(crate) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    Ok(BuiltOperator::Sink(Box::new(FileSink::new(descriptor, context)?)))
}

/// Maximum number of pending transactions. More of them mean that no checkpoint completes, which is an error.
const MAX_PENDING: usize = 10_000;

pub(crate) struct FileSink {
    directory: PathBuf,
    part_format: PartFormat,
    /// The columns of the files.
    schema: SchemaRef,
    /// The column with the kinds of rows, if the files have one.
    kinds: Option<KindColumn>,
    names: PartNames,
    subtask: u32,
    parallelism: u32,
    /// Whether the directory exists and leftovers have been removed.
    begun: bool,
    /// Number of the next part of this attempt.
    next_part: u64,
    open: Option<(u64, OpenPart)>,
    /// Rows that went into parts, in all attempts whose state this one continues.
    rows: u64,
    /// Transactions that are pre-committed but not committed, by checkpoint.
    pending: Vec<Transaction>,
    unsynced: Arc<Mutex<UnsyncedParts>>,
    /// Checkpoints of this attempt that are complete or may become so, and hold transactions in `pending`.
    possible: BTreeSet<CheckpointId>,
    commits: Commits,
    claim: Claim,
}

/// What a sink writes, and where.
struct SinkFiles {
    directory: PathBuf,
    part_format: PartFormat,
    extension: &'static str,
    /// The columns of the files.
    schema: SchemaRef,
    kinds: Option<KindColumn>,
    on_missing: OnMissing,
    shared: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct FileSinkState {
    version: u32,
    /// The job and vertex of the sink. States of earlier versions don't hold it.
    #[serde(default)]
    owner: String,
    /// Rows that this subtask has written before, committed or pending. States of earlier versions don't hold it.
    #[serde(default)]
    rows: u64,
    pending: Vec<Transaction>,
}

const STATE_VERSION: u32 = 1;

impl FileSink {
    pub(crate) fn new(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<Self, OperatorError> {
        let options: FileSinkOptions = options::read(descriptor)?;
        let schema = context.input_schemas.first().map(Arc::clone);
        let schema = schema.ok_or_else(|| options::invalid(&descriptor.kind, "a sink needs an input"))?;
        let kinds = options.kind_column.as_ref().map(|name| {
            let taken = || options::invalid(&descriptor.kind, format!("kind_column {name:?} is empty or a column already"));
            KindColumn::new(name, &schema).ok_or_else(taken)
        });
        let kinds = kinds.transpose()?;
        let schema = kinds.as_ref().map_or(schema, |kinds| Arc::clone(kinds.schema()));
        let files = SinkFiles {
            part_format: options.part_format(&descriptor.kind, &schema)?,
            directory: local_path(&descriptor.kind, &options.path)?,
            extension: options.format.extension(),
            schema,
            kinds,
            on_missing: options.on_missing,
            shared: options.shared,
        };
        Ok(Self::with(files, context))
    }

    /// A sink that writes parts of this form to a directory of its own.
    pub(crate) fn of_own_directory(
        directory: PathBuf,
        part_format: PartFormat,
        extension: &'static str,
        schema: SchemaRef,
        context: &OperatorContext,
    ) -> Self {
        let (on_missing, shared) = (OnMissing::Fail, false);
        Self::with(SinkFiles { directory, part_format, extension, schema, kinds: None, on_missing, shared }, context)
    }

    fn with(files: SinkFiles, context: &OperatorContext) -> Self {
        let SinkFiles { directory, part_format, extension, schema, kinds, on_missing, shared } = files;
        let names = PartNames::new(&context.attempt, extension);
        Self {
            commits: Commits::new(directory.clone(), on_missing),
            claim: Claim::new(directory.clone(), names.owner(), &names.attempt(), shared),
            directory,
            part_format,
            schema,
            kinds,
            names,
            subtask: context.subtask(),
            parallelism: context.parallelism,
            begun: false,
            next_part: 0,
            open: None,
            rows: 0,
            pending: Vec::new(),
            unsynced: Arc::default(),
            possible: BTreeSet::new(),
        }
    }

    /// The size of the parts that wait for this checkpoint or an earlier one, in bytes.
    pub(crate) fn pending_bytes(&self, until: CheckpointId) -> u64 {
        self.pending.iter().filter(|transaction| transaction.checkpoint <= until).map(|transaction| transaction.bytes).sum()
    }

    /// Creates and claims the directory, and removes the hidden files of older generations, except those in `keep`.
    fn begin(&mut self, keep: &BTreeSet<String>) -> Result<(), OperatorError> {
        self.begun = true;
        std::fs::create_dir_all(&self.directory).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                OperatorError::fatal("SINK-PATH", format!("{}: it is a file, but must be a directory", self.directory.display()))
            }
            _ => write_failed(&self.directory, &error),
        })?;
        if let Some(parent) = self.directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        self.claim.hold()?;
        for name in names_in(&self.directory)? {
            if self.names.is_leftover(&name, self.parallelism) && !keep.contains(&name) {
                let path = self.directory.join(name);
                tracing::debug!(file = %path.display(), "removing a part that was never committed");
                remove_if_present(&path)?;
            }
        }
        self.commits.adopt(&self.names.own_series())
    }
}

impl Drop for FileSink {
    /// Removes the parts of this attempt that no checkpoint holds or will hold.
    fn drop(&mut self) {
        let open = self.open.take().map(|(number, _)| self.names.hidden(number));
        let unheld = |transaction: &&Transaction| self.possible.range(transaction.checkpoint..).next().is_none();
        let given_up = self.pending.iter().filter(unheld).map(|transaction| transaction.hidden.clone());
        for name in open.into_iter().chain(given_up) {
            let path = self.directory.join(name);
            if let Err(error) = remove_if_present(&path) {
                tracing::warn!(file = %path.display(), %error, "a part that was never committed is left behind");
            }
        }
    }
}

impl Operator for FileSink {
    fn process(&mut self, _input: u32, batch: RecordBatch, _out: &mut dyn Collector) -> Result<(), OperatorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if !self.begun {
            self.begin(&BTreeSet::new())?;
        }
        if self.open.is_none() {
            let number = self.next_part;
            self.next_part += 1;
            let path = self.directory.join(self.names.hidden(number));
            self.open = Some((number, OpenPart::create(path, &self.part_format, &self.schema)?));
        }
        let batch = match &self.kinds {
            Some(kinds) => kinds.written(&batch)?,
            None => batch,
        };
        let first_row = self.rows;
        self.rows += batch.num_rows() as u64;
        match &mut self.open {
            Some((_, part)) => part.write(&batch, first_row),
            None => Ok(()),
        }
    }

    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        if self.open.is_some() {
            self.claim.hold()?;
        }
        if let Some((number, part)) = self.open.take() {
            let part = part.finish().inspect_err(|_| {
                // The error that counts is the first one.
                let _ = remove_if_present(&self.directory.join(self.names.hidden(number)));
            })?;
            let (bytes, rows) = (part.bytes, part.rows);
            self.pending.push(Transaction {
                checkpoint: barrier.id,
                directory: Some(self.directory.clone()),
                hidden: self.names.hidden(number),
                visible: self.names.visible(number, barrier.id),
                bytes,
                rows,
            });
            UnsyncedParts::add(&self.unsynced, part)?;
        }
        UnsyncedParts::check(&self.unsynced)?;
        if self.pending.len() > MAX_PENDING {
            let message = format!("{}: {} files wait for a checkpoint to complete", self.directory.display(), self.pending.len());
            return Err(OperatorError::retryable("SINK-PENDING", message));
        }
        self.possible.insert(barrier.id);
        let owner = self.names.owner().to_owned();
        let state = FileSinkState { version: STATE_VERSION, owner, rows: self.rows, pending: self.pending.clone() };
        let bytes = serde_json::to_vec(&state).map_err(|error| OperatorError::fatal("SINK-STATE", error.to_string()))?;
        let unsynced = Arc::clone(&self.unsynced);
        Ok(StateSnapshot {
            operator_state: Some(Bytes::from(bytes)),
            before_durable: Some(Box::new(move || UnsyncedParts::sync(&unsynced))),
            ..StateSnapshot::default()
        })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        let rescaled = restored.former_parallelism != self.parallelism;
        let mut own = Vec::new();
        let mut keep = BTreeSet::new();
        for (former, bytes) in &restored.operator_state {
            let state: FileSinkState = serde_json::from_slice(bytes)
                .map_err(|error| OperatorError::fatal("SINK-STATE", format!("sink.file: the state can't be read: {error}")))?;
            if state.version != STATE_VERSION {
                return Err(OperatorError::fatal(
                    "SINK-STATE",
                    format!("sink.file: the state has an unknown version: {}", state.version),
                ));
            }
            let mine = if rescaled { former % self.parallelism.max(1) == self.subtask } else { *former == self.subtask };
            if !rescaled {
                self.rows = state.rows;
            }
            if !state.owner.is_empty() {
                self.claim.continues(state.owner);
            }
            for transaction in state.pending {
                let is_legal = transaction.directory.as_ref().is_none_or(|directory| !directory.as_os_str().is_empty());
                if !is_legal || !PartNames::are_legal(&transaction.hidden, &transaction.visible) {
                    return Err(OperatorError::fatal(
                        "SINK-STATE",
                        format!("sink.file: the state has an illegal file name: {:?}", transaction.hidden),
                    ));
                }
                keep.insert(transaction.hidden.clone());
                if mine {
                    own.push(transaction);
                }
            }
        }
        // The checkpoint is complete, so its pending transactions must be committed. The former attempt may not have been
        // notified.
        self.begin(&keep)?;
        self.commits.commit(own.iter())
    }

    fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        self.commits.commit(self.pending.iter().filter(|transaction| transaction.checkpoint <= checkpoint))?;
        self.pending.retain(|transaction| transaction.checkpoint > checkpoint);
        self.possible.retain(|possible| *possible > checkpoint);
        Ok(())
    }

    fn notify_checkpoint_aborted(&mut self, checkpoint: CheckpointId) {
        self.possible.remove(&checkpoint);
    }
}
