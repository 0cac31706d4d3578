//! Waits for the end of a job, and says meanwhile how it is.

use weir_client::sql_client::{SqlClient, Submission};
use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;
use weir_protocol::rest::JobDescription;
use weir_world::{err_line, wall_clock_ms};

use super::screen::StatusLine;
use crate::cli::exit_code::Failure;
use crate::cli::narration::Narrator;
use crate::cli::output::duration_text;

/// Waits until the job has ended, across leader changes. The error says why it did not finish.
pub(super) async fn wait_for(client: &SqlClient, submission: &Submission) -> Result<JobDescription, Failure> {
    let (mut narrator, mut status) = (Narrator::default(), StatusLine::new());
    let mut say = |job: &JobDescription| {
        let news = narrator.see(job);
        if !news.is_empty() {
            status.clear();
            news.iter().for_each(|line| err_line!("weir: {line}"));
        }
        status.show(&progress(job));
    };
    let end = client.wait(submission.job_id, &mut say).await?;
    drop(status);
    if end.status == JobStatus::Finished { Ok(end) } else { Err(Failure::error(ending(&end))) }
}

/// The state of a running job on one line.
fn progress(job: &JobDescription) -> String {
    let age = duration_text(wall_clock_ms().saturating_sub(job.submitted_at_ms));
    let checkpoints = job.checkpoints.counts.completed;
    format!("{} for {age}; checkpoints: {checkpoints}; Ctrl-C stops waiting, not the job", job.status.as_str())
}

/// What to say of a job that has ended.
pub(super) fn ending(job: &JobDescription) -> String {
    let lasted = job.ended_at_ms.map(|ended| format!(" after {}", duration_text(ended.saturating_sub(job.submitted_at_ms))));
    let lasted = lasted.unwrap_or_default();
    let checkpoints = job.checkpoints.counts.completed;
    if job.status == JobStatus::Finished {
        return format!("job {} is FINISHED{lasted}; checkpoints: {checkpoints}", job.job_id);
    }
    let cause = job.cause().map_or_else(String::new, |cause| format!(": {cause}"));
    format!("job {} is {}{lasted}{cause}", job.job_id, job.status.as_str())
}

/// What to say of a job that is no longer waited for.
pub(super) fn goes_on(job: JobId) -> String {
    format!("job {job} goes on (weir job wait {job}, weir job cancel {job})")
}
