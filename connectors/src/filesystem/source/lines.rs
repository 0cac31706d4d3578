//! Reads the lines of a range of a file.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memchr::memchr;
use weir_dataflow::operator::OperatorError;

use super::split::Split;

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

fn changed(path: &Path) -> OperatorError {
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

/// Reads the lines that *start* in a split's range of its file. The last line is read to its end, also if that is outside the
/// range.
pub(crate) struct LineReader {
    path: PathBuf,
    file: File,
    split: Split,
    /// Lines that start at or after this byte are not read.
    end: u64,
    buffer: Vec<u8>,
    /// Number of bytes in `buffer` that hold file contents. Those before `cursor` have been consumed.
    filled: usize,
    cursor: usize,
    /// Position of `buffer[cursor]` in the file.
    offset: u64,
    block: usize,
}

impl LineReader {
    /// Opens the split's file at `path` and skips to the first line that starts in the split.
    pub(crate) fn open(path: &Path, split: &Split, block: usize) -> Result<Self, OperatorError> {
        let file = open(path, split)?;
        let (size, start) = (split.size, split.start);
        let mut reader = Self {
            path: path.to_owned(),
            file,
            split: split.clone(),
            end: size,
            buffer: Vec::new(),
            filled: 0,
            cursor: 0,
            offset: start.saturating_sub(1).min(size),
            block: block.max(1),
        };
        if start > 0 {
            // A line starts at `start` only if the byte before is a line feed. Else the rest of this line belongs to the range
            // before.
            reader.skip_line()?;
        }
        reader.end = split.end.min(size);
        Ok(reader)
    }

    /// Checks that the file did not change while it was read.
    pub(crate) fn check_unchanged(&self) -> Result<(), OperatorError> {
        check_unchanged(&self.path, &self.file, &self.split)
    }

    /// Position of the next line in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next line without its end (`\n` or `\r\n`), or `None` after the last line.
    #[inline]
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, OperatorError> {
        if self.offset >= self.end {
            return Ok(None);
        }
        let length = match memchr(b'\n', &self.buffer[self.cursor..self.filled]) {
            Some(length) => length,
            None => self.find_line_end()?,
        };
        let start = self.cursor;
        let used = (length + 1).min(self.filled - start);
        self.cursor += used;
        self.offset += used as u64;
        let mut line = &self.buffer[start..start + length];
        if let [before @ .., b'\r'] = line {
            line = before;
        }
        Ok(Some(line))
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
                return Err(OperatorError::fatal(
                    "SOURCE-LINE-TOO-LONG",
                    format!("{}: the line at byte {} is longer than {MAX_LINE_BYTES} bytes", self.path.display(), self.offset),
                ));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(size: u64, start: u64, end: u64) -> Split {
        Split { file: String::new(), start, end, size, modified_ms: 0, rows: 0 }
    }

    fn lines(path: &Path, start: u64, end: u64, block: usize) -> Vec<Vec<u8>> {
        let size = std::fs::metadata(path).unwrap().len();
        let mut reader = LineReader::open(path, &split(size, start, end), block).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(line.to_vec());
        }
        lines
    }

    proptest! {
        #[test]
        fn ranges_cut_anywhere_give_every_line_once_and_in_order(
            bytes in proptest::collection::vec(proptest::sample::select(b"ab\n\r".to_vec()), 0..60),
            mut cuts in proptest::collection::vec(0_u64..61, 0..5),
            block in 1_usize..20,
        ) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &bytes).unwrap();
            let size = bytes.len() as u64;
            cuts.retain(|cut| *cut <= size);
            cuts.extend([0, size]);
            cuts.sort_unstable();
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
            let mut reader = LineReader::open(file.path(), &split(size, 0, size), 7).unwrap();
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
        let mut reader = LineReader::open(file.path(), &split(size, 0, size), BLOCK_BYTES).unwrap();
        assert_eq!(reader.next_line().unwrap_err().code, "SOURCE-LINE-TOO-LONG");
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc\nde").unwrap();
        let mut reader = LineReader::open(file.path(), &split(6, 0, 6), 2).unwrap();
        assert_eq!(reader.next_line().unwrap(), Some(&b"abc"[..]));
        std::fs::write(file.path(), b"abc\ndefg\n").unwrap();
        assert_eq!(reader.next_line().unwrap_err().code, "SOURCE-FILE-CHANGED");
        std::fs::write(file.path(), b"ab").unwrap();
        assert_eq!(LineReader::open(file.path(), &split(6, 0, 6), 2).err().unwrap().code, "SOURCE-FILE-SHRUNK");
        let mut reader = LineReader::open(file.path(), &split(2, 0, 2), 1).unwrap();
        std::fs::write(file.path(), b"").unwrap();
        assert_eq!(reader.next_line().unwrap_err().code, "SOURCE-FILE-SHRUNK");
        assert_eq!(LineReader::open(Path::new("/nowhere/at/all"), &split(0, 0, 0), 1).err().unwrap().code, "SOURCE-FILE-GONE");
    }
}
