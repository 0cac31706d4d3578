//! `agg.local`: the first of two phases of aggregation. It aggregates the rows of each batch before they are distributed by key, so that
//! fewer rows are exchanged, and the rows of a frequent key are mostly added up where they arrive.
//!
//! The operator has no state: everything that a batch holds is emitted with it, so nothing is held back across a barrier or a
//! watermark. A batch that it hardly shrinks goes on as it is. For the form of the output see
//! [`partial`](crate::operators::keyed).

mod operator;
mod reduction;
#[cfg(test)]
mod tests;

use weir_protocol::job_graph::OperatorDescriptor;

use crate::operator::{OperatorContext, OperatorError};
use crate::operators::keyed::{Keys, aggregates, partial_field, schema_of};
use crate::operators::local::operator::LocalAggregate;
use crate::operators::window::read_windows;
use crate::options::Options;
use crate::registry::{BuiltOperator, only_input};

/// Builds `agg.local` from its options.
pub(super) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let input = only_input(context)?;
    let options = Options::of(descriptor);
    let windows = options.raw("window").map(|_| read_windows(options, input)).transpose()?.map(|(windows, _)| windows);
    let keys = Keys::of(&options.strings("keys")?, input)?;
    let aggregates = aggregates(options, input)?;
    if let Some(ordered) = aggregates.iter().find(|aggregate| !aggregate.merges()) {
        let message =
            format!("{:?} depends on the order of its rows, or keeps them all; aggregate in one phase", ordered.field().name());
        return Err(OperatorError::fatal("AGG-FUNCTION", message));
    }
    let layout = keys.layout(aggregates, context, input)?;
    let fields = input.fields().iter().map(|field| field.as_ref().clone()).chain([partial_field()]);
    let schema = schema_of(fields.collect())?;
    let operator = LocalAggregate::new(layout, windows, keys.columns, input.clone(), schema.clone());
    Ok(BuiltOperator::Transform(Box::new(operator), schema))
}
