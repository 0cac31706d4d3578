//! Reads the options of an operator from the job graph's JSON into a typed value.

use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_dataflow::operator::OperatorError;
use weir_protocol::job_graph::OperatorDescriptor;

/// Reads the options of `descriptor`. Error: `CONN-OPTION`, which names an option that is missing, unknown or of the wrong type.
pub fn read<T: DeserializeOwned>(descriptor: &OperatorDescriptor) -> Result<T, OperatorError> {
    let options = Value::Object(descriptor.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
    serde_json::from_value(options).map_err(|error| invalid(&descriptor.kind, error))
}

/// The error (`CONN-OPTION`) for options that can't be used.
pub fn invalid(kind: &str, reason: impl std::fmt::Display) -> OperatorError {
    OperatorError::fatal("CONN-OPTION", format!("{kind}: {reason}"))
}
