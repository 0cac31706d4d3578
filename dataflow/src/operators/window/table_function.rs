//! `window.assign`: names the windows of each row.

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::take::take_record_batch;
use weir_protocol::job_graph::OperatorDescriptor;

use crate::key_group::internal;
use crate::operator::{Collector, Operator, OperatorContext, OperatorError};
use crate::operators::event_time::times;
use crate::operators::keyed::schema_of;
use crate::operators::window::assign::{MAX_TIME, Shape, WindowAssigner};
use crate::operators::window::output::{Window, WindowColumn};
use crate::operators::window::spec::{self, Windows};
use crate::options::Options;
use crate::registry::{BuiltOperator, only_input};

/// Most rows of an output batch.
const OUTPUT_ROWS: usize = 8_192;

/// Appends columns to each row, for each window that holds it. As in Flink, rows without event time are dropped, and late rows are
/// not.
struct WindowTableFunction {
    assigner: WindowAssigner,
    time_column: usize,
    columns: Vec<WindowColumn>,
    input: SchemaRef,
    output: SchemaRef,
}

pub(in crate::operators) fn build(
    descriptor: &OperatorDescriptor,
    context: &OperatorContext,
) -> Result<BuiltOperator, OperatorError> {
    let input = only_input(context)?;
    let options = Options::of(descriptor);
    let (windows, _) = spec::read(options, input)?;
    let Windows::Grid { assigner, time_column } = windows else {
        return Err(options.out_of_range("window", "has windows already attached; there is nothing to assign"));
    };
    let columns = WindowColumn::named(options, input.field(time_column).data_type())?;
    let mut fields: Vec<_> = input.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.extend(columns.iter().map(WindowColumn::field));
    let output = schema_of(fields)?;
    let function = WindowTableFunction { assigner, time_column, columns, input: input.clone(), output: output.clone() };
    Ok(BuiltOperator::Transform(Box::new(function), output))
}

impl WindowTableFunction {
    /// Adds the windows of a row, in Flink's order: of sliding windows the newest first.
    fn windows_of(&mut self, time: i64, windows: &mut Vec<Window>) {
        let assigner = &mut self.assigner;
        let local = assigner.local(time);
        let pane = assigner.pane_start(local);
        let (first, last, interval) = (assigner.first_window(pane), assigner.last_window(pane), assigner.interval());
        let window = |end| Window { start: assigner.window_start(end), end, last_moment: assigner.last_moment(end) };
        let count = (last - first) / interval + 1;
        match assigner.shape {
            Shape::Sliding { .. } => windows.extend((0..count).map(|number| window(last - number * interval))),
            Shape::Cumulating { .. } => windows.extend((0..count).map(|number| window(first + number * interval))),
        }
    }

    fn emit(
        &self,
        batch: &RecordBatch,
        rows: &mut Vec<u32>,
        windows: &mut Vec<Window>,
        out: &mut dyn Collector,
    ) -> Result<(), OperatorError> {
        if rows.is_empty() {
            return Ok(());
        }
        let is_whole = rows.len() == batch.num_rows() && rows.iter().enumerate().all(|(index, row)| index as u32 == *row);
        let taken = if is_whole {
            batch.clone()
        } else {
            take_record_batch(batch, &UInt32Array::from(std::mem::take(rows))).map_err(internal)?
        };
        let mut columns = taken.columns().to_vec();
        columns.extend(self.columns.iter().map(|column| column.array(windows.iter())));
        rows.clear();
        windows.clear();
        out.collect(RecordBatch::try_new(self.output.clone(), columns).map_err(internal)?)
    }
}

impl Operator for WindowTableFunction {
    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let times = times(&batch, self.time_column);
        let column = batch.column(self.time_column);
        let (mut rows, mut windows) = (Vec::new(), Vec::new());
        for (row, time) in times.iter().enumerate().filter(|(row, _)| column.is_valid(*row)) {
            if !(-MAX_TIME..=MAX_TIME).contains(time) {
                let message = format!("event time {time} ms is out of range; is it in milliseconds?");
                return Err(OperatorError::fatal("TIME-RANGE", message));
            }
            self.windows_of(*time, &mut windows);
            rows.resize(windows.len(), row as u32);
            if rows.len() >= OUTPUT_ROWS {
                self.emit(&batch, &mut rows, &mut windows, out)?;
            }
        }
        self.emit(&batch, &mut rows, &mut windows, out)
    }

    fn keeps_column(&self, name: &str) -> bool {
        self.input.index_of(name).is_ok()
    }
}
