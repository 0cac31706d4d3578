//! Commits transactions: gives parts their visible names.
//!
//! A committed part may be taken away at once, for example by a loader. Its transaction may be in a checkpoint that is restored
//! later, so the sink must tell a part that was committed and taken from one that was lost. Before the first rename of a commit it
//! records the commit in the directory, as the name of an empty file: `.commit-<owner>-<subtask>-<checkpoint>`. There is one such
//! file for each subtask. It says that all parts of this subtask up to this checkpoint were committed, or were about to be.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_dataflow::operator::OperatorError;
use weir_protocol::CheckpointId;

use super::names;
use super::part::{sync_directory, write_failed};
use crate::metrics::{SINK_COMMITTED_BYTES, SINK_COMMITTED_FILES};

/// A part that is complete and durable under its hidden name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transaction {
    pub(super) checkpoint: CheckpointId,
    /// The directory of the part. A job that was restored with another path commits the part where it is. States of earlier
    /// versions don't hold it.
    #[serde(default)]
    pub(super) directory: Option<PathBuf>,
    pub(super) hidden: String,
    pub(super) visible: String,
    pub(super) bytes: u64,
    pub(super) rows: u64,
}

/// What to do about a part that is missing, if nothing says that it was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnMissing {
    #[default]
    Fail,
    Continue,
}

/// Commits the transactions of one attempt.
#[derive(Debug)]
pub(super) struct Commits {
    directory: PathBuf,
    on_missing: OnMissing,
    /// The checkpoint of the newest record that this attempt knows, by directory and series of parts.
    recorded: BTreeMap<(PathBuf, String), CheckpointId>,
}

/// Where a part was found.
enum Found {
    Hidden,
    Visible,
    Nowhere,
}

impl Commits {
    /// Commits in `directory`, unless a transaction names another one.
    pub(super) fn new(directory: PathBuf, on_missing: OnMissing) -> Self {
        Self { directory, on_missing, recorded: BTreeMap::new() }
    }

    /// Gives the parts their visible names, durably. It can be repeated, and several attempts may do it at the same time.
    pub(super) fn commit<'a>(&mut self, transactions: impl Iterator<Item = &'a Transaction>) -> Result<(), OperatorError> {
        let mut series: BTreeMap<(PathBuf, String), Vec<&Transaction>> = BTreeMap::new();
        for transaction in transactions {
            let directory = transaction.directory.as_ref().unwrap_or(&self.directory).clone();
            let of = names::series(&transaction.hidden).unwrap_or_default().to_owned();
            series.entry((directory, of)).or_default().push(transaction);
        }
        for (place, transactions) in series {
            self.commit_series(place, &transactions)?;
        }
        Ok(())
    }

    fn commit_series(&mut self, place: (PathBuf, String), transactions: &[&Transaction]) -> Result<(), OperatorError> {
        let directory = place.0.clone();
        let (mut ready, mut any_visible) = (Vec::new(), false);
        for transaction in transactions {
            match find(&directory, transaction)? {
                Found::Hidden => ready.push(*transaction),
                Found::Visible => any_visible = true,
                Found::Nowhere => self.accept_missing(&place, transaction)?,
            }
        }
        if let Some(newest) = ready.iter().map(|transaction| transaction.checkpoint).max() {
            self.record(place, newest)?;
        }
        for transaction in &ready {
            let hidden = directory.join(&transaction.hidden);
            match std::fs::rename(&hidden, directory.join(&transaction.visible)) {
                Ok(()) => {
                    metrics::counter!(SINK_COMMITTED_FILES).increment(1);
                    metrics::counter!(SINK_COMMITTED_BYTES).increment(transaction.bytes);
                }
                // It was there a moment ago, so another attempt has just committed it.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(write_failed(&hidden, &error)),
            }
        }
        if ready.is_empty() && !any_visible { Ok(()) } else { sync_directory(&directory) }
    }

    /// Records that all parts of a series up to this checkpoint are being committed.
    fn record(&mut self, place: (PathBuf, String), checkpoint: CheckpointId) -> Result<(), OperatorError> {
        let (directory, series) = &place;
        let path = |checkpoint| directory.join(names::record(series, checkpoint));
        let record = path(checkpoint);
        let former = self.recorded.get(&place).copied();
        if former >= Some(checkpoint) {
            return Ok(());
        }
        let renamed = former.map_or(Err(ErrorKind::NotFound.into()), |former| std::fs::rename(path(former), &record));
        let written = match renamed {
            Err(error) if error.kind() == ErrorKind::NotFound => std::fs::File::create(&record).map(drop),
            renamed => renamed,
        };
        written.map_err(|error| write_failed(&record, &error))?;
        self.recorded.insert(place, checkpoint);
        Ok(())
    }

    /// A part is nowhere. That is fine if it was committed: somebody has taken it.
    fn accept_missing(&self, (directory, series): &(PathBuf, String), lost: &Transaction) -> Result<(), OperatorError> {
        let hidden = directory.join(&lost.hidden);
        let newest = recorded_in(directory, series)?.into_iter().max();
        if newest >= Some(lost.checkpoint) {
            tracing::info!(part = %directory.join(&lost.visible).display(), "a committed part was taken away");
            return Ok(());
        }
        if self.on_missing == OnMissing::Continue {
            tracing::warn!(part = %hidden.display(), rows = lost.rows, "a part is missing; on_missing says to continue");
            return Ok(());
        }
        let Transaction { checkpoint, visible, rows, .. } = lost;
        Err(OperatorError::fatal(
            "SINK-LOST",
            format!(
                "{}: {rows} rows of checkpoint {checkpoint} are lost: neither this file nor {visible} exists, and nothing in the \
                 directory says that they were committed; was the directory cleaned, or is it not the same directory on every \
                 machine? If the rows are safe elsewhere, set \"on_missing\": \"continue\"",
                hidden.display()
            ),
        ))
    }

    /// Learns the records of a series that earlier attempts left in the sink's directory, and removes all but the newest.
    pub(super) fn adopt(&mut self, series: &str) -> Result<(), OperatorError> {
        let mut found = recorded_in(&self.directory, series)?;
        found.sort_unstable();
        let Some(newest) = found.pop() else { return Ok(()) };
        for older in found {
            remove_if_present(&self.directory.join(names::record(series, older)))?;
        }
        self.recorded.insert((self.directory.clone(), series.to_owned()), newest);
        Ok(())
    }
}

/// The checkpoints up to which commits of a series are recorded in a directory. None if there is no such directory.
fn recorded_in(directory: &Path, series: &str) -> Result<Vec<CheckpointId>, OperatorError> {
    let names = names_in(directory)?;
    Ok(names.iter().filter_map(|name| names::checkpoint_of_record(name, series)).collect())
}

/// The names in a directory, except those that are not UTF-8. None if there is no such directory.
pub(crate) fn names_in(directory: &Path) -> Result<Vec<String>, OperatorError> {
    let failed = |error: std::io::Error| write_failed(directory, &error);
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    Ok(names)
}

fn find(directory: &Path, transaction: &Transaction) -> Result<Found, OperatorError> {
    let hidden = directory.join(&transaction.hidden);
    let visible = directory.join(&transaction.visible);
    let is_visible = || visible.try_exists().map_err(|error| write_failed(&visible, &error));
    // The order matters, because another attempt may rename the part at the same time.
    let was_visible = is_visible()?;
    let metadata = match std::fs::metadata(&hidden) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(if was_visible || is_visible()? { Found::Visible } else { Found::Nowhere });
        }
        metadata => metadata.map_err(|error| write_failed(&hidden, &error))?,
    };
    if was_visible {
        let message = format!("{}: the file exists although {} is not committed", visible.display(), hidden.display());
        return Err(OperatorError::fatal("SINK-CONFLICT", message));
    }
    if metadata.len() != transaction.bytes {
        let (found, expected) = (metadata.len(), transaction.bytes);
        let message = format!("{}: the file has {found} bytes, but must have {expected}", hidden.display());
        return Err(OperatorError::fatal("SINK-LOST", message));
    }
    Ok(Found::Hidden)
}

/// Removes a file, if it exists.
pub(super) fn remove_if_present(path: &Path) -> Result<(), OperatorError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(write_failed(path, &error)),
        _ => Ok(()),
    }
}
