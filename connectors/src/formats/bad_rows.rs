//! Rows that can't be read: what becomes of them, and how many there may be.

use serde::Deserialize;
use weir_dataflow::operator::OperatorError;

use super::BadValue;
use crate::metrics::SOURCE_BAD_ROWS;

/// Maximum number of bad rows that an attempt logs.
const LOGGED: u64 = 10;

/// Greatest number of a row's bytes that a message shows some of.
const SHOWN_BYTES: usize = 1_000;

/// Greatest number of a row's characters that a message shows.
const SHOWN_CHARS: usize = 200;

/// What a source does about a row that it can't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBadRow {
    /// The job fails.
    #[default]
    Fail,
    /// The row is left out.
    Skip,
    /// The row is left out, and the source writes it elsewhere with the reason.
    DeadLetter,
}

/// A row that can't be read.
#[derive(Debug)]
pub struct BadRow<'a> {
    /// Where it was read, such as `topic t, partition 3, offset 42`.
    pub place: String,
    pub bytes: &'a [u8],
    pub reason: &'a BadValue,
}

impl std::fmt::Display for BadRow<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(SHOWN_BYTES)]);
        let text: String = start.chars().take(SHOWN_CHARS).collect();
        let more = if text.len() < self.bytes.len() { "…" } else { "" };
        write!(formatter, "{}: {}; the row: {text:?}{more}", self.place, self.reason)
    }
}

/// Counts the rows that a subtask could not read, and fails when they are too many.
#[derive(Debug)]
pub struct BadRows {
    on_bad_row: OnBadRow,
    allowed: u64,
    /// Bad rows of all attempts whose state this one continues.
    count: u64,
    logged: u64,
}

impl BadRows {
    /// `max` is how many a subtask may leave out. By default these are none if `on_bad_row` is [`OnBadRow::Fail`], else any number.
    pub fn new(on_bad_row: OnBadRow, max: Option<u64>) -> Self {
        let allowed = max.unwrap_or(if on_bad_row == OnBadRow::Fail { 0 } else { u64::MAX });
        Self { on_bad_row, allowed, count: 0, logged: 0 }
    }

    /// The number of bad rows so far, which belongs to the state of a source.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Continues with the number of a restored state.
    pub fn restore(&mut self, count: u64) {
        self.count = count;
    }

    /// Whether one more may be left out. If not, [`Self::take`] fails.
    pub fn has_room(&self) -> bool {
        self.count < self.allowed
    }

    /// Whether the source has to write the rows that are left out elsewhere.
    pub fn are_dead_letters(&self) -> bool {
        self.on_bad_row == OnBadRow::DeadLetter
    }

    /// Counts a row that is left out, and logs the first ones of an attempt. Error: `SOURCE-BAD-ROW` if it is one too many.
    pub fn take(&mut self, row: &BadRow<'_>) -> Result<(), OperatorError> {
        self.count += 1;
        let (count, allowed) = (self.count, self.allowed);
        if count > allowed {
            let number = if allowed > 0 { format!("bad row number {count}, max_bad_rows is {allowed}: ") } else { String::new() };
            return Err(OperatorError::fatal("SOURCE-BAD-ROW", format!("{number}{row}")));
        }
        ::metrics::counter!(SOURCE_BAD_ROWS).increment(1);
        self.logged += 1;
        if self.logged <= LOGGED {
            tracing::warn!(%row, "bad row skipped");
        }
        Ok(())
    }
}
