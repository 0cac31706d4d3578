//! The metrics of connectors.

use metrics::{Unit, describe_counter};

/// Number of rows that a source could not read and skipped.
pub const SOURCE_BAD_ROWS: &str = "weir_source_bad_rows_total";
/// Number of files that the file sink made visible.
pub const SINK_COMMITTED_FILES: &str = "weir_sink_committed_files_total";
/// Number of bytes in files that the file sink made visible.
pub const SINK_COMMITTED_BYTES: &str = "weir_sink_committed_bytes_total";

/// Describes these metrics to the recorder. Call it once per process.
pub fn describe() {
    describe_counter!(SOURCE_BAD_ROWS, Unit::Count, "Rows that a source could not read and skipped (within max_bad_rows).");
    describe_counter!(SINK_COMMITTED_FILES, Unit::Count, "Files that the file sink made visible.");
    describe_counter!(SINK_COMMITTED_BYTES, Unit::Bytes, "Bytes in files that the file sink made visible.");
}
