//! Kafka: `source.kafka` reads the records of topics, `sink.kafka` writes them, both exactly once.

mod client;
pub mod metrics;
mod producer;
mod records;
mod registry;
mod row_format;
mod sink;
mod source;
mod transaction;

use weir_dataflow::registry::OperatorRegistry;

/// Adds `source.kafka` and `sink.kafka` to `registry`.
pub fn register_kafka(registry: &mut OperatorRegistry) {
    registry.register("source.kafka", source::build);
    registry.register("sink.kafka", sink::build);
}
