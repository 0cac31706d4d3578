//! Says what becomes of a job while a command waits for its end.

use weir_protocol::LeaderEpoch;
use weir_protocol::job_status::JobStatus;
use weir_protocol::rest::JobDescription;

/// What has been said about a job so far.
#[derive(Debug, Default)]
pub(super) struct Narrator {
    last: Option<Seen>,
    /// Whether the job has been seen to run.
    ran: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    status: JobStatus,
    restarts: u32,
    epoch: LeaderEpoch,
}

impl Narrator {
    /// Returns the lines to say about the job, if anything has changed. The result of an ended job is not part of them.
    pub(super) fn see(&mut self, job: &JobDescription) -> Vec<String> {
        let now = Seen { status: job.status, restarts: job.restarts, epoch: job.epoch };
        let before = self.last.replace(now);
        if before == Some(now) || now.status.is_globally_terminal() {
            return Vec::new();
        }
        let mut lines = Vec::new();
        if let Some(before) = before
            && before.epoch != now.epoch
        {
            lines.push(format!("another JobManager leads now, under epoch {}", now.epoch));
        }
        // A leader counts restarts from 0.
        let restarted = before.is_some_and(|before| before.epoch == now.epoch && before.restarts < now.restarts);
        let changed = before.is_none_or(|before| before.status != now.status);
        let again = if self.ran && now.status == JobStatus::Running { " again" } else { "" };
        let cause = if restarted || matches!(now.status, JobStatus::Restarting | JobStatus::Failing) { cause(job) } else { None };
        let cause = cause.or_else(|| (now.status != JobStatus::Running).then(|| job.reason.clone()).flatten());
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        match (changed, now.status) {
            // The cause was said before.
            (true, JobStatus::Running) => lines.push(format!("the job is RUNNING{again}")),
            (true, status) => lines.push(format!("the job is {}{cause}", status.as_str())),
            // The restart took less time than the pause between two looks.
            (false, JobStatus::Running) if restarted => lines.push(format!("the job has restarted and is RUNNING again{cause}")),
            (false, _) => {}
        }
        self.ran |= now.status == JobStatus::Running;
        lines
    }
}

/// The newest failure of the job, on one line.
fn cause(job: &JobDescription) -> Option<String> {
    let newest = job.exceptions.first()?;
    let place = newest.task.as_ref().map_or_else(String::new, |task| format!(" (in {task})"));
    let message = newest.message.lines().next().unwrap_or_default();
    // Some messages begin with their code.
    let code = if message.starts_with(&newest.code) { String::new() } else { format!("{} ", newest.code) };
    Some(format!("{code}{message}{place}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(status: &str, restarts: u32, epoch: u64) -> JobDescription {
        let failure = json!({"timestamp_ms": 1, "code": "SOURCE-READ", "message": "no such file\nmore", "task": "read 1/2",
            "task_manager": null});
        let exceptions = if restarts > 0 || status == "RESTARTING" { vec![failure] } else { Vec::new() };
        let description = json!({"job_id": weir_protocol::JobId(7), "name": "j", "status": status, "reason": null,
            "submitted_at_ms": 1, "ended_at_ms": null, "restarts": restarts, "max_parallelism": 128, "epoch": epoch,
            "vertices": [], "exceptions": exceptions,
            "checkpoints": {"counts": {"restored": 0, "total": 0, "in_progress": 0, "completed": 0, "failed": 0},
                "latest_completed": null, "latest_restored": null}});
        serde_json::from_value(description).unwrap()
    }

    #[test]
    fn each_change_is_said_once_with_its_cause() {
        let mut narrator = Narrator::default();
        let mut said = Vec::new();
        for (status, restarts, epoch) in [
            ("CREATED", 0, 1),
            ("RUNNING", 0, 1),
            ("RUNNING", 0, 1),
            ("RESTARTING", 0, 1),
            ("RESTARTING", 0, 1),
            ("RUNNING", 1, 1),
            ("RUNNING", 2, 1),
            ("RUNNING", 0, 2),
            ("FINISHED", 0, 2),
        ] {
            said.extend(narrator.see(&job(status, restarts, epoch)));
        }
        let expected = [
            "the job is CREATED",
            "the job is RUNNING",
            "the job is RESTARTING: SOURCE-READ no such file (in read 1/2)",
            "the job is RUNNING again",
            "the job has restarted and is RUNNING again: SOURCE-READ no such file (in read 1/2)",
            "another JobManager leads now, under epoch 2",
        ];
        assert_eq!(said, expected);
    }
}
