//! The connector `filesystem`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_protocol::job_graph::{DataType, OperatorDescriptor};

use super::option::{ConnectorOption, ignored, only, refused, used};
use super::{Request, SinkDescriptor, SourceDescriptor};
use crate::OptionValue::{Character, Choice, Duration, Flag, Integer, Memory, Text};
use crate::option::{character, duration_ms};
use crate::script::SqlError;

const MONITOR_INTERVAL: &str = "source.monitor-interval";

pub(super) const OPTIONS: &[ConnectorOption] = &[
    used("path", Text, "", "The file or directory: an absolute path or a URI such as file:///data or s3://bucket/data."),
    used("format", Choice(&["csv", "json", "parquet"]), "", "The format of the files."),
    used("csv.field-delimiter", Character, ",", "The character between fields."),
    used("csv.quote-character", Character, "\"", "The character around texts that contain delimiters, quotes or line ends."),
    used("csv.disable-quote-character", Flag, "false", "Whether no character has the meaning of a quote. Sinks always need one."),
    used("csv.escape-character", Character, "none", "The character that takes the meaning of the next one."),
    used("csv.null-literal", Text, "none", "The text that means NULL."),
    used("csv.ignore-parse-errors", Flag, "false", "Whether fields that can't be read become NULL instead of failing the job."),
    used("csv.header", Flag, "false", "Whether files begin with a line of column names. Flink has no such option."),
    only("csv.allow-comments", Flag, "false", "Lines that begin with # are rows like all others."),
    refused("csv.array-element-delimiter", "CSV files can't hold arrays, maps and rows."),
    ignored("csv.write-bigdecimal-in-scientific-notation", Flag, "Decimals are written with all digits."),
    used("json.ignore-parse-errors", Flag, "false", "Whether what can't be read becomes NULL instead of failing the job."),
    used("json.fail-on-missing-field", Flag, "false", "Whether a row that lacks a field fails the job."),
    used("json.timestamp-format.standard", Choice(&["SQL", "ISO-8601"]), "SQL", "How sinks write times. Both forms are read."),
    only("json.map-null-key.mode", Choice(&["FAIL", "DROP", "LITERAL"]), "FAIL", "A map with a NULL key fails the job."),
    only("json.encode.ignore-null-fields", Flag, "false", "NULL fields are written."),
    ignored("json.map-null-key.literal", Text, "It belongs to the mode LITERAL."),
    ignored("json.encode.decimal-as-plain-number", Flag, "Decimals are written with all digits."),
    ignored("json.decode.json-parser.enabled", Flag, "There is one parser."),
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
fn common(request: &Request<'_>) -> Result<(BTreeMap<String, Value>, String), SqlError> {
    if !request.table.partition_keys.is_empty() {
        return Err(SqlError::unsupported(format!("the PARTITIONED BY of table {}", request.path)).hint("leave it out"));
    }
    let options = &request.options;
    let format = options.required("format")?.trim().to_lowercase();
    // An option of another format is a mistake, as in Flink.
    for other in ["csv", "json", "parquet"].into_iter().filter(|other| *other != format) {
        let prefix = format!("{other}.");
        if let Some(key) = request.table.options.keys().find(|key| key.starts_with(&prefix)) {
            return Err(options.invalid(key, &format!("does not fit 'format' = '{format}'")));
        }
    }
    let mut set = BTreeMap::new();
    set.insert("path".to_owned(), json!(path(request)?));
    set.insert("format".to_owned(), json!(format));
    if format == "csv" {
        set.insert("header".to_owned(), json!(options.flag("csv.header")));
        if let Some(delimiter) = options.text("csv.field-delimiter").and_then(character) {
            set.insert("delimiter".to_owned(), json!(delimiter));
        }
        if let Some(quote) = options.text("csv.quote-character").and_then(character) {
            set.insert("quote".to_owned(), json!(quote));
        }
        if let Some(escape) = options.text("csv.escape-character").and_then(character) {
            set.insert("escape".to_owned(), json!(escape));
        }
        if let Some(literal) = options.text("csv.null-literal") {
            set.insert("null_literal".to_owned(), json!(literal));
        }
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
pub(super) const METADATA: &[(&str, DataType)] = &[
    ("file.path", DataType::String),
    ("file.name", DataType::String),
    ("file.size", DataType::Bigint),
    ("file.modification-time", DataType::TimestampLtz(3)),
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
        let metadata = request.metadata.iter().map(|(field, key)| json!({"name": field.name, "key": key}));
        set.insert("metadata".to_owned(), metadata.collect());
    }
    let interval = options.text(MONITOR_INTERVAL).and_then(duration_ms);
    if let Some(interval) = interval {
        if interval == 0 {
            return Err(options.invalid(MONITOR_INTERVAL, "is 0; it must be at least 1 ms"));
        }
        set.insert("monitor_interval_ms".to_owned(), json!(interval));
    }
    match format.as_str() {
        "csv" => {
            // To Flink an empty field of a text column is an empty text.
            set.insert("empty_text".to_owned(), json!("text"));
            if options.flag("csv.disable-quote-character") {
                if options.text("csv.quote-character").is_some() {
                    return Err(options.invalid("csv.quote-character", "and 'csv.disable-quote-character' exclude each other"));
                }
                set.insert("quote".to_owned(), json!(""));
            }
            if options.flag("csv.ignore-parse-errors") {
                set.insert("ignore_parse_errors".to_owned(), json!(true));
            }
        }
        "json" => {
            // A field that a row lacks is NULL in Flink, even if all rows lack it.
            let fails = options.flag("json.fail-on-missing-field");
            set.insert("missing_columns".to_owned(), json!("null"));
            if fails {
                set.insert("fail_on_missing_field".to_owned(), json!(true));
            }
            if options.flag("json.ignore-parse-errors") {
                if fails {
                    return Err(
                        options.invalid("json.ignore-parse-errors", "and 'json.fail-on-missing-field' exclude each other")
                    );
                }
                set.insert("ignore_parse_errors".to_owned(), json!(true));
            }
        }
        _ => {}
    }
    let operator = OperatorDescriptor::new("source.file", set);
    let columns = columns.into_iter().chain(request.metadata.iter().map(|(field, _)| field.clone())).collect();
    Ok(SourceDescriptor { operator, columns, is_bounded: interval.is_none(), notices: options.take_notices() })
}

pub(super) fn sink(request: &Request<'_>) -> Result<SinkDescriptor, SqlError> {
    let (mut set, format) = common(request)?;
    let options = &request.options;
    if options.flag("csv.disable-quote-character") {
        let error = SqlError::unsupported(format!("writing table {} with 'csv.disable-quote-character'", request.path));
        return Err(error.hint("without quotes, a text with a delimiter could not be read again"));
    }
    let iso = options.text("json.timestamp-format.standard").is_some_and(|format| format.trim().eq_ignore_ascii_case("ISO-8601"));
    match format.as_str() {
        "csv" => set.insert("timestamp_format".to_owned(), json!("sql")),
        "json" => set.insert("timestamp_format".to_owned(), json!(if iso { "iso-8601-local" } else { "sql" })),
        _ => None,
    };
    const KIND_COLUMN: &str = "sink.changelog.kind-column";
    let kind_column = options.text(KIND_COLUMN);
    if let Some(name) = kind_column {
        if name.is_empty() || request.stored.iter().any(|field| field.name == name) {
            return Err(options.invalid(KIND_COLUMN, &format!("is '{name}'; it must be the name of a further column")));
        }
        set.insert("kind_column".to_owned(), json!(name));
    }
    let operator = OperatorDescriptor::new("sink.file", set);
    Ok(SinkDescriptor { operator, takes_changes: kind_column.is_some(), notices: options.take_notices() })
}
