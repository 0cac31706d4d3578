//! `CREATE TABLE … LIKE`: what a table takes from another, by Flink's rules.

use sqlparser::ast::Ident;

use super::{CatalogTable, TableColumn, TableColumnKind};
use crate::dialect::{CreateTable, Like, LikeFeature, LikeMerge};
use crate::script::SqlError;

/// How each feature is treated.
fn strategy(clause: &Like, feature: LikeFeature) -> LikeMerge {
    let rule = |wanted| clause.rules.iter().find(|(feature, _)| *feature == wanted).map(|(_, merge)| *merge);
    let default = if feature == LikeFeature::Options { LikeMerge::Overwriting } else { LikeMerge::Including };
    rule(feature).or(rule(LikeFeature::All)).unwrap_or(default)
}

/// The base table, changed and extended by what is declared.
pub(super) fn merge(
    create: &CreateTable,
    clause: &Like,
    base: &CatalogTable,
    declared: CatalogTable,
) -> Result<CatalogTable, SqlError> {
    let mut table = CatalogTable { comment: declared.comment, ..CatalogTable::default() };
    merge_columns(create, clause, base, declared.columns, &mut table)?;

    let including = |feature| strategy(clause, feature) != LikeMerge::Excluding;
    let watermark_place = create.watermark.as_ref().map(|watermark| &watermark.column);
    table.watermark = match (base.watermark.clone().filter(|_| including(LikeFeature::Watermarks)), declared.watermark) {
        (Some(_), Some(_)) if strategy(clause, LikeFeature::Watermarks) != LikeMerge::Overwriting => {
            return Err(conflict("a watermark", "EXCLUDING WATERMARKS or OVERWRITING WATERMARKS", watermark_place));
        }
        (theirs, ours) => ours.or(theirs),
    };
    table.primary_key = one_of(&base.primary_key, declared.primary_key, including(LikeFeature::Constraints), || {
        conflict("a primary key", "EXCLUDING CONSTRAINTS", create.primary_key.first())
    })?;
    table.partition_keys = one_of(&base.partition_keys, declared.partition_keys, including(LikeFeature::Partitions), || {
        conflict("partitions", "EXCLUDING PARTITIONS", create.partitioned_by.first())
    })?;

    let options = strategy(clause, LikeFeature::Options);
    if options != LikeMerge::Excluding {
        table.options = base.options.clone();
    }
    for (key, value) in declared.options {
        if options == LikeMerge::Including && table.options.contains_key(&key) {
            return Err(conflict(&format!("the option '{key}'"), "EXCLUDING OPTIONS or OVERWRITING OPTIONS", None));
        }
        table.options.insert(key, value);
    }
    Ok(table)
}

fn one_of(
    theirs: &[String],
    ours: Vec<String>,
    including: bool,
    both: impl FnOnce() -> SqlError,
) -> Result<Vec<String>, SqlError> {
    match (theirs.is_empty() || !including, ours.is_empty()) {
        (false, false) => Err(both()),
        (false, true) => Ok(theirs.to_vec()),
        (true, _) => Ok(ours),
    }
}

fn conflict(what: &str, hint: &str, place: Option<&Ident>) -> SqlError {
    let error =
        SqlError::new("SQL-CATALOG", format!("the table of LIKE has {what} already")).hint(format!("write LIKE t ({hint})"));
    match place {
        Some(ident) => error.at(ident.span.start),
        None => error,
    }
}

fn merge_columns(
    create: &CreateTable,
    clause: &Like,
    base: &CatalogTable,
    declared: Vec<TableColumn>,
    table: &mut CatalogTable,
) -> Result<(), SqlError> {
    let feature = |kind: &TableColumnKind| match kind {
        TableColumnKind::Physical { .. } => None,
        TableColumnKind::Computed(_) => Some((LikeFeature::Generated, "GENERATED")),
        TableColumnKind::Metadata { .. } => Some((LikeFeature::Metadata, "METADATA")),
    };
    let included = |column: &&TableColumn| {
        feature(&column.kind).is_none_or(|(feature, _)| strategy(clause, feature) != LikeMerge::Excluding)
    };
    table.columns = base.columns.iter().filter(included).cloned().collect();
    let inherited = table.columns.len();
    for (column, definition) in declared.into_iter().zip(&create.columns) {
        let place = Some(&definition.name);
        let Some(index) = table.columns.iter().position(|known| known.name == column.name) else {
            table.columns.push(column);
            continue;
        };
        if index >= inherited {
            let error = SqlError::new("SQL-CATALOG", format!("there are two columns {:?}", column.name));
            return Err(error.at(definition.name.span.start));
        }
        let same_kind = feature(&table.columns[index].kind) == feature(&column.kind);
        match feature(&column.kind) {
            Some((feature, _)) if same_kind && strategy(clause, feature) == LikeMerge::Overwriting => {
                table.columns[index] = column
            }
            Some((_, word)) if same_kind => {
                let hint = format!("EXCLUDING {word} or OVERWRITING {word}");
                return Err(conflict(&format!("a column {:?}", column.name), &hint, place));
            }
            _ => {
                let error = SqlError::new("SQL-CATALOG", format!("the table of LIKE has a column {:?} already", column.name));
                return Err(error.at(definition.name.span.start).hint("give the new column another name"));
            }
        }
    }
    Ok(())
}
