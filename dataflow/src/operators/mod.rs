//! The operators of the catalog that are neither sources nor sinks.

pub mod expression;
mod filter;
mod project;
mod watermark;

use crate::registry::OperatorRegistry;

/// Registers `filter`, `project` and `watermark`.
pub fn register_operators(registry: &mut OperatorRegistry) {
    registry.register("filter", filter::build);
    registry.register("project", project::build);
    registry.register("watermark", watermark::build);
}
