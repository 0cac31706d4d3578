//! The operator of local aggregation.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::concat::concat;
use arrow_select::take::take;

use crate::aggregates::Selection;
use crate::key_group::internal;
use crate::operator::{Collector, Operator, OperatorError};
use crate::operators::keyed::{Layout, key_columns, write_partials};
use crate::operators::local::reduction::Reduction;
use crate::operators::window::{BatchRows, Pane, Runs, Windows};

/// Aggregates the rows of each batch, per key and pane.
pub(super) struct LocalAggregate {
    layout: Arc<Layout>,
    /// `None` if rows are not aggregated over windows.
    windows: Option<Windows>,
    key_columns: Vec<usize>,
    input: SchemaRef,
    output: SchemaRef,
    reduction: Reduction,
}

/// The groups that the rows of a pane have.
struct Groups {
    pane: Pane,
    /// A row of each group, for its key and its time.
    first_rows: Vec<u32>,
    /// The number of rows of each group.
    counts: Vec<u32>,
}

impl LocalAggregate {
    pub(super) fn new(
        layout: Arc<Layout>,
        windows: Option<Windows>,
        key_columns: Vec<usize>,
        input: SchemaRef,
        output: SchemaRef,
    ) -> Self {
        Self { layout, windows, key_columns, input, output, reduction: Reduction::default() }
    }

    /// The groups of a batch, by pane.
    fn groups(&mut self, batch: &RecordBatch) -> Result<Vec<Groups>, OperatorError> {
        let runs = match &mut self.windows {
            Some(windows) => Runs::of(batch, windows)?,
            None => Runs::One((0, 0)),
        };
        let keys = self.layout.keys.batch_keys(&key_columns(batch, &self.key_columns), batch.num_rows())?;
        let inputs = self.layout.inputs(batch);
        let rows = BatchRows { keys: &keys, inputs: &inputs, first_arrival: 0, partials: None };
        match runs {
            Runs::One(_) => Ok(vec![self.groups_of_pane(&rows, Selection::All)?]),
            Runs::Several(order, runs) => {
                let each = runs.into_iter().map(|(_, range)| self.groups_of_pane(&rows, Selection::Rows(&order[range])));
                each.collect()
            }
        }
    }

    fn groups_of_pane(&self, rows: &BatchRows<'_>, selection: Selection<'_>) -> Result<Groups, OperatorError> {
        let (mut pane, mut slots) = (self.layout.empty_pane(), Vec::new());
        self.layout.update(&mut pane, rows, selection, &mut slots)?;
        let (mut first_rows, mut counts) = (Vec::with_capacity(pane.groups.len()), vec![0; pane.groups.len()]);
        for (row, slot) in selection.rows(slots.len()).zip(&slots) {
            // New keys get the next slot each.
            if *slot as usize == first_rows.len() {
                first_rows.push(row as u32);
            }
            counts[*slot as usize] += 1;
        }
        Ok(Groups { pane, first_rows, counts })
    }

    /// A row for each group, with its partial aggregates.
    fn aggregated(&self, batch: &RecordBatch, groups: &[Groups]) -> Result<RecordBatch, OperatorError> {
        let rows: UInt32Array = groups.iter().flat_map(|groups| groups.first_rows.iter().copied()).collect();
        let partials: Vec<BinaryArray> =
            groups.iter().map(|groups| write_partials(&groups.counts, &groups.pane.accumulators)).collect();
        let each: Vec<&dyn Array> = partials.iter().map(|partials| partials as &dyn Array).collect();
        let mut columns =
            batch.columns().iter().map(|column| take(column, &rows, None)).collect::<Result<Vec<_>, _>>().map_err(internal)?;
        columns.push(concat(&each).map_err(internal)?);
        self.batch(columns, rows.len())
    }

    /// The rows as they are.
    fn unchanged(&self, batch: &RecordBatch) -> Result<RecordBatch, OperatorError> {
        let mut columns = batch.columns().to_vec();
        columns.push(new_null_array(&DataType::Binary, batch.num_rows()));
        self.batch(columns, batch.num_rows())
    }

    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, OperatorError> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.output.clone(), columns, &options).map_err(internal)
    }
}

impl Operator for LocalAggregate {
    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        if !self.reduction.is_due() {
            return out.collect(self.unchanged(&batch)?);
        }
        let groups = self.groups(&batch)?;
        let number = groups.iter().map(|groups| groups.counts.len()).sum();
        let emitted =
            if self.reduction.is_worth(rows, number) { self.aggregated(&batch, &groups)? } else { self.unchanged(&batch)? };
        out.collect(emitted)
    }

    fn keeps_column(&self, name: &str) -> bool {
        self.input.index_of(name).is_ok()
    }
}
