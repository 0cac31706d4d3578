//! Sources and sinks, which read and write the rows of a job.
//!
//! The kinds are `source.file`, `source.datagen`, `source.nexmark`, `sink.file`, `sink.collect`, `sink.print` and `sink.blackhole`. They
//! run on slot threads as part of a chain, so their reads and writes are plain synchronous calls.

mod datagen;
mod filesystem;
pub mod formats;
pub mod metrics;
pub mod nexmark;
pub mod options;
mod print;
pub mod query_results;
mod random;
mod rate;
mod row_numbers;
mod rows;
#[cfg(test)]
mod testing;

use weir_dataflow::registry::OperatorRegistry;

/// How `source.file` divides files among its subtasks. Public for simulations of it.
pub mod file_splits {
    pub use crate::filesystem::source::split::{CUT_BYTES, Split, deal};
}

/// Adds all operator kinds of this crate to `registry`.
pub fn register_connectors(registry: &mut OperatorRegistry) {
    registry.register("source.file", filesystem::source::build);
    registry.register("source.datagen", datagen::build);
    registry.register("source.nexmark", nexmark::build);
    registry.register("sink.file", filesystem::sink::build);
    registry.register("sink.collect", query_results::sink::build);
    registry.register("sink.print", print::build_print);
    registry.register("sink.blackhole", print::build_blackhole);
}
