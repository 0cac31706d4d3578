//! Reads the rows of a range of a text file: lines, or CSV rows whose quoted fields may hold line feeds.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memchr::{memchr, memchr2, memchr3};
use weir_dataflow::operator::OperatorError;

use super::BYTE_ORDER_MARK;
use super::split::Split;
use crate::formats::csv::CsvDialect;

/// Number of bytes per read.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;

/// A line longer than this is an error, so that memory is bounded for every file.
pub(crate) const MAX_LINE_BYTES: usize = 4 << 20;

/// Opens the file of a split. Error: see [`check_unchanged`].
pub(crate) fn open(path: &Path, split: &Split) -> Result<File, OperatorError> {
    let file = File::open(path).map_err(|error| read_failed(path, &error))?;
    check_unchanged(path, &file, split)?;
    Ok(file)
}

/// Checks that the open file of a split is as it was when it was listed. Errors: `SOURCE-FILE-SHRUNK` if it is shorter,
/// `SOURCE-FILE-CHANGED` if it is longer or was modified.
pub(crate) fn check_unchanged(path: &Path, file: &File, split: &Split) -> Result<(), OperatorError> {
    let metadata = file.metadata().map_err(|error| read_failed(path, &error))?;
    if metadata.len() < split.size {
        return Err(shrunk(path, split.size, metadata.len()));
    }
    let modified = split.modified_ms != 0 && modified_ms(&metadata) != split.modified_ms;
    if metadata.len() > split.size || modified { Err(changed(path)) } else { Ok(()) }
}

/// The modification time of a file in milliseconds since 1970; 0 if the file system does not tell.
pub(crate) fn modified_ms(metadata: &std::fs::Metadata) -> u64 {
    let since_1970 = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since_1970.map_or(0, |time| time.as_millis() as u64)
}

/// The error for a file that can't be read.
pub(crate) fn read_failed(path: &Path, error: &std::io::Error) -> OperatorError {
    let path = path.display();
    match error.kind() {
        ErrorKind::NotFound => OperatorError::fatal(
            "SOURCE-FILE-GONE",
            format!("{path}: the file no longer exists; files must not change while a job reads them"),
        ),
        ErrorKind::PermissionDenied => OperatorError::fatal("SOURCE-PATH", format!("{path}: {error}")),
        _ => OperatorError::retryable("SOURCE-IO", format!("{path}: {error}")),
    }
}

/// The error for a file that is not as it was when it was listed.
pub(crate) fn changed(path: &Path) -> OperatorError {
    OperatorError::fatal(
        "SOURCE-FILE-CHANGED",
        format!(
            "{}: the file was modified or replaced after the job listed it; files must not change while a job reads them, and \
             copies on other machines need the same modification time; write files elsewhere and move them here when they are \
             complete",
            path.display()
        ),
    )
}

fn shrunk(path: &Path, size: u64, found: u64) -> OperatorError {
    OperatorError::fatal(
        "SOURCE-FILE-SHRUNK",
        format!(
            "{}: the file has {found} bytes, but had {size} when the job began; files must not change while a job reads them",
            path.display()
        ),
    )
}

/// How the rows of a text file end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowEnd {
    /// At every line feed.
    Line,
    /// At a line feed outside quotes (RFC 4180) that no escape character precedes.
    Csv(CsvDialect),
}

/// Reads the rows that *start* in a split's range of its file. The last row is read to its end, also if that is outside the range.
pub(crate) struct LineReader {
    path: PathBuf,
    file: File,
    split: Split,
    /// Rows that start before this byte belong to the range before.
    start: u64,
    /// Rows that start at or after this byte are not read.
    end: u64,
    row_end: RowEnd,
    buffer: Vec<u8>,
    /// Number of bytes in `buffer` that hold file contents. Those before `cursor` have been consumed.
    filled: usize,
    cursor: usize,
    /// Position of `buffer[cursor]` in the file.
    offset: u64,
    block: usize,
}

impl LineReader {
    /// Opens the split's file at `path`. The caller then calls [`Self::catch_up`] until the reader is at the first row of the
    /// split.
    pub(crate) fn open(path: &Path, split: &Split, row_end: RowEnd, block: usize) -> Result<Self, OperatorError> {
        let file = open(path, split)?;
        let start = split.start.min(split.size);
        let mut reader = Self {
            path: path.to_owned(),
            file,
            split: split.clone(),
            start,
            end: split.end.min(split.size),
            row_end,
            buffer: Vec::new(),
            filled: 0,
            cursor: 0,
            offset: start,
            block: block.max(1),
        };
        if start > 0 && !split.at_row {
            match row_end {
                // A line starts at `start` only if the byte before is a line feed. Else the rest of this line belongs to the
                // range before.
                RowEnd::Line => {
                    reader.offset = start - 1;
                    reader.skip_line()?;
                }
                // Whether a line feed is within quotes depends on all bytes before it.
                RowEnd::Csv(_) => reader.offset = 0,
            }
        }
        Ok(reader)
    }

    /// Checks that the file did not change while it was read.
    pub(crate) fn check_unchanged(&self) -> Result<(), OperatorError> {
        check_unchanged(&self.path, &self.file, &self.split)
    }

    /// Skips rows before the range, about `budget` bytes at most. Returns whether the reader is at the first row of the range.
    pub(crate) fn catch_up(&mut self, budget: u64) -> Result<bool, OperatorError> {
        let until = self.offset.saturating_add(budget);
        while self.is_behind() {
            if self.offset >= until {
                return Ok(false);
            }
            self.take_row()?;
        }
        Ok(true)
    }

    /// Whether the reader is still at a row before the range.
    pub(crate) fn is_behind(&self) -> bool {
        self.offset < self.start
    }

    /// Position of the next row in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next row without its end (`\n` or `\r\n`), or `None` after the last row.
    #[inline]
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, OperatorError> {
        if self.offset >= self.end {
            return Ok(None);
        }
        self.take_row().map(Some)
    }

    #[inline]
    fn take_row(&mut self) -> Result<&[u8], OperatorError> {
        let length = match self.row_end {
            RowEnd::Line => match memchr(b'\n', &self.buffer[self.cursor..self.filled]) {
                Some(length) => length,
                None => self.find_line_end()?,
            },
            RowEnd::Csv(dialect) => self.find_row_end(dialect)?,
        };
        let start = self.cursor;
        let used = (length + 1).min(self.filled - start);
        self.cursor += used;
        self.offset += used as u64;
        let mut line = &self.buffer[start..start + length];
        if let [before @ .., b'\r'] = line {
            line = before;
        }
        Ok(line)
    }

    /// Reads until the CSV row at the cursor is complete. Returns its length.
    fn find_row_end(&mut self, dialect: CsvDialect) -> Result<usize, OperatorError> {
        let offset = self.offset;
        let not_closed = |at: usize| format!("; the quote at byte {} is not closed", offset + at as u64);
        let mut scan = RowScan { dialect, position: 0, opened: None, first: offset == 0, escaped: 0 };
        loop {
            if let Some(length) = scan.end_of_row(&self.buffer[self.cursor..self.filled]) {
                return Ok(length);
            }
            let scanned = self.filled - self.cursor;
            let opened = scan.open_quote(&self.buffer[self.cursor..self.filled]);
            if scanned > MAX_LINE_BYTES {
                return Err(self.too_long(&opened.map(not_closed).unwrap_or_default()));
            }
            if !self.fill()? {
                // The file ends without a line feed. If it has grown since it was listed, this row may be incomplete.
                self.check_unchanged()?;
                let Some(at) = opened else { return Ok(scanned) };
                // Everything after the quote would be lost, so `max_bad_rows` does not cover it.
                let (path, why) = (self.path.display(), not_closed(at));
                let message = format!("{path}: the row at byte {offset} does not end{why}");
                return Err(OperatorError::fatal("SOURCE-BAD-ROW", message));
            }
        }
    }

    fn too_long(&self, why: &str) -> OperatorError {
        let message =
            format!("{}: the line at byte {} is longer than {MAX_LINE_BYTES} bytes{why}", self.path.display(), self.offset);
        OperatorError::fatal("SOURCE-LINE-TOO-LONG", message)
    }

    /// Reads until the line at the cursor is complete. Returns its length.
    fn find_line_end(&mut self) -> Result<usize, OperatorError> {
        loop {
            let scanned = self.filled - self.cursor;
            if !self.fill()? {
                // The file ends without a line feed. If it has grown since it was listed, this line may be incomplete.
                self.check_unchanged()?;
                return Ok(scanned);
            }
            if let Some(length) = memchr(b'\n', &self.buffer[self.cursor + scanned..self.filled]) {
                return Ok(scanned + length);
            }
            if self.filled - self.cursor > MAX_LINE_BYTES {
                return Err(self.too_long(""));
            }
        }
    }

    /// Skips to the start of the next line, without keeping the skipped bytes in memory.
    fn skip_line(&mut self) -> Result<(), OperatorError> {
        loop {
            if let Some(length) = memchr(b'\n', &self.buffer[self.cursor..self.filled]) {
                self.cursor += length + 1;
                self.offset += length as u64 + 1;
                return Ok(());
            }
            self.offset += (self.filled - self.cursor) as u64;
            self.cursor = self.filled;
            if !self.fill()? {
                return Ok(());
            }
        }
    }

    /// Drops the consumed bytes and appends another block. Returns `false` at the end of the file.
    fn fill(&mut self) -> Result<bool, OperatorError> {
        self.buffer.copy_within(self.cursor..self.filled, 0);
        self.filled -= self.cursor;
        self.cursor = 0;
        let position = self.offset + self.filled as u64;
        let wanted = self.split.size.saturating_sub(position).min(self.block as u64) as usize;
        if wanted == 0 {
            return Ok(false);
        }
        if self.buffer.len() < self.filled + wanted {
            self.buffer.resize(self.filled + wanted, 0);
        }
        let target = &mut self.buffer[self.filled..self.filled + wanted];
        match self.file.read_at(target, position) {
            Ok(0) => Err(shrunk(&self.path, self.split.size, position)),
            Ok(read) => {
                self.filled += read;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(read_failed(&self.path, &error)),
        }
    }
}

/// Finds the end of a CSV row by its quotes. As in RFC 4180, a quote opens a quoted field only at the field's start.
struct RowScan {
    dialect: CsvDialect,
    /// Everything before this position of the row has been scanned.
    position: usize,
    /// Position of the quote that opened the field at `position`, if it is quoted.
    opened: Option<usize>,
    /// Whether it is the first row of its file, which may begin with a byte order mark.
    first: bool,
    /// End of the last escaped character, which is not a delimiter.
    escaped: usize,
}

impl RowScan {
    /// The length of the row that starts at `bytes[0]`, or `None` if its end is not in `bytes`. A later call gets the same bytes
    /// and more.
    #[inline]
    fn end_of_row(&mut self, bytes: &[u8]) -> Option<usize> {
        while self.position < bytes.len() {
            let Some(length) = self.next_special(&bytes[self.position..]) else {
                self.position = bytes.len();
                return None;
            };
            let found = self.position + length;
            if Some(bytes[found]) == self.dialect.escape {
                if found + 1 == bytes.len() {
                    self.position = found;
                    return None;
                }
                (self.position, self.escaped) = (found + 2, found + 2);
                continue;
            }
            if self.opened.is_some() {
                // Two quotes are one quote of the field.
                match bytes.get(found + 1) {
                    Some(byte) if *byte == bytes[found] => self.position = found + 2,
                    Some(_) => (self.opened, self.position) = (None, found + 1),
                    None => {
                        self.position = found;
                        return None;
                    }
                }
                continue;
            }
            if bytes[found] == b'\n' {
                return Some(found);
            }
            let at_field = match found.checked_sub(1) {
                None => true,
                Some(before) => {
                    let delimited = bytes[before] == self.dialect.delimiter && self.escaped != found;
                    delimited || (self.first && &bytes[..found] == BYTE_ORDER_MARK)
                }
            };
            self.opened = at_field.then_some(found);
            self.position = found + 1;
        }
        None
    }

    /// The next character that can end the row, or open, close or escape something.
    #[inline]
    fn next_special(&self, rest: &[u8]) -> Option<usize> {
        let CsvDialect { quote, escape, .. } = self.dialect;
        match (quote, escape, self.opened.is_some()) {
            (Some(quote), None, true) => memchr(quote, rest),
            (Some(quote), None, false) => memchr2(quote, b'\n', rest),
            (Some(quote), Some(escape), true) => memchr2(quote, escape, rest),
            (Some(quote), Some(escape), false) => memchr3(quote, escape, b'\n', rest),
            (None, Some(escape), _) => memchr2(escape, b'\n', rest),
            (None, None, _) => memchr(b'\n', rest),
        }
    }

    /// The position of the quote that is not closed, if the row ends with `bytes`.
    fn open_quote(&self, bytes: &[u8]) -> Option<usize> {
        self.opened.filter(|_| bytes.get(self.position).copied() != self.dialect.quote)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(size: u64, start: u64, end: u64) -> Split {
        Split { file: String::new(), start, end, size, modified_ms: 0, rows: 0, at_row: false }
    }

    fn whole_file(size: u64) -> Split {
        split(size, 0, size)
    }

    fn lines(path: &Path, start: u64, end: u64, block: usize) -> Vec<Vec<u8>> {
        let size = std::fs::metadata(path).unwrap().len();
        rows(path, &split(size, start, end), RowEnd::Line, block)
    }

    fn rows(path: &Path, split: &Split, row_end: RowEnd, block: usize) -> Vec<Vec<u8>> {
        let mut reader = LineReader::open(path, split, row_end, block).unwrap();
        while !reader.catch_up(3).unwrap() {}
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(line.to_vec());
        }
        lines
    }

    /// A file with these bytes, and where its ranges begin and end: at these places, as far as they are in the file.
    fn cut_file(bytes: &[u8], mut cuts: Vec<u64>) -> (tempfile::NamedTempFile, Vec<u64>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let size = bytes.len() as u64;
        cuts.retain(|cut| *cut <= size);
        cuts.extend([0, size]);
        cuts.sort_unstable();
        (file, cuts)
    }

    /// The rows of CSV text, found byte by byte.
    fn csv_rows(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (mut rows, mut row, mut quoted, mut at_field) = (Vec::new(), Vec::new(), false, true);
        let mut rest = bytes.iter().copied().peekable();
        while let Some(byte) = rest.next() {
            let starts = std::mem::take(&mut at_field);
            match byte {
                b'"' if quoted && rest.peek() == Some(&b'"') => row.extend([byte, rest.next()?]),
                b'"' if quoted => (quoted, _) = (false, row.push(byte)),
                b'\n' if !quoted => (at_field, _) = (true, rows.push(std::mem::take(&mut row))),
                _ => {
                    quoted |= byte == b'"' && starts;
                    at_field = byte == b',' && !quoted;
                    row.push(byte);
                }
            }
        }
        if !row.is_empty() {
            rows.push(row);
        }
        (!quoted).then_some(rows)
    }

    #[test]
    fn escaped_line_feeds_quotes_and_delimiters_do_not_end_anything_wherever_blocks_end() {
        let bytes = b"a\\\nb,c\n\"d\\\"\n\",e\n\\,\"f\n\"g\"\"\\\\\"\nh\\";
        let expected: [&[u8]; 5] = [b"a\\\nb,c", b"\"d\\\"\n\",e", b"\\,\"f", b"\"g\"\"\\\\\"", b"h\\"];
        let (file, _) = cut_file(bytes, Vec::new());
        let dialect = CsvDialect { escape: Some(b'\\'), ..CsvDialect::plain(b',') };
        for block in 1..bytes.len() + 1 {
            let read = rows(file.path(), &whole_file(bytes.len() as u64), RowEnd::Csv(dialect), block);
            assert_eq!(read, expected, "block of {block}");
        }
    }

    proptest! {
        #[test]
        fn csv_rows_with_line_feeds_are_read_once_wherever_ranges_are_cut(
            bytes in proptest::collection::vec(proptest::sample::select(b"a\"\"\"\n,".to_vec()), 0..60),
            cuts in proptest::collection::vec(0_u64..61, 0..5),
            block in 1_usize..20,
        ) {
            let size = bytes.len() as u64;
            let (file, cuts) = cut_file(&bytes, cuts);
            if let Some(expected) = csv_rows(&bytes) {
                let range = |cut: &[u64]| split(size, cut[0], cut[1]);
                let cut: Vec<_> = cuts.windows(2).flat_map(|cut| rows(file.path(), &range(cut), RowEnd::Csv(CsvDialect::plain(b',')), block)).collect();
                prop_assert_eq!(cut, expected);
            } else {
                let mut reader = LineReader::open(file.path(), &whole_file(size), RowEnd::Csv(CsvDialect::plain(b',')), block).unwrap();
                let error = loop {
                    match reader.next_line() {
                        Ok(line) => prop_assert!(line.is_some()),
                        Err(error) => break error,
                    }
                };
                prop_assert_eq!(error.code, "SOURCE-BAD-ROW");
            }
        }

        #[test]
        fn ranges_cut_anywhere_give_every_line_once_and_in_order(
            bytes in proptest::collection::vec(proptest::sample::select(b"ab\n\r".to_vec()), 0..60),
            cuts in proptest::collection::vec(0_u64..61, 0..5),
            block in 1_usize..20,
        ) {
            let (file, cuts) = cut_file(&bytes, cuts);
            let cut: Vec<_> = cuts.windows(2).flat_map(|range| lines(file.path(), range[0], range[1], block)).collect();
            let mut expected: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec()).collect();
            if bytes.last().is_none_or(|byte| *byte == b'\n') {
                expected.pop();
            }
            prop_assert_eq!(cut, expected);
        }

        #[test]
        fn reading_from_any_line_start_gives_the_remaining_lines(
            bytes in proptest::collection::vec(proptest::sample::select(b"ab\n".to_vec()), 0..60), stop in 0_usize..20,
        ) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &bytes).unwrap();
            let size = bytes.len() as u64;
            let whole = lines(file.path(), 0, size, 7);
            let mut reader = LineReader::open(file.path(), &whole_file(size), RowEnd::Line, 7).unwrap();
            let stop = stop.min(whole.len());
            for _ in 0..stop {
                reader.next_line().unwrap();
            }
            prop_assert_eq!(lines(file.path(), reader.offset(), size, 5), whole[stop..].to_vec());
        }
    }

    #[test]
    fn a_line_without_end_is_refused_with_bounded_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'x'; MAX_LINE_BYTES + 2 * BLOCK_BYTES]).unwrap();
        let size = std::fs::metadata(file.path()).unwrap().len();
        let mut reader = LineReader::open(file.path(), &whole_file(size), RowEnd::Line, BLOCK_BYTES).unwrap();
        assert_eq!(reader.next_line().unwrap_err().code, "SOURCE-LINE-TOO-LONG");
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc\nde").unwrap();
        let mut reader = LineReader::open(file.path(), &whole_file(6), RowEnd::Line, 2).unwrap();
        assert_eq!(reader.next_line().unwrap(), Some(&b"abc"[..]));
        std::fs::write(file.path(), b"abc\ndefg\n").unwrap();
        assert_eq!(reader.next_line().unwrap_err().code, "SOURCE-FILE-CHANGED");
        std::fs::write(file.path(), b"ab").unwrap();
        assert_eq!(LineReader::open(file.path(), &whole_file(6), RowEnd::Line, 2).err().unwrap().code, "SOURCE-FILE-SHRUNK");
        let mut reader = LineReader::open(file.path(), &whole_file(2), RowEnd::Line, 1).unwrap();
        std::fs::write(file.path(), b"").unwrap();
        assert_eq!(reader.next_line().unwrap_err().code, "SOURCE-FILE-SHRUNK");
        assert_eq!(
            LineReader::open(Path::new("/nowhere/at/all"), &whole_file(0), RowEnd::Line, 1).err().unwrap().code,
            "SOURCE-FILE-GONE"
        );
    }
}
