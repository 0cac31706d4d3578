//! Closes idle queries, and removes the rows of closed ones.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use weir_connectors::query_results;
use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;

use super::{OpenQuery, Results};

/// Longest time between two looks for idle queries.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// The rows of a job that this cluster does not know may be another cluster's, if both use one directory. They are removed if they
/// did not change for this long.
const STRANGE_FOR: Duration = Duration::from_secs(86_400);

/// What to do about the rows of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Keep,
    /// The query is idle or closed.
    Cancel,
    Remove,
}

/// Decides about the rows of a job. `has_ended`: `None` if the job is unknown.
fn fate(has_ended: Option<bool>, is_closed: bool, idle: Duration, unchanged: Duration, timeout: Duration) -> Fate {
    match has_ended {
        None if unchanged >= STRANGE_FOR => Fate::Remove,
        Some(true) if is_closed || idle >= timeout => Fate::Remove,
        Some(false) if is_closed || idle >= timeout => Fate::Cancel,
        _ => Fate::Keep,
    }
}

impl Results {
    /// Sweeps until it is dropped.
    pub(crate) async fn keep_sweeping(&self) {
        let pause = SWEEP_EVERY.min(Duration::from_millis(self.place.idle_timeout_ms.max(100)));
        loop {
            self.sweep().await;
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks at the rows of all queries once.
    pub(super) async fn sweep(&self) {
        let Ok(directory) = self.place.directory.clone() else { return };
        let is_over = |job: &JobId| self.leading.job_status(*job).is_none_or(JobStatus::is_globally_terminal);
        // Before the directories are listed: what an ended job has written is among them.
        let over: BTreeSet<_> = self.lock().keys().copied().filter(is_over).collect();
        let listed = weir_world::blocking(move || list(&directory)).await;
        let listed = match listed {
            Ok(Ok(listed)) => listed,
            Ok(Err(error)) => return tracing::warn!(%error, "the rows of queries can't be listed"),
            Err(_) => return,
        };
        let with_rows: BTreeSet<_> = listed.iter().map(|(job, ..)| *job).collect();
        for (job, path, unchanged) in listed {
            self.decide(job, path, unchanged).await;
        }
        let timeout = Duration::from_millis(self.place.idle_timeout_ms);
        let is_done = |job: &JobId, query: &OpenQuery| {
            over.contains(job) && !with_rows.contains(job) && (query.is_closed || query.last_asked.elapsed() >= timeout)
        };
        self.lock().retain(|job, query| !is_done(job, query));
    }

    async fn decide(&self, job: JobId, path: PathBuf, unchanged: Duration) {
        let has_ended = self.leading.job_status(job).map(JobStatus::is_globally_terminal);
        let (is_closed, idle) = {
            let mut open = self.lock();
            // A query that a former leader began counts as asked for when this leader first sees it.
            let query = open.entry(job).or_insert_with(|| OpenQuery::new(path.clone()));
            (query.is_closed, Instant::now().duration_since(query.last_asked))
        };
        match fate(has_ended, is_closed, idle, unchanged, Duration::from_millis(self.place.idle_timeout_ms)) {
            Fate::Keep => {}
            Fate::Cancel => {
                if !is_closed {
                    tracing::info!(%job, "no client has asked for the rows of the query for {} s; canceling it", idle.as_secs());
                }
                if let Err(error) = self.leading.cancel_job(job).await {
                    tracing::warn!(%job, %error, "the query is idle, but can't be canceled");
                }
            }
            Fate::Remove => {
                let removed = weir_world::blocking(move || query_results::remove_results(&path)).await;
                if let Ok(Err(error)) = removed {
                    tracing::warn!(%job, %error, "the rows of a query can't be removed");
                }
            }
        }
    }
}

/// The rows of each job, and how long ago they changed.
fn list(directory: &Path) -> std::io::Result<Vec<(JobId, PathBuf, Duration)>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut listed = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(job) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let unchanged = changed.ok().and_then(|changed| changed.elapsed().ok()).unwrap_or_default();
        listed.push((job, entry.path(), unchanged));
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_when_their_query_is_closed_or_idle_and_its_job_has_ended() {
        let (short, long, timeout) = (Duration::from_secs(1), Duration::from_secs(700), Duration::from_secs(600));
        assert_eq!(fate(Some(false), false, short, long, timeout), Fate::Keep);
        assert_eq!(fate(Some(false), false, long, short, timeout), Fate::Cancel);
        assert_eq!(fate(Some(false), true, short, short, timeout), Fate::Cancel);
        assert_eq!(fate(Some(true), false, short, long, timeout), Fate::Keep);
        assert_eq!(fate(Some(true), false, long, short, timeout), Fate::Remove);
        assert_eq!(fate(Some(true), true, short, short, timeout), Fate::Remove);
        assert_eq!(fate(None, false, long, long, timeout), Fate::Keep, "it may be another cluster's");
        assert_eq!(fate(None, false, short, STRANGE_FOR, timeout), Fate::Remove);
    }
}
