//! The options of `sink.kafka`, checked.

use std::collections::BTreeMap;

use arrow_schema::{Schema, SchemaRef};
use serde::Deserialize;
use weir_connectors::options;
use weir_dataflow::changelog::kind_column;
use weir_dataflow::operator::OperatorError;
use weir_protocol::job_graph::OperatorDescriptor;
use weir_protocol::job_graph::validate::KAFKA_TRANSACTION_TIMEOUT_MS;

use super::partitioner::PartitionerKind;
use super::rows::MetadataColumn;
use crate::client::{ClientSettings, Properties, PropertyError};
use crate::producer::{self, ProducerSettings};
use crate::row_format::{KeyOptions, RowFormat, ValueOptions};
use crate::transaction::TransactionSettings;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KafkaSinkOptions {
    bootstrap_servers: String,
    topic: String,
    #[serde(default)]
    properties: BTreeMap<String, String>,
    #[serde(default)]
    key: Option<KeyOptions>,
    value: ValueOptions,
    #[serde(default = "yes")]
    value_includes_key: bool,
    #[serde(default)]
    metadata: Vec<MetadataColumn>,
    #[serde(default)]
    partitioner: PartitionerKind,
    #[serde(default)]
    guarantee: Guarantee,
    #[serde(default)]
    transactional_id_prefix: Option<String>,
    #[serde(default)]
    lost_rows: LostRows,
    #[serde(default)]
    upsert: bool,
}

fn yes() -> bool {
    true
}

/// What is promised about rows when something fails. The names are those of Flink's connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Guarantee {
    /// A checkpoint does not wait for acknowledgements.
    None,
    #[default]
    AtLeastOnce,
    ExactlyOnce,
}

/// What to do about rows whose transaction the cluster has timed out, and which the log does not have any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LostRows {
    #[default]
    Fail,
    Skip,
}

/// What is written, where, and with which promise.
pub(super) struct Settings {
    pub(super) producer: ProducerSettings,
    pub(super) format: RowFormat,
    pub(super) metadata: Vec<MetadataColumn>,
    /// The columns of the input, without that of kinds.
    pub(super) schema: SchemaRef,
    /// Position of the kinds of rows in the input, if it has them.
    pub(super) kinds: Option<usize>,
    pub(super) partitioner: PartitionerKind,
    pub(super) guarantee: Guarantee,
    pub(super) transactional_id_prefix: Option<String>,
    pub(super) transactions: TransactionSettings,
    pub(super) upsert: bool,
}

impl Settings {
    /// Errors: `CONN-OPTION`, and those of the formats.
    pub(super) fn read(descriptor: &OperatorDescriptor, input: &SchemaRef) -> Result<Self, OperatorError> {
        let kind = descriptor.kind.as_str();
        let options: KafkaSinkOptions = options::read(descriptor)?;
        let bad = |error: PropertyError| options::invalid(kind, error);
        if options.topic.is_empty() {
            return Err(options::invalid(kind, "topic is empty"));
        }
        let properties = Properties::new(options.properties, producer::PROPERTIES).map_err(bad)?;
        let client = ClientSettings::new(&options.bootstrap_servers, &properties).map_err(bad)?;
        let producer = ProducerSettings::new(client, options.topic, &properties).map_err(bad)?;
        if options.guarantee == Guarantee::ExactlyOnce && producer.acks != -1 {
            return Err(options::invalid(kind, "exactly-once needs the property acks = all"));
        }
        let timeout =
            properties.number("transaction.timeout.ms", KAFKA_TRANSACTION_TIMEOUT_MS, 1_000..=i32::MAX as u64).map_err(bad)?;
        let prefix = options.transactional_id_prefix.filter(|prefix| !prefix.is_empty());
        let schema = match kind_column(input) {
            Some(position) if options.upsert || options.value.has_changes() => {
                let columns: Vec<_> = (0..position).collect();
                input.project(&columns).map(SchemaRef::new).map_err(|error| options::invalid(kind, error))?
            }
            Some(_) => {
                return Err(options::invalid(
                    kind,
                    "the rows are changes of a table, which need \"upsert\": true and a key, or a format of changes",
                ));
            }
            None => SchemaRef::clone(input),
        };
        if options.upsert && options.key.is_none() {
            return Err(options::invalid(kind, "upsert needs a key"));
        }
        let physical = physical(kind, &schema, &options.metadata)?;
        let format = RowFormat::new(kind, &physical, options.key.as_ref(), &options.value, options.value_includes_key)?;
        Ok(Self {
            producer,
            format,
            metadata: options.metadata,
            schema,
            kinds: kind_column(input),
            partitioner: options.partitioner,
            guarantee: options.guarantee,
            transactional_id_prefix: prefix,
            transactions: TransactionSettings { timeout_ms: timeout as u32, skips_lost: options.lost_rows == LostRows::Skip },
            upsert: options.upsert,
        })
    }
}

/// The columns that are part of key or value. Those of metadata follow them.
fn physical(kind: &str, schema: &Schema, metadata: &[MetadataColumn]) -> Result<Schema, OperatorError> {
    for column in metadata {
        let found = schema.field_with_name(&column.name);
        let found = found.map_err(|_| options::invalid(kind, format!("metadata has {:?}, which is no column", column.name)))?;
        column.check(kind, found)?;
    }
    let is_physical = |index: &usize| metadata.iter().all(|column| column.name != *schema.field(*index).name());
    let columns: Vec<_> = (0..schema.fields().len()).filter(is_physical).collect();
    if columns.iter().enumerate().any(|(position, column)| position != *column) {
        return Err(options::invalid(kind, "the columns of metadata must come last"));
    }
    schema.project(&columns).map_err(|error| options::invalid(kind, error))
}
