//! What the user sees of a query: rows or changes as they come, or a table that is refreshed in place.

use std::time::{Duration, Instant};

use weir_client::sql_client::{ResultTable, ResultView, RunningQuery};
use weir_protocol::job_graph::DataType;
use weir_protocol::job_status::JobStatus;
use weir_protocol::rest::QueryRow;

use super::super::answer::rows_in_set;
use super::super::render::RowStream;
use super::super::screen::{LiveTable, Screen, StatusLine};
use super::fold::FoldedTable;
use crate::cli::exit_code::Failure;
use crate::cli::output::duration_text;

/// A table is refreshed at most this often while many changes arrive.
const REFRESH_EVERY: Duration = Duration::from_millis(200);

/// The rows of one query on the screen.
pub(super) struct View {
    screen: Screen,
    status: StatusLine,
    received: u64,
    shown: Shown,
}

enum Shown {
    /// What was printed stays.
    Stream {
        stream: RowStream,
        /// Whether a column tells the kind of each change.
        with_kinds: bool,
    },
    /// The table is printed at the end. Until then the terminal, if there is one, shows how it is.
    Table { columns: Vec<(String, DataType)>, table: FoldedTable, live: LiveTable, refreshed: Option<Instant>, limit: usize },
}

impl View {
    pub(super) fn new(query: &RunningQuery, wanted: ResultView, screen: &Screen) -> Self {
        let shown = match wanted {
            ResultView::Table { max_rows } if query.is_updating => Shown::Table {
                columns: query.columns.clone(),
                table: FoldedTable::default(),
                live: LiveTable::new(*screen),
                refreshed: None,
                limit: max_rows,
            },
            _ => {
                let with_kinds = wanted == ResultView::Changelog;
                let mut columns = query.columns.clone();
                if with_kinds {
                    columns.insert(0, ("op".to_owned(), DataType::String));
                }
                Shown::Stream { stream: RowStream::new(screen.format, columns, screen.width()), with_kinds }
            }
        };
        Self { screen: *screen, status: StatusLine::new(), received: 0, shown }
    }

    /// Shows more rows. `are_last`: no others follow.
    pub(super) fn add(&mut self, rows: Vec<QueryRow>, are_last: bool) -> Result<(), Failure> {
        let are_all = are_last && self.received == 0;
        self.received += rows.len() as u64;
        match &mut self.shown {
            Shown::Stream { stream, with_kinds } => {
                let cells = |row: QueryRow| if *with_kinds { [vec![Some(row.kind)], row.fields].concat() } else { row.fields };
                let rows: Vec<_> = rows.into_iter().map(cells).collect();
                let lines = stream.lines(&rows, are_all);
                if !lines.is_empty() {
                    self.status.clear();
                    self.screen.lines(lines);
                }
            }
            Shown::Table { columns, table, live, refreshed, limit } => {
                let changed = !rows.is_empty();
                for row in rows {
                    table.apply(row).map_err(Failure::error)?;
                }
                if table.len() > *limit {
                    let hint =
                        "set 'sql-client.execution.max-table-result.rows', or 'sql-client.execution.result-mode' = 'changelog'";
                    return Err(Failure::error(format!("the table has more than {limit} rows; {hint}")));
                }
                if changed && !are_last && refreshed.is_none_or(|at| at.elapsed() >= REFRESH_EVERY) {
                    self.status.clear();
                    live.show(columns, table.len(), |count| table.last(count));
                    *refreshed = Some(Instant::now());
                }
            }
        }
        Ok(())
    }

    /// Says at the bottom of the terminal how the query is.
    pub(super) fn say(&mut self, status: JobStatus, age: Duration) {
        let age = duration_text(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let rows = match &self.shown {
            Shown::Stream { .. } => format!("{} rows", self.received),
            Shown::Table { table, .. } => format!("{} rows after {} changes", table.len(), self.received),
        };
        self.status.show(&format!("{} for {age}; {rows}; Ctrl-C ends the query", status.as_str()));
    }

    /// Prints what remains to be printed.
    pub(super) fn finish(&mut self) {
        self.status.clear();
        match &mut self.shown {
            Shown::Stream { stream, .. } => {
                let lines = stream.end();
                self.screen.lines(lines);
            }
            Shown::Table { columns, table, live, .. } => {
                live.clear();
                self.screen.print(&ResultTable { columns: columns.clone(), rows: table.last(usize::MAX) });
            }
        }
    }

    /// How many rows there are.
    pub(super) fn summary(&self) -> String {
        match &self.shown {
            Shown::Stream { with_kinds: true, .. } => format!("{} changes", self.received),
            Shown::Stream { .. } => rows_in_set(self.received),
            Shown::Table { table, .. } => rows_in_set(table.len() as u64),
        }
    }
}
