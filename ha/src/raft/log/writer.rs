//! The thread that writes the log. All queued requests go into one frame, with one write and one sync.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{gauge, histogram};
use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::warn;
use weir_world::flaw::{Flaw, is_planted};
use weir_world::{on_thread, simulation, spawn};

use super::LogError;
use super::frame::{FrameBuilder, Place, Record, encode_body};
use super::index::Index;
use super::mark::Mark;
use super::segment::{ActiveSegment, Preparation, prepare, publish, remove_segment, sync_directory};
use super::slot_file::SlotFile;
use crate::metrics as names;
use crate::raft::types::{LogId, TypeConfig, Vote};

/// Called once, at the first failed write or sync of coordination state, with the error. After that, the contents of the disk are
/// unknown. So the process should end, as the default makes it.
pub type DiskFailureHook = Arc<dyn Fn(&str) + Send + Sync>;

/// Once a frame has this many bytes, no more requests are added to it.
const FRAME_LIMIT: usize = 4 << 20;

/// Requests that may wait for the writer.
pub(crate) const QUEUE: usize = 4096;

/// A request to the writer. Requests are carried out in order.
pub(crate) enum Request {
    /// Make entries durable.
    Append { records: Vec<(LogId, Vec<u8>)>, done: IOFlushed<TypeConfig> },
    /// Void every entry above the index `after`, or all if it is `None`.
    TruncateAfter { after: Option<u64>, done: oneshot::Sender<io::Result<()>> },
    /// Void every entry up to this one, and remove segments that hold nothing else.
    PurgeTo { log_id: LogId, done: oneshot::Sender<io::Result<()>> },
    /// Make the vote durable.
    SaveVote { vote: Vote, done: oneshot::Sender<io::Result<()>> },
}

/// Where to report that a frame is durable.
enum Waiter {
    Flushed(IOFlushed<TypeConfig>),
    Done(oneshot::Sender<io::Result<()>>),
}

impl Waiter {
    fn tell(self, result: io::Result<()>) {
        match self {
            Self::Flushed(done) => done.io_completed(result),
            Self::Done(done) => {
                let _ = done.send(result);
            }
        }
    }
}

pub(crate) struct Writer {
    pub directory: PathBuf,
    pub segment_bytes: u64,
    pub active: ActiveSegment,
    pub next_sequence: u64,
    /// Highest entry index ever written to each segment.
    pub highest: BTreeMap<u64, Option<u64>>,
    pub vote_file: SlotFile<Vote>,
    pub mark_file: SlotFile<Mark>,
    /// What is durable, and thus may be acknowledged.
    pub mark: Mark,
    pub index: Arc<Mutex<Index>>,
    pub on_disk_failure: DiskFailureHook,
    pub preparation: Option<Preparation>,
    /// Whether the disk has failed.
    pub failed: bool,
}

/// The thread of the writer.
#[derive(Debug)]
pub(crate) struct WriterThread {
    /// Disconnected when the thread has ended. `None` in a simulation, which has no thread.
    ended: Option<Receiver<()>>,
}

impl WriterThread {
    /// Waits for the end of the thread, which ends when every clone of the log is dropped.
    pub(crate) fn ended(self) {
        if let Some(ended) = self.ended {
            // Nothing is ever sent.
            let _ = ended.recv();
        }
    }
}

fn failed() -> io::Error {
    io::Error::other("the disk failed earlier")
}

fn refuse(request: Request) {
    match request {
        Request::Append { done, .. } => done.io_completed(Err(failed())),
        Request::TruncateAfter { done, .. } | Request::PurgeTo { done, .. } | Request::SaveVote { done, .. } => {
            let _ = done.send(Err(failed()));
        }
    }
}

/// A frame that is being put together, and what to do when it is durable.
#[derive(Default)]
struct Batch {
    frame: FrameBuilder,
    placed: Vec<(LogId, Place)>,
    waiters: Vec<Waiter>,
    purge: Option<LogId>,
}

impl Writer {
    /// Serves requests on its own thread until every sender is dropped. In a simulation, a task serves them.
    pub(crate) fn start(mut self, mut requests: mpsc::Receiver<Request>) -> io::Result<WriterThread> {
        if let Some(simulation) = simulation::current() {
            spawn("raft-log", async move {
                while let Some(first) = requests.recv().await {
                    tokio::time::sleep(simulation.disk_delay()).await;
                    self.serve(first, &mut requests);
                }
            });
            return Ok(WriterThread { ended: None });
        }
        let (end, ended) = sync_channel::<()>(1);
        on_thread("raft-log", move || {
            while let Some(first) = requests.blocking_recv() {
                self.serve(first, &mut requests);
            }
            if let Some(preparation) = self.preparation.take() {
                preparation.settle();
            }
            if let Err(error) = self.mark_file.sync() {
                warn!(%error, "could not make the mark of acknowledged entries durable");
            }
            drop(end);
        })?;
        Ok(WriterThread { ended: Some(ended) })
    }

    /// Serves a request together with those that wait behind it.
    fn serve(&mut self, first: Request, requests: &mut mpsc::Receiver<Request>) {
        if self.failed {
            return refuse(first);
        }
        let mut batch = Batch::default();
        let mut next = Some(first);
        let mut result = Ok(());
        while let Some(request) = next.take() {
            if let Request::SaveVote { vote, done } = request {
                // Votes and entries reach the disk in the order of their requests.
                result = self.flush(&mut batch).and_then(|()| self.save_vote(&vote));
                let _ = done.send(clone_result(&result));
            } else {
                result = batch.add(request);
            }
            if result.is_ok() && batch.frame.len() < FRAME_LIMIT {
                next = requests.try_recv().ok();
            }
        }
        if let Err(error) = result.and_then(|()| self.flush(&mut batch)) {
            // From now on no request is acknowledged.
            self.failed = true;
            (self.on_disk_failure)(&error.to_string());
            for waiter in batch.waiters {
                waiter.tell(Err(failed()));
            }
        }
    }

    fn save_vote(&mut self, vote: &Vote) -> Result<(), LogError> {
        let started = Instant::now();
        self.vote_file.write(vote)?;
        self.vote_file.sync()?;
        histogram!(names::RAFT_FSYNC_SECONDS).record(started.elapsed().as_secs_f64());
        self.mark.vote = Some(*vote);
        self.mark_file.write(&self.mark)
    }

    fn flush(&mut self, batch: &mut Batch) -> Result<(), LogError> {
        if batch.frame.is_empty() {
            return Ok(());
        }
        let bytes = batch.frame.len() as u64;
        if self.active.end + bytes > self.active.size {
            self.roll(bytes)?;
        }
        let frame = batch.frame.finish(self.active.header.salt, self.next_sequence);
        let started = Instant::now();
        let sync = || if is_planted(Flaw::UnsyncedLog) { Ok(()) } else { self.active.file.sync_data() };
        let write = self.active.file.write_all_at(&frame, self.active.end).and_then(|()| sync());
        write.map_err(LogError::io(&self.active.path))?;
        histogram!(names::RAFT_FSYNC_SECONDS).record(started.elapsed().as_secs_f64());
        let (base, number) = (self.active.end, self.active.header.number);
        self.active.end += bytes;
        self.next_sequence += 1;
        self.mark.next_sequence = self.next_sequence;
        self.mark_file.write(&self.mark)?;
        let last = batch.placed.iter().map(|(log_id, _)| log_id.index).max();
        let highest = self.highest.entry(number).or_default();
        *highest = (*highest).max(last);
        {
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            for (log_id, place) in batch.placed.drain(..) {
                index.placed(log_id, number, Place { offset: base + place.offset, ..place });
            }
            gauge!(names::RAFT_LOG_ENTRIES).set(index.len() as f64);
            gauge!(names::RAFT_LOG_BYTES).set(index.bytes() as f64);
        }
        if let Some(purged) = batch.purge.take() {
            self.remove_purged(purged)?;
        }
        for waiter in batch.waiters.drain(..) {
            waiter.tell(Ok(()));
        }
        if self.preparation.is_none() && self.active.end > self.active.size / 2 {
            self.preparation = Preparation::start(&self.directory, number + 1, self.segment_bytes);
        }
        Ok(())
    }

    /// Continues in a new segment that has room for a frame of `bytes` bytes.
    fn roll(&mut self, bytes: u64) -> Result<(), LogError> {
        let number = self.active.header.number + 1;
        let prepared = self.preparation.take().and_then(|preparation| preparation.take(number, bytes));
        let mut segment = match prepared {
            Some(segment) => segment?,
            None => prepare(&self.directory, number, self.segment_bytes.max(bytes + 64))?,
        };
        publish(&self.directory, &mut segment)?;
        self.highest.insert(number, None);
        self.index.lock().unwrap_or_else(PoisonError::into_inner).files.insert(number, Arc::clone(&segment.file));
        self.active = segment;
        self.mark_file.sync()
    }

    /// Removes segments with only purged entries, oldest first. The record of the purge must be durable already.
    fn remove_purged(&mut self, purged: LogId) -> Result<(), LogError> {
        let mut removed = false;
        while let Some((number, highest)) = self.highest.first_key_value() {
            let number = *number;
            if number == self.active.header.number || highest.is_some_and(|highest| highest > purged.index) {
                break;
            }
            remove_segment(&self.directory, number)?;
            self.highest.remove(&number);
            self.index.lock().unwrap_or_else(PoisonError::into_inner).files.remove(&number);
            removed = true;
        }
        if removed { sync_directory(Path::new(&self.directory)) } else { Ok(()) }
    }
}

impl Batch {
    fn add(&mut self, request: Request) -> Result<(), LogError> {
        match request {
            Request::Append { records, done } => {
                for (log_id, body) in records {
                    let place = self.frame.push(&body);
                    self.placed.push((log_id, place));
                }
                self.waiters.push(Waiter::Flushed(done));
            }
            Request::TruncateAfter { after, done } => self.mark(&Record::TruncateAfter(after), done)?,
            Request::PurgeTo { log_id, done } => {
                self.mark(&Record::PurgeTo(log_id), done)?;
                self.purge = self.purge.max(Some(log_id));
            }
            Request::SaveVote { .. } => {}
        }
        Ok(())
    }

    fn mark(&mut self, record: &Record, done: oneshot::Sender<io::Result<()>>) -> Result<(), LogError> {
        self.waiters.push(Waiter::Done(done));
        let body = encode_body(record).map_err(|error| LogError::Io { path: PathBuf::new(), source: io::Error::other(error) })?;
        self.frame.push(&body);
        Ok(())
    }
}

fn clone_result(result: &Result<(), LogError>) -> io::Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
