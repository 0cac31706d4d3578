//! The metrics of this connector.

use metrics::{Unit, describe_counter, describe_gauge};

/// Number of transactions that sinks committed.
pub const SINK_COMMITTED_TRANSACTIONS: &str = "weir_kafka_sink_committed_transactions_total";
/// Number of records that sinks wrote again, because the cluster had timed out their transaction.
pub const SINK_REWRITTEN_RECORDS: &str = "weir_kafka_sink_rewritten_records_total";
/// Number of records that were lost with a timed-out transaction, and that sinks went on without.
pub const SINK_LOST_RECORDS: &str = "weir_kafka_sink_lost_records_total";
/// How many records a partition has behind the next one that a source will read.
pub const SOURCE_LAG_RECORDS: &str = "weir_kafka_source_lag_records";

/// Describes these metrics to the recorder. Call it once per process.
pub fn describe() {
    describe_counter!(SINK_COMMITTED_TRANSACTIONS, Unit::Count, "Transactions that Kafka sinks committed.");
    describe_counter!(
        SINK_REWRITTEN_RECORDS,
        Unit::Count,
        "Records that Kafka sinks wrote again, because the cluster had timed out their transaction."
    );
    describe_counter!(
        SINK_LOST_RECORDS,
        Unit::Count,
        "Records that were lost with a timed-out transaction, and that Kafka sinks went on without."
    );
    describe_gauge!(SOURCE_LAG_RECORDS, Unit::Count, "Records of a partition behind the next one that a Kafka source will read.");
}
