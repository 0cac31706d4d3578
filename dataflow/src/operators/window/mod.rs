//! Aggregates over windows of event time: `window.agg`, and for hand-written graphs `window.tumbling` and `window.hopping`. Also
//! `window.assign`, which only names the windows of each row.
//!
//! Rows are aggregated into panes as they arrive. When the watermark passes the end of a window, its panes are merged into its
//! result. With `allowed_lateness_ms`, which only hand-written graphs have, the panes are kept that much longer, and a late row
//! makes its windows emit the changed keys again.
//!
//! The output of `window.agg` has the keys first, then the aggregates, then those of window_start, window_end and window_time that
//! the options name.

mod assign;
mod operator;
mod output;
mod pane;
mod runs;
mod saved;
mod spec;
mod table_function;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use weir_protocol::job_graph::OperatorDescriptor;

use crate::aggregates::{AggregateCall, HandWritten};
use crate::operator::{OperatorContext, OperatorError};
use crate::operators::event_time::time_column;
use crate::operators::keyed::{Keys, aggregates, check_partials, schema_of};
use crate::operators::window::assign::{Shape, WindowAssigner};
use crate::operators::window::operator::WindowOperator;
use crate::operators::window::output::{WindowColumn, WindowOutput};
use crate::options::Options;
use crate::registry::{BuiltOperator, only_input};
use crate::time_zone::LocalTime;

pub(super) use pane::{BatchRows, Pane};
pub(super) use runs::Runs;
pub(super) use spec::{Windows, read as read_windows};
pub(super) use table_function::build as build_assign;

pub(super) fn build_tumbling(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let size = Options::of(descriptor).millis("size_ms", 1)?;
    build_hand_written(descriptor, context, size, size)
}

pub(super) fn build_hopping(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let options = Options::of(descriptor);
    build_hand_written(descriptor, context, options.millis("size_ms", 1)?, options.millis("slide_ms", 1)?)
}

/// Builds `window.tumbling` and `window.hopping`.
fn build_hand_written(
    descriptor: &OperatorDescriptor,
    context: &OperatorContext,
    size: i64,
    slide: i64,
) -> Result<BuiltOperator, OperatorError> {
    let input = only_input(context)?;
    let options = Options::of(descriptor);
    let utc = LocalTime::of("UTC").map_err(|what| options.out_of_range("zone", &what))?;
    let lateness = options.optional_millis("allowed_lateness_ms", 0)?.unwrap_or(0);
    let assigner = WindowAssigner::new(Shape::Sliding { slide }, size, 0, lateness, utc)?;
    let time_column = time_column(input, options.string("time_column")?)?;
    let keys = Keys::read(options, context, input)?;
    let wanted: Vec<HandWritten> = options.parse("aggregates")?.ok_or_else(|| options.missing("aggregates"))?;
    let plan = |option| AggregateCall::plan_hand_written(option, input);
    let aggregates: Vec<_> = wanted.into_iter().map(plan).collect::<Result<_, _>>()?;
    let layout = keys.layout(aggregates, context, input)?;

    let time_type = input.field(time_column).data_type();
    let start = options.optional_string("window_start")?.unwrap_or("window_start");
    let mut columns = vec![WindowColumn::start(start, time_type.clone())];
    columns.extend(options.optional_string("window_end")?.map(|name| WindowColumn::end(name, time_type.clone())));
    let mut fields: Vec<Field> = columns.iter().map(WindowColumn::field).collect();
    fields.extend(keys.fields(input));
    fields.extend(layout.aggregates.iter().map(AggregateCall::field));
    let output = WindowOutput { schema: schema_of(fields)?, columns, window_first: true };
    let signature = layout.checksum_signature(assigner.pane);
    let windows = Windows::Grid { assigner, time_column };
    Ok(WindowOperator::new(layout, signature, windows, keys.columns, output, context).built())
}

/// Builds `window.agg` from its options.
pub(super) fn build_aggregate(
    descriptor: &OperatorDescriptor,
    context: &OperatorContext,
) -> Result<BuiltOperator, OperatorError> {
    let input = only_input(context)?;
    let options = Options::of(descriptor);
    let (windows, text) = spec::read(options, input)?;
    let keys = Keys::read(options, context, input)?;
    let layout = keys.layout(aggregates(options, input)?, context, input)?;

    let columns = WindowColumn::named(options, &window_time_type(&windows, options, input))?;
    let mut fields = keys.fields(input);
    fields.extend(layout.aggregates.iter().map(AggregateCall::field));
    fields.extend(columns.iter().map(WindowColumn::field));
    let output = WindowOutput { schema: schema_of(fields)?, columns, window_first: false };
    let signature = layout.named_signature(text);
    let operator = WindowOperator::new(layout, signature, windows, keys.columns, output, context);
    match options.optional_string("input")? {
        None | Some("rows") => Ok(operator.built()),
        Some("partials") => check_partials(input).map(|()| operator.over_partials().built()),
        Some(other) => Err(options.out_of_range("input", &format!("must be rows or partials, not {other:?}"))),
    }
}

/// The type of window_time: that of the time column. Attached windows have none; theirs is a point in time if a zone is given.
fn window_time_type(windows: &Windows, options: Options<'_>, input: &Schema) -> DataType {
    match windows {
        Windows::Grid { time_column, .. } => input.field(*time_column).data_type().clone(),
        Windows::Attached { .. } => DataType::Timestamp(TimeUnit::Millisecond, options.raw("zone").map(|_| Arc::from("UTC"))),
    }
}
