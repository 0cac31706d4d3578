//! Prints what statements have done.

use weir_client::sql_client::{Outcome, ResultTable, Submission};
use weir_protocol::job_graph::DataType;
use weir_world::{err_line, out_line};

use super::render::lone_text;
use super::screen::Screen;

/// Prints the outcome of a statement: results to standard output. For programs, only they go there.
pub(super) fn show(outcome: &Outcome, screen: &Screen) {
    let say = |line: String| if screen.is_for_people() { out_line!("{line}") } else { err_line!("weir: {line}") };
    for notice in notices(outcome) {
        err_line!("weir: {notice}");
    }
    match outcome {
        // The rows of a query come later.
        Outcome::Done | Outcome::Query(_) => {}
        Outcome::Table(result) => screen.print(result),
        Outcome::Submitted(submission) if screen.is_for_people() => {
            out_line!("Submitted {}\nJob ID: {}", submission.name, submission.job_id);
        }
        Outcome::Submitted(submission) => screen.print(&submission_table(submission)),
        Outcome::Canceling(job) => say(format!("canceling {job}")),
        Outcome::Stopped { job, savepoint } if screen.is_for_people() => {
            out_line!("job {job} is stopped; savepoint: {savepoint}");
        }
        Outcome::Stopped { savepoint, .. } => screen.print(&lone_row(&["savepoint path"], vec![savepoint.clone()])),
    }
}

fn notices(outcome: &Outcome) -> &[String] {
    match outcome {
        Outcome::Query(query) => &query.notices,
        Outcome::Submitted(submission) => &submission.notices,
        _ => &[],
    }
}

fn submission_table(submission: &Submission) -> ResultTable {
    lone_row(&["job id", "job name"], vec![submission.job_id.to_string(), submission.name.clone()])
}

fn lone_row(columns: &[&str], cells: Vec<String>) -> ResultTable {
    let columns = columns.iter().map(|name| ((*name).to_owned(), DataType::String)).collect();
    ResultTable { columns, rows: vec![cells.into_iter().map(Some).collect()] }
}

/// What is said of a result after it: how many rows it has.
pub(super) fn row_count(result: &ResultTable) -> String {
    if lone_text(result).is_some() { "OK".to_owned() } else { rows_in_set(result.rows.len() as u64) }
}

/// How many rows a result has.
pub(super) fn rows_in_set(rows: u64) -> String {
    match rows {
        0 => "Empty set".to_owned(),
        1 => "1 row in set".to_owned(),
        rows => format!("{rows} rows in set"),
    }
}
