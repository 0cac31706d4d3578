//! `agg.group`: aggregates that are updated with every batch, for GROUP BY without a window, and for DISTINCT.
//!
//! The operator keeps every group. After each batch it emits how the result of each touched group has changed, at most one change a
//! group: `+I` for a new group, `-U` and `+U` for another result, `-D` for a group whose last row was taken away. The input has
//! rows, or, with `input` "changes", the changes of another such operator, or, with "partials", what `agg.local` made of rows.
//!
//! The output has the keys, the aggregates, and the kind of the change. DISTINCT over rows has no aggregates and never changes a
//! row, so that its output has only the keys.
//!
//! With `state_ttl_ms`, a group that no row has reached for that long is forgotten, without a change in the output. As in Flink,
//! a touched group then emits its result even if it is the same, so that it lives as long in the operators behind.

mod changes;
mod expiry;
mod operator;
mod saved;
mod table;
#[cfg(test)]
mod tests;

use arrow_schema::Schema;
use weir_protocol::job_graph::OperatorDescriptor;

use crate::aggregates::AggregateCall;
use crate::changelog::{KIND, kind_column, kind_field};
use crate::operator::{OperatorContext, OperatorError};
use crate::operators::group::changes::ChangeWriter;
use crate::operators::group::expiry::Expiry;
use crate::operators::group::operator::GroupOperator;
use crate::operators::group::saved::Saved;
use crate::operators::keyed::{Keys, aggregates, check_partials, schema_of};
use crate::options::Options;
use crate::registry::{BuiltOperator, only_input};

/// Builds `agg.group` from its options.
pub(super) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let input = only_input(context)?;
    let options = Options::of(descriptor);
    let kind = input_kind(options, input)?;
    let takes_changes = kind == InputKind::Changes;
    let keys = Keys::read(options, context, input)?;
    let aggregates = aggregates(options, input)?;
    if aggregates.is_empty() && keys.columns.is_empty() {
        return Err(options.missing("aggregates"));
    }
    let layout = keys.layout(aggregates, context, input)?;
    let expiry = Expiry::after(options.optional_unsigned("state_ttl_ms")?.unwrap_or(0));

    let mut fields = keys.fields(input);
    fields.extend(layout.aggregates.iter().map(AggregateCall::field));
    let only_inserts = layout.aggregates.is_empty() && !takes_changes;
    fields.extend((!only_inserts).then(kind_field));
    let schema = schema_of(fields)?;
    let writer = ChangeWriter {
        schema: schema.clone(),
        only_inserts,
        update_before: options.boolean_or("update_before", true)?,
        even_if_unchanged: expiry.is_on(),
    };
    let saved = Saved::new(&layout, takes_changes);
    let operator = GroupOperator::new(layout, saved, keys.columns, kind == InputKind::Partials, writer, expiry, context);
    Ok(BuiltOperator::Transform(Box::new(operator), schema))
}

/// What the rows of the input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InputKind {
    Rows,
    Changes,
    /// Rows, some of which are partial aggregates.
    Partials,
}

/// Reads the option `input`. Errors: `OPT-MISSING`, `OPT-VALUE`, `SCHEMA-KIND`, `SCHEMA-PARTIAL`.
fn input_kind(options: Options<'_>, input: &Schema) -> Result<InputKind, OperatorError> {
    let kind = match options.string("input")? {
        "rows" => InputKind::Rows,
        "changes" => InputKind::Changes,
        "partials" => InputKind::Partials,
        other => return Err(options.out_of_range("input", &format!("must be rows, changes or partials, not {other:?}"))),
    };
    match (kind, kind_column(input).is_some()) {
        (InputKind::Partials, _) => check_partials(input).map(|()| kind),
        (InputKind::Changes, true) | (InputKind::Rows, false) => Ok(kind),
        (InputKind::Changes, false) => {
            let message = format!("the input is to have changes, but its last column is not {KIND} TINYINT");
            Err(OperatorError::fatal("SCHEMA-KIND", message))
        }
        (InputKind::Rows, true) => {
            let message = format!(
                "the input is to have rows, but its last column is {KIND}, the kind of changes; set input to \"changes\""
            );
            Err(OperatorError::fatal("SCHEMA-KIND", message))
        }
    }
}
