//! Tables and views as the catalogue holds them. This is also their stored form.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use weir_protocol::job_graph::DataType;

/// The full name of a table or view.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectPath {
    pub catalog: String,
    pub database: String,
    pub name: String,
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.database, self.name)
    }
}

/// A table or a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "object")]
pub enum CatalogObject {
    Table(CatalogTable),
    View(CatalogView),
}

/// A table: its columns, and how its connector reaches it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogTable {
    pub columns: Vec<TableColumn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Watermark>,
    /// The columns of `PRIMARY KEY … NOT ENFORCED`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub primary_key: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The options of `WITH`, by Flink's names.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableColumn {
    pub name: String,
    pub kind: TableColumnKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// How a column gets its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableColumnKind {
    /// The connector stores it.
    Physical {
        #[serde(rename = "type")]
        data_type: DataType,
        nullable: bool,
    },
    /// The SQL text of an expression over the other columns.
    Computed(String),
    /// The connector provides it beside the row.
    Metadata {
        #[serde(rename = "type")]
        data_type: DataType,
        nullable: bool,
        /// The connector's name for it, if it is not the column's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        is_virtual: bool,
    },
}

impl TableColumn {
    /// The connector's name for what it provides, if the connector provides this column beside the row.
    pub fn metadata_key(&self) -> Option<&str> {
        match &self.kind {
            TableColumnKind::Metadata { key, .. } => Some(key.as_ref().unwrap_or(&self.name)),
            _ => None,
        }
    }
}

/// The event time of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermark {
    /// The column that becomes the event time.
    pub column: String,
    /// The SQL text of the watermark's expression.
    pub expression: String,
}

/// A view: a query under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogView {
    /// The SQL text of the query.
    pub query: String,
    /// The names of the view's columns; those of the query if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The catalog and database that complete names in the query.
    pub catalog: String,
    pub database: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}
