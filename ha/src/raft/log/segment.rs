//! Segment files: how they are created, listed and opened.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use weir_world::disk::{self, File, OpenMode};
use weir_world::{on_thread, random_id};

use super::LogError;
use super::frame::{HEADER_BYTES, Located, Record, SegmentHeader, encode_header, scan};
use super::index::Index;

/// The segment to which the log is written.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    /// Open for writing.
    pub file: Arc<File>,
    pub path: PathBuf,
    pub header: SegmentHeader,
    /// Offset of the next frame.
    pub end: u64,
    /// Allocated bytes of the file.
    pub size: u64,
}

/// The log as it was found on disk.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The last segment, in which the next frame goes.
    pub active: ActiveSegment,
    /// Sequence number of the next frame.
    pub next_sequence: u64,
    /// Every segment, open for reading.
    pub files: BTreeMap<u64, Arc<File>>,
    /// Highest entry index ever written to each segment.
    pub highest: BTreeMap<u64, Option<u64>>,
    /// The file of a torn last frame that was cut, and its number of bytes.
    pub cut: Option<(PathBuf, u64)>,
}

/// Makes creations, renames and removals in `directory` durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), LogError> {
    disk::sync_directory(directory).map_err(LogError::io(directory))
}

fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.log"))
}

/// Removes a segment. The caller must sync the directory later.
pub(crate) fn remove_segment(directory: &Path, number: u64) -> Result<(), LogError> {
    let path = segment_path(directory, number);
    disk::remove_file(&path).map_err(LogError::io(path))
}

/// Prepares a preallocated file that becomes the next segment by a rename. Zeros are really written, because overwriting
/// allocated blocks needs no journal commit. This halves the cost of every later sync.
pub(crate) fn prepare(directory: &Path, number: u64, size: u64) -> Result<ActiveSegment, LogError> {
    let header = SegmentHeader { number, salt: random_id() as u32 };
    // The name is unique, because a preparation that a former writer left running must never share a file with this one.
    let path = directory.join(format!("{number:020}-{:08x}.new", header.salt));
    let file = write_empty(&path, header, size).map_err(LogError::io(&path))?;
    Ok(ActiveSegment { file: Arc::new(file), path, header, end: HEADER_BYTES as u64, size })
}

fn write_empty(path: &Path, header: SegmentHeader, size: u64) -> io::Result<File> {
    let file = File::open(path, OpenMode::CreateNew)?;
    file.write_all_at(&encode_header(header), 0)?;
    write_zeros(&file, HEADER_BYTES as u64, size)?;
    file.sync_all()?;
    Ok(file)
}

fn write_zeros(file: &File, mut from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 16];
    while from < to {
        let step = (to - from).min(zeros.len() as u64) as usize;
        file.write_all_at(&zeros[..step], from)?;
        from += step as u64;
    }
    Ok(())
}

/// Renames a prepared segment to its final name, durably.
pub(crate) fn publish(directory: &Path, segment: &mut ActiveSegment) -> Result<(), LogError> {
    let path = segment_path(directory, segment.header.number);
    disk::rename(&segment.path, &path).map_err(LogError::io(&path))?;
    segment.path = path;
    sync_directory(directory)
}

/// Prepares the next segment on a thread of its own, so that the writer never waits for 16 MiB of zeros.
#[derive(Debug)]
pub(crate) struct Preparation {
    number: u64,
    result: Receiver<Result<ActiveSegment, LogError>>,
}

impl Preparation {
    /// Starts preparing segment `number`. `None` if no thread could be started; then the writer prepares the segment itself.
    pub(crate) fn start(directory: &Path, number: u64, size: u64) -> Option<Self> {
        let (sender, result) = sync_channel(1);
        let directory = directory.to_owned();
        let work = move || {
            let _ = sender.send(prepare(&directory, number, size));
        };
        on_thread("raft-log-prepare", work).ok()?;
        Some(Self { number, result })
    }

    /// Waits until the preparation has stopped writing.
    pub(crate) fn settle(self) {
        // A disconnected channel means that the thread has ended as well.
        let _ = self.result.recv();
    }

    /// Returns the segment if it has this `number` and room for `bytes` bytes. Otherwise removes it.
    pub(crate) fn take(self, number: u64, bytes: u64) -> Option<Result<ActiveSegment, LogError>> {
        let segment = self.result.recv().ok()?;
        match segment {
            Ok(segment) if self.number != number || segment.size < segment.end + bytes => {
                // If it can't be removed now, the next start removes it.
                let _ = disk::remove_file(&segment.path);
                None
            }
            segment => Some(segment),
        }
    }
}

/// Opens all segments in `directory`, and creates the first if there is none. A torn last frame is cut. The result is durable.
/// Replays each segment into `index` before it reads the next, so that only one is in memory at a time.
pub(crate) fn load(directory: &Path, segment_bytes: u64, index: &mut Index) -> Result<Loaded, LogError> {
    let numbers = list(directory)?;
    if numbers.is_empty() {
        let mut active = prepare(directory, 0, segment_bytes)?;
        publish(directory, &mut active)?;
        let files = BTreeMap::from([(0, Arc::clone(&active.file))]);
        let highest = BTreeMap::from([(0, None)]);
        return Ok(Loaded { active, next_sequence: 0, files, highest, cut: None });
    }
    let (mut files, mut highest) = (BTreeMap::new(), BTreeMap::new());
    let (mut sequence, mut cut, mut active) = (None, None, None);
    for (position, number) in numbers.iter().copied().enumerate() {
        let path = segment_path(directory, number);
        if position > 0 && numbers[position - 1] + 1 != number {
            return Err(LogError::Corrupt { path, offset: 0, what: "the segment before it is missing".into() });
        }
        let bytes = disk::read(&path).map_err(LogError::io(&path))?;
        let is_last = position + 1 == numbers.len();
        let corrupt = |offset, what: &str| LogError::Corrupt { path: path.clone(), offset, what: what.into() };
        let scan = scan(&bytes, sequence, is_last).map_err(|damage| corrupt(damage.offset as u64, damage.what))?;
        if scan.header.number != number {
            return Err(corrupt(0, "the segment's number differs from its name"));
        }
        let file = Arc::new(File::open(&path, OpenMode::Existing).map_err(LogError::io(&path))?);
        if scan.torn {
            erase(&file, scan.end as u64, bytes.len() as u64).map_err(LogError::io(&path))?;
            cut = Some((path.clone(), (bytes.len() - scan.end) as u64));
        }
        if let Some(offset) = scan.last_frame.filter(|_| is_last) {
            settle(&file, &bytes[offset..scan.end], offset as u64).map_err(LogError::io(&path))?;
        }
        sequence = scan.last_sequence.or(sequence);
        highest.insert(number, scan.records.iter().filter_map(entry_index).max());
        for Located { record, place } in scan.records {
            index.replay(number, record, place).map_err(|what| corrupt(place.offset, what))?;
        }
        files.insert(number, Arc::clone(&file));
        let (end, size) = (scan.end as u64, bytes.len() as u64);
        active = Some(ActiveSegment { file, path, header: scan.header, end, size });
    }
    let Some(active) = active else { unreachable!("there is at least one segment") };
    let next_sequence = sequence.map_or(0, |sequence| sequence + 1);
    Ok(Loaded { active, next_sequence, files, highest, cut })
}

fn entry_index(located: &Located) -> Option<u64> {
    match &located.record {
        Record::Entry(entry) => Some(entry.log_id.index),
        _ => None,
    }
}

/// Makes the last frame durable. The process that wrote it may have died before its sync, or because the sync failed. The frame
/// can still be read then, but would be lost at a power loss. It is written again, because after a failed sync the operating
/// system may mark pages as clean that it could not write.
fn settle(file: &File, frame: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(frame, offset)?;
    file.sync_data()
}

/// Overwrites a torn frame with zeros, so that its remains never follow a later frame.
fn erase(file: &File, from: u64, to: u64) -> io::Result<()> {
    write_zeros(file, from, to)?;
    file.sync_all()
}

fn list(directory: &Path) -> Result<Vec<u64>, LogError> {
    let mut numbers = Vec::new();
    for path in disk::list(directory).map_err(LogError::io(directory))? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.ends_with(".new") {
            // A preparation that was never published.
            disk::remove_file(&path).map_err(LogError::io(&path))?;
        } else if let Some(number) = name.strip_suffix(".log") {
            let number = number.parse().map_err(|_| LogError::Corrupt {
                path: path.clone(),
                offset: 0,
                what: "not the name of a segment".into(),
            })?;
            numbers.push(number);
        }
    }
    sync_directory(directory)?;
    numbers.sort_unstable();
    Ok(numbers)
}
