//! The nodes of a streaming plan, and what is known of their rows.

use std::rc::Rc;

use weir_protocol::job_graph::{DataType, OperatorDescriptor};

use crate::catalog::{CatalogTable, ObjectPath};
use crate::expression::Typed;

/// One node of a plan. Plans share nodes: a node with several consumers is computed once.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub kind: NodeKind,
    pub inputs: Vec<Rc<Node>>,
    /// The columns that the node emits. Their names are distinct.
    pub columns: Vec<Column>,
    /// The window columns among them, if rows carry the window that they belong to.
    pub window: Option<WindowColumns>,
    /// Whether the rows are changes of a table: each has a kind, which is a column of its own in the job.
    pub is_updating: bool,
}

/// A column of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
    /// Whether watermarks speak of this column: it is event time.
    pub is_rowtime: bool,
}

/// The positions of the columns that name the window of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowColumns {
    pub start: Option<usize>,
    pub end: Option<usize>,
    pub time: Option<usize>,
    /// Whether windows are aligned to the local time of the session's zone, because event time is a point in time.
    pub is_zoned: bool,
}

/// What a node does.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// Reads the physical columns of a table.
    Scan { path: ObjectPath, table: Rc<CatalogTable> },
    /// Emits constant rows.
    Values { rows: Vec<Vec<Typed>> },
    /// Keeps the rows where the filter is true and computes the columns.
    Calc { filter: Option<Typed>, outputs: Vec<Typed> },
    /// Derives watermarks: `watermark` is the column with their value, `time` the event time.
    Watermark { time: usize, watermark: usize },
    /// Adds to each row the windows that it falls in: the last three columns are window_start, window_end and window_time.
    WindowAssign { window: Window, time: usize },
    /// Repeats each row once for each grouping set. The last column is the id of the set.
    Expand { sets: Vec<GroupingSet> },
    /// Aggregates per window and key: emits the keys, the aggregates, and the window columns of [`WindowOutput`].
    WindowAggregate { window: WindowSource, keys: Vec<usize>, aggregates: Vec<AggregateCall>, outputs: Vec<WindowOutput> },
    /// Aggregates per key over all rows so far: emits the keys and the aggregates, again whenever they change.
    GroupAggregate { keys: Vec<usize>, aggregates: Vec<AggregateCall> },
    /// All rows of all inputs.
    Union,
    /// Writes to a table.
    Sink { path: ObjectPath, table: Rc<CatalogTable> },
    /// Hands the rows of a query to this operator, a sink.
    Collect { operator: OperatorDescriptor },
}

/// A set of the expressions of GROUP BY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupingSet {
    pub id: i64,
    /// The columns that the set does not have: they are NULL in its rows.
    pub nulls: Vec<usize>,
}

/// The shape of windows. All lengths are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub shape: WindowShape,
    pub offset_ms: i64,
    /// The zone whose local time windows are aligned to, for points in time.
    pub zone: Option<String>,
}

/// How windows follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowShape {
    Tumble { size_ms: i64 },
    Hop { size_ms: i64, slide_ms: i64 },
    Cumulate { size_ms: i64, step_ms: i64 },
}

/// Where a window aggregate takes the window of a row from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowSource {
    /// From the event time.
    Time { window: Window, time: usize },
    /// From columns of the row, which an earlier operator assigned.
    Attached {
        start: usize,
        end: usize,
        /// The zone of these local times, if event time is a point in time.
        zone: Option<String>,
    },
}

/// A window column that a window aggregate emits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowOutput {
    Start,
    End,
    Time,
}

impl WindowOutput {
    /// The column's name, which is also the option of the operator.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "window_start",
            Self::End => "window_end",
            Self::Time => "window_time",
        }
    }
}

/// One aggregate of an aggregation. Its arguments and filter are columns of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateCall {
    /// The function's name in lower case, e.g. `sum`.
    pub function: String,
    pub arguments: Vec<usize>,
    pub distinct: bool,
    /// The constant between the texts of LISTAGG.
    pub delimiter: Option<String>,
    /// Whether ARRAY_AGG leaves NULLs out.
    pub ignore_nulls: bool,
    /// A boolean column: rows where it is not true are ignored.
    pub filter: Option<usize>,
    pub data_type: DataType,
    pub nullable: bool,
}

impl Node {
    /// The only input. Nodes that have none or several are not asked.
    pub fn input(&self) -> &Rc<Self> {
        &self.inputs[0]
    }

    /// The names of the columns.
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// The column at this position as an expression.
    pub fn column(&self, index: usize) -> Typed {
        let column = &self.columns[index];
        Typed::column(index, column.data_type.clone(), column.nullable)
    }

    /// All columns as expressions, with their names.
    pub fn named_columns(&self) -> Vec<(String, Typed)> {
        self.columns.iter().map(|column| column.name.clone()).zip(self.all_columns()).collect()
    }

    /// All columns as expressions.
    pub fn all_columns(&self) -> Vec<Typed> {
        (0..self.columns.len()).map(|index| self.column(index)).collect()
    }
}
