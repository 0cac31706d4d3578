//! An operation as it is stored: a statement on its way, or what it has given.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_protocol::JobId;
use weir_protocol::job_graph::{DataType, Field};
use weir_sql::session::ResultTable;

/// A statement of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Operation {
    /// Operations of a session count upwards.
    pub(crate) number: u64,
    /// Wall-clock milliseconds since 1970 of the last change.
    pub(crate) changed_at_ms: u64,
    pub(crate) state: State,
}

/// How far a statement is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub(crate) enum State {
    /// It will be carried out, by this leader or by a later one.
    Pending {
        statement: String,
        /// Options for this statement alone.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        config: BTreeMap<String, String>,
    },
    /// The statement ends with its job (`table.dml-sync`).
    Running {
        job: JobId,
    },
    /// Its job runs, and the client reads the rows.
    Query {
        job: JobId,
        columns: Vec<Field>,
        /// The newest page that was answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page: Option<PageMark>,
    },
    Finished(Outcome),
    Failed {
        /// A sentence that begins with a code.
        error: String,
    },
    Canceled,
    Closed,
}

/// A page of rows of a query. It can be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PageMark {
    pub(crate) token: u64,
    pub(crate) first_row: u64,
    /// The first row that is not on the page.
    pub(crate) next_row: u64,
    /// Whether no page follows.
    pub(crate) is_end: bool,
}

/// What a statement has given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) kind: ResultKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<JobId>,
    pub(crate) table: Table,
}

/// Flink's word for whether a result has content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ResultKind {
    Success,
    SuccessWithContent,
}

/// Rows that are known at once. A value is the text that a cast to STRING gives; `None` is NULL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) columns: Vec<(String, DataType)>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

impl From<ResultTable> for Table {
    fn from(ResultTable { columns, rows }: ResultTable) -> Self {
        Self { columns, rows }
    }
}

impl Outcome {
    /// The answer to a statement that has nothing to show.
    pub(crate) fn ok() -> Self {
        let table = Table { columns: vec![("result".to_owned(), DataType::String)], rows: vec![vec![Some("OK".to_owned())]] };
        Self { kind: ResultKind::Success, job: None, table }
    }

    /// The answer to a statement that shows rows.
    pub(crate) fn of(table: ResultTable) -> Self {
        Self { kind: ResultKind::SuccessWithContent, job: None, table: table.into() }
    }
}

impl State {
    /// Whether nothing will change any more, unless the client closes the operation.
    pub(crate) fn is_ended(&self) -> bool {
        match self {
            Self::Pending { .. } | Self::Running { .. } => false,
            Self::Query { page, .. } => page.is_some_and(|page| page.is_end),
            Self::Finished(_) | Self::Failed { .. } | Self::Canceled | Self::Closed => true,
        }
    }

    /// Flink's word. A query is FINISHED as soon as its rows can be asked for. Clients wait as long as an operation is RUNNING.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Pending { .. } | Self::Running { .. } => "RUNNING",
            Self::Query { .. } | Self::Finished(_) => "FINISHED",
            Self::Failed { .. } => "ERROR",
            Self::Canceled => "CANCELED",
            Self::Closed => "CLOSED",
        }
    }
}
