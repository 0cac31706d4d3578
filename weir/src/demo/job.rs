//! The demo's job: for each origin and hour, the number of departures, their average delay and their worst delay.

use std::path::Path;

use serde_json::json;
use weir_protocol::job_graph::JobGraph;

/// Parallelism of both vertices: one reader per data file.
const PARALLELISM: u32 = 2;

/// The job graph. `rows_per_second` limits the whole job, so that it runs long enough for the two kills.
pub(super) fn flights_job(data: &Path, output: &Path, rows_per_second: u64) -> Result<JobGraph, serde_json::Error> {
    let bigint = |name: &str| json!({"name": name, "type": "bigint"});
    let string = |name: &str| json!({"name": name, "type": "string"});
    let timestamp = |name: &str| json!({"name": name, "type": "timestamp_ms"});
    serde_json::from_value(json!({
        "version": JobGraph::VERSION,
        "name": "Departures from New York, by origin and hour",
        "vertices": [
            {
                "id": "departures",
                "name": "Departed flights",
                "parallelism": PARALLELISM,
                "operators": [
                    {"kind": "source.file", "options": {
                        "path": data,
                        "format": "csv",
                        "rows_per_second": rows_per_second / u64::from(PARALLELISM),
                        "schema": [timestamp("scheduled"), string("origin"), string("carrier"), bigint("flight"), string("dest"), bigint("dep_delay")],
                    }},
                    {"kind": "watermark", "options": {"column": "scheduled", "out_of_orderness_ms": 60_000}},
                    {"kind": "filter", "options": {"predicate": "dep_delay IS NOT NULL"}},
                    {"kind": "project", "options": {"columns": [
                        {"name": "scheduled", "expr": "scheduled"},
                        {"name": "origin", "expr": "origin"},
                        {"name": "dep_delay", "expr": "dep_delay"},
                    ]}},
                ],
                "output_schema": [timestamp("scheduled"), string("origin"), bigint("dep_delay")],
            },
            {
                "id": "hourly",
                "name": "Hourly statistics",
                "parallelism": PARALLELISM,
                "operators": [
                    {"kind": "window.tumbling", "options": {
                        "time_column": "scheduled",
                        "size_ms": 3_600_000,
                        "keys": ["origin"],
                        "aggregates": [
                            {"name": "departures", "function": "count"},
                            {"name": "average_delay", "function": "avg", "column": "dep_delay"},
                            {"name": "worst_delay", "function": "max", "column": "dep_delay"},
                        ],
                    }},
                    {"kind": "sink.file", "options": {"path": output, "format": "csv"}},
                ],
            },
        ],
        "edges": [{"from": "departures", "to": "hourly", "partitioning": {"type": "hash", "keys": ["origin"]}}],
        "checkpointing": {"interval_ms": 1_000, "tolerable_failures": 10, "retained": 3},
        "restart_strategy": {"type": "fixed-delay", "attempts": 100, "delay_ms": 50},
    }))
}
