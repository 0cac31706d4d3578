//! The operators of the catalog that are neither sources nor sinks.

mod calc;
mod event_time;
mod expand;
pub mod expression;
mod filter;
mod group;
mod join_in_time;
mod join_latest;
mod keyed;
mod local;
mod project;
#[cfg(test)]
pub(crate) mod tests;
mod watermark;
mod window;

pub use keyed::PARTIAL;

use crate::operator::{OperatorContext, OperatorError};
use crate::registry::OperatorRegistry;

/// Registers every kind of this module.
pub fn register_operators(registry: &mut OperatorRegistry) {
    registry.register("calc", calc::build);
    registry.register("filter", filter::build);
    registry.register("project", project::build);
    registry.register("watermark", watermark::build);
    registry.register("window.tumbling", window::build_tumbling);
    registry.register("window.hopping", window::build_hopping);
    registry.register("window.agg", window::build_aggregate);
    registry.register("window.assign", window::build_assign);
    registry.register("expand", expand::build);
    registry.register("agg.local", local::build);
    registry.register("agg.group", group::build);
    registry.register("join.latest", join_latest::build);
}

/// Checks that all rows of a key reach the same subtask: `input` is partitioned by exactly these keys, or there is only one
/// subtask. Error: `KEY-PARTITIONING`.
fn keyed_by(context: &OperatorContext, input: usize, keys: &[String]) -> Result<(), OperatorError> {
    if context.parallelism == 1 || context.key_columns.get(input).is_some_and(|columns| !keys.is_empty() && columns == keys) {
        return Ok(());
    }
    let wanted = if keys.is_empty() {
        "needs parallelism 1, because it has no keys".to_owned()
    } else {
        format!("must be hash-partitioned by exactly {keys:?}, in this order")
    };
    Err(OperatorError::fatal("KEY-PARTITIONING", format!("input {input} {wanted}")))
}
