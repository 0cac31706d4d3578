//! `sink.file`: writes rows to files, exactly once, by two-phase commit.
//!
//! Rows are written to a file with a hidden name. At a barrier the sink closes and syncs the file, and adds it to operator state
//! as a pending transaction. When the checkpoint is complete, the sink renames the file to its visible name. The visible name is
//! fixed in the transaction, so a repeated commit finds that it is already done.
//!
//! A restored sink commits the pending transactions of the checkpoint. It removes the other hidden files of older generations,
//! because at that moment no attempt can still own them. Readers that skip names with a leading dot see each row once.

mod names;
mod part;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::operator::{Collector, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::BuiltOperator;
use weir_protocol::CheckpointId;
use weir_protocol::job_graph::OperatorDescriptor;

use self::names::PartNames;
use self::part::{OpenPart, write_failed};
use super::{Format, local_path};
use crate::metrics::{SINK_COMMITTED_BYTES, SINK_COMMITTED_FILES};
use crate::options;
use crate::rows::text;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSinkOptions {
    path: String,
    format: Format,
    #[serde(default = "yes")]
    header: bool,
}

fn yes() -> bool {
    true
}

pub(crate) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    Ok(BuiltOperator::Sink(Box::new(FileSink::new(descriptor, context)?)))
}

/// Maximum number of pending transactions. More of them mean that no checkpoint completes, which is an error.
const MAX_PENDING: usize = 10_000;

pub(crate) struct FileSink {
    directory: PathBuf,
    format: Format,
    header: bool,
    schema: SchemaRef,
    names: PartNames,
    subtask: u32,
    parallelism: u32,
    /// Whether the directory exists and leftovers have been removed.
    begun: bool,
    /// Number of the next part of this attempt.
    next_part: u64,
    open: Option<(u64, OpenPart)>,
    /// Transactions that are pre-committed but not committed, by checkpoint.
    pending: Vec<Transaction>,
}

/// A part that is complete and durable under its hidden name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Transaction {
    checkpoint: CheckpointId,
    hidden: String,
    visible: String,
    bytes: u64,
    rows: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FileSinkState {
    version: u32,
    pending: Vec<Transaction>,
}

const STATE_VERSION: u32 = 1;

impl FileSink {
    pub(crate) fn new(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<Self, OperatorError> {
        let options: FileSinkOptions = options::read(descriptor)?;
        let schema = context.input_schemas.first().map(Arc::clone);
        let schema = schema.ok_or_else(|| options::invalid(&descriptor.kind, "a sink needs an input"))?;
        text::check_schema(&schema)?;
        Ok(Self {
            directory: local_path(&descriptor.kind, &options.path)?,
            format: options.format,
            header: options.header,
            schema,
            names: PartNames::new(&context.attempt, options.format),
            subtask: context.subtask(),
            parallelism: context.parallelism,
            begun: false,
            next_part: 0,
            open: None,
            pending: Vec::new(),
        })
    }

    /// Creates the directory and removes the hidden files of older generations, except those in `keep`.
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
        let failed = |error: std::io::Error| write_failed(&self.directory, &error);
        for entry in std::fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if self.names.is_leftover(&name, self.parallelism) && !keep.contains(&name) {
                tracing::debug!(file = %entry.path().display(), "removing a part that was never committed");
                match std::fs::remove_file(entry.path()) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(write_failed(&entry.path(), &error)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Renames a part to its visible name. Returns `false` if that was already done. Several attempts may call it at the same
    /// time.
    fn commit(&self, transaction: &Transaction) -> Result<bool, OperatorError> {
        let hidden = self.directory.join(&transaction.hidden);
        let visible = self.directory.join(&transaction.visible);
        if exists(&visible)? {
            if exists(&hidden)? {
                let message = format!("{}: the file exists although {} is not committed", visible.display(), hidden.display());
                return Err(OperatorError::fatal("SINK-CONFLICT", message));
            }
            return Ok(false);
        }
        match std::fs::metadata(&hidden) {
            Ok(metadata) if metadata.len() != transaction.bytes => {
                return Err(OperatorError::fatal(
                    "SINK-LOST",
                    format!("{}: the file has {} bytes, but must have {}", hidden.display(), metadata.len(), transaction.bytes),
                ));
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(write_failed(&hidden, &error)),
            _ => {}
        }
        match std::fs::rename(&hidden, &visible) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if exists(&visible)? {
                    return Ok(false);
                }
                Err(OperatorError::fatal(
                    "SINK-LOST",
                    format!(
                        "{}: {} rows of checkpoint {} are lost: neither this file nor {} exists; was the directory cleaned, or \
                         is it not the same directory on every machine?",
                        hidden.display(),
                        transaction.rows,
                        transaction.checkpoint,
                        transaction.visible
                    ),
                ))
            }
            Err(error) => Err(write_failed(&hidden, &error)),
        }
    }

    /// Commits these transactions and makes the visible names durable.
    fn commit_all<'a>(&self, transactions: impl Iterator<Item = &'a Transaction>) -> Result<(), OperatorError> {
        let (mut any, mut files, mut bytes) = (false, 0, 0);
        for transaction in transactions {
            any = true;
            if self.commit(transaction)? {
                files += 1;
                bytes += transaction.bytes;
            }
        }
        if any {
            sync_directory(&self.directory)?;
        }
        metrics::counter!(SINK_COMMITTED_FILES).increment(files);
        metrics::counter!(SINK_COMMITTED_BYTES).increment(bytes);
        Ok(())
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
            self.open = Some((number, OpenPart::create(path, self.format, self.header, &self.schema)?));
        }
        match &mut self.open {
            Some((_, part)) => part.write(&batch),
            None => Ok(()),
        }
    }

    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        if let Some((number, part)) = self.open.take() {
            let (bytes, rows) = part.finish()?;
            sync_directory(&self.directory)?;
            self.pending.push(Transaction {
                checkpoint: barrier.id,
                hidden: self.names.hidden(number),
                visible: self.names.visible(number, barrier.id),
                bytes,
                rows,
            });
        }
        if self.pending.len() > MAX_PENDING {
            let message = format!("{}: {} files wait for a checkpoint to complete", self.directory.display(), self.pending.len());
            return Err(OperatorError::retryable("SINK-PENDING", message));
        }
        let state = FileSinkState { version: STATE_VERSION, pending: self.pending.clone() };
        let bytes = serde_json::to_vec(&state).map_err(|error| OperatorError::fatal("SINK-STATE", error.to_string()))?;
        Ok(StateSnapshot { operator_state: Some(Bytes::from(bytes)), ..StateSnapshot::default() })
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
            for transaction in state.pending {
                if !PartNames::are_legal(&transaction.hidden, &transaction.visible) {
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
        self.commit_all(own.iter())
    }

    fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        self.commit_all(self.pending.iter().filter(|transaction| transaction.checkpoint <= checkpoint))?;
        self.pending.retain(|transaction| transaction.checkpoint > checkpoint);
        Ok(())
    }
}

fn exists(path: &Path) -> Result<bool, OperatorError> {
    path.try_exists().map_err(|error| write_failed(path, &error))
}

/// Makes the names in a directory durable.
fn sync_directory(directory: &Path) -> Result<(), OperatorError> {
    std::fs::File::open(directory).and_then(|file| file.sync_all()).map_err(|error| write_failed(directory, &error))
}
