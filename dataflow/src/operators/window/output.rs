//! The output rows of windows.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, SchemaRef, TimeUnit};

use crate::element::EventTime;
use crate::key_group::internal;
use crate::operator::OperatorError;
use crate::operators::event_time::time_array;
use crate::options::Options;

/// A window whose results are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Local time of its start.
    pub(super) start: EventTime,
    /// Local time of its end, which is not in it.
    pub(super) end: EventTime,
    /// The point in time of its last millisecond.
    pub(super) last_moment: EventTime,
}

/// A column that tells a window's times.
#[derive(Debug, Clone)]
pub(super) struct WindowColumn {
    name: String,
    data_type: DataType,
    of: fn(&Window) -> EventTime,
}

impl WindowColumn {
    pub(super) fn start(name: &str, data_type: DataType) -> Self {
        Self { name: name.to_owned(), data_type, of: |window| window.start }
    }

    pub(super) fn end(name: &str, data_type: DataType) -> Self {
        Self { name: name.to_owned(), data_type, of: |window| window.end }
    }

    /// The columns that the options `window_start`, `window_end` and `window_time` name, in this order. `time_type` is the type of
    /// window_time.
    pub(super) fn named(options: Options<'_>, time_type: &DataType) -> Result<Vec<Self>, OperatorError> {
        let local = || DataType::Timestamp(TimeUnit::Millisecond, None);
        let mut columns = Vec::new();
        columns.extend(options.optional_string("window_start")?.map(|name| Self::start(name, local())));
        columns.extend(options.optional_string("window_end")?.map(|name| Self::end(name, local())));
        columns.extend(options.optional_string("window_time")?.map(|name| Self {
            name: name.to_owned(),
            data_type: time_type.clone(),
            of: |window| window.last_moment,
        }));
        Ok(columns)
    }

    pub(super) fn field(&self) -> Field {
        Field::new(&self.name, self.data_type.clone(), false)
    }

    /// The column for these windows.
    pub(super) fn array<'a>(&self, windows: impl Iterator<Item = &'a Window>) -> ArrayRef {
        time_array(&self.data_type, windows.map(self.of))
    }
}

/// How the results of windows become rows.
#[derive(Debug)]
pub(super) struct WindowOutput {
    pub(super) schema: SchemaRef,
    pub(super) columns: Vec<WindowColumn>,
    /// Whether the window's columns come before keys and aggregates.
    pub(super) window_first: bool,
}

impl WindowOutput {
    /// The rows of a window, from the columns of keys and aggregates.
    pub(super) fn batch(&self, window: &Window, results: Vec<ArrayRef>) -> Result<RecordBatch, OperatorError> {
        let rows = results.first().map_or(1, |column| column.len());
        let times = self.columns.iter().map(|column| column.array(std::iter::repeat_n(window, rows)));
        let all: Vec<_> =
            if self.window_first { times.chain(results).collect() } else { results.into_iter().chain(times).collect() };
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), all, &options).map_err(internal)
    }
}
