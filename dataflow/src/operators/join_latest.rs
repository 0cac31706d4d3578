//! `join.latest`: gives each row of input 0 the row of input 1 that was the latest of its key at the row's event time.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::Schema;
use weir_protocol::job_graph::OperatorDescriptor;

use crate::operator::{OperatorContext, OperatorError};
use crate::operators::event_time::time_column;
use crate::operators::join_in_time::JoinInTime;
use crate::operators::keyed_by;
use crate::options::Options;
use crate::registry::BuiltOperator;
use crate::schema;

pub(super) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let [left, right] = context.input_schemas.as_slice() else {
        let message = format!("takes two inputs, not {}", context.input_schemas.len());
        return Err(OperatorError::fatal("CHAIN-SHAPE", message));
    };
    let options = Options::of(descriptor);
    let columns_of = |names: &[String], schema: &Schema| -> Result<Vec<usize>, OperatorError> {
        names.iter().map(|name| schema::column_index(schema, name)).collect()
    };
    let (keys, right_keys) = (options.strings("keys")?, options.strings("right_keys")?);
    if keys.is_empty() || keys.len() != right_keys.len() {
        return Err(options.out_of_range("right_keys", "must name as many columns as keys, at least one"));
    }
    keyed_by(context, 0, &keys)?;
    keyed_by(context, 1, &right_keys)?;
    let (left_keys, right_keys) = (columns_of(&keys, left)?, columns_of(&right_keys, right)?);
    for (l, r) in left_keys.iter().zip(&right_keys) {
        let (l, r) = (left.field(*l), right.field(*r));
        if l.data_type() != r.data_type() {
            let (lt, rt) = (schema::type_name(l.data_type()), schema::type_name(r.data_type()));
            let message = format!("key {:?} has type {lt}, but {:?} has type {rt}; CAST one of them", l.name(), r.name());
            return Err(OperatorError::fatal("KEY-TYPE", message));
        }
    }
    let right_columns = columns_of(&options.strings("right_columns")?, right)?;
    let mut fields = left.fields().to_vec();
    fields.extend(right_columns.iter().map(|column| Arc::new(right.field(*column).clone().with_nullable(true))));
    let mut names = BTreeSet::new();
    if let Some(twice) = fields.iter().find(|field| !names.insert(field.name().clone())) {
        let message = format!("both inputs have a column {:?}; rename one with a project operator", twice.name());
        return Err(OperatorError::fatal("SCHEMA-DUPLICATE", message));
    }
    let output = Arc::new(Schema::new(fields));
    let times = [time_column(left, options.string("time_column")?)?, time_column(right, options.string("right_time_column")?)?];
    let join = JoinInTime::new(context, [left_keys, right_keys], right_columns, times, output.clone())?;
    Ok(BuiltOperator::Transform(Box::new(join), output))
}

pub(super) fn select(batch: &RecordBatch, columns: &[usize]) -> Vec<ArrayRef> {
    columns.iter().map(|column| batch.column(*column).clone()).collect()
}

/// The combined nulls of these columns: a row is valid if none of its columns is null. `None` if all rows are valid.
pub(super) fn any_null(columns: &[ArrayRef]) -> Option<NullBuffer> {
    columns.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.nulls()))
}
