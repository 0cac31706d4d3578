//! `project`: computes columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use serde::Deserialize;
use weir_protocol::job_graph::OperatorDescriptor;

use crate::key_group::internal;
use crate::operator::{Collector, Operator, OperatorContext, OperatorError};
use crate::operators::expression::{Expression, overflow_option};
use crate::options::Options;
use crate::registry::{BuiltOperator, only_input};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    name: String,
    expr: String,
}

struct Project {
    columns: Vec<Expression>,
    schema: SchemaRef,
}

pub(super) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let input = only_input(context)?;
    let options = Options::of(descriptor);
    let wanted: Vec<Column> = options.parse("columns")?.ok_or_else(|| options.missing("columns"))?;
    let overflow = overflow_option(&options)?;
    let mut names = BTreeSet::new();
    let (mut columns, mut fields) = (Vec::new(), Vec::new());
    for column in &wanted {
        if !names.insert(&column.name) {
            return Err(OperatorError::fatal("SCHEMA-DUPLICATE", format!("two columns are named {:?}; rename one", column.name)));
        }
        let expression = Expression::plan(&column.expr, input, overflow).map_err(|mut error| {
            error.message = format!("column {:?}: {}", column.name, error.message);
            error
        })?;
        fields.push(Field::new(&column.name, expression.data_type().clone(), expression.nullable()));
        columns.push(expression);
    }
    let schema = Arc::new(Schema::new(fields));
    Ok(BuiltOperator::Transform(Box::new(Project { columns, schema: schema.clone() }), schema))
}

impl Operator for Project {
    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let columns = self.columns.iter().map(|column| column.evaluate(&batch)).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        out.collect(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(internal)?)
    }

    fn keeps_column(&self, name: &str) -> bool {
        let output = self.schema.index_of(name);
        output.is_ok_and(|index| self.columns[index].as_column() == Some(name))
    }
}
