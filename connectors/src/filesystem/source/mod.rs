//! `source.file`: reads files of rows to their end, exactly once.
//!
//! There is no coordinator. The list of files is recorded once per job ([`Source::propose_splits`]). Each subtask computes its
//! share of it with a pure function ([`split::deal`]). From then on, its state holds the remaining splits. Files must not change
//! while a job reads them.
//!
//! With `monitor_interval_ms` it also reads files that appear later ([`discovery`], decision 0010).

mod convert;
mod discovery;
mod inspect;
pub(crate) mod lines;
mod listing;
mod metadata;
mod parquet;
mod seen;
mod settings;
pub(crate) mod split;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::operator::{OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::BuiltOperator;
use weir_dataflow::source::{Source, SourcePoll};
use weir_protocol::job_graph::OperatorDescriptor;

use self::discovery::{Discovery, Look};
use self::inspect::{refuse_foreign, refuse_missing_members};
use self::lines::{BLOCK_BYTES, LineReader, RowEnd};
use self::parquet::ParquetReader;
use self::seen::SeenFiles;
use self::settings::{MissingColumns, Settings};
use self::split::{CUT_BYTES, Split, deal};
use super::Format;
use crate::formats::csv::CsvParser;
use crate::formats::json::parse_json_row;
use crate::formats::{BadRow, BadRows, UnseenColumns};
use crate::rate::RateLimiter;
use crate::rows::RowBuffer;

pub(crate) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let source = FileSource::new(descriptor, context)?;
    let schema = Arc::clone(source.settings.metadata.schema());
    Ok(BuiltOperator::Source(Box::new(source), schema))
}

/// A batch ends at this many bytes of text, even if it has few rows.
const BATCH_BYTES: usize = 4 << 20;

/// Most bytes to skip in one poll on the way to the first row of a split.
const CATCH_UP_BYTES: u64 = 32 << 20;

/// An error gives the line number only up to this offset, because counting lines means reading the file up to there.
const COUNTED_BYTES: u64 = 1 << 30;

pub(crate) struct FileSource {
    settings: Settings,
    subtask: u32,
    parallelism: u32,
    limiter: Option<RateLimiter>,
    /// The splits left to read; `None` until the recorded list of files was taken or a state was restored.
    splits: Option<VecDeque<Split>>,
    /// Finds more splits; `None` if the source ends.
    discovery: Option<Discovery>,
    /// Reader of the first split in `splits`.
    reader: Option<SplitReader>,
    rows: RowBuffer,
    bad_rows: BadRows,
    /// Of JSON files that may lack columns.
    unseen: Option<UnseenColumns>,
}

enum SplitReader {
    Csv(LineReader, CsvParser),
    Json(LineReader),
    Parquet(ParquetReader),
}

impl SplitReader {
    fn check_unchanged(&self) -> Result<(), OperatorError> {
        match self {
            Self::Csv(lines, _) | Self::Json(lines) => lines.check_unchanged(),
            Self::Parquet(parquet) => parquet.check_unchanged(),
        }
    }
}

/// The state of a subtask. The recorded list of files has the same form.
#[derive(Debug, Serialize, Deserialize)]
struct FileSourceState<S = SeenFiles> {
    version: u32,
    splits: Vec<Split>,
    bad_rows: u64,
    /// Files that the subtask has found or taken note of; `None` if the source ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<S>,
}

const STATE_VERSION: u32 = 1;

impl FileSourceState {
    fn encode(splits: Vec<Split>, bad_rows: u64, seen: Option<&SeenFiles>) -> Result<Bytes, OperatorError> {
        let state = FileSourceState { version: STATE_VERSION, splits, bad_rows, seen };
        let bytes = serde_json::to_vec(&state).map_err(|error| OperatorError::fatal("SOURCE-STATE", error.to_string()))?;
        Ok(Bytes::from(bytes))
    }

    fn decode(bytes: &[u8]) -> Result<Self, OperatorError> {
        let unusable = |reason: String| OperatorError::fatal("SOURCE-STATE", format!("source.file: {reason}"));
        let state: Self = serde_json::from_slice(bytes).map_err(|error| unusable(format!("the state can't be read: {error}")))?;
        if state.version != STATE_VERSION {
            return Err(unusable(format!("the state has an unknown version: {}", state.version)));
        }
        let paths = state.splits.iter().map(|split| split.file.as_str()).chain(state.seen.iter().flat_map(SeenFiles::paths));
        if let Some(file) = { paths }.find(|file| leaves_root(file)) {
            return Err(unusable(format!("the state has an illegal path: {file:?}")));
        }
        Ok(state)
    }
}

impl FileSource {
    pub(crate) fn new(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<Self, OperatorError> {
        let settings = Settings::read(descriptor)?;
        let (subtask, parallelism) = (context.subtask(), context.parallelism);
        Ok(Self {
            rows: RowBuffer::new(Arc::clone(&settings.schema))?,
            subtask,
            parallelism,
            discovery: settings.monitor_interval_ms.map(|interval| Discovery::new(interval, subtask, parallelism)),
            limiter: settings.rows_per_second.map(|rows| RateLimiter::new(rows, 1)),
            bad_rows: settings.bad_rows(),
            unseen: (settings.format == Format::Json && settings.missing_columns == MissingColumns::Null)
                .then(UnseenColumns::default),
            settings,
            splits: None,
            reader: None,
        })
    }

    fn own_share(&self, stretches: Vec<Split>) -> VecDeque<Split> {
        deal(stretches, self.parallelism, CUT_BYTES).into_iter().nth(self.subtask as usize).unwrap_or_default().into()
    }

    fn check_listed(&self) -> Result<(), OperatorError> {
        let missing = || OperatorError::fatal("SOURCE-STATE", "source.file: no list of files was recorded; please report this");
        self.splits.is_some().then_some(()).ok_or_else(missing)
    }

    fn path_of(&self, split: &Split) -> PathBuf {
        split.path_below(&self.settings.root)
    }

    fn open(&self, split: &Split) -> Result<SplitReader, OperatorError> {
        let path = self.path_of(split);
        let settings = &self.settings;
        if settings.format == Format::Parquet {
            return Ok(SplitReader::Parquet(ParquetReader::open(&path, split, &settings.schema)?));
        }
        refuse_foreign(&path, split)?;
        if settings.format == Format::Json {
            if settings.missing_columns == MissingColumns::Fail {
                refuse_missing_members(&path, split, &settings.schema)?;
            }
            return Ok(SplitReader::Json(LineReader::open(&path, split, RowEnd::Line, BLOCK_BYTES)?));
        }
        let row_end = if settings.dialect.is_one_line() { RowEnd::Line } else { RowEnd::Csv(settings.dialect) };
        let mut reader = LineReader::open(&path, split, row_end, BLOCK_BYTES)?;
        let parser = if !settings.header {
            settings.positional_parser()
        } else if split.start == 0 {
            let header = reader.next_line()?.unwrap_or_default();
            self.parser_for(header, &path)?
        } else {
            let mut beginning = LineReader::open(&path, &split.whole_file(), row_end, 1 << 16)?;
            let header = beginning.next_line()?.unwrap_or_default();
            self.parser_for(header, &path)?
        };
        Ok(SplitReader::Csv(reader, parser))
    }

    fn parser_for(&self, header: &[u8], path: &Path) -> Result<CsvParser, OperatorError> {
        let header = header.strip_prefix(BYTE_ORDER_MARK).unwrap_or(header);
        self.settings.parser_for(header).map_err(|reason| {
            OperatorError::fatal(
                "SOURCE-HEADER",
                format!("{}: {reason}; if the file has no header, set \"header\": false", path.display()),
            )
        })
    }

    /// Reads lines of the split into `rows` until there are `target` rows, `BATCH_BYTES` bytes, or four times `target` lines have
    /// been read. Returns whether the split is done.
    fn read_lines(&mut self, split: &mut Split, reader: &mut SplitReader, target: usize) -> Result<bool, OperatorError> {
        let (lines, mut parser) = match reader {
            SplitReader::Csv(lines, parser) => (lines, Some(parser)),
            SplitReader::Json(lines) => (lines, None),
            SplitReader::Parquet(_) => return Ok(true),
        };
        if !lines.catch_up(CATCH_UP_BYTES)? {
            return Ok(false);
        }
        let blank_is_row = parser.as_ref().is_some_and(|parser| parser.blank_is_row());
        // Limit the number of lines too: blank and bad lines give no rows, but reading them takes time.
        for _ in 0..target.saturating_mul(4) {
            if self.rows.rows() >= target || self.rows.text_bytes() >= BATCH_BYTES {
                return Ok(false);
            }
            let start = lines.offset();
            let Some(mut line) = lines.next_line()? else {
                return Ok(true);
            };
            if start == 0 {
                line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
            }
            if line.is_empty() && !blank_is_row {
                continue;
            }
            let parsed = match &mut parser {
                Some(parser) => parser.parse(line, &mut self.rows),
                None => parse_json_row(line, &mut self.rows, self.settings.json),
            };
            match parsed {
                Ok(()) => self.rows.commit_row(line.len()),
                Err(reason) => {
                    self.rows.rollback_row();
                    let path = self.path_of(split);
                    let line_number = if self.bad_rows.has_room() { None } else { line_number(&path, start) };
                    let number = line_number.map_or_else(String::new, |number| format!("line {number}, "));
                    let place = format!("{}: {number}byte {start}", path.display());
                    self.bad_rows.take(&BadRow { place, bytes: line, reason: &reason })?;
                }
            }
        }
        Ok(false)
    }

    /// Reads up to `target` rows, from several splits if needed.
    fn read(&mut self, target: usize) -> Result<Reading, OperatorError> {
        loop {
            let Some(mut split) = self.splits.as_mut().and_then(VecDeque::pop_front) else {
                return Ok(Reading::End);
            };
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => self.open(&split)?,
            };
            let mut parquet_batch = None;
            let done = match &mut reader {
                SplitReader::Parquet(parquet) => {
                    parquet_batch = parquet.next(target)?;
                    split.rows += parquet_batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
                    parquet_batch.is_none()
                }
                SplitReader::Csv(..) | SplitReader::Json(_) => self.read_lines(&mut split, &mut reader, target)?,
            };
            if let SplitReader::Csv(lines, _) | SplitReader::Json(lines) = &reader
                && !lines.is_behind()
            {
                (split.start, split.at_row) = (lines.offset(), true);
            }
            if !done {
                self.reader = Some(reader);
                let batch = match parquet_batch {
                    Some(batch) => self.with_metadata(batch, &split)?,
                    None => self.finish_batch(&split)?,
                };
                if let Some(splits) = &mut self.splits {
                    splits.push_front(split);
                }
                return Ok(if batch.num_rows() > 0 { Reading::Rows(batch) } else { Reading::NothingYet });
            }
            reader.check_unchanged()?;
            let is_full = self.rows.rows() >= target || (self.rows.rows() > 0 && self.settings.metadata.is_wanted());
            if is_full || self.splits.as_ref().is_some_and(VecDeque::is_empty) {
                let batch = self.finish_batch(&split)?;
                return Ok(if batch.num_rows() > 0 { Reading::Rows(batch) } else { Reading::End });
            }
        }
    }

    /// What comes when no splits are left: those of new files, or the end.
    fn look(&mut self, now_ms: u64) -> Result<SourcePoll, OperatorError> {
        self.look_for_unseen(true);
        let Some(discovery) = &mut self.discovery else { return Ok(SourcePoll::End) };
        match discovery.look(&self.settings.root, now_ms)? {
            Look::NothingUntil(until) => Ok(SourcePoll::NothingUntil(until)),
            Look::Found(splits) => {
                self.splits = Some(splits.into());
                Ok(SourcePoll::NothingUntil(now_ms))
            }
        }
    }

    /// The rows that were read last, from this split.
    fn finish_batch(&mut self, split: &Split) -> Result<RecordBatch, OperatorError> {
        self.look_for_unseen(false);
        let batch = self.rows.finish().map_err(|error| OperatorError::fatal("SOURCE-SCHEMA", error.to_string()))?;
        self.with_metadata(batch, split)
    }

    fn look_for_unseen(&mut self, is_end: bool) {
        if let Some(unseen) = &mut self.unseen {
            unseen.look(&self.rows, usize::MAX, is_end, || self.settings.root.display().to_string());
        }
    }

    fn with_metadata(&self, batch: RecordBatch, split: &Split) -> Result<RecordBatch, OperatorError> {
        self.settings.metadata.add(batch, &self.path_of(split), split)
    }
}

enum Reading {
    Rows(RecordBatch),
    /// Many lines gave no row. There may be more lines.
    NothingYet,
    End,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Source for FileSource {
    fn poll(&mut self, now_ms: u64, max_rows: usize) -> Result<SourcePoll, OperatorError> {
        self.check_listed()?;
        if self.splits.as_ref().is_some_and(VecDeque::is_empty) {
            return self.look(now_ms);
        }
        let mut target = max_rows.max(1);
        if let Some(limiter) = &mut self.limiter {
            match limiter.available(now_ms) {
                Ok(available) => target = target.min(available),
                Err(until) => return Ok(SourcePoll::NothingUntil(until)),
            }
        }
        match self.read(target)? {
            Reading::Rows(batch) => {
                if let Some(limiter) = &mut self.limiter {
                    limiter.spend(batch.num_rows());
                }
                Ok(SourcePoll::Batch(batch))
            }
            Reading::NothingYet => Ok(SourcePoll::NothingUntil(now_ms)),
            Reading::End => self.look(now_ms),
        }
    }

    fn snapshot(&mut self, _barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        self.check_listed()?;
        let splits = self.splits.iter().flatten().cloned().collect();
        let seen = self.discovery.as_ref().map(Discovery::seen);
        let state = FileSourceState::encode(splits, self.bad_rows.count(), seen)?;
        Ok(StateSnapshot { operator_state: Some(state), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        let rescaled = restored.former_parallelism != self.parallelism;
        let mut splits = Vec::new();
        let mut bad_rows = 0;
        for (former, bytes) in &restored.operator_state {
            if !rescaled && *former != self.subtask {
                continue;
            }
            let state = FileSourceState::decode(bytes)?;
            // A file that has been read to its end may have been taken away.
            splits.extend(state.splits.into_iter().filter(|split| split.start < split.end));
            bad_rows += state.bad_rows;
            if let Some(discovery) = &mut self.discovery {
                discovery.restore(state.seen.ok_or_else(does_not_say_what_was_read)?);
            }
        }
        if restored.operator_state.is_empty() {
            // The checkpoint was taken before the job had this operator, so read from the beginning, by a list of this job.
            return Ok(());
        }
        if rescaled {
            self.splits = Some(self.own_share(splits));
            self.bad_rows.restore(if self.subtask == 0 { bad_rows } else { 0 });
        } else {
            self.splits = Some(splits.into());
            self.bad_rows.restore(bad_rows);
        }
        Ok(())
    }

    fn needs_splits(&self) -> bool {
        self.splits.is_none()
    }

    fn propose_splits(&mut self) -> Result<Bytes, OperatorError> {
        FileSourceState::encode(listing::list(&self.settings.root, self.discovery.is_some())?, 0, None)
    }

    fn take_splits(&mut self, recorded: &[u8]) -> Result<(), OperatorError> {
        let splits = FileSourceState::decode(recorded)?.splits;
        if let Some(discovery) = &mut self.discovery {
            discovery.begin(&splits);
        }
        self.splits = Some(self.own_share(splits));
        Ok(())
    }
}

fn does_not_say_what_was_read() -> OperatorError {
    let message = "source.file: the state is that of a source without monitor_interval_ms, and does not say which files it has read; \
                   leave the option out, or give the vertex a new id to read from the beginning";
    OperatorError::fatal("SOURCE-STATE", message)
}

fn leaves_root(file: &str) -> bool {
    file.starts_with('/') || file.split('/').any(|part| part == "..")
}

/// The number of the line that starts at this byte, found by counting the lines before it. `None` if it starts after [`COUNTED_BYTES`].
fn line_number(path: &Path, start: u64) -> Option<u64> {
    use std::io::Read;
    if start > COUNTED_BYTES {
        return None;
    }
    let mut before = std::fs::File::open(path).ok()?.take(start);
    let mut block = vec![0; BLOCK_BYTES];
    let mut lines = 1;
    loop {
        match before.read(&mut block).ok()? {
            0 => return Some(lines),
            read => lines += memchr::memchr_iter(b'\n', &block[..read]).count() as u64,
        }
    }
}
