//! The results of jobs. A job's result is absent, then dirty, then clean.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;

use crate::fenced_store::MAX_OPERATIONS;
use crate::job_graph_store::TokenRecord;
use crate::resolved_commit::{self, Resolved};
use crate::{Expect, HaServices, Leadership, Operation, StoreError, Versioned, keys, record};

/// The longest failure text kept, in bytes.
const FAILURE_LIMIT: usize = 16 * 1024;

/// How a job ended. Any result, dirty or clean, means that no leader ever starts tasks of this job again (R1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobResult {
    pub job: JobId,
    /// The job's name; for people.
    pub name: String,
    /// A globally terminal status.
    pub status: JobStatus,
    /// Wall-clock milliseconds since 1970 of its submission.
    pub submitted_at_ms: u64,
    /// Wall-clock milliseconds since 1970 of its end.
    pub ended_at_ms: u64,
    /// Why the job failed; for people, cut at 16 KiB.
    pub failure: Option<String>,
    /// Whether parts of the job may still have to be cleaned up.
    pub dirty: bool,
}

/// The results of jobs that have ended.
#[derive(Clone)]
pub struct JobResultStore {
    ha: HaServices,
}

impl JobResultStore {
    /// The results in this store.
    pub fn new(ha: HaServices) -> Self {
        Self { ha }
    }

    /// Records how a job ended. Call it before anyone is told and before anything of the job is deleted (R2).
    ///
    /// The first result stands: to record it again is fine, to record another is a `Conflict`.
    pub async fn put_dirty(&self, leadership: &Leadership, result: &JobResult) -> Result<(), StoreError> {
        if !result.status.is_globally_terminal() {
            return Err(StoreError::Refused { reason: format!("{}: {} is not terminal", result.job, result.status.as_str()) });
        }
        let result = JobResult { dirty: true, failure: result.failure.as_deref().map(cut), ..result.clone() };
        let key = keys::result(result.job);
        let put = Operation::Put { key: key.clone(), value: record::encode(&key, &result)?, expect: Expect::Absent };
        match resolved_commit::commit(&*self.ha, leadership, vec![put]).await? {
            Resolved::Applied => Ok(()),
            Resolved::Conflict { .. } => match self.get(result.job).await? {
                Some(known) if (JobResult { dirty: true, ..known.clone() }) == result => Ok(()),
                Some(known) => {
                    Err(StoreError::Conflict { key, reason: format!("the job has ended already: {}", known.status.as_str()) })
                }
                None => Err(StoreError::Conflict { key, reason: "the result was there and has been removed".to_owned() }),
            },
        }
    }

    /// Records that the job is completely cleaned up. Idempotent. A job without a result is a `Conflict`.
    pub async fn mark_clean(&self, leadership: &Leadership, job: JobId) -> Result<(), StoreError> {
        let key = keys::result(job);
        let Some(found) = self.ha.get(&key).await? else {
            return Err(StoreError::Conflict { key, reason: "the job has no result".to_owned() });
        };
        let known = read(&key, &found)?;
        if !known.dirty {
            return Ok(());
        }
        let value = record::encode(&key, &JobResult { dirty: false, ..known })?;
        let put = Operation::Put { key: key.clone(), value, expect: Expect::Version(found.version) };
        match resolved_commit::commit(&*self.ha, leadership, vec![put]).await? {
            Resolved::Applied => Ok(()),
            Resolved::Conflict { key } => match self.get(job).await? {
                Some(known) if !known.dirty => Ok(()),
                _ => Err(StoreError::Conflict { key, reason: "the result changed at the same time".to_owned() }),
            },
        }
    }

    /// The result of a job, or `None` if the job has not ended.
    pub async fn get(&self, job: JobId) -> Result<Option<JobResult>, StoreError> {
        let key = keys::result(job);
        self.ha.get(&key).await?.map(|found| read(&key, &found)).transpose()
    }

    /// All results, ordered by job. An unreadable result is an error: its job must not look as if it had not ended (R1).
    pub async fn list(&self) -> Result<Vec<JobResult>, StoreError> {
        let found = self.ha.list(keys::RESULTS).await?;
        found.iter().map(|(key, value)| read(key, value)).collect()
    }

    /// Deletes those of these results that are clean. Deletes also what else the store may still hold of their jobs: client tokens,
    /// stray checkpoint pointers. Returns the number of results.
    pub async fn forget(&self, leadership: &Leadership, mut jobs: Vec<JobId>) -> Result<usize, StoreError> {
        let clean = self.list().await?.into_iter().filter(|result| !result.dirty).map(|result| result.job);
        let clean: BTreeSet<JobId> = clean.collect();
        jobs.retain(|job| clean.contains(job));
        jobs.sort_unstable();
        if jobs.is_empty() {
            return Ok(0);
        }
        // The result is deleted last: as long as it is there, the job can't be submitted again.
        let mut doomed = Vec::new();
        for (key, found) in self.ha.list(keys::TOKENS).await? {
            let token: TokenRecord = record::decode(&key, &found.value)?;
            if jobs.binary_search(&token.job).is_ok() {
                doomed.push(key);
            }
        }
        for job in &jobs {
            doomed.extend(self.ha.list(&keys::checkpoints(*job)).await?.into_iter().map(|(key, _)| key));
            doomed.push(keys::checkpoint_ids(*job));
        }
        doomed.extend(jobs.iter().map(|job| keys::result(*job)));
        for chunk in doomed.chunks(MAX_OPERATIONS) {
            let delete = |key: &String| Operation::Delete { key: key.clone(), expect: Expect::Any };
            resolved_commit::commit(&*self.ha, leadership, chunk.iter().map(delete).collect()).await?;
        }
        Ok(jobs.len())
    }
}

fn read(key: &str, found: &Versioned) -> Result<JobResult, StoreError> {
    let result: JobResult = record::decode(key, &found.value)?;
    if keys::result(result.job) != key || !result.status.is_globally_terminal() {
        let reason = format!("holds {} of job {}", result.status.as_str(), result.job);
        return Err(StoreError::Corrupt { key: key.to_owned(), reason });
    }
    Ok(result)
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(FAILURE_LIMIT)].to_owned()
}

#[cfg(test)]
mod tests;
