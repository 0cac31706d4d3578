//! The connectors `print` and `blackhole`.

use std::collections::BTreeMap;

use serde_json::json;
use weir_protocol::job_graph::OperatorDescriptor;

use super::option::{ConnectorOption, ignored, only, used};
use super::{Request, SinkChanges, SinkDescriptor};
use crate::OptionValue;
use crate::script::SqlError;

const PARALLELISM: ConnectorOption =
    ignored("sink.parallelism", OptionValue::Integer(1, i32::MAX as i64), "Sinks run with 'parallelism.default'.");

pub(super) const PRINT: &[ConnectorOption] = &[
    used("print-identifier", OptionValue::Text, "none", "Text before every row."),
    only("standard-error", OptionValue::Flag, "false", "Rows are printed to the standard output."),
    PARALLELISM,
];

pub(super) const BLACKHOLE: &[ConnectorOption] = &[PARALLELISM];

pub(super) fn print(request: &Request<'_>) -> Result<SinkDescriptor, SqlError> {
    let mut options = BTreeMap::new();
    if let Some(prefix) = request.options.text("print-identifier").filter(|prefix| !prefix.is_empty()) {
        options.insert("prefix".to_owned(), json!(prefix));
    }
    Ok(sink("sink.print", options, request))
}

pub(super) fn blackhole(request: &Request<'_>) -> Result<SinkDescriptor, SqlError> {
    Ok(sink("sink.blackhole", BTreeMap::new(), request))
}

fn sink(kind: &str, options: BTreeMap<String, serde_json::Value>, request: &Request<'_>) -> SinkDescriptor {
    let operator = OperatorDescriptor::new(kind, options);
    SinkDescriptor { operator, changes: SinkChanges::All, notices: request.options.take_notices() }
}
