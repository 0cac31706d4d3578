//! Which columns of a row are in a record's key and which in its value, and in which formats.

use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use serde::Deserialize;
use weir_connectors::formats::FormatOptions;
use weir_connectors::options;
use weir_dataflow::changelog::kind_field;
use weir_dataflow::operator::OperatorError;

/// The key of a record.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyOptions {
    format: FormatOptions,
    /// The columns of the key.
    fields: Vec<String>,
    /// What their names begin with, but not those inside of the key.
    #[serde(default)]
    prefix: String,
}

/// The value of a record.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValueOptions {
    format: FormatOptions,
}

impl ValueOptions {
    /// Whether the format tells inserted, updated and deleted rows apart.
    pub(crate) fn has_changes(&self) -> bool {
        self.format.has_changes()
    }
}

/// Key and value of records, for rows of one schema.
#[derive(Debug, Clone)]
pub(crate) struct RowFormat {
    pub(crate) key: Option<RowPart>,
    pub(crate) value: RowPart,
}

/// The columns that one part of a record holds.
#[derive(Debug, Clone)]
pub(crate) struct RowPart {
    pub(crate) format: FormatOptions,
    /// Positions of the columns in the row.
    pub(crate) columns: Vec<usize>,
    /// The same columns, as the format calls them.
    pub(crate) schema: SchemaRef,
}

impl RowPart {
    /// The columns of its rows: if the format has changes, the last one has their kinds.
    pub(crate) fn schema_of_rows(&self, columns: &Schema) -> SchemaRef {
        let fields = columns.fields().iter().cloned();
        let kind = self.format.has_changes().then(|| Arc::new(kind_field()));
        Arc::new(Schema::new(fields.chain(kind).collect::<Vec<_>>()))
    }
}

impl RowFormat {
    /// Error: `CONN-OPTION` if the key names no columns, or such that do not exist.
    pub(crate) fn new(
        kind: &str,
        schema: &Schema,
        key: Option<&KeyOptions>,
        value: &ValueOptions,
        value_includes_key: bool,
    ) -> Result<Self, OperatorError> {
        let mut key_columns = Vec::new();
        let mut key_schema = Vec::new();
        for name in key.iter().flat_map(|key| &key.fields) {
            let index =
                schema.index_of(name).map_err(|_| options::invalid(kind, format!("the key has {name:?}, which is no column")))?;
            if key_columns.contains(&index) {
                return Err(options::invalid(kind, format!("the key has {name:?} twice")));
            }
            let prefix = key.map_or("", |key| key.prefix.as_str());
            let inside = name.strip_prefix(prefix).filter(|inside| !inside.is_empty());
            let inside = inside
                .ok_or_else(|| options::invalid(kind, format!("the key's column {name:?} does not begin with {prefix:?}")))?;
            let column = schema.field(index);
            key_columns.push(index);
            key_schema.push(Field::new(inside, column.data_type().clone(), column.is_nullable()));
        }
        if key.is_some_and(|key| key.format.has_changes()) {
            return Err(options::invalid(kind, "the key can't have a format of changes"));
        }
        if key.is_some() && key_columns.is_empty() {
            return Err(options::invalid(kind, "the key has no columns"));
        }
        let in_value = |index: &usize| value_includes_key || !key_columns.contains(index);
        let value_columns: Vec<usize> = (0..schema.fields().len()).filter(in_value).collect();
        let value_schema = schema.project(&value_columns).map_err(|error| options::invalid(kind, error))?;
        Ok(Self {
            key: key.map(|key| RowPart {
                format: key.format.clone(),
                columns: key_columns,
                schema: Arc::new(Schema::new(key_schema)),
            }),
            value: RowPart { format: value.format.clone(), columns: value_columns, schema: Arc::new(value_schema) },
        })
    }
}
