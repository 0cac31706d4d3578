//! Reads the committed rows of a query in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use weir_dataflow::codec::BatchCodec;
use weir_dataflow::schema;
use weir_protocol::job_graph::Field;

use super::frames::{self, Contents, Frame};
use crate::filesystem::sink::commits::names_in;
use crate::filesystem::sink::names::is_visible;

/// Rows of a query, one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResultPage {
    /// The columns. Unknown (empty) if there are no rows.
    pub columns: Vec<Field>,
    pub batches: Vec<RecordBatch>,
    /// The number of the row after the last one.
    pub end: u64,
    /// Whether the next rows are there too, but had no room.
    pub has_more: bool,
    /// Rows after `end` are committed, but those between are not visible. For a moment that is normal: names that appear while a
    /// directory is read may be missed. If it stays so, rows are lost.
    pub has_gap: bool,
}

/// Reads the committed rows of a query, in order, from any number. All calls block.
#[derive(Debug)]
pub struct ResultReader {
    directory: PathBuf,
    /// What is known of the files. They never change.
    known: BTreeMap<String, Contents>,
    /// Files with rows before this number only are gone.
    discarded: u64,
}

impl ResultReader {
    /// Reads from the directory of a query. It may not exist yet.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, known: BTreeMap::new(), discarded: 0 }
    }

    /// The rows from number `from` on that are committed, at most `max_rows` and about `max_bytes`, but at least one if there is
    /// one. Error of the kind `InvalidData`: a file is damaged.
    pub fn read(&mut self, from: u64, max_rows: u64, max_bytes: u64) -> io::Result<ResultPage> {
        self.refresh()?;
        let mut page = ResultPage { end: from, ..ResultPage::default() };
        let mut bytes = 0;
        for (name, contents) in in_order(&self.known) {
            let mut reading = Reading { path: self.directory.join(name), file: None, columns: &contents.columns, codec: None };
            for frame in &contents.frames {
                if frame.end() <= page.end {
                    continue;
                }
                let is_full = page.end - from >= max_rows || bytes + frame.bytes() > max_bytes;
                if is_full && page.end > from {
                    page.has_more = true;
                    return Ok(page);
                }
                if frame.first_row > page.end {
                    page.has_gap = true;
                    return Ok(page);
                }
                let skipped = (page.end - frame.first_row) as usize;
                let room = (max_rows.max(1) - (page.end - from)) as usize;
                let Some(rows) = reading.rows(frame)? else {
                    page.has_more = true;
                    return Ok(page);
                };
                let taken = rows.slice(skipped, room.min(rows.num_rows() - skipped));
                page.end += taken.num_rows() as u64;
                bytes += frame.bytes();
                page.columns.clone_from(&contents.columns);
                page.batches.push(taken);
                if page.end < frame.end() {
                    page.has_more = true;
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }

    /// Removes the files that hold only rows before number `before`. They can't be read again.
    pub fn discard(&mut self, before: u64) -> io::Result<()> {
        if before <= self.discarded {
            return Ok(());
        }
        self.refresh()?;
        let is_read = |contents: &Contents| contents.frames.iter().all(|frame| frame.end() <= before);
        for (name, _) in self.known.iter().filter(|(_, contents)| is_read(contents)) {
            remove(&self.directory.join(name))?;
        }
        self.discarded = before;
        Ok(())
    }

    /// Learns which files there are.
    fn refresh(&mut self) -> io::Result<()> {
        let names = names_in(&self.directory).map_err(|error| io::Error::other(error.message))?;
        let mut known = BTreeMap::new();
        for name in names.into_iter().filter(|name| is_visible(name)) {
            let contents = match self.known.remove(&name) {
                Some(contents) => contents,
                None => match open(&self.directory.join(&name))? {
                    Some(mut file) => frames::contents(&mut file).map_err(|error| named(&self.directory.join(&name), &error))?,
                    None => continue,
                },
            };
            known.insert(name, contents);
        }
        self.known = known;
        Ok(())
    }
}

/// The files by their first rows.
fn in_order(known: &BTreeMap<String, Contents>) -> Vec<(&String, &Contents)> {
    let mut files: Vec<_> = known.iter().collect();
    files.sort_by_key(|(_, contents)| contents.frames.first().map(|frame| frame.first_row));
    files
}

/// A file that is opened when its first frame is read.
struct Reading<'a> {
    path: PathBuf,
    file: Option<File>,
    columns: &'a [Field],
    codec: Option<BatchCodec>,
}

impl Reading<'_> {
    /// The rows of a frame. `None` if the file is gone.
    fn rows(&mut self, frame: &Frame) -> io::Result<Option<RecordBatch>> {
        let codec = match &self.codec {
            Some(codec) => codec,
            None => {
                let codec = schema::to_arrow(self.columns).and_then(BatchCodec::new);
                self.codec.insert(codec.map_err(|error| io::Error::new(ErrorKind::InvalidData, error.message))?)
            }
        };
        let file = match &mut self.file {
            Some(file) => file,
            None => match open(&self.path)? {
                Some(file) => self.file.insert(file),
                None => return Ok(None),
            },
        };
        frames::rows(file, frame, codec).map(Some).map_err(|error| named(&self.path, &error))
    }
}

/// Removes all rows of a query. Its job must have ended.
pub fn remove_results(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(named(directory, &error)),
        _ => Ok(()),
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(|error| named(path, &error)),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(named(path, &error)),
        _ => Ok(()),
    }
}

/// The error, with the file.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
