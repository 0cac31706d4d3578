//! The connector `filesystem`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_protocol::job_graph::{DataType, OperatorDescriptor};

use super::format::Format;
use super::option::{ConnectorOption, ignored, only, refused, used};
use super::{Metadata, Request, SinkChanges, SinkDescriptor, SourceDescriptor};
use crate::OptionValue::{Choice, Duration, Flag, Integer, Memory, Text};
use crate::option::duration_ms;
use crate::script::SqlError;

const MONITOR_INTERVAL: &str = "source.monitor-interval";

pub(super) const OPTIONS: &[ConnectorOption] = &[
    used("path", Text, "", "The file or directory: an absolute path or a URI such as file:///data or s3://bucket/data."),
    used("format", Choice(&["csv", "json", "parquet"]), "", "The format of the files."),
    used("csv.header", Flag, "false", "Whether files begin with a line of column names. Flink has no such option."),
    ignored("parquet.*", Text, "Weir chooses how Parquet files are laid out."),
    ignored("sink.rolling-policy.file-size", Memory, "Files appear whenever a checkpoint completes."),
    ignored("sink.rolling-policy.rollover-interval", Duration, "Files appear whenever a checkpoint completes."),
    ignored("sink.rolling-policy.check-interval", Duration, "Files appear whenever a checkpoint completes."),
    ignored("sink.rolling-policy.inactivity-interval", Duration, "Files appear whenever a checkpoint completes."),
    used(
        "sink.changelog.kind-column",
        Text,
        "none",
        "Lets the table take changes: each written row ends with a column of this name, +I, -U, +U or -D. Flink has no such option.",
    ),
    ignored("sink.parallelism", Integer(1, i32::MAX as i64), "Sinks run with 'parallelism.default'."),
    ignored("scan.parallelism", Integer(1, i32::MAX as i64), "Sources run with 'parallelism.default'."),
    ignored("source.report-statistics", Choice(&["ALL", "NONE"]), "There are no statistics."),
    only("auto-compaction", Flag, "false", "Files are not merged."),
    ignored("compaction.file-size", Memory, "Files are not merged."),
    ignored("compaction.parallelism", Integer(1, i32::MAX as i64), "Files are not merged."),
    used(
        MONITOR_INTERVAL,
        Duration,
        "none",
        "How often to look for new files; the table then has no end. Without it, the files that exist when the job begins are read.",
    ),
    refused("source.path.regex-pattern", "Sources read all files of the directory."),
    refused("partition.*", "Tables can't be partitioned."),
    refused("sink.partition-commit.*", "Tables can't be partitioned."),
    refused("sink.shuffle-by-partition.enable", "Tables can't be partitioned."),
];

/// Options that both directions have.
fn common<'a>(request: &'a Request<'_>) -> Result<(BTreeMap<String, Value>, Format<'a>), SqlError> {
    if !request.table.partition_keys.is_empty() {
        return Err(SqlError::unsupported(format!("the PARTITIONED BY of table {}", request.path)).hint("leave it out"));
    }
    let format = Format::required(&request.options, "format", "")?;
    format.refuse_others(&["csv", "json", "parquet"])?;
    let mut set = BTreeMap::new();
    set.insert("path".to_owned(), json!(path(request)?));
    set.insert("format".to_owned(), json!(format.name));
    if format.name == "csv" {
        set.insert("header".to_owned(), json!(request.options.flag("csv.header")));
    }
    Ok((set, format))
}

fn path(request: &Request<'_>) -> Result<String, SqlError> {
    let given = request.options.required("path")?;
    let local = given.strip_prefix("file:").map_or(given, |rest| rest.strip_prefix("//").unwrap_or(rest));
    if local.starts_with('/') || (given.starts_with("s3://") && given.len() > "s3://".len()) {
        return Ok(local.to_owned());
    }
    let error = request.options.invalid("path", &format!("is '{given}'; it must be an absolute path, file:///… or s3://…"));
    Err(error.hint("a relative path would mean another directory on every machine"))
}

/// What is known of a row's file. All of it is Flink's.
pub(super) const METADATA: &[Metadata] = &[
    Metadata::read_only("file.path", || DataType::String),
    Metadata::read_only("file.name", || DataType::String),
    Metadata::read_only("file.size", || DataType::Bigint),
    Metadata::read_only("file.modification-time", || DataType::TimestampLtz(3)),
];

pub(super) fn source(request: &Request<'_>) -> Result<SourceDescriptor, SqlError> {
    let (mut set, format) = common(request)?;
    let options = &request.options;
    let columns = request.wanted_columns();
    set.insert("schema".to_owned(), json!(request.stored));
    if columns != request.stored {
        let names: Vec<_> = columns.iter().map(|field| field.name.as_str()).collect();
        set.insert("columns".to_owned(), json!(names));
    }
    if !request.metadata.is_empty() {
        set.insert("metadata".to_owned(), request.metadata_columns());
    }
    let interval = options.text(MONITOR_INTERVAL).and_then(duration_ms);
    if let Some(interval) = interval {
        if interval == 0 {
            return Err(options.invalid(MONITOR_INTERVAL, "is 0; it must be at least 1 ms"));
        }
        set.insert("monitor_interval_ms".to_owned(), json!(interval));
    }
    set.extend(format.reading()?);
    if format.name == "json" {
        // A field that a row lacks is NULL in Flink, even if all rows lack it.
        set.insert("missing_columns".to_owned(), json!("null"));
    }
    let operator = OperatorDescriptor::new("source.file", set);
    let columns = columns.into_iter().chain(request.metadata.iter().map(|(field, _)| field.clone())).collect();
    Ok(SourceDescriptor { operator, columns, is_bounded: interval.is_none(), notices: options.take_notices() })
}

pub(super) fn sink(request: &Request<'_>) -> Result<SinkDescriptor, SqlError> {
    let (mut set, format) = common(request)?;
    let options = &request.options;
    set.extend(format.writing()?);
    const KIND_COLUMN: &str = "sink.changelog.kind-column";
    let kind_column = options.text(KIND_COLUMN);
    if let Some(name) = kind_column {
        if name.is_empty() || request.stored.iter().any(|field| field.name == name) {
            return Err(options.invalid(KIND_COLUMN, &format!("is '{name}'; it must be the name of a further column")));
        }
        set.insert("kind_column".to_owned(), json!(name));
    }
    let operator = OperatorDescriptor::new("sink.file", set);
    let changes = if kind_column.is_some() { SinkChanges::All } else { SinkChanges::Refused };
    Ok(SinkDescriptor { operator, changes, notices: options.take_notices() })
}
