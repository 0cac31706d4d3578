//! DESCRIBE and SHOW COLUMNS, as Flink prints them.

use weir_protocol::job_graph::DataType;

use super::show_create::metadata;
use super::{CatalogTable, TableColumnKind};

/// The columns of what DESCRIBE prints. A column `comment` follows if the table has comments.
pub const DESCRIBE_COLUMNS: [&str; 6] = ["name", "type", "null", "key", "extras", "watermark"];

/// The type of a column, as the planner knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnType {
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
    /// `ROWTIME` or `PROCTIME` if the column is a time attribute.
    pub time: Option<&'static str>,
}

/// The rows of DESCRIBE: one for each column, of which `types` says the types. A view has no `table`.
pub fn describe(types: &[ColumnType], table: Option<&CatalogTable>) -> Vec<Vec<Option<String>>> {
    let has_comments = table.is_some_and(|table| table.columns.iter().any(|column| column.comment.is_some()));
    let row = |column: &ColumnType| {
        let declared = table.and_then(|table| table.columns.iter().find(|declared| declared.name == column.name));
        let time = column.time.map(|time| format!(" *{time}*")).unwrap_or_default();
        let key = table.filter(|table| table.primary_key.contains(&column.name));
        let extras = declared.and_then(|declared| match &declared.kind {
            TableColumnKind::Physical { .. } => None,
            TableColumnKind::Computed(expression) => Some(format!("AS {expression}")),
            TableColumnKind::Metadata { key, is_virtual, .. } => Some(metadata(key.as_deref(), *is_virtual)),
        });
        let watermark = table.and_then(|table| table.watermark.as_ref()).filter(|watermark| watermark.column == column.name);
        let mut row = vec![
            Some(column.name.clone()),
            Some(format!("{}{time}", column.data_type)),
            Some(if column.nullable { "TRUE" } else { "FALSE" }.to_owned()),
            key.map(|table| format!("PRI({})", table.primary_key.join(", "))),
            extras,
            watermark.map(|watermark| watermark.expression.clone()),
        ];
        if has_comments {
            row.push(declared.and_then(|declared| declared.comment.clone()));
        }
        row
    };
    types.iter().map(row).collect()
}
