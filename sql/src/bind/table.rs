//! Binds the reading of a table: its computed columns and its event time.

use std::rc::Rc;

use sqlparser::ast::{Ident, Spanned};
use weir_protocol::job_graph::DataType;

use super::Environment;
use super::expression::Expressions;
use super::scope::Scope;
use crate::catalog::{CatalogTable, ObjectPath, TableColumnKind};
use crate::connector;
use crate::dialect::parse_expression;
use crate::expression::Typed;
use crate::script::SqlError;
use crate::stream::{Column, Node, NodeKind, calc};

/// Name of the column that carries the watermark to its operator. It is dropped right after.
const WATERMARK: &str = "$watermark";

/// The rows of a table, with all its columns in their order.
pub(super) fn scan(environment: Environment<'_>, path: &ObjectPath, table: &CatalogTable) -> Result<Rc<Node>, SqlError> {
    let (mut columns, mut metadata) = (Vec::new(), Vec::new());
    for column in &table.columns {
        if let TableColumnKind::Physical { data_type, nullable } = &column.kind {
            columns.push(stored_column(table, &column.name, data_type, *nullable));
        } else if let Some(key) = column.metadata_key() {
            let known = connector::metadata(path, table, key)?;
            let data_type = known.data_type();
            metadata.push(Column { name: column.name.clone(), data_type, nullable: known.nullable, is_rowtime: false });
        }
    }
    if columns.is_empty() {
        return Err(SqlError::new("SQL-CATALOG", format!("table {path} has no column that its connector stores")));
    }
    columns.append(&mut metadata);
    let kind = NodeKind::Scan { path: path.clone(), table: Rc::new(table.clone()) };
    let is_updating = connector::emits_changes(table);
    let source = Rc::new(Node { kind, inputs: Vec::new(), columns, window: None, is_updating });
    let columns = declared_columns(environment, path, table, &source)?;
    let computed = calc(source, None, columns);
    match &table.watermark {
        None => Ok(computed),
        Some(watermark) => with_watermark(environment, path, computed, &watermark.column, &watermark.expression),
    }
}

/// A column that the connector stores. One of the key is never null.
pub(super) fn stored_column(table: &CatalogTable, name: &str, data_type: &DataType, nullable: bool) -> Column {
    Column {
        name: name.to_owned(),
        data_type: data_type.clone(),
        nullable: nullable && !table.primary_key.iter().any(|key| key == name),
        is_rowtime: false,
    }
}

/// All columns in the order of CREATE TABLE. Computed ones are expressions over the stored ones.
fn declared_columns(
    environment: Environment<'_>,
    path: &ObjectPath,
    table: &CatalogTable,
    source: &Node,
) -> Result<Vec<(String, Typed)>, SqlError> {
    let scope = Scope::of(source, vec![path.catalog.clone(), path.database.clone(), path.name.clone()]);
    let mut columns = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let typed = match &column.kind {
            TableColumnKind::Computed(text) => {
                expression(environment, &scope, text, "a computed column").map_err(|error| of_table(path, &column.name, error))?
            }
            TableColumnKind::Physical { .. } => scope.name(&Ident::new(&column.name))?,
            TableColumnKind::Metadata { data_type, .. } => {
                let value = scope.name(&Ident::new(&column.name))?;
                let expressions = Expressions { environment, scope: &scope, aggregates: None, clause: "METADATA" };
                expressions.explicit_cast(value, data_type.clone(), false).map_err(|error| of_table(path, &column.name, error))?
            }
        };
        columns.push((column.name.clone(), typed));
    }
    Ok(columns)
}

fn expression(environment: Environment<'_>, scope: &Scope, text: &str, clause: &'static str) -> Result<Typed, SqlError> {
    let parsed = parse_expression(text)?;
    Expressions { environment, scope, aggregates: None, clause }.bind(&parsed).map_err(|error| error.at(parsed.span().start))
}

/// An error in the text of a table's declaration. The statement that reads the table has no place for it.
fn of_table(path: &ObjectPath, column: &str, error: SqlError) -> SqlError {
    let message = format!("column {column:?} of table {path}: {}", error.message);
    SqlError { place: None, message, ..error }
}

fn with_watermark(
    environment: Environment<'_>,
    path: &ObjectPath,
    input: Rc<Node>,
    column: &str,
    text: &str,
) -> Result<Rc<Node>, SqlError> {
    let scope = Scope::of(&input, vec![path.name.clone()]);
    let time = scope.name(&Ident::new(column))?.as_column().unwrap_or_default();
    let is_time = |data_type: &DataType| matches!(data_type, DataType::Timestamp(0..=3) | DataType::TimestampLtz(0..=3));
    let watermark = expression(environment, &scope, text, "WATERMARK").map_err(|error| of_table(path, column, error))?;
    for data_type in [&input.columns[time].data_type, &watermark.data_type] {
        if !is_time(data_type) {
            let message =
                format!("the watermark of table {path} needs TIMESTAMP(p) or TIMESTAMP_LTZ(p) with p up to 3, not {data_type}");
            return Err(SqlError::new("SQL-TIME", message).hint("CAST it in a computed column"));
        }
    }
    let mut outputs = input.named_columns();
    outputs.push((WATERMARK.to_owned(), watermark));
    let position = outputs.len() - 1;
    let prepared = calc(input, None, outputs);
    let mut columns = prepared.columns.clone();
    columns[time].is_rowtime = true;
    let kind = NodeKind::Watermark { time, watermark: position };
    let is_updating = prepared.is_updating;
    let generator = Rc::new(Node { kind, inputs: vec![prepared], columns, window: None, is_updating });
    let mut outputs = generator.named_columns();
    outputs.truncate(position);
    Ok(calc(generator, None, outputs))
}
