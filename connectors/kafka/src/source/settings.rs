//! The options of `source.kafka`, checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{Schema, SchemaRef};
use serde::Deserialize;
use weir_connectors::options;
use weir_dataflow::operator::OperatorError;
use weir_dataflow::schema::to_arrow;
use weir_protocol::job_graph::{Field, OperatorDescriptor};

use super::metadata_columns::{MetadataColumn, MetadataColumns};
use crate::client::{ClientSettings, FetchLimits, Properties, PropertyError};
use crate::producer::ProducerSettings;
use crate::row_format::{KeyOptions, RowFormat, ValueOptions};

/// The properties that a source uses besides those of every client.
const PROPERTIES: &[&str] = &[
    "auto.offset.reset",
    "commit.offsets.on.checkpoint",
    "fetch.max.bytes",
    "fetch.max.wait.ms",
    "fetch.min.bytes",
    "group.id",
    "isolation.level",
    "max.partition.fetch.bytes",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KafkaSourceOptions {
    bootstrap_servers: String,
    topics: Vec<String>,
    #[serde(default)]
    properties: BTreeMap<String, String>,
    #[serde(default)]
    start: OffsetOptions,
    #[serde(default)]
    stop: Option<OffsetOptions>,
    /// How often to look for new partitions, in milliseconds; 0 for never.
    #[serde(default)]
    discovery_interval_ms: u64,
    schema: Vec<Field>,
    /// The columns to read; all by default.
    #[serde(default)]
    columns: Option<Vec<String>>,
    #[serde(default)]
    key: Option<KeyOptions>,
    value: ValueOptions,
    #[serde(default = "yes")]
    value_includes_key: bool,
    #[serde(default)]
    metadata: Vec<MetadataColumn>,
    #[serde(default)]
    max_bad_rows: u64,
    #[serde(default)]
    ignore_parse_errors: bool,
    /// Where records go that can't be read and are skipped.
    #[serde(default)]
    dead_letter_topic: Option<String>,
}

fn yes() -> bool {
    true
}

/// A place in the log of each partition, as options name it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OffsetOptions {
    #[serde(default)]
    pub(super) mode: OffsetMode,
    #[serde(default)]
    pub(super) timestamp_ms: Option<i64>,
    /// By partition number.
    #[serde(default)]
    pub(super) offsets: BTreeMap<i32, i64>,
}

/// What kind of place it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OffsetMode {
    #[default]
    Earliest,
    Latest,
    /// What the consumer group has committed.
    GroupOffsets,
    Timestamp,
    Specific,
    /// Only as an end.
    Never,
}

/// What to do if the group has committed no offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OffsetReset {
    Earliest,
    Latest,
    Fail,
}

/// What the fetcher needs.
#[derive(Debug)]
pub(super) struct FetchSettings {
    pub(super) client: ClientSettings,
    pub(super) topics: Vec<String>,
    /// How often to look for new partitions.
    pub(super) discovery_interval: Option<Duration>,
    pub(super) limits: FetchLimits,
}

impl FetchSettings {
    /// How often to ask for leaders and partitions.
    pub(super) fn metadata_max_age(&self) -> Duration {
        self.discovery_interval.unwrap_or(self.client.metadata_max_age)
    }
}

/// What to read, from where to where, and as which rows.
pub(super) struct Settings {
    pub(super) fetch: Arc<FetchSettings>,
    pub(super) start: OffsetOptions,
    pub(super) stop: Option<OffsetOptions>,
    pub(super) reset: OffsetReset,
    pub(super) group: Option<String>,
    pub(super) commits_offsets: bool,
    pub(super) format: RowFormat,
    pub(super) metadata: MetadataColumns,
    pub(super) max_bad_rows: u64,
    /// Where the skipped ones go.
    pub(super) dead_letters: Option<ProducerSettings>,
    /// Positions of the columns of key and value that are read.
    pub(super) wanted: Vec<usize>,
    /// The columns of the rows.
    pub(super) schema: SchemaRef,
}

impl Settings {
    /// Errors: `CONN-OPTION`, and those of the formats.
    pub(super) fn read(descriptor: &OperatorDescriptor) -> Result<Self, OperatorError> {
        let kind = descriptor.kind.as_str();
        let options: KafkaSourceOptions = options::read(descriptor)?;
        let bad = |error: PropertyError| options::invalid(kind, error);
        if options.topics.is_empty() || options.topics.iter().any(String::is_empty) {
            return Err(options::invalid(kind, "topics is empty, or has an empty name"));
        }
        let properties = Properties::new(options.properties, PROPERTIES).map_err(bad)?;
        let client = ClientSettings::new(&options.bootstrap_servers, &properties).map_err(bad)?;
        let bytes = |name, default| properties.number(name, default, 1..=256 << 20).map(|bytes| bytes as i32).map_err(bad);
        let stop = options.stop.filter(|stop| stop.mode != OffsetMode::Never);
        let discovery =
            (options.discovery_interval_ms > 0 && stop.is_none()).then(|| Duration::from_millis(options.discovery_interval_ms));
        let fetch = FetchSettings {
            client,
            topics: options.topics,
            discovery_interval: discovery,
            limits: FetchLimits {
                read_committed: properties.choice("isolation.level", &["read_committed", "read_uncommitted"]).map_err(bad)?
                    == "read_committed",
                max_wait: properties.millis("fetch.max.wait.ms", 500).map_err(bad)?,
                min_bytes: bytes("fetch.min.bytes", 1)?,
                answer_bytes: bytes("fetch.max.bytes", 8 << 20)?,
                partition_bytes: bytes("max.partition.fetch.bytes", 1 << 20)?,
            },
        };
        let reset = match properties.choice("auto.offset.reset", &["none", "earliest", "latest"]).map_err(bad)? {
            "earliest" => OffsetReset::Earliest,
            "latest" => OffsetReset::Latest,
            _ => OffsetReset::Fail,
        };
        let group = properties.get("group.id").filter(|group| !group.is_empty()).map(str::to_owned);
        for place in [Some(&options.start), stop.as_ref()].into_iter().flatten() {
            check_place(kind, place, group.is_some() || reset != OffsetReset::Fail)?;
        }
        let columns = to_arrow(&options.schema)?;
        let format = RowFormat::new(kind, &columns, options.key.as_ref(), &options.value, options.value_includes_key)?;
        let wanted = wanted(kind, &columns, options.columns.as_deref())?;
        let columns = columns.project(&wanted).map_err(|error| options::invalid(kind, error))?;
        let metadata = MetadataColumns::new(kind, options.metadata, &columns)?;
        let dead_letters = options.dead_letter_topic.filter(|topic| !topic.is_empty());
        let dead_letters =
            dead_letters.map(|topic| ProducerSettings::new(fetch.client.clone(), topic, &properties)).transpose().map_err(bad)?;
        let schema = format.value.schema_of_rows(&metadata.schema(&columns));
        Ok(Self {
            fetch: Arc::new(fetch),
            start: options.start,
            stop,
            reset,
            commits_offsets: group.is_some()
                && properties.choice("commit.offsets.on.checkpoint", &["true", "false"]).map_err(bad)? == "true",
            group,
            format,
            dead_letters,
            wanted,
            schema,
            metadata,
            max_bad_rows: if options.ignore_parse_errors { u64::MAX } else { options.max_bad_rows },
        })
    }
}

/// The positions of these columns, in this order.
fn wanted(kind: &str, schema: &Schema, columns: Option<&[String]>) -> Result<Vec<usize>, OperatorError> {
    let Some(columns) = columns else { return Ok((0..schema.fields().len()).collect()) };
    let position = |name: &String| {
        schema
            .index_of(name)
            .map_err(|_| options::invalid(kind, format!("columns has {name:?}, but the schema has no such column")))
    };
    let wanted: Vec<usize> = columns.iter().map(position).collect::<Result<_, _>>()?;
    match wanted.iter().enumerate().find(|(index, column)| wanted[..*index].contains(column)) {
        Some((index, _)) => Err(options::invalid(kind, format!("columns has {:?} twice", columns[index]))),
        None => Ok(wanted),
    }
}

fn check_place(kind: &str, place: &OffsetOptions, has_group_or_reset: bool) -> Result<(), OperatorError> {
    let wrong = |reason: &str| Err(options::invalid(kind, reason));
    match place.mode {
        OffsetMode::GroupOffsets if !has_group_or_reset => {
            wrong("group offsets need the property group.id, or auto.offset.reset")
        }
        OffsetMode::Timestamp if place.timestamp_ms.is_none_or(|time| time < 0) => {
            wrong("the mode timestamp needs timestamp_ms, from 0")
        }
        OffsetMode::Specific if place.offsets.is_empty() => wrong("the mode specific needs offsets"),
        OffsetMode::Specific if place.offsets.iter().any(|(id, offset)| *id < 0 || *offset < 0) => {
            wrong("offsets has a negative number")
        }
        OffsetMode::Never => wrong("a source can't start at \"never\""),
        _ => Ok(()),
    }
}
