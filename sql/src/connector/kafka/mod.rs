//! The connectors `kafka` and `upsert-kafka`, with the options of Flink's.

mod formats;
mod position;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use weir_protocol::job_graph::{DataType, ElementType, OperatorDescriptor};

use self::formats::Formats;
use self::position::position;
use super::format::{Format, is_changelog};
use super::option::{ConnectorOption, Options, ignored, refused, used};
use super::{Metadata, Request, SinkChanges, SinkDescriptor, SourceDescriptor};
use crate::OptionValue::{Choice, Duration, Integer, Text};
use crate::catalog::CatalogTable;
use crate::option::duration_ms;
use crate::script::SqlError;

/// Formats of rows that are all inserts.
const FORMATS: &[&str] = &["avro", "avro-confluent", "csv", "json", "raw"];
/// The formats of values of messages.
const MESSAGE_FORMATS: &[&str] = &["avro", "avro-confluent", "csv", "debezium-avro-confluent", "debezium-json", "json", "raw"];
const START_MODES: &[&str] = &["earliest-offset", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];
const STOP_MODES: &[&str] = &["unbounded", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];
const GUARANTEES: &[&str] = &["none", "at-least-once", "exactly-once"];

/// Partitions that appear while a job runs are found within this time, by default.
const DISCOVERY_MS: u64 = 5 * 60 * 1000;

/// The options that every table of Kafka has.
pub(super) const TOPIC: &[ConnectorOption] = &[
    used("topic", Text, "", "The topic. A table that is only read can have several, as in 'a;b'."),
    refused("topic-pattern", "Name the topics in 'topic'."),
    used("properties.bootstrap.servers", Text, "", "Addresses of brokers, as in host:9092,host:9092."),
    used("properties.*", Text, "", "Any option of a Kafka client, such as properties.security.protocol."),
    used("value.format", Choice(MESSAGE_FORMATS), "", "The format of the values of messages. Its options begin with 'value.'."),
    used("key.format", Choice(FORMATS), "none", "The format of the keys of messages. Its options begin with 'key.'."),
    used("key.fields-prefix", Text, "none", "What the columns of the key begin with in the table, but not in messages."),
    used(
        "value.fields-include",
        Choice(&["ALL", "EXCEPT_KEY"]),
        "ALL",
        "Whether the value holds the columns of the key as well.",
    ),
    ignored("scan.parallelism", Integer(1, i32::MAX as i64), "Sources run with 'parallelism.default'."),
    used(
        "sink.delivery-guarantee",
        Choice(GUARANTEES),
        "at-least-once",
        "How often a row is written when a job fails and continues.",
    ),
    used(
        "sink.transactional-id-prefix",
        Text,
        "made from the job and the sink",
        "What transactional ids begin with, if the guarantee is 'exactly-once'.",
    ),
    used(
        "sink.lost-rows",
        Choice(&["fail", "skip"]),
        "fail",
        "What happens to rows of a checkpoint that the cluster has timed out and the log has lost: KAFKA-ROWS-LOST.",
    ),
    ignored("sink.transaction-naming-strategy", Text, "Transactional ids are used again."),
    ignored("sink.parallelism", Integer(1, i32::MAX as i64), "Sinks run with 'parallelism.default'."),
];

/// The further options of a table of messages.
pub(super) const OPTIONS: &[ConnectorOption] = &[
    used("properties.group.id", Text, "none", "The consumer group to which a source commits its offsets."),
    used("format", Choice(MESSAGE_FORMATS), "", "The format of the values of messages, if there is no 'value.format'."),
    used("key.fields", Text, "none", "The columns that the key holds, as in 'a;b'."),
    used("scan.startup.mode", Choice(START_MODES), "group-offsets", "Where a job without state begins to read."),
    used(
        "scan.startup.specific-offsets",
        Text,
        "",
        "For 'specific-offsets', as in 'partition:0,offset:42;partition:1,offset:300'.",
    ),
    used("scan.startup.timestamp-millis", Integer(0, i64::MAX), "", "For 'timestamp', in milliseconds since 1970."),
    used("scan.bounded.mode", Choice(STOP_MODES), "unbounded", "Where the table ends."),
    used(
        "scan.bounded.specific-offsets",
        Text,
        "",
        "For 'specific-offsets', as in 'partition:0,offset:42;partition:1,offset:300'.",
    ),
    used("scan.bounded.timestamp-millis", Integer(0, i64::MAX), "", "For 'timestamp', in milliseconds since 1970."),
    used(
        "scan.topic-partition-discovery.interval",
        Duration,
        "5 min",
        "How often a source looks for new partitions. 0: only when it begins.",
    ),
    used(
        BAD_ROW_MODE,
        Choice(&["fail", "skip", "dead-letter"]),
        "fail",
        "What becomes of a message that can't be read. Flink has no such option.",
    ),
    used(
        BAD_ROW_MAX,
        Integer(0, i64::MAX),
        "any number",
        "How many messages a subtask may leave out before the job fails. Flink has no such option.",
    ),
    used(
        BAD_ROW_TOPIC,
        Text,
        "",
        "Where messages that can't be read are written, if the mode is 'dead-letter'. Flink has no such option.",
    ),
    used(
        "sink.partitioner",
        Choice(&["default", "fixed", "round-robin"]),
        "default",
        "How a sink chooses the partition of a row: by its key, or one for each subtask, or one after the other.",
    ),
    used("sink.semantic", Choice(GUARANTEES), "", "The old name of 'sink.delivery-guarantee'."),
];

/// The further options of a table of keyed rows.
pub(super) const UPSERT: &[ConnectorOption] = &[
    ignored("sink.buffer-flush.max-rows", Integer(0, i32::MAX as i64), "Every change is written."),
    ignored("sink.buffer-flush.interval", Duration, "Every change is written."),
];

const BAD_ROW_MODE: &str = "scan.bad-row.mode";
const BAD_ROW_MAX: &str = "scan.bad-row.max";
const BAD_ROW_TOPIC: &str = "scan.bad-row.topic";

/// What the options of a format begin with, depending on the option that names the format.
pub(super) const FORMAT_PREFIXES: &[&str] = &["", "key.", "value."];

/// What is known of a message. All of it is Flink's.
pub(super) const METADATA: &[Metadata] = &[
    Metadata::read_only("topic", || DataType::String),
    Metadata::read_only("partition", || DataType::Int),
    Metadata::writable("headers", || DataType::Map(nullable(DataType::String), nullable(DataType::Bytes))),
    Metadata { nullable: true, ..Metadata::read_only("leader-epoch", || DataType::Int) },
    Metadata::read_only("offset", || DataType::Bigint),
    Metadata::writable("timestamp", || DataType::TimestampLtz(3)),
    Metadata::read_only("timestamp-type", || DataType::String),
];

fn nullable(data_type: DataType) -> Box<ElementType> {
    Box::new(ElementType { data_type, nullable: true })
}

/// Whether the values of a table are changes of rows.
pub(super) fn emits_changes(table: &CatalogTable) -> bool {
    let format = table.options.get("value.format").or_else(|| table.options.get("format"));
    format.is_some_and(|format| is_changelog(format))
}

/// How to read topics.
pub(super) fn source(request: &Request<'_>) -> Result<SourceDescriptor, SqlError> {
    refuse_key(request)?;
    let options = &request.options;
    let topics = topics(request)?;
    let formats = Formats::of_messages(request)?;
    let mut set = connection(request, PRODUCER)?;
    set.extend(formats.set(Format::reading)?);
    let start = position(options, "scan.startup", "group-offsets", &topics)?;
    let stop = position(options, "scan.bounded", "unbounded", &topics)?;
    let is_bounded = stop["mode"] != "never";
    set.extend([("start".to_owned(), start), ("stop".to_owned(), stop)]);
    let interval = options.text("scan.topic-partition-discovery.interval").and_then(duration_ms);
    set.insert("discovery_interval_ms".to_owned(), json!(interval.unwrap_or(DISCOVERY_MS)));
    set.extend(bad_rows(options, &formats, &topics)?);
    let columns = request.wanted_columns();
    if columns != request.stored {
        let names: Vec<_> = columns.iter().map(|field| field.name.as_str()).collect();
        set.insert("columns".to_owned(), json!(names));
    }
    set.extend([("topics".to_owned(), json!(topics)), ("schema".to_owned(), json!(request.stored))]);
    let operator = OperatorDescriptor::new("source.kafka", set);
    let columns = columns.into_iter().chain(request.metadata.iter().map(|(field, _)| field.clone())).collect();
    Ok(SourceDescriptor { operator, columns, is_bounded, notices: options.take_notices() })
}

/// How to write messages to a topic.
pub(super) fn sink(request: &Request<'_>) -> Result<SinkDescriptor, SqlError> {
    refuse_key(request)?;
    let options = &request.options;
    let partitioner = lower(options.text("sink.partitioner").unwrap_or("default"));
    if partitioner == "round-robin" && options.text("key.fields").is_some() {
        return Err(options.invalid("sink.partitioner", "is 'round-robin', which 'key.fields' excludes"));
    }
    let formats = Formats::of_messages(request)?;
    let mut set = written(request, &formats)?;
    set.insert("partitioner".to_owned(), json!(partitioner));
    if let Some(guarantee) = options.text("sink.semantic") {
        set.insert("guarantee".to_owned(), json!(lower(guarantee)));
    }
    let operator = OperatorDescriptor::new("sink.kafka", set);
    let changes = if formats.have_changes() { SinkChanges::All } else { SinkChanges::Refused };
    if changes == SinkChanges::All && options.text("key.fields").is_none() && partitioner != "fixed" {
        let path = request.path;
        options.notice(format!(
            "table {path}: the changes of a row may come to several partitions, in any order. Set 'key.fields' or 'sink.partitioner' = 'fixed'."
        ));
    }
    Ok(SinkDescriptor { operator, changes, notices: options.take_notices() })
}

/// How to write the newest row of each primary key to a topic.
pub(super) fn upsert_sink(request: &Request<'_>) -> Result<SinkDescriptor, SqlError> {
    let formats = Formats::of_upserts(request)?;
    let mut set = written(request, &formats)?;
    set.insert("upsert".to_owned(), json!(true));
    let operator = OperatorDescriptor::new("sink.kafka", set);
    let changes = SinkChanges::ByKey(request.table.primary_key.clone());
    Ok(SinkDescriptor { operator, changes, notices: request.options.take_notices() })
}

/// Reading the newest rows is not supported. Error: `SQL-UNSUPPORTED`.
pub(super) fn upsert_source(request: &Request<'_>) -> Result<SourceDescriptor, SqlError> {
    let error = SqlError::unsupported(format!("reading table {}, whose connector is 'upsert-kafka'", request.path));
    Err(error.hint("a table with connector 'kafka' gives every message as a row"))
}

/// The options that all sinks have.
fn written(request: &Request<'_>, formats: &Formats<'_>) -> Result<BTreeMap<String, Value>, SqlError> {
    let options = &request.options;
    let topics = topics(request)?;
    let [topic] = topics.as_slice() else {
        return Err(options.invalid("topic", "names several topics, so the table can only be read"));
    };
    let prefix = options.text("sink.transactional-id-prefix");
    if prefix == Some("") {
        return Err(options.invalid("sink.transactional-id-prefix", "is empty").hint("leave it out, or give a text"));
    }
    let mut set = connection(request, CONSUMER)?;
    set.extend(formats.set(Format::writing)?);
    set.insert("topic".to_owned(), json!(topic));
    let guarantee = options.text("sink.delivery-guarantee").unwrap_or("at-least-once");
    set.insert("guarantee".to_owned(), json!(lower(guarantee)));
    set.extend(prefix.map(|prefix| ("transactional_id_prefix".to_owned(), json!(prefix))));
    set.extend(options.text("sink.lost-rows").map(|lost| ("lost_rows".to_owned(), json!(lower(lost)))));
    Ok(set)
}

fn lower(text: &str) -> String {
    text.trim().to_lowercase()
}

/// The parts of a list such as `a;b`.
fn list(text: &str) -> Vec<&str> {
    text.split(';').map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// The topics of a table. Error: `SQL-OPTION` if there are none, or a name can't be one.
fn topics<'a>(request: &'a Request<'_>) -> Result<Vec<&'a str>, SqlError> {
    let options = &request.options;
    let topics = list(options.required("topic")?);
    if topics.is_empty() {
        return Err(options.invalid("topic", "names no topic"));
    }
    for (index, topic) in topics.iter().enumerate() {
        if !is_topic(topic) {
            let why = format!("names '{topic}'; a topic has up to 249 letters, digits, points, underscores and hyphens");
            return Err(options.invalid("topic", &why));
        }
        if topics[..index].contains(topic) {
            return Err(options.invalid("topic", &format!("names '{topic}' twice")));
        }
    }
    Ok(topics)
}

/// Whether Kafka takes this text as the name of a topic.
fn is_topic(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&text.len()) && text.chars().all(allowed) && !matches!(text, "." | "..")
}

/// The options that both directions have: where the brokers are, how a client speaks with them, and the metadata. Properties of the
/// `foreign` direction are left out.
fn connection(request: &Request<'_>, foreign: &[&str]) -> Result<BTreeMap<String, Value>, SqlError> {
    const SERVERS: &str = "properties.bootstrap.servers";
    let options = &request.options;
    if !request.table.partition_keys.is_empty() {
        return Err(SqlError::unsupported(format!("the PARTITIONED BY of table {}", request.path)).hint("leave it out"));
    }
    let servers = options.required(SERVERS)?;
    let is_used = |name: &str| foreign.iter().all(|foreign| *foreign != name && !is_below(name, foreign));
    let mut properties = Map::new();
    for key in options.keys().filter(|key| *key != SERVERS) {
        if let (Some(name), Some(value)) = (key.strip_prefix("properties.").filter(|name| is_used(name)), options.text(key)) {
            properties.insert(name.to_owned(), json!(value));
        }
    }
    let mut set = BTreeMap::from([("bootstrap_servers".to_owned(), json!(servers))]);
    if !properties.is_empty() {
        set.insert("properties".to_owned(), Value::Object(properties));
    }
    if !request.metadata.is_empty() {
        set.insert("metadata".to_owned(), request.metadata_columns());
    }
    Ok(set)
}

/// Refuses a primary key of rows that are all inserts. Error: `SQL-CATALOG`.
fn refuse_key(request: &Request<'_>) -> Result<(), SqlError> {
    if request.table.primary_key.is_empty() || emits_changes(request.table) {
        return Ok(());
    }
    let message = format!("table {}: this format can't have a PRIMARY KEY, because it never updates a row", request.path);
    Err(SqlError::new("SQL-CATALOG", message).hint("leave it out, or write with connector 'upsert-kafka'"))
}

/// Whether `group` ends with a point, and a property belongs to it.
fn is_below(property: &str, group: &str) -> bool {
    group.ends_with('.') && property.starts_with(group)
}

/// Properties that only consumers have. The same table may be written.
const CONSUMER: &[&str] = &[
    "allow.auto.create.topics",
    "auto.",
    "check.crcs",
    "commit.offsets.on.checkpoint",
    "enable.auto.commit",
    "exclude.internal.topics",
    "fetch.",
    "group.",
    "heartbeat.interval.ms",
    "isolation.level",
    "key.deserializer",
    "max.partition.fetch.bytes",
    "max.poll.",
    "partition.assignment.strategy",
    "partition.discovery.interval.ms",
    "session.timeout.ms",
    "value.deserializer",
];

/// Properties that only producers have. The same table may be read.
const PRODUCER: &[&str] = &[
    "acks",
    "batch.size",
    "buffer.memory",
    "compression.",
    "delivery.timeout.ms",
    "enable.idempotence",
    "key.serializer",
    "linger.ms",
    "max.block.ms",
    "max.in.flight.requests.per.connection",
    "max.request.size",
    "partitioner.",
    "retries",
    "transaction.",
    "transactional.id",
    "value.serializer",
];

/// What a source does about messages that it can't read. Error: `SQL-OPTION`.
fn bad_rows(options: &Options<'_>, formats: &Formats<'_>, topics: &[&str]) -> Result<Map<String, Value>, SqlError> {
    let mut set = Map::new();
    let default = if formats.ignore_errors() { "skip" } else { "fail" };
    let mode = lower(options.text(BAD_ROW_MODE).unwrap_or(default));
    let only_with =
        |key: &str, modes: &str| options.invalid(key, &format!("needs '{BAD_ROW_MODE}' = {modes}, which is '{mode}'"));
    if mode == "dead-letter" {
        let topic = options.required(BAD_ROW_TOPIC)?;
        if !is_topic(topic) || topics.contains(&topic) {
            return Err(options.invalid(BAD_ROW_TOPIC, &format!("is '{topic}'; it must be the name of another topic")));
        }
        set.insert("dead_letter_topic".to_owned(), json!(topic));
    } else if options.text(BAD_ROW_TOPIC).is_some() {
        return Err(only_with(BAD_ROW_TOPIC, "'dead-letter'"));
    }
    match options.integer(BAD_ROW_MAX) {
        Some(_) if mode == "fail" => return Err(only_with(BAD_ROW_MAX, "'skip' or 'dead-letter'")),
        Some(max) => set.insert("max_bad_rows".to_owned(), json!(max)),
        None if mode == "fail" => None,
        None => set.insert("ignore_parse_errors".to_owned(), json!(true)),
    };
    Ok(set)
}

#[cfg(test)]
mod tests;
