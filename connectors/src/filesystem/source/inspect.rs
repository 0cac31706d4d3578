//! Looks at the beginning of a text file before its rows are read.
//!
//! What is found depends on the file alone, not on the split or batch at hand. So every subtask, and every restart, finds the same.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;

use arrow_schema::Schema;
use serde::de::IgnoredAny;
use weir_dataflow::operator::OperatorError;

use super::BYTE_ORDER_MARK;
use super::lines::{LineReader, RowEnd, open, read_failed};
use super::split::Split;

/// Refuses a file whose bytes show that it is not text in UTF-8. Error: `SOURCE-FORMAT`.
pub(super) fn refuse_foreign(path: &Path, split: &Split) -> Result<(), OperatorError> {
    let file = open(path, split)?;
    let (mut first, mut last) = ([0; 10], [0; 4]);
    let failed = |error: std::io::Error| read_failed(path, &error);
    let read = file.read_at(&mut first, 0).map_err(failed)?;
    file.read_at(&mut last, split.size.saturating_sub(4)).map_err(failed)?;
    match foreign(&first[..read], &last) {
        None => Ok(()),
        Some((what, remedy)) => {
            let message = format!("{}: this is {what}, not text in UTF-8; {remedy}", path.display());
            Err(OperatorError::fatal("SOURCE-FORMAT", message))
        }
    }
}

/// What a file with these first and last bytes is, and what to do about it. Text can't have them, or only by an odd chance.
fn foreign(first: &[u8], last: &[u8]) -> Option<(&'static str, &'static str)> {
    let compressed = "decompress it first";
    match first {
        [0x1f, 0x8b, ..] => Some(("a gzip file", compressed)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(("a zstd file", compressed)),
        [b'B', b'Z', b'h', _, b'1', b'A', b'Y', b'&', b'S', b'Y'] => Some(("a bzip2 file", compressed)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(("an xz file", compressed)),
        [b'P', b'K', 3, 4, ..] => Some(("a zip file", "extract it first")),
        [b'P', b'A', b'R', b'1', ..] if last == b"PAR1" => Some(("a Parquet file", "set \"format\": \"parquet\"")),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(("text in UTF-16", "convert it first")),
        _ => None,
    }
}

/// Number of rows at the beginning of a JSON file of which at least one must have each column.
const INSPECTED_ROWS: usize = 1_000;

/// The beginning ends after this many bytes in any case.
const INSPECTED_BYTES: u64 = 1 << 20;

/// Refuses a JSON file without a column: no row at its beginning has a member of the column's name. A misspelt column would
/// otherwise give nulls only. Error: `SOURCE-SCHEMA`.
pub(super) fn refuse_missing_members(path: &Path, split: &Split, schema: &Schema) -> Result<(), OperatorError> {
    let beginning = Split { end: split.size.min(INSPECTED_BYTES), ..split.whole_file() };
    let mut lines = LineReader::open(path, &beginning, RowEnd::Line, 1 << 16)?;
    let mut missing: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut found: Vec<String> = Vec::new();
    let mut rows = 0;
    while rows < INSPECTED_ROWS && !missing.is_empty() {
        let at_start = lines.offset() == 0;
        let Some(mut line) = lines.next_line()? else { break };
        if at_start {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        // A line that is not an object is a bad row, which is counted when it is read.
        let Ok(members) = serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(line) else { continue };
        rows += 1;
        missing.retain(|name| !members.contains_key(*name));
        found.extend(members.into_keys().filter(|name| !missing.is_empty() && name.len() <= 100).take(20));
        found.sort_unstable();
        found.dedup();
        found.truncate(20);
    }
    let (Some(name), 1..) = (missing.first(), rows) else { return Ok(()) };
    let message = format!(
        "{}: none of the first {rows} rows has column {name:?}; they have: {}; correct the schema, or set \
         \"missing_columns\": \"null\" if files may lack a column",
        path.display(),
        found.join(", ").chars().take(300).collect::<String>()
    );
    Err(OperatorError::fatal("SOURCE-SCHEMA", message))
}
