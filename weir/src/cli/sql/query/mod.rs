//! Shows the rows of a query while it runs.

mod fold;
mod view;

use std::time::Instant;

use weir_client::sql_client::{RunningQuery, SqlClient};
use weir_protocol::rest::QueryRows;
use weir_world::output;

use super::interrupt::or_interrupted;
use super::screen::Screen;
use crate::cli::exit_code::Failure;
use view::View;

/// Most rows in one answer.
const PAGE_ROWS: u64 = 10_000;

/// Shows the rows of a query until it ends, or until Ctrl-C ends it. Returns what to say then. The cluster forgets the query.
pub(super) async fn show(client: &SqlClient, query: &RunningQuery, screen: &Screen) -> Result<String, Failure> {
    let mut view = View::new(query, client.result_view(), screen);
    let followed = or_interrupted(follow(client, query, &mut view)).await;
    view.finish();
    // The rows that are shown count, and the cluster forgets an idle query by itself.
    let closed = client.close_query(query.job_id).await;
    match followed {
        Some(Ok(())) => {
            closed?;
            Ok(view.summary())
        }
        Some(Err(failure)) => Err(failure),
        None => {
            closed?;
            Ok(format!("stopped the query; {}", view.summary()))
        }
    }
}

async fn follow(client: &SqlClient, query: &RunningQuery, view: &mut View) -> Result<(), Failure> {
    let (mut from, started) = (0, Instant::now());
    loop {
        let QueryRows { first, rows, is_end, status, failure } = client.query_rows(query.job_id, from, PAGE_ROWS).await?;
        if first != from {
            return Err(Failure::error(format!("the cluster answered with row {first} instead of {from}")));
        }
        from += rows.len() as u64;
        view.add(rows, is_end)?;
        if let Some(failure) = failure {
            return Err(Failure::error(format!("query {} is {}: {failure}", query.job_id, status.as_str())));
        }
        if is_end || output::reader_is_gone() {
            return Ok(());
        }
        view.say(status, started.elapsed());
    }
}
