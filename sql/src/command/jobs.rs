//! Jobs as rows, with Flink's columns.

use weir_protocol::JobId;
use weir_protocol::job_graph::DataType;
use weir_protocol::rest::{JobDescription, JobsOverview};
use weir_protocol::utc;

use crate::session::ResultTable;

/// The answer to SHOW JOBS, the newest job first.
pub fn overview_table(overview: &JobsOverview) -> ResultTable {
    let mut jobs: Vec<_> = overview.jobs.iter().collect();
    jobs.sort_by_key(|job| std::cmp::Reverse(job.start_time));
    let row = |job: &&weir_protocol::rest::JobOverview| {
        cells(job.jid.to_string(), &job.name, job.state.as_str(), u64::try_from(job.start_time).unwrap_or_default())
    };
    ResultTable { columns: columns(), rows: jobs.iter().map(row).collect() }
}

/// The answer to DESCRIBE JOB.
pub fn description_table(job: &JobDescription) -> ResultTable {
    let row = cells(job.job_id.to_string(), &job.name, job.status.as_str(), job.submitted_at_ms);
    ResultTable { columns: columns(), rows: vec![row] }
}

/// The answer to INSERT: the job that it has submitted.
pub fn submission_table(job: JobId) -> ResultTable {
    ResultTable::of_texts("job id", [job.to_string()])
}

/// The answer to STOP JOB WITH SAVEPOINT: where the savepoint is.
pub fn savepoint_table(savepoint: String) -> ResultTable {
    ResultTable::of_texts("savepoint path", [savepoint])
}

fn columns() -> Vec<(String, DataType)> {
    let text = |name: &str| (name.to_owned(), DataType::String);
    vec![text("job id"), text("job name"), text("status"), ("start time".to_owned(), DataType::TimestampLtz(3))]
}

fn cells(id: String, name: &str, status: &str, started_ms: u64) -> Vec<Option<String>> {
    vec![Some(id), Some(name.to_owned()), Some(status.to_owned()), Some(utc::text(started_ms))]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_are_listed_with_the_newest_first() {
        let job = |id: u128, start: i64| {
            json!({"jid": weir_protocol::JobId(id), "name": format!("job {id}"), "jobType": "STREAMING", "schedulerType": "Default",
                "start-time": start, "end-time": -1, "duration": 1, "state": "RUNNING", "last-modification": start, "tasks": {},
                "pending-operators": 0})
        };
        let overview = serde_json::from_value(json!({"jobs": [job(1, 0), job(2, 1_704_067_200_000)]})).unwrap();
        let table = overview_table(&overview);
        let shown: Vec<Vec<_>> =
            table.rows.iter().map(|row| row.iter().skip(1).flatten().map(String::as_str).collect()).collect();
        assert_eq!(shown, [["job 2", "RUNNING", "2024-01-01T00:00:00Z"], ["job 1", "RUNNING", "1970-01-01T00:00:00Z"]]);
    }
}
