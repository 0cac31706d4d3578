//! The options of `source.kafka` and `sink.kafka`.

use super::{OperatorRole, OperatorSpec, OptionSpec, OptionType, optional, required};

const FORMAT: OptionSpec = required(
    "format",
    OptionType::Object(&[
        required(
            "kind",
            OptionType::Choice(&["avro", "avro-confluent", "csv", "debezium-avro-confluent", "debezium-json", "json", "raw"]),
            "The format; raw is the bytes of the only column, debezium-* the change of a row, *-confluent has schemas in a registry.",
        ),
        optional("delimiter", OptionType::Character, "csv: the separator of fields; default a comma."),
        optional(
            "quote",
            OptionType::TextOrEmpty,
            "csv: the character around fields that hold delimiters; default a double quote.",
        ),
        optional("escape", OptionType::TextOrEmpty, "csv: the character that takes the meaning from the next one; default none."),
        optional("null_literal", OptionType::TextOrEmpty, "csv: the text of NULL; default an empty field."),
        optional("empty_text", OptionType::Choice(&["null", "text"]), "csv: what an empty field of a text column means."),
        optional(
            "timestamp_format",
            OptionType::Choice(&["iso-8601", "iso-8601-local", "sql"]),
            "csv, json, debezium-json: how times are written; default iso-8601. All forms are read.",
        ),
        optional(
            "ignore_parse_errors",
            OptionType::Flag,
            "csv, json, debezium-json: whether a value that can't be read is NULL; default false.",
        ),
        optional(
            "schema_include",
            OptionType::Flag,
            "debezium-json: whether messages hold their schema; default false. Such are only read.",
        ),
        optional("fail_on_missing_field", OptionType::Flag, "json: whether a row that lacks a field is bad; default false."),
        optional(
            "endianness",
            OptionType::Choice(&["big-endian", "little-endian"]),
            "raw: the order of a number's bytes; default big-endian.",
        ),
        optional(
            "legacy_timestamps",
            OptionType::Flag,
            "avro: whether TIMESTAMP is timestamp-millis and TIMESTAMP_LTZ has no form; default true.",
        ),
        optional("url", OptionType::Text, "*-confluent, required: the address of the schema registry, with its path."),
        optional("subject", OptionType::Text, "*-confluent, required of a sink: under which name the schema is registered."),
        optional("schema", OptionType::Text, "avro-confluent: the schema in which a sink writes; default made from the columns."),
        optional("basic_auth", OptionType::Text, "*-confluent: user:password for the registry; default none."),
        optional("bearer_token", OptionType::Text, "*-confluent: a token for the registry; default none."),
        optional(
            "truststore",
            OptionType::Text,
            "*-confluent: a PEM file with the certificates by which the registry is known; default the system's.",
        ),
        optional(
            "keystore",
            OptionType::Text,
            "*-confluent: a PEM file with the certificate and key that are shown to the registry; default none.",
        ),
    ]),
    "The format, and its options.",
);

const KEY: OptionSpec = optional(
    "key",
    OptionType::Object(&[
        FORMAT,
        required("fields", OptionType::Columns(false), "The columns of the key."),
        optional(
            "prefix",
            OptionType::TextOrEmpty,
            "What the names of these columns begin with, but not in the key; default empty.",
        ),
    ]),
    "The key of records; default: records have no key, and keys are not read.",
);

const VALUE: OptionSpec = required("value", OptionType::Object(&[FORMAT]), "The value of records.");

const VALUE_INCLUDES_KEY: OptionSpec =
    optional("value_includes_key", OptionType::Flag, "Whether the columns of the key are in the value too; default true.");

const BOOTSTRAP: OptionSpec =
    required("bootstrap_servers", OptionType::Text, "Brokers to ask first, as host:port, separated by commas.");

const PROPERTIES: OptionSpec = optional(
    "properties",
    OptionType::Map(&OptionType::TextOrEmpty),
    "Settings of the client, with the names of Kafka's Java client, for example security.protocol.",
);

const METADATA_KEY: OptionType =
    OptionType::Choice(&["topic", "partition", "headers", "leader-epoch", "offset", "timestamp", "timestamp-type"]);

const START_MODES: OptionType = OptionType::Choice(&["earliest", "latest", "group-offsets", "timestamp", "specific"]);
const STOP_MODES: OptionType = OptionType::Choice(&["never", "earliest", "latest", "group-offsets", "timestamp", "specific"]);
const TIMESTAMP: OptionSpec = optional(
    "timestamp_ms",
    OptionType::Integer(0, i64::MAX),
    "For the mode timestamp: the first record of this time or later, in milliseconds since 1970.",
);
const OFFSETS: OptionSpec = optional(
    "offsets",
    OptionType::Map(&OptionType::Integer(0, i64::MAX)),
    "For the mode specific: the offset of each partition, by its number.",
);

pub(super) const SOURCE: OperatorSpec = OperatorSpec {
    kind: "source.kafka",
    role: OperatorRole::Source,
    inputs: 0,
    key_options: &[],
    options: &[
        BOOTSTRAP,
        required("topics", OptionType::Values, "The topics."),
        PROPERTIES,
        optional(
            "start",
            OptionType::Object(&[required("mode", START_MODES, "Where to start in each partition."), TIMESTAMP, OFFSETS]),
            "Where a new job starts; default at the earliest records. A restored job goes on where it was.",
        ),
        optional(
            "stop",
            OptionType::Object(&[required("mode", STOP_MODES, "Where to stop in each partition."), TIMESTAMP, OFFSETS]),
            "Where the job stops, as it is when a new job starts; default never.",
        ),
        optional(
            "discovery_interval_ms",
            super::DURATION,
            "How often to look for new partitions, in milliseconds; default 0: never. A job that stops does not look for any.",
        ),
        required("schema", OptionType::Schema, "The columns of keys and values."),
        optional("columns", OptionType::Columns(true), "Those of them that are read, in this order; default all."),
        KEY,
        VALUE,
        VALUE_INCLUDES_KEY,
        optional(
            "metadata",
            OptionType::Objects(&[
                required("name", OptionType::Column, "Name of the column."),
                required("key", METADATA_KEY, "What it tells of the record."),
            ]),
            "Further columns.",
        ),
        optional(
            "max_bad_rows",
            OptionType::Integer(0, i64::MAX),
            "How many records that can't be read a subtask may skip; default 0.",
        ),
        optional(
            "ignore_parse_errors",
            OptionType::Flag,
            "Whether any number of records that can't be read is skipped; default false.",
        ),
        optional(
            "dead_letter_topic",
            OptionType::Text,
            "Where skipped records go, with headers that say where they were and why they can't be read; default nowhere.",
        ),
    ],
    doc: "Reads the records of Kafka topics.",
};

pub(super) const SINK: OperatorSpec = OperatorSpec {
    kind: "sink.kafka",
    role: OperatorRole::Sink,
    inputs: 1,
    key_options: &[],
    options: &[
        BOOTSTRAP,
        required("topic", OptionType::Text, "The topic, which must exist."),
        PROPERTIES,
        KEY,
        VALUE,
        VALUE_INCLUDES_KEY,
        optional(
            "metadata",
            OptionType::Objects(&[
                required("name", OptionType::Column, "Name of the column."),
                required("key", OptionType::Choice(&["headers", "timestamp"]), "What it becomes in the record."),
            ]),
            "Columns, the last ones, that are neither in the key nor in the value.",
        ),
        optional(
            "partitioner",
            OptionType::Choice(&["default", "fixed", "round-robin"]),
            "How partitions are chosen: by the key, one for each subtask, or in turn; default default.",
        ),
        optional(
            "guarantee",
            OptionType::Choice(&["none", "at-least-once", "exactly-once"]),
            "What is promised about rows when something fails; default at-least-once.",
        ),
        optional(
            "transactional_id_prefix",
            OptionType::TextOrEmpty,
            "What the transactional ids begin with; default one of the job and the vertex. No two sinks may have the same.",
        ),
        optional(
            "lost_rows",
            OptionType::Choice(&["fail", "skip"]),
            "What happens to rows of a restored checkpoint that the cluster has timed out and the log has lost; default fail.",
        ),
        optional(
            "upsert",
            OptionType::Flag,
            "Whether rows are changes of a table: the newest value of each key, nothing if it was deleted. Needs a key; default false.",
        ),
    ],
    doc: "Writes rows as records of a Kafka topic.",
};
