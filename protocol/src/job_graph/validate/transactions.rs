//! Sinks with transactions of an outside system: these must last longer than the time between checkpoints.

use serde_json::Value;

use super::{Refusals, at_operator};
use crate::job_graph::{JobGraph, OperatorDescriptor};

/// What `transaction.timeout.ms` is if it is not set: the longest that Kafka's brokers allow by default.
pub const KAFKA_TRANSACTION_TIMEOUT_MS: u64 = 900_000;

/// Refuses a sink whose transactions the cluster would end before their checkpoint, again and again.
pub(super) fn check_transactions(graph: &JobGraph, refusals: &mut Refusals) {
    let interval_ms = graph.checkpoint_config().interval_ms;
    for vertex in &graph.vertices {
        for (index, operator) in vertex.operators.iter().enumerate() {
            if let Some(timeout_ms) = transaction_timeout_ms(operator).filter(|timeout_ms| *timeout_ms <= interval_ms) {
                let message = format!(
                    "a transaction lasts from one checkpoint to the next, which is {interval_ms} ms, but the cluster ends it after \
                     {timeout_ms} ms (the property transaction.timeout.ms); set that much higher, or checkpointing.interval_ms lower"
                );
                refusals.add("JG-TRANSACTION-TIMEOUT", at_operator(vertex, index), message);
            }
        }
    }
}

fn transaction_timeout_ms(operator: &OperatorDescriptor) -> Option<u64> {
    let is_transactional =
        operator.kind == "sink.kafka" && operator.options.get("guarantee").and_then(Value::as_str) == Some("exactly-once");
    let property = || operator.options.get("properties")?.get("transaction.timeout.ms")?.as_str()?.trim().parse().ok();
    is_transactional.then(|| property().unwrap_or(KAFKA_TRANSACTION_TIMEOUT_MS))
}
