//! Reads a page of an operation's result.

use arrow_array::RecordBatch;
use weir_dataflow::time_zone::Zone;
use weir_ha::SqlHandle;
use weir_protocol::JobId;

use crate::error::GatewayError;
use crate::execute;
use crate::led::{Led, Update};
use crate::live::LiveSession;
use crate::page::{self, Fetch};
use crate::records::{Outcome, ResultKind, State};
use crate::render::{RowFormat, Rows};

/// Most rows of a page. Flink's gateway gives up to 5,000.
const MAX_ROWS: usize = 1_000;

/// The answer to a request for a page.
#[derive(Debug, PartialEq)]
pub(crate) enum Page {
    /// Nothing can be read yet: ask for the same page again.
    NotReady,
    Ready(ReadyPage),
}

/// A page of a result.
#[derive(Debug, PartialEq)]
pub(crate) struct ReadyPage {
    /// The token of the next page; `None` if no page follows.
    pub(crate) next: Option<u64>,
    pub(crate) is_query: bool,
    pub(crate) job: Option<JobId>,
    /// Flink's word for whether there is content.
    pub(crate) kind: ResultKind,
    pub(crate) rows: Rows,
}

/// The page `token` of an operation's result.
pub(crate) async fn fetch(
    led: &Led,
    live: &LiveSession,
    id: SqlHandle,
    token: u64,
    format: RowFormat,
) -> Result<Page, GatewayError> {
    match execute::state(led, live, id).await? {
        State::Pending { .. } | State::Running { .. } if token == 0 => Ok(Page::NotReady),
        State::Pending { .. } | State::Running { .. } => Err(wrong_token(token, 0)),
        State::Finished(outcome) => known(&outcome, token, format).map(Page::Ready),
        State::Failed { error } => Err(GatewayError::bad_request(error)),
        State::Canceled => Err(GatewayError::conflict(format!("SQL-OPERATION-ENDED: operation {id} was canceled"))),
        State::Closed => Err(GatewayError::not_found(format!("SQL-OPERATION: operation {id} was closed"))),
        State::Query { .. } => {
            let _paging = live.paging.lock().await;
            query_page(led, live, id, token, format).await
        }
    }
}

/// A page of a result that is known as a whole: all rows are on the first page, and the end follows. Without rows, the first page is the
/// end, as in Flink.
fn known(outcome: &Outcome, token: u64, format: RowFormat) -> Result<ReadyPage, GatewayError> {
    let end = u64::from(!outcome.table.rows.is_empty());
    if token > end {
        return Err(wrong_token(token, end));
    }
    let rows = Rows::of_table(&outcome.table, token < end, format);
    Ok(ReadyPage { next: (token < end).then_some(end), is_query: false, job: outcome.job, kind: outcome.kind, rows })
}

fn wrong_token(token: u64, expected: u64) -> GatewayError {
    let next = expected.saturating_add(1);
    GatewayError::bad_request(format!(
        "SQL-TOKEN: page {token} can't be read; only page {expected} again, or {next} if it follows"
    ))
}

async fn query_page(led: &Led, live: &LiveSession, id: SqlHandle, token: u64, format: RowFormat) -> Result<Page, GatewayError> {
    let State::Query { job, columns, page: newest } = live.operation(id)?.state else {
        return Err(GatewayError::conflict(format!("SQL-OPERATION-ENDED: the rows of operation {id} can't be read any more")));
    };
    let zone = Zone::parse(live.session().options.local_time_zone()).unwrap_or(Zone::UTC);
    let ready = |next: Option<u64>, batches: &[RecordBatch]| {
        let rows = Rows::of_batches(&columns, batches, format, zone)?;
        Ok(Page::Ready(ReadyPage { next, is_query: true, job: Some(job), kind: ResultKind::SuccessWithContent, rows }))
    };
    let (mark, batches) = match page::fetch(newest, token) {
        Fetch::Refused { expected } => return Err(wrong_token(token, expected)),
        Fetch::Again(mark) if mark.is_end => return ready(None, &[]),
        Fetch::Again(mark) => {
            let rows = usize::try_from(mark.next_row.saturating_sub(mark.first_row)).unwrap_or(usize::MAX);
            let batches = led.results.page(job, mark.first_row, mark.first_row, rows).await?.rows;
            if count(&batches) < rows as u64 {
                // They are in a completed checkpoint; this leader has not read it yet.
                return Ok(Page::NotReady);
            }
            (mark, batches)
        }
        Fetch::Next { from_row } => {
            // Until this page is recorded, the page before it can be read again.
            let kept_from = newest.map_or(from_row, |mark| mark.first_row);
            let page = led.results.page(job, from_row, kept_from, MAX_ROWS).await?;
            let rows = count(&page.rows);
            if let (Some(failure), 0) = (&page.failure, rows) {
                let state = State::Failed { error: failure.clone() };
                led.commit(live, Update { operation: Some((id, state)), ..Update::default() }).await?;
                return Err(GatewayError::bad_request(failure.clone()));
            }
            // As in Flink, a page without rows: clients take NOT_READY only before an operation is FINISHED.
            let Some(mark) = page::mark(token, from_row, rows, page.is_end) else { return ready(Some(token), &[]) };
            // Before the client hears of it: every later leader gives the same page.
            let state = State::Query { job, columns: columns.clone(), page: Some(mark) };
            led.commit(live, Update { operation: Some((id, state)), ..Update::default() }).await?;
            if mark.is_end {
                led.results.close(job).await?;
            }
            (mark, page.rows)
        }
    };
    ready((!mark.is_end).then_some(token.saturating_add(1)), &batches)
}

fn count(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Table;

    #[test]
    fn a_known_result_has_its_rows_on_one_page_and_the_end_is_a_page_of_its_own() {
        let next = |token| known(&Outcome::ok(), token, RowFormat::Json).map(|page| page.next);
        assert_eq!((next(0), next(1)), (Ok(Some(1)), Ok(None)));
        assert!(next(2).unwrap_err().text().starts_with("SQL-TOKEN"));
        let empty = Outcome { table: Table { rows: Vec::new(), ..Outcome::ok().table }, ..Outcome::ok() };
        assert_eq!(known(&empty, 0, RowFormat::Json).map(|page| page.next), Ok(None));
        assert!(known(&empty, 1, RowFormat::Json).is_err());
    }
}
