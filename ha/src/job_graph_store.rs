//! The graphs of submitted jobs. The bytes are in file storage, a small handle is in the coordination store.

use std::fmt::Write;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_protocol::job_graph::JobGraph;
use weir_protocol::rest::SubmitRequest;
use weir_protocol::{JobId, LeaderEpoch};
use weir_storage::file_system::{FileError, FileSystemRef};

use crate::resolved_commit::{self, Resolved};
use crate::{Expect, HaServices, Leadership, Operation, ReadError, StoreError, keys, record};

/// Graphs of at most this many bytes are kept in the handle itself.
pub const INLINE_GRAPH_LIMIT: usize = 16 * 1024;

/// The largest graph, in bytes.
pub const GRAPH_LIMIT: usize = 8 * 1024 * 1024;

/// How often recovery tries to read a file if the error is retryable.
const READ_ATTEMPTS: u32 = 3;

/// The outcome of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// The job is durable and will be recovered by every later leader.
    Created,
    /// The same submission was made before and has created this job (G2).
    AlreadySubmitted { job: JobId },
}

/// A job found in the store by a new leader.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "almost all are readable")]
pub enum RecoveredJob {
    /// The graph was read and is intact.
    Readable {
        job: JobId,
        /// The graph, with the job's id set.
        graph: JobGraph,
        /// Wall-clock milliseconds since 1970 of its submission.
        submitted_at_ms: u64,
    },
    /// The graph can't be read. Only this job is quarantined, the others continue (G5).
    Unreadable {
        job: JobId,
        /// What is wrong; for people.
        reason: String,
    },
}

/// The value of `jobs/<job>/graph`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct GraphHandle {
    /// Path in file storage, unless the graph is inline.
    path: Option<String>,
    /// The graph in hexadecimal, if it is small.
    inline: Option<String>,
    /// Length of the graph in bytes.
    length: u64,
    /// CRC32C of the graph.
    crc32c: u32,
    token: Option<String>,
    /// Wall-clock milliseconds since 1970.
    submitted_at_ms: u64,
    /// Epoch of the leader that accepted the job.
    epoch: LeaderEpoch,
}

/// The value of `tokens/<token>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    /// The job that the submission created.
    pub(crate) job: JobId,
    /// The graph that was submitted. Records of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) graph: Option<GraphDigest>,
}

/// Tells graphs apart, to recognise the repetition of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphDigest {
    length: u64,
    crc32c: u32,
}

impl GraphDigest {
    /// The digest of a graph as the client submitted it: before it gets the cluster's defaults, which the next leader may choose
    /// differently. The job's id does not count, because a client may draw a new one for each attempt.
    pub fn of(graph: &JobGraph) -> Self {
        let bytes = JobGraph { job_id: None, ..graph.clone() }.encode();
        Self { length: bytes.len() as u64, crc32c: crc32c::crc32c(&bytes) }
    }
}

/// A client's token for a submission.
#[derive(Debug, Clone, Copy)]
pub struct ClientToken<'a> {
    pub token: &'a str,
    /// The graph as the client submitted it.
    pub graph: GraphDigest,
}

/// The graphs of all jobs that have not been cleaned up.
#[derive(Clone)]
pub struct JobGraphStore {
    ha: HaServices,
    files: FileSystemRef,
}

impl JobGraphStore {
    /// A store with its handles in `ha`, and with its large graphs in `files` under `job-graphs/`.
    pub fn new(ha: HaServices, files: FileSystemRef) -> Self {
        Self { ha, files }
    }

    /// Makes a job durable. The client may be told so only after this has returned `Ok`.
    ///
    /// A repetition (the same token and graph, or the same id and graph) returns the first outcome (G2). It is a `Conflict` to
    /// submit a job that has a result already (R1), or another graph under a known id, and `TokenTaken` to submit another graph
    /// with a known token.
    pub async fn submit(
        &self,
        leadership: &Leadership,
        graph: &JobGraph,
        client_token: Option<ClientToken<'_>>,
        submitted_at_ms: u64,
    ) -> Result<Submission, StoreError> {
        let refused = |reason: String| StoreError::Refused { reason };
        let job = graph.job_id.ok_or_else(|| refused("a job graph without id can't be submitted".to_owned()))?;
        let token = match client_token {
            Some(ClientToken { token, graph }) => {
                let limit = SubmitRequest::MAX_TOKEN_BYTES;
                let key = keys::token(token)
                    .ok_or_else(|| refused(format!("a client token is 1 to {limit} letters, digits, '.', '_' or '-'")))?;
                Some((key, graph))
            }
            None => None,
        };
        let bytes = encode_graph(graph)?;
        if bytes.len() > GRAPH_LIMIT {
            return Err(refused(format!("the job graph is {} bytes, the limit is {GRAPH_LIMIT}", bytes.len())));
        }
        if let Some(known) = self.earlier_submission(job, &bytes, token.as_ref()).await? {
            return Ok(known);
        }
        self.check_room()?;

        let (path, inline) = if bytes.len() <= INLINE_GRAPH_LIMIT {
            (None, Some(to_hex(&bytes)))
        } else {
            (Some(self.write_bytes(job, &bytes).await?), None)
        };
        let handle = GraphHandle {
            path,
            inline,
            length: bytes.len() as u64,
            crc32c: crc32c::crc32c(&bytes),
            token: client_token.map(|token| token.token.to_owned()),
            submitted_at_ms,
            epoch: leadership.epoch(),
        };
        let key = keys::graph(job);
        let put = |key: String, value: Bytes| Operation::Put { key, value, expect: Expect::Absent };
        let mut operations = vec![put(key.clone(), record::encode(&key, &handle)?)];
        if let Some((token_key, graph)) = &token {
            let value = record::encode(token_key, &TokenRecord { job, graph: Some(*graph) })?;
            operations.push(put(token_key.clone(), value));
        }
        // This deletes nothing. It is the condition that the job has not ended yet.
        operations.push(Operation::Delete { key: keys::result(job), expect: Expect::Absent });
        match resolved_commit::commit(&*self.ha, leadership, operations).await? {
            Resolved::Applied => Ok(Submission::Created),
            Resolved::Conflict { key } => match self.earlier_submission(job, &bytes, token.as_ref()).await? {
                Some(known) => Ok(known),
                None => Err(StoreError::Conflict { key, reason: "the job has ended already".to_owned() }),
            },
        }
    }

    /// Refuses a new job once the store is half full. The rest is for the jobs that run: without room for their checkpoints and
    /// results they would fail.
    fn check_room(&self) -> Result<(), StoreError> {
        StoreError::check_room(self.ha.usage())
    }

    /// Reads every submitted job. A graph that can't be read quarantines only its own job (G5).
    pub async fn recover(&self) -> Result<Vec<RecoveredJob>, ReadError> {
        let mut jobs = Vec::new();
        for (key, found) in self.ha.list(keys::JOBS).await? {
            let Some(job) = keys::job_of_graph(&key) else {
                tracing::error!(key, "unknown key under jobs/: written by something else, or by a newer version; ignored");
                continue;
            };
            jobs.push(self.recover_from(job, &key, &found.value).await);
        }
        Ok(jobs)
    }

    /// Reads one submitted job; `None` if the store has no such job.
    pub async fn read(&self, job: JobId) -> Result<Option<RecoveredJob>, ReadError> {
        let key = keys::graph(job);
        let Some(found) = self.ha.get(&key).await? else { return Ok(None) };
        Ok(Some(self.recover_from(job, &key, &found.value).await))
    }

    async fn recover_from(&self, job: JobId, key: &str, value: &[u8]) -> RecoveredJob {
        match self.read_graph(job, key, value).await {
            Ok((graph, submitted_at_ms)) => RecoveredJob::Readable { job, graph, submitted_at_ms },
            Err(error) => RecoveredJob::Unreadable { job, reason: error.to_string() },
        }
    }

    /// Deletes a job's graph: the handle first, then the bytes. Idempotent (G4). The client's token stays until the job's result
    /// is deleted, so that a late repetition of the submission doesn't run the job again.
    pub async fn remove(&self, leadership: &Leadership, job: JobId) -> Result<(), StoreError> {
        let key = keys::graph(job);
        let delete = Operation::Delete { key: key.clone(), expect: Expect::Any };
        if let Resolved::Conflict { key } = resolved_commit::commit(&*self.ha, leadership, vec![delete]).await? {
            return Err(StoreError::Conflict { key, reason: "an unconditional delete was refused".to_owned() });
        }
        for file in self.files.list(&directory(job)).await? {
            self.files.delete(&file.path).await?;
        }
        Ok(self.files.sync_deletes(&directory(job)).await?)
    }

    /// The outcome of an earlier submission with this token or of this job, if there was one.
    async fn earlier_submission(
        &self,
        job: JobId,
        bytes: &[u8],
        token: Option<&(String, GraphDigest)>,
    ) -> Result<Option<Submission>, StoreError> {
        if let Some((token_key, graph)) = token
            && let Some(found) = self.ha.get(token_key).await?
        {
            let known: TokenRecord = record::decode(token_key, &found.value)?;
            if known.graph.is_some_and(|known| known != *graph) {
                let token = token_key.trim_start_matches(keys::TOKENS).to_owned();
                return Err(StoreError::TokenTaken { token, job: known.job });
            }
            return Ok(Some(Submission::AlreadySubmitted { job: known.job }));
        }
        let key = keys::graph(job);
        let Some(found) = self.ha.get(&key).await? else { return Ok(None) };
        let handle: GraphHandle = record::decode(&key, &found.value)?;
        if handle.length == bytes.len() as u64 && handle.crc32c == crc32c::crc32c(bytes) {
            return Ok(Some(Submission::AlreadySubmitted { job }));
        }
        Err(StoreError::Conflict { key, reason: "another graph was submitted under this job id".to_owned() })
    }

    /// Writes the bytes to a file named by their length and checksum. The same file may be there already.
    async fn write_bytes(&self, job: JobId, bytes: &Bytes) -> Result<String, StoreError> {
        let path = format!("{}/{}-{:08x}", directory(job), bytes.len(), crc32c::crc32c(bytes));
        match self.files.write_new(&path, bytes.clone()).await {
            Ok(()) => Ok(path),
            // The answer is the same if an earlier attempt of ours wrote the file and its outcome was lost.
            Err(FileError::AlreadyExists { .. }) => {
                if self.files.read(&path, GRAPH_LIMIT as u64).await? == *bytes {
                    return Ok(path);
                }
                Err(StoreError::Conflict { key: path, reason: "the file holds another graph".to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn read_graph(&self, job: JobId, key: &str, value: &[u8]) -> Result<(JobGraph, u64), StoreError> {
        let corrupt = |reason: String| StoreError::Corrupt { key: key.to_owned(), reason };
        let handle: GraphHandle = record::decode(key, value)?;
        let (place, bytes) = match (&handle.path, &handle.inline) {
            (Some(path), None) if path.starts_with(&format!("{}/", directory(job))) => {
                (path.as_str(), self.read_bytes(path).await?)
            }
            (None, Some(hex)) => {
                ("the handle", from_hex(hex).ok_or_else(|| corrupt("the inline graph is not hexadecimal".to_owned()))?)
            }
            _ => return Err(corrupt("names no graph of this job".to_owned())),
        };
        let crc32c = crc32c::crc32c(&bytes);
        if bytes.len() as u64 != handle.length || crc32c != handle.crc32c {
            return Err(corrupt(format!(
                "{place} has {} bytes with CRC32C {crc32c:08x}, expected {} bytes with {:08x}",
                bytes.len(),
                handle.length,
                handle.crc32c,
            )));
        }
        let graph = decode_graph(&bytes).map_err(|error| corrupt(format!("{place}: {error}")))?;
        if graph.job_id != Some(job) {
            return Err(corrupt(format!("{place} is the graph of another job")));
        }
        Ok((graph, handle.submitted_at_ms))
    }

    async fn read_bytes(&self, path: &str) -> Result<Bytes, FileError> {
        let mut attempts = 1;
        loop {
            match self.files.read(path, GRAPH_LIMIT as u64).await {
                Err(error) if error.is_retryable() && attempts < READ_ATTEMPTS => attempts += 1,
                outcome => return outcome,
            }
        }
    }
}

fn directory(job: JobId) -> String {
    format!("job-graphs/{job}")
}

fn encode_graph(graph: &JobGraph) -> Result<Bytes, StoreError> {
    Ok(graph.encode())
}

fn decode_graph(bytes: &Bytes) -> Result<JobGraph, String> {
    JobGraph::decode(bytes).map_err(|error| error.to_string())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn from_hex(hex: &str) -> Option<Bytes> {
    if !hex.len().is_multiple_of(2) || hex.len() > 2 * INLINE_GRAPH_LIMIT {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs.map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect::<Option<Vec<u8>>>().map(Bytes::from)
}

#[cfg(test)]
pub(crate) mod tests;
