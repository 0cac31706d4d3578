//! Filters and projections: the part of the reference that uses the product's scalar kernels.

use std::collections::BTreeMap;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use weir_dataflow::functions::Clock;
use weir_dataflow::program::Program;
use weir_dataflow::schema;
use weir_protocol::job_graph::{DataType, Field};
use weir_sql::expression::{Typed, program};
use weir_sql::stream::Column;

use crate::value::array_of;
use crate::{Relation, Row, Value, rows_of};

/// Up to this many new rows are computed one by one. More are computed together, because a chaos run has too many.
const ONE_BY_ONE: usize = 64;
/// How many rows are computed together.
const TOGETHER: usize = 1_024;

/// The expressions of a node, and their results for the rows that they have seen.
pub(crate) struct Calc {
    /// Its only column says which rows are kept.
    filter: Option<Program>,
    outputs: Program,
    input: SchemaRef,
    /// `None`: the filter drops the row.
    results: BTreeMap<Row, Option<Row>>,
}

impl Calc {
    pub(crate) fn new(filter: Option<&Typed>, outputs: &[Typed], columns: &[Column], input: &[Column]) -> Result<Self, String> {
        let field =
            |column: &Column| Field { name: column.name.clone(), data_type: column.data_type.clone(), nullable: column.nullable };
        let input = schema::to_arrow(&input.iter().map(field).collect::<Vec<_>>()).map_err(|error| error.to_string())?;
        let compiled = |outputs: &[Typed], columns: &[Column]| {
            let program = program(None, outputs, columns).map_err(|error| error.to_string())?;
            Program::compile(&program, &input).map_err(|error| error.to_string())
        };
        let kept = Column { name: "kept".into(), data_type: DataType::Boolean, nullable: true, is_rowtime: false };
        let filter = filter.map(|filter| compiled(std::slice::from_ref(filter), std::slice::from_ref(&kept))).transpose()?;
        Ok(Self { filter, outputs: compiled(outputs, columns)?, input, results: BTreeMap::new() })
    }

    /// The computed rows.
    pub(crate) fn rows(&mut self, input: &Relation) -> Result<Relation, String> {
        let new: Vec<Row> = input.keys().filter(|row| !self.results.contains_key(*row)).cloned().collect();
        let size = if new.len() > ONE_BY_ONE { TOGETHER } else { 1 };
        new.chunks(size).try_for_each(|rows| self.compute(rows))?;
        let mut computed = Relation::new();
        for (row, count) in input {
            if let Some(Some(result)) = self.results.get(row) {
                *computed.entry(result.clone()).or_insert(0) += count;
            }
        }
        Ok(computed)
    }

    /// Computes the results of these rows. The outputs are computed for the kept rows only: for others they may fail.
    fn compute(&mut self, rows: &[Row]) -> Result<(), String> {
        let mut kept: Vec<&Row> = rows.iter().collect();
        if let Some(filter) = &mut self.filter {
            let decisions = evaluated(filter, &self.input, &kept)?;
            let mut decisions = decisions.iter().map(|decision| decision.first() == Some(&Value::Boolean(true)));
            kept.retain(|_| decisions.next() == Some(true));
        }
        rows.iter().for_each(|row| drop(self.results.insert(row.clone(), None)));
        let results = evaluated(&mut self.outputs, &self.input, &kept)?;
        kept.into_iter().zip(results).for_each(|(row, result)| drop(self.results.insert(row.clone(), Some(result))));
        Ok(())
    }
}

/// The outputs of a program without filter.
fn evaluated(program: &mut Program, input: &SchemaRef, rows: &[&Row]) -> Result<Vec<Row>, String> {
    let column = |(index, field): (usize, &std::sync::Arc<arrow_schema::Field>)| {
        array_of(&rows.iter().map(|row| &row[index]).collect::<Vec<_>>(), field.data_type())
    };
    let columns = input.fields().iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(input.clone(), columns, &options).map_err(|error| error.to_string())?;
    let computed = program.evaluate(&batch, Clock::default()).map_err(|error| error.to_string())?;
    rows_of(&computed, computed.num_columns())
}
