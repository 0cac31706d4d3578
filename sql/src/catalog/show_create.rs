//! SHOW CREATE TABLE and SHOW CREATE VIEW, as Flink prints them.

use weir_protocol::job_graph::{DataType, ElementType};

use super::{CatalogTable, CatalogView, ObjectPath, TableColumn, TableColumnKind};

/// The statement that creates this table.
pub fn show_create_table(path: &ObjectPath, table: &CatalogTable, temporary: bool) -> String {
    let mut elements: Vec<String> = table.columns.iter().map(column).collect();
    if let Some(watermark) = &table.watermark {
        elements.push(format!("WATERMARK FOR {} AS {}", quoted(&watermark.column), watermark.expression));
    }
    if !table.primary_key.is_empty() {
        let name = quoted(&format!("PK_{}", table.primary_key.join("_")));
        elements.push(format!("CONSTRAINT {name} PRIMARY KEY ({}) NOT ENFORCED", list(&table.primary_key)));
    }
    let temporary = if temporary { "TEMPORARY " } else { "" };
    let mut text = format!("CREATE {temporary}TABLE {} (\n  {}\n)\n", full(path), elements.join(",\n  "));
    if let Some(comment) = &table.comment {
        text.push_str(&format!("COMMENT {}\n", literal(comment)));
    }
    if !table.partition_keys.is_empty() {
        text.push_str(&format!("PARTITIONED BY ({})\n", list(&table.partition_keys)));
    }
    if !table.options.is_empty() {
        let options: Vec<_> = table.options.iter().map(|(key, value)| format!("{} = {}", literal(key), literal(value))).collect();
        text.push_str(&format!("WITH (\n  {}\n)\n", options.join(",\n  ")));
    }
    text
}

/// The statement that creates this view. `columns` are the names of its columns.
pub fn show_create_view(path: &ObjectPath, view: &CatalogView, columns: &[String], temporary: bool) -> String {
    let temporary = if temporary { "TEMPORARY " } else { "" };
    let mut text = format!("CREATE {temporary}VIEW {}", full(path));
    if columns.is_empty() {
        text.push('\n');
    } else {
        let columns: Vec<_> = columns.iter().map(|column| quoted(column)).collect();
        text.push_str(&format!(" (\n  {}\n)\n", columns.join(",\n  ")));
    }
    if let Some(comment) = view.comment.as_ref().filter(|comment| !comment.is_empty()) {
        text.push_str(&format!("COMMENT {}\n", literal(comment)));
    }
    text.push_str(&format!("AS {}\n", view.query));
    text
}

fn column(column: &TableColumn) -> String {
    let not_null = |nullable: bool| if nullable { "" } else { " NOT NULL" };
    let mut text = match &column.kind {
        TableColumnKind::Physical { data_type, nullable } => {
            format!("{} {}{}", quoted(&column.name), type_text(data_type), not_null(*nullable))
        }
        TableColumnKind::Computed(expression) => format!("{} AS {expression}", quoted(&column.name)),
        TableColumnKind::Metadata { data_type, nullable, key, is_virtual } => {
            let data_type = type_text(data_type);
            format!("{} {data_type}{} {}", quoted(&column.name), not_null(*nullable), metadata(key.as_deref(), *is_virtual))
        }
    };
    if let Some(comment) = &column.comment {
        text.push_str(&format!(" COMMENT {}", literal(comment)));
    }
    text
}

/// `METADATA [FROM 'key'] [VIRTUAL]`.
pub(super) fn metadata(key: Option<&str>, is_virtual: bool) -> String {
    let from = key.map(|key| format!(" FROM {}", literal(key))).unwrap_or_default();
    format!("METADATA{from}{}", if is_virtual { " VIRTUAL" } else { "" })
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn full(path: &ObjectPath) -> String {
    format!("{}.{}.{}", quoted(&path.catalog), quoted(&path.database), quoted(&path.name))
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A type in the standard's words, as SHOW CREATE TABLE prints it: STRING is `VARCHAR(2147483647)`.
pub fn type_text(data_type: &DataType) -> String {
    let element =
        |element: &ElementType| format!("{}{}", type_text(&element.data_type), if element.nullable { "" } else { " NOT NULL" });
    match data_type {
        DataType::String => format!("VARCHAR({})", i32::MAX),
        DataType::Bytes => format!("VARBINARY({})", i32::MAX),
        DataType::TimestampLtz(precision) => format!("TIMESTAMP({precision}) WITH LOCAL TIME ZONE"),
        DataType::Array(of) => format!("ARRAY<{}>", element(of)),
        DataType::Multiset(of) => format!("MULTISET<{}>", element(of)),
        DataType::Map(key, value) => format!("MAP<{}, {}>", element(key), element(value)),
        DataType::Row(fields) => {
            let field = |field: &weir_protocol::job_graph::RowField| {
                format!(
                    "{} {}{}",
                    quoted(&field.name),
                    type_text(&field.data_type),
                    if field.nullable { "" } else { " NOT NULL" }
                )
            };
            format!("ROW<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
