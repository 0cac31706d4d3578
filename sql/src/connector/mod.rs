//! Connectors: from a table's options to the operators that read and write it.
//!
//! Options have Flink's names. An option that no connector knows is refused; one that only matters to the JVM is taken with a notice.

mod avro;
mod datagen;
mod filesystem;
mod format;
mod kafka;
mod nexmark;
mod option;
mod output;

use serde_json::{Value, json};
use weir_protocol::job_graph::catalog::closest;
use weir_protocol::job_graph::{DataType, Field, OperatorDescriptor};

use self::option::Options;
pub use self::option::{ConnectorOption, Effect, OptionGroup};
use crate::catalog::{CatalogTable, ObjectPath, TableColumn, TableColumnKind};
use crate::script::SqlError;

type Make<D> = fn(&Request<'_>) -> Result<D, SqlError>;

/// A connector and what it can do.
#[derive(Debug)]
pub struct Connector {
    /// The value of the option `connector`.
    pub name: &'static str,
    /// One sentence that says what it is for.
    pub doc: &'static str,
    pub options: &'static [OptionGroup],
    /// What it knows of a row besides its columns.
    pub metadata: &'static [Metadata],
    /// Whether the rows of a table with these options are changes.
    emits_changes: fn(&CatalogTable) -> bool,
    source: Option<Make<SourceDescriptor>>,
    sink: Option<Make<SinkDescriptor>>,
}

impl Connector {
    /// Whether it can be read from.
    pub fn is_source(&self) -> bool {
        self.source.is_some()
    }

    /// Whether it can be written to.
    pub fn is_sink(&self) -> bool {
        self.sink.is_some()
    }
}

/// What a connector knows of a row besides its columns.
#[derive(Debug)]
pub struct Metadata {
    /// Flink's name for it.
    pub key: &'static str,
    data_type: fn() -> DataType,
    /// Whether it may be unknown.
    pub nullable: bool,
    /// Whether rows can be written with it.
    pub is_writable: bool,
}

impl Metadata {
    /// What is known of every row that is read.
    const fn read_only(key: &'static str, data_type: fn() -> DataType) -> Self {
        Self { key, data_type, nullable: false, is_writable: false }
    }

    /// What is known of every row that is read, and can be written. A null leaves it to the connector.
    const fn writable(key: &'static str, data_type: fn() -> DataType) -> Self {
        Self { key, data_type, nullable: false, is_writable: true }
    }

    /// The type of the column that the connector makes or takes.
    pub fn data_type(&self) -> DataType {
        (self.data_type)()
    }
}

/// All connectors, by name.
pub const CONNECTORS: &[Connector] = &[
    Connector {
        name: "blackhole",
        doc: "Drops all rows, for measuring.",
        options: &[OptionGroup::plain(output::BLACKHOLE)],
        metadata: &[],
        emits_changes: |_| false,
        source: None,
        sink: Some(output::blackhole),
    },
    Connector {
        name: "datagen",
        doc: "Generates rows.",
        options: &[OptionGroup::plain(datagen::OPTIONS)],
        metadata: &[],
        emits_changes: |_| false,
        source: Some(datagen::source),
        sink: None,
    },
    Connector {
        name: "filesystem",
        doc: "Reads and writes files.",
        options: &[OptionGroup::plain(filesystem::OPTIONS), OptionGroup::plain(format::CSV_AND_JSON)],
        metadata: filesystem::METADATA,
        emits_changes: |_| false,
        source: Some(filesystem::source),
        sink: Some(filesystem::sink),
    },
    Connector {
        name: "kafka",
        doc: "Reads and writes topics of Apache Kafka.",
        options: &[
            OptionGroup::plain(kafka::TOPIC),
            OptionGroup::plain(kafka::OPTIONS),
            OptionGroup { prefixes: kafka::FORMAT_PREFIXES, options: format::CSV_AND_JSON },
            OptionGroup { prefixes: kafka::FORMAT_PREFIXES, options: format::RAW },
            OptionGroup { prefixes: kafka::FORMAT_PREFIXES, options: avro::AVRO },
            OptionGroup { prefixes: kafka::FORMAT_PREFIXES, options: avro::AVRO_CONFLUENT },
            OptionGroup { prefixes: &["", "value."], options: format::DEBEZIUM },
            OptionGroup { prefixes: &["", "value."], options: avro::DEBEZIUM_AVRO_CONFLUENT },
        ],
        metadata: kafka::METADATA,
        emits_changes: kafka::emits_changes,
        source: Some(kafka::source),
        sink: Some(kafka::sink),
    },
    Connector {
        name: "nexmark",
        doc: "Generates the events of Nexmark's auction site, for measuring.",
        options: &[OptionGroup::plain(nexmark::OPTIONS)],
        metadata: &[],
        emits_changes: |_| false,
        source: Some(nexmark::source),
        sink: None,
    },
    Connector {
        name: "print",
        doc: "Prints rows to the standard output of the TaskManagers.",
        options: &[OptionGroup::plain(output::PRINT)],
        metadata: &[],
        emits_changes: |_| false,
        source: None,
        sink: Some(output::print),
    },
    Connector {
        name: "upsert-kafka",
        doc: "Writes the newest row of each primary key to a topic of Apache Kafka.",
        options: &[
            OptionGroup::plain(kafka::TOPIC),
            OptionGroup::plain(kafka::UPSERT),
            OptionGroup { prefixes: &["key.", "value."], options: format::CSV_AND_JSON },
            OptionGroup { prefixes: &["key.", "value."], options: format::RAW },
            OptionGroup { prefixes: &["key.", "value."], options: avro::AVRO },
            OptionGroup { prefixes: &["key.", "value."], options: avro::AVRO_CONFLUENT },
        ],
        metadata: kafka::METADATA,
        emits_changes: |_| false,
        source: Some(kafka::upsert_source),
        sink: Some(kafka::upsert_sink),
    },
];

/// How a table is read.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceDescriptor {
    pub operator: OperatorDescriptor,
    /// What the operator emits: the wanted columns in their order. If the table [`emits_changes`], the kind of a row follows them; else
    /// all rows are inserts.
    pub columns: Vec<Field>,
    /// Whether the rows end.
    pub is_bounded: bool,
    /// What a user should know about options without effect.
    pub notices: Vec<String>,
}

/// How a table is written.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkDescriptor {
    pub operator: OperatorDescriptor,
    pub changes: SinkChanges,
    /// What a user should know about options without effect.
    pub notices: Vec<String>,
}

/// Whether a sink takes rows that change and are deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkChanges {
    /// All rows must be inserts.
    Refused,
    /// It takes every change.
    All,
    /// It writes the newest row for each value of these columns. It must get all changes of such a row in order, and it ignores the old
    /// row of an update.
    ByKey(Vec<String>),
}

/// What a connector is asked for.
struct Request<'a> {
    path: &'a ObjectPath,
    table: &'a CatalogTable,
    options: Options<'a>,
    /// The columns that the table stores.
    stored: Vec<Field>,
    /// Of these, the names that are wanted, in this order.
    wanted: Vec<&'a str>,
    /// The metadata columns, which follow: the column as the connector makes or takes it, and the key. Of a source these are the wanted
    /// ones, of a sink all that are written.
    metadata: Vec<(Field, &'a str)>,
}

impl Request<'_> {
    /// The metadata columns as operators take them.
    fn metadata_columns(&self) -> Value {
        self.metadata.iter().map(|(field, key)| json!({"name": field.name, "key": key})).collect()
    }

    /// The wanted columns that are stored. If nothing is wanted, rows are still counted, so there is one.
    fn wanted_columns(&self) -> Vec<Field> {
        if self.wanted.is_empty() && self.metadata.is_empty() {
            return self.stored.first().cloned().into_iter().collect();
        }
        self.wanted.iter().filter_map(|name| self.stored.iter().find(|field| field.name == *name)).cloned().collect()
    }
}

/// How to read these columns of a table. Errors: `SQL-OPTION`, `SQL-UNSUPPORTED`, `SQL-CATALOG`.
pub fn source(path: &ObjectPath, table: &CatalogTable, wanted: &[&str]) -> Result<SourceDescriptor, SqlError> {
    let connector = connector(path, table)?;
    let Some(source) = connector.source else {
        let message = format!("table {path} can only be written to: connector '{}' is no source", connector.name);
        return Err(SqlError::new("SQL-CATALOG", message));
    };
    let is_wanted = |column: &TableColumn| wanted.contains(&column.name.as_str());
    let mut request = request(path, table, connector, is_wanted)?;
    request.wanted = wanted.iter().copied().filter(|name| request.stored.iter().any(|field| field.name == *name)).collect();
    let found = request.wanted.iter().copied().chain(request.metadata.iter().map(|(field, _)| field.name.as_str()));
    if !found.eq(wanted.iter().copied()) {
        let message = format!("table {path} does not store the columns {}, metadata last", wanted.join(", "));
        return Err(SqlError::new("SQL-CATALOG", message));
    }
    source(&request)
}

/// Whether the rows of a table are changes: its operator adds their kind as a last column.
pub fn emits_changes(table: &CatalogTable) -> bool {
    let name = table.options.get("connector");
    let connector = CONNECTORS.iter().find(|connector| name.is_some_and(|name| name == connector.name));
    connector.is_some_and(|connector| (connector.emits_changes)(table))
}

/// What a connector knows of a row under this key. Error: `SQL-CATALOG` if it knows no such thing.
pub fn metadata(path: &ObjectPath, table: &CatalogTable, key: &str) -> Result<&'static Metadata, SqlError> {
    let connector = connector(path, table)?;
    connector.metadata.iter().find(|known| known.key == key).ok_or_else(|| {
        let keys = || connector.metadata.iter().map(|known| known.key);
        let message = format!("table {path}: connector '{}' has no metadata '{key}'", connector.name);
        SqlError::new("SQL-CATALOG", message).hint(match closest(key, keys()) {
            Some(other) => format!("did you mean METADATA FROM '{other}'?"),
            None if connector.metadata.is_empty() => "this connector has none".to_owned(),
            None => format!("its metadata are {}", keys().collect::<Vec<_>>().join(", ")),
        })
    })
}

/// What can be written with a row under this key. Errors: `SQL-CATALOG` if the connector knows no such thing, or can only read it.
pub fn writable_metadata(
    path: &ObjectPath,
    table: &CatalogTable,
    column: &str,
    key: &str,
) -> Result<&'static Metadata, SqlError> {
    let found = metadata(path, table, key)?;
    if found.is_writable {
        return Ok(found);
    }
    let message = format!("column {column:?} of table {path} can't be written: the metadata '{key}' can only be read");
    Err(SqlError::new("SQL-CATALOG", message).hint("declare it METADATA VIRTUAL, which leaves it out of INSERT"))
}

/// How to write a table. Errors: `SQL-OPTION`, `SQL-UNSUPPORTED`, `SQL-CATALOG`.
pub fn sink(path: &ObjectPath, table: &CatalogTable) -> Result<SinkDescriptor, SqlError> {
    let connector = connector(path, table)?;
    let Some(sink) = connector.sink else {
        let message = format!("table {path} can only be read: connector '{}' is no sink", connector.name);
        return Err(SqlError::new("SQL-CATALOG", message));
    };
    let is_written = |column: &TableColumn| matches!(column.kind, TableColumnKind::Metadata { is_virtual: false, .. });
    sink(&request(path, table, connector, is_written)?)
}

/// What is asked for, with the metadata columns that are chosen.
fn request<'a>(
    path: &'a ObjectPath,
    table: &'a CatalogTable,
    connector: &Connector,
    is_chosen: impl Fn(&TableColumn) -> bool,
) -> Result<Request<'a>, SqlError> {
    let options = Options::check(path, table, connector)?;
    let stored = table.columns.iter().filter_map(|column| match &column.kind {
        TableColumnKind::Physical { data_type, nullable } => {
            Some(Field { name: column.name.clone(), data_type: data_type.clone(), nullable: *nullable })
        }
        _ => None,
    });
    let (stored, mut chosen) = (stored.collect(), Vec::new());
    for column in table.columns.iter().filter(|column| is_chosen(column)) {
        if let Some(key) = column.metadata_key() {
            let known = metadata(path, table, key)?;
            chosen.push((Field { name: column.name.clone(), data_type: known.data_type(), nullable: known.nullable }, key));
        }
    }
    Ok(Request { path, table, options, stored, wanted: Vec::new(), metadata: chosen })
}

fn connector(path: &ObjectPath, table: &CatalogTable) -> Result<&'static Connector, SqlError> {
    let names = || CONNECTORS.iter().map(|connector| connector.name);
    let all = names().collect::<Vec<_>>().join(", ");
    let Some(name) = table.options.get("connector") else {
        let error =
            SqlError::new("SQL-OPTION", format!("table {path} has no option 'connector', so it can't be read or written"));
        return Err(error.hint(format!("add WITH ('connector' = '…'); the connectors are {all}")));
    };
    CONNECTORS.iter().find(|connector| connector.name == name).ok_or_else(|| {
        let error = SqlError::new("SQL-OPTION", format!("table {path}: there is no connector '{name}'"));
        error.hint(match closest(name, names()) {
            Some(other) => format!("did you mean '{other}'?"),
            None => format!("the connectors are {all}"),
        })
    })
}

#[cfg(test)]
mod tests;
