//! From CREATE TABLE to a table, with all checks that need no types of expressions.

use std::collections::BTreeMap;

use sqlparser::ast::{Ident, ObjectName};
use weir_protocol::job_graph::DataType;
use weir_protocol::job_graph::catalog::closest;

use super::memory::{check_name, check_text};
use super::{CatalogTable, TableColumn, TableColumnKind, Watermark, like};
use crate::dialect::{ColumnDefinition, ColumnKind, CreateTable};
use crate::script::SqlError;

/// The table that the statement describes. `base` is the table of LIKE. Errors: `SQL-CATALOG`, `SQL-TIME`.
pub fn create_table(create: &CreateTable, base: Option<&CatalogTable>) -> Result<CatalogTable, SqlError> {
    let declared = declared(create)?;
    let table = match (&create.like, base) {
        (Some(clause), Some(base)) => like::merge(create, clause, base, declared)?,
        _ => {
            check_duplicates(create)?;
            declared
        }
    };
    checked(create, table)
}

/// The table of `CREATE TABLE … AS`: the columns of the query follow the declared ones. Errors: `SQL-CATALOG`, `SQL-UNSUPPORTED`.
pub fn create_table_as(create: &CreateTable, columns: Vec<(String, DataType, bool)>) -> Result<CatalogTable, SqlError> {
    if create.temporary {
        return Err(SqlError::unsupported("CREATE TEMPORARY TABLE … AS").hint("create the table, then INSERT INTO it"));
    }
    if let Some(column) = create.columns.iter().find(|column| matches!(column.kind, ColumnKind::Physical { .. })) {
        let error = SqlError::unsupported("CREATE TABLE … AS with columns that have a type").at(column.name.span.start);
        return Err(error.hint("leave the column out: the query gives its type"));
    }
    check_duplicates(create)?;
    let mut table = declared(create)?;
    for (name, data_type, nullable) in columns {
        check_name(&Ident::new(&name))?;
        if data_type.is_interval() {
            let error = SqlError::unsupported(format!("a table with a column of type {data_type}, {name:?}"));
            return Err(error.hint("CAST it to STRING, or store the times"));
        }
        if table.columns.iter().any(|column| column.name == name) {
            let message = format!("there are two columns {name:?}");
            return Err(SqlError::new("SQL-CATALOG", message).hint("give one of them another name with AS"));
        }
        table.columns.push(TableColumn { name, kind: TableColumnKind::Physical { data_type, nullable }, comment: None });
    }
    checked(create, table)
}

/// Checks a table that is not from a statement as [`create_table`] does. Errors: `SQL-CATALOG`, `SQL-TIME`,
/// `SQL-UNSUPPORTED`.
pub fn check_table(table: &CatalogTable) -> Result<(), SqlError> {
    let mut seen = std::collections::BTreeSet::new();
    for column in &table.columns {
        check_text(&column.name)?;
        if !seen.insert(column.name.as_str()) {
            return Err(SqlError::new("SQL-CATALOG", format!("there are two columns {:?}", column.name)));
        }
        match &column.kind {
            TableColumnKind::Physical { data_type, .. } | TableColumnKind::Metadata { data_type, .. }
                if data_type.is_interval() =>
            {
                return Err(SqlError::unsupported(format!("a table with a column of type {data_type}, {:?}", column.name)));
            }
            _ => {}
        }
    }
    // Without places.
    let idents = |names: &[String]| names.iter().map(Ident::new).collect();
    let create = CreateTable {
        name: ObjectName(Vec::new()),
        temporary: false,
        if_not_exists: false,
        columns: Vec::new(),
        watermark: None,
        primary_key: idents(&table.primary_key),
        comment: None,
        partitioned_by: idents(&table.partition_keys),
        options: Vec::new(),
        like: None,
        query: None,
    };
    if checked(&create, table.clone())? != *table {
        return Err(SqlError::new("SQL-CATALOG", "the columns of a primary key are NOT NULL"));
    }
    Ok(())
}

/// What the statement itself says, unchecked.
fn declared(create: &CreateTable) -> Result<CatalogTable, SqlError> {
    let mut options = BTreeMap::new();
    for (key, value) in &create.options {
        options.insert(key.clone(), value.clone());
    }
    Ok(CatalogTable {
        columns: create.columns.iter().map(column).collect::<Result<_, _>>()?,
        watermark: create
            .watermark
            .as_ref()
            .map(|watermark| Watermark { column: watermark.column.value.clone(), expression: watermark.text.clone() }),
        primary_key: create.primary_key.iter().map(|column| column.value.clone()).collect(),
        partition_keys: create.partitioned_by.iter().map(|column| column.value.clone()).collect(),
        comment: create.comment.clone(),
        options,
    })
}

fn column(definition: &ColumnDefinition) -> Result<TableColumn, SqlError> {
    check_name(&definition.name)?;
    let kind = match &definition.kind {
        ColumnKind::Physical { data_type, nullable } => {
            TableColumnKind::Physical { data_type: data_type.clone(), nullable: *nullable }
        }
        ColumnKind::Computed { text, .. } => TableColumnKind::Computed(text.clone()),
        ColumnKind::Metadata { data_type, nullable, key, is_virtual } => TableColumnKind::Metadata {
            data_type: data_type.clone(),
            nullable: *nullable,
            key: key.clone(),
            is_virtual: *is_virtual,
        },
    };
    Ok(TableColumn { name: definition.name.value.clone(), kind, comment: definition.comment.clone() })
}

fn check_duplicates(create: &CreateTable) -> Result<(), SqlError> {
    let mut seen = std::collections::BTreeSet::new();
    for column in &create.columns {
        if !seen.insert(column.name.value.as_str()) {
            let message = format!("there are two columns {:?}", column.name.value);
            return Err(SqlError::new("SQL-CATALOG", message).at(column.name.span.start));
        }
    }
    Ok(())
}

/// Checks keys, partitions, metadata and watermark against the columns. Key columns become NOT NULL.
fn checked(create: &CreateTable, mut table: CatalogTable) -> Result<CatalogTable, SqlError> {
    check_list(&create.primary_key, "primary key")?;
    check_list(&create.partitioned_by, "partition key")?;
    for key in table.primary_key.clone() {
        let place = create.primary_key.iter().find(|ident| ident.value == key);
        match find(&mut table, &key, place, "the primary key")? {
            TableColumnKind::Physical { nullable, .. } => *nullable = false,
            _ => {
                let message =
                    format!("the primary key can't contain {key:?}: only columns that the connector stores can be keys");
                return Err(at(SqlError::new("SQL-CATALOG", message), place));
            }
        }
    }
    for key in table.partition_keys.clone() {
        let place = create.partitioned_by.iter().find(|ident| ident.value == key);
        find(&mut table, &key, place, "PARTITIONED BY")?;
    }
    check_metadata(create, &table)?;
    if let Some(watermark) = table.watermark.clone() {
        let place = create.watermark.as_ref().map(|declared| &declared.column);
        match find(&mut table, &watermark.column, place, "WATERMARK")? {
            TableColumnKind::Physical { data_type, .. } | TableColumnKind::Metadata { data_type, .. } if !is_time(data_type) => {
                let message = format!(
                    "the watermark is for {:?}, which is {data_type}; it must be TIMESTAMP(p) or TIMESTAMP_LTZ(p) with p up to 3",
                    watermark.column
                );
                return Err(at(SqlError::new("SQL-TIME", message), place).hint("CAST it in a computed column"));
            }
            _ => {}
        }
    }
    Ok(table)
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(0..=3) | DataType::TimestampLtz(0..=3))
}

fn at(error: SqlError, place: Option<&Ident>) -> SqlError {
    match place {
        Some(ident) => error.at(ident.span.start),
        None => error,
    }
}

fn check_list(columns: &[Ident], what: &str) -> Result<(), SqlError> {
    for (i, column) in columns.iter().enumerate() {
        if columns[..i].iter().any(|earlier| earlier.value == column.value) {
            let message = format!("the {what} contains {:?} twice", column.value);
            return Err(SqlError::new("SQL-CATALOG", message).at(column.span.start));
        }
    }
    Ok(())
}

/// The kind of the column that a clause names.
fn find<'t>(
    table: &'t mut CatalogTable,
    name: &str,
    place: Option<&Ident>,
    clause: &str,
) -> Result<&'t mut TableColumnKind, SqlError> {
    let Some(index) = table.columns.iter().position(|column| column.name == name) else {
        let error = at(SqlError::new("SQL-CATALOG", format!("{clause} names {name:?}, which is no column of the table")), place);
        let names = table.columns.iter().map(|column| column.name.as_str());
        return Err(match closest(name, names.clone()) {
            Some(other) => error.hint(format!("did you mean {other}?")),
            None => error.hint(format!("the columns are {}", names.take(20).collect::<Vec<_>>().join(", "))),
        });
    };
    Ok(&mut table.columns[index].kind)
}

/// Two columns can't be filled from one metadata key.
fn check_metadata(create: &CreateTable, table: &CatalogTable) -> Result<(), SqlError> {
    let mut keys = std::collections::BTreeSet::new();
    for column in &table.columns {
        let Some(key) = column.metadata_key() else { continue };
        if !keys.insert(key) {
            let place = create.columns.iter().map(|column| &column.name).find(|name| name.value == column.name);
            return Err(at(SqlError::new("SQL-CATALOG", format!("two columns have the metadata {key:?}")), place));
        }
    }
    Ok(())
}
