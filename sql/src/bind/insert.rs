//! Binds INSERT INTO: the query's columns in the types of the table.

use std::rc::Rc;

use sqlparser::ast::Spanned;
use sqlparser::tokenizer::Location;
use weir_dataflow::functions::cast;
use weir_protocol::job_graph::DataType;

use super::expression::Expressions;
use super::relation::{parts, with_options};
use super::scope::Scope;
use super::table::stored_column;
use super::{Binder, Environment};
use crate::catalog::{CatalogObject, CatalogTable, ObjectPath, TableColumnKind};
use crate::connector;
use crate::dialect::{Insert, table_name};
use crate::expression::{ExprKind, Typed};
use crate::script::SqlError;
use crate::stream::{Column, Node, NodeKind, calc, declared};

/// The plan that writes the query's rows to the table.
pub fn insert(environment: Environment<'_>, insert: &Insert) -> Result<Rc<Node>, SqlError> {
    let binder = Binder::new(environment);
    let at = insert.table.span().start;
    let (name, options) = table_name(&insert.table)?;
    let path = binder.resolve(&parts(&name), at)?;
    let table = match environment.catalog.object(&path) {
        Some(CatalogObject::Table(table)) => with_options(table, &options),
        Some(CatalogObject::View(_)) => {
            return Err(SqlError::new("SQL-CATALOG", format!("{path} is a view; rows can only be inserted into a table")).at(at));
        }
        None => return Err(binder.unknown_table(&path, at)),
    };
    let query = binder.query(&insert.query)?;
    let columns = written_columns(&path, &table).map_err(|error| error.at(at))?;
    let (columns, metadata): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let sources = sources(insert, &path, &columns, &query, at)?;
    let scope = Scope::default();
    let expressions = Expressions { environment, scope: &scope, aggregates: None, clause: "INSERT" };
    // Connectors take the metadata last.
    let mut order: Vec<_> = (0..columns.len()).collect();
    order.sort_by_key(|index| metadata[*index].is_some());
    let mut outputs = Vec::with_capacity(columns.len());
    for index in &order {
        let column = &columns[*index];
        let mut value = written(&expressions, &query, column, sources[*index], at)?;
        if let Some(data_type) = &metadata[*index] {
            value = expressions.explicit_cast(value, data_type.clone(), false).map_err(|error| error.at(at))?;
        }
        outputs.push((column.name.clone(), value));
    }
    // A null in a NOT NULL column of the table fails the job.
    let rows = declared(calc(query, None, outputs), |index, nullable| nullable && columns[order[index]].nullable);
    let kind = NodeKind::Sink { path, table: Rc::new(table.into_owned()) };
    let columns = rows.columns.clone();
    let is_updating = rows.is_updating;
    Ok(Rc::new(Node { kind, inputs: vec![rows], columns, window: None, is_updating }))
}

/// The columns that INSERT fills. Those that the connector does not store, but takes beside the row, have the type that it takes.
fn written_columns(path: &ObjectPath, table: &CatalogTable) -> Result<Vec<(Column, Option<DataType>)>, SqlError> {
    let mut columns = Vec::new();
    for column in &table.columns {
        match &column.kind {
            TableColumnKind::Physical { data_type, nullable } => {
                columns.push((stored_column(table, &column.name, data_type, *nullable), None));
            }
            TableColumnKind::Metadata { data_type, nullable, key, is_virtual: false } => {
                let key = key.as_ref().unwrap_or(&column.name);
                let taken = connector::writable_metadata(path, table, &column.name, key)?.data_type();
                columns.push((stored_column(table, &column.name, data_type, *nullable), Some(taken)));
            }
            TableColumnKind::Computed(_) | TableColumnKind::Metadata { .. } => {}
        }
    }
    Ok(columns)
}

/// For each of these columns, the query's column that fills it; `None` if the column list leaves it out.
fn sources(
    insert: &Insert,
    path: &ObjectPath,
    columns: &[Column],
    query: &Node,
    at: Location,
) -> Result<Vec<Option<usize>>, SqlError> {
    if insert.columns.is_empty() {
        if query.columns.len() == columns.len() {
            return Ok((0..columns.len()).map(Some).collect());
        }
        return Err(different_number(path, columns, query, at));
    }
    if query.columns.len() != insert.columns.len() {
        let message = format!("{} columns are named, but the query has {}", insert.columns.len(), query.columns.len());
        return Err(SqlError::new("SQL-TYPE", message).at(at));
    }
    let mut sources = vec![None; columns.len()];
    for (index, name) in insert.columns.iter().enumerate() {
        let Some(position) = columns.iter().position(|column| column.name == name.value) else {
            let message = format!("table {path} stores no column {:?}", name.value);
            return Err(SqlError::new("SQL-NAME", message).at(name.span.start));
        };
        if sources[position].replace(index).is_some() {
            return Err(SqlError::new("SQL-NAME", format!("column {:?} is named twice", name.value)).at(name.span.start));
        }
    }
    Ok(sources)
}

fn different_number(path: &ObjectPath, columns: &[Column], query: &Node, at: Location) -> SqlError {
    let shown = |columns: &[Column]| {
        let columns: Vec<_> = columns.iter().map(|column| format!("{} {}", column.name, column.data_type)).collect();
        format!("[{}]", columns.join(", "))
    };
    let message = format!("the query has {} columns and table {path} stores {}", query.columns.len(), columns.len());
    let hint = format!("query: {}; table: {}", shown(&query.columns), shown(columns));
    SqlError::new("SQL-TYPE", message).at(at).hint(hint)
}

/// The value for a column. Errors: `SQL-TYPE` if the query's type is not implicitly that of the column.
fn written(
    expressions: &Expressions<'_>,
    query: &Node,
    column: &Column,
    source: Option<usize>,
    at: Location,
) -> Result<Typed, SqlError> {
    let Some(index) = source else {
        if column.nullable {
            return Ok(Typed::null(column.data_type.clone()));
        }
        let message = format!("column {:?} is NOT NULL, so INSERT must fill it", column.name);
        return Err(SqlError::new("SQL-TYPE", message).at(at));
    };
    let value = query.column(index);
    let is_null =
        matches!(&query.kind, NodeKind::Values { rows } if rows.iter().all(|row| row[index].kind == ExprKind::Literal(None)));
    if is_null {
        return Ok(Typed::null(column.data_type.clone()));
    }
    if !is_assignable(&value.data_type, &column.data_type) {
        let message = format!(
            "column {:?} of the table has type {}, but the query's column {:?} has type {}",
            column.name, column.data_type, query.columns[index].name, value.data_type
        );
        let hint = format!("write CAST({} AS {})", query.columns[index].name, column.data_type);
        return Err(SqlError::new("SQL-TYPE", message).at(at).hint(hint));
    }
    expressions.coerce(value, &column.data_type).map_err(|error| error.at(at))
}

fn is_assignable(from: &DataType, to: &DataType) -> bool {
    from == to || cast::implicit(from, to)
}
