//! `filter`: keeps the rows that satisfy a predicate.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use arrow_select::filter::filter_record_batch;
use weir_protocol::job_graph::OperatorDescriptor;

use crate::key_group::internal;
use crate::operator::{Collector, Operator, OperatorContext, OperatorError};
use crate::operators::expression::{Expression, overflow_option};
use crate::options::Options;
use crate::registry::{BuiltOperator, only_input};
use crate::schema;

struct Filter {
    predicate: Expression,
}

pub(super) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let input = only_input(context)?;
    let options = Options::of(descriptor);
    let predicate = Expression::plan(options.string("predicate")?, input, overflow_option(&options)?)?;
    if predicate.data_type() != &DataType::Boolean {
        let message = format!("the predicate is of type {}, not boolean", schema::type_name(predicate.data_type()));
        return Err(OperatorError::fatal("EXPR-TYPE", message));
    }
    Ok(BuiltOperator::Transform(Box::new(Filter { predicate }), input.clone()))
}

impl Operator for Filter {
    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let keep = self.predicate.evaluate(&batch)?;
        let keep = keep.as_boolean();
        if keep.true_count() == batch.num_rows() {
            return out.collect(batch);
        }
        out.collect(filter_record_batch(&batch, keep).map_err(internal)?)
    }

    fn keeps_column(&self, _: &str) -> bool {
        true
    }
}
