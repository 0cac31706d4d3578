//! The async runtime on which all connections of this process live.

use std::sync::OnceLock;

use tokio::runtime::Handle;
use weir_dataflow::operator::OperatorError;
use weir_world::OwnRuntime;

/// A handle to the process's runtime for Kafka, with one thread called `kafka-io`. It starts with the first source or sink. Error:
/// `KAFKA-THREAD` if the system has no thread left.
pub(crate) fn io_runtime() -> Result<Handle, OperatorError> {
    static RUNTIME: OnceLock<Result<OwnRuntime, String>> = OnceLock::new();
    // One thread only moves bytes. What costs time (parsing, checksums, compression) is done by the threads of slots.
    let runtime = RUNTIME.get_or_init(|| OwnRuntime::multi_threaded("kafka-io", 1, 1).map_err(|error| error.to_string()));
    let failed =
        |error: &String| OperatorError::retryable("KAFKA-THREAD", format!("no thread for Kafka can be started: {error}"));
    runtime.as_ref().map(OwnRuntime::handle).map_err(failed)
}
