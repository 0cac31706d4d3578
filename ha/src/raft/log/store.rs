//! The log with the interface that openraft uses.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;
use weir_world::disk;

use super::LogError;
use super::frame::{Record, decode_body, encode_body};
use super::index::{Found, Index};
use super::mark::{self, Mark};
use super::segment::{Preparation, load, sync_directory};
use super::slot_file::SlotFile;
use super::writer::{DiskFailureHook, QUEUE, Request, Writer, WriterThread};
use crate::raft::types::{Entry, LogId, TypeConfig, Vote};

/// The most bytes of entries in one message to a follower. A single bigger entry is sent alone.
const READ_LIMIT: u64 = 2 << 20;

/// The raft log. Clones are the same log.
#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    index: Arc<Mutex<Index>>,
    requests: mpsc::Sender<Request>,
}

/// How large the log and its parts are. Unlike a clone of the log, it does not keep the writer running.
#[derive(Debug)]
pub(crate) struct LogSizes(Arc<Mutex<Index>>);

impl LogSizes {
    /// Runs `read` on the index.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Index) -> T) -> T {
        read(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LogStore {
    /// Opens or creates the log in `directory`. The writer ends when the last clone is dropped.
    pub(crate) fn open(
        directory: &Path,
        segment_bytes: u64,
        on_disk_failure: DiskFailureHook,
    ) -> Result<(Self, WriterThread), LogError> {
        disk::create_dir_all(directory).map_err(LogError::io(directory))?;
        if let Some(parent) = directory.parent() {
            sync_directory(parent)?;
        }
        let mut index = Index::default();
        let loaded = load(directory, segment_bytes, &mut index)?;
        if let Some((path, bytes)) = &loaded.cut {
            warn!(path = %path.display(), bytes, "cut a torn frame, which a crash had left unfinished");
        }
        let (vote_file, vote) = SlotFile::open(directory, "vote", *b"WEIRVOT\n")?;
        let (mark_file, mark) = mark::open(directory)?;
        let found = Mark { next_sequence: loaded.next_sequence, vote };
        mark.check(&found).map_err(|what| LogError::Lost { path: directory.to_owned(), what })?;
        index.vote = vote;
        index.files = loaded.files;
        if !index.is_whole() {
            let what = "entries are missing at its start".to_owned();
            return Err(LogError::Corrupt { path: directory.to_owned(), offset: 0, what });
        }
        let index = Arc::new(Mutex::new(index));
        let half_full = loaded.active.end > loaded.active.size / 2;
        let next = loaded.active.header.number + 1;
        let preparation = half_full.then(|| Preparation::start(directory, next, segment_bytes)).flatten();
        let writer = Writer {
            directory: directory.to_owned(),
            segment_bytes,
            active: loaded.active,
            next_sequence: loaded.next_sequence,
            highest: loaded.highest,
            vote_file,
            mark_file,
            mark: found,
            index: Arc::clone(&index),
            on_disk_failure,
            preparation,
            failed: false,
        };
        let (requests, receiver) = mpsc::channel(QUEUE);
        let thread = writer.start(receiver).map_err(LogError::io(directory))?;
        Ok((Self { index, requests }, thread))
    }

    /// The last entry, or the last purged one if there is none.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.lock().last()
    }

    /// The vote that was saved last.
    pub(crate) fn vote(&self) -> Option<Vote> {
        self.lock().vote
    }

    /// The last purged entry. A snapshot must cover it.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.lock().purged()
    }

    /// How large the log is.
    pub(crate) fn sizes(&self) -> LogSizes {
        LogSizes(Arc::clone(&self.index))
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn request(&self, make: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Request) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.requests.send(make(done)).await.map_err(|_| stopped())?;
        result.await.map_err(|_| stopped())?
    }

    fn read(&self, start: u64, end: u64, limit: u64) -> io::Result<Vec<Entry>> {
        let found = self.lock().find(start, end, limit);
        found.into_iter().map(read_entry).collect()
    }
}

fn stopped() -> io::Error {
    io::Error::other("the log writer has stopped")
}

fn read_entry(found: Found) -> io::Result<Entry> {
    let (file, place) = match found {
        Found::Cached(entry) => return Ok(entry),
        Found::Stored(file, place) => (file, place),
    };
    let mut body = vec![0; place.length as usize];
    file.read_exact_at(&mut body, place.offset)?;
    match decode_body(&body, place) {
        Some(Record::Entry(entry)) => Ok(entry),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a log entry was damaged after it was written")),
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end, u64::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.lock().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let entries = self.read(start, end, READ_LIMIT)?;
        // openraft sends the result as the entries that follow the one before `start`. If the first ones were purged
        // meanwhile, the rest would make a hole in the follower's log.
        Ok(if entries.first().is_some_and(|first| first.log_id.index == start) { entries } else { Vec::new() })
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let index = self.lock();
        Ok(LogState { last_purged_log_id: index.purged(), last_log_id: index.last() })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = *vote;
        self.request(|done| Request::SaveVote { vote, done }).await?;
        self.lock().vote = Some(vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut encoded = Vec::new();
        for entry in entries {
            let log_id = entry.log_id;
            let record = Record::Entry(entry);
            let body = encode_body(&record).map_err(io::Error::other)?;
            let Record::Entry(entry) = record else { continue };
            encoded.push((log_id, entry, body));
        }
        let mut records = Vec::with_capacity(encoded.len());
        {
            let mut index = self.lock();
            for (log_id, entry, body) in encoded {
                index.append(entry, body.len() as u32).map_err(io::Error::other)?;
                records.push((log_id, body));
            }
        }
        self.requests.send(Request::Append { records, done: callback }).await.map_err(|_| stopped())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let after = last_log_id.map(|log_id| log_id.index);
        self.lock().truncate_after(after);
        self.request(|done| Request::TruncateAfter { after, done }).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.lock().purge_to(log_id);
        self.request(|done| Request::PurgeTo { log_id, done }).await
    }
}
