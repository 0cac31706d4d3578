//! CREATE TABLE.

use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::{ColumnDefinition, ColumnKind, CreateTable, Like, LikeFeature, LikeMerge, WatermarkDefinition};
use crate::script::SqlError;

/// `CREATE TABLE`, from the name on.
pub(super) fn create_table(cursor: &mut Cursor, temporary: bool) -> Result<CreateTable, SqlError> {
    let if_not_exists = cursor.take(&["IF", "NOT", "EXISTS"]);
    let name = cursor.plain_name()?;
    let mut table = CreateTable {
        name,
        temporary,
        if_not_exists,
        columns: vec![],
        watermark: None,
        primary_key: vec![],
        comment: None,
        partitioned_by: vec![],
        options: vec![],
        like: None,
        query: None,
    };
    // `LIKE` and `AS` can go without columns. `()` is allowed before them too.
    if cursor.take_sign(&Token::LParen) && !cursor.take_sign(&Token::RParen) {
        loop {
            element(cursor, &mut table)?;
            if !cursor.take_sign(&Token::Comma) {
                break;
            }
        }
        if !cursor.take_sign(&Token::RParen) {
            return Err(cursor.unexpected(", or )"));
        }
    }
    clauses(cursor, &mut table)?;
    if table.columns.is_empty() && table.like.is_none() && table.query.is_none() {
        return Err(cursor.unexpected("the columns of the table, LIKE or AS"));
    }
    Ok(table)
}

/// A column, a watermark or a constraint.
fn element(cursor: &mut Cursor, table: &mut CreateTable) -> Result<(), SqlError> {
    let place = cursor.place();
    if cursor.take(&["WATERMARK", "FOR"]) {
        let column = cursor.ident()?;
        if *cursor.peek() == Token::Period {
            let error = SqlError::unsupported("a watermark for a field of a row").at(cursor.place());
            return Err(error.hint("declare a computed column for the field"));
        }
        cursor.expect(&["AS"])?;
        let (expression, text) = cursor.expression(&[])?;
        if table.watermark.is_some() {
            return Err(SqlError::new("SQL-PARSE", "a table has at most one WATERMARK").at(place));
        }
        table.watermark = Some(WatermarkDefinition { column, expression, text });
        return Ok(());
    }
    let named = cursor.take(&["CONSTRAINT"]);
    if named {
        cursor.ident()?;
    }
    if cursor.is(&["UNIQUE"]) && (named || cursor.nth(1).token == Token::LParen) {
        return Err(SqlError::unsupported("UNIQUE").at(place).hint("declare a PRIMARY KEY"));
    }
    if cursor.is(&["PERIOD", "FOR"]) {
        return Err(SqlError::unsupported("PERIOD FOR").at(place));
    }
    if named || cursor.is(&["PRIMARY", "KEY"]) {
        cursor.expect(&["PRIMARY", "KEY"])?;
        let columns = cursor.ident_list()?;
        return primary_key(cursor, table, columns, place);
    }
    column(cursor, table)
}

/// What follows PRIMARY KEY, and that there is only one.
fn primary_key(
    cursor: &mut Cursor,
    table: &mut CreateTable,
    columns: Vec<Ident>,
    place: sqlparser::tokenizer::Location,
) -> Result<(), SqlError> {
    if !cursor.take(&["NOT", "ENFORCED"]) {
        let error =
            SqlError::new("SQL-UNSUPPORTED", "an enforced PRIMARY KEY is not supported: the rows belong to another system");
        return Err(error.at(cursor.place()).hint("write NOT ENFORCED after the key"));
    }
    if !table.primary_key.is_empty() {
        return Err(SqlError::new("SQL-PARSE", "a table has at most one PRIMARY KEY").at(place));
    }
    table.primary_key = columns;
    Ok(())
}

/// `name type …` or `name AS expression`.
fn column(cursor: &mut Cursor, table: &mut CreateTable) -> Result<(), SqlError> {
    let name = cursor.ident()?;
    let kind = if cursor.take(&["AS"]) {
        let (expression, text) = cursor.expression(&["COMMENT"])?;
        ColumnKind::Computed { expression, text }
    } else if matches!(cursor.peek(), Token::Comma | Token::RParen) {
        let error = SqlError::new("SQL-PARSE", format!("the column {name} has no type")).at(name.span.start);
        return Err(error);
    } else {
        let data_type = cursor.data_type()?;
        let mut nullable = true;
        loop {
            let place = cursor.place();
            if cursor.take(&["NOT", "NULL"]) {
                nullable = false;
            } else if cursor.take(&["NULL"]) {
                nullable = true;
            } else if cursor.is(&["CONSTRAINT"]) || cursor.is(&["PRIMARY"]) {
                if cursor.take(&["CONSTRAINT"]) {
                    cursor.ident()?;
                }
                cursor.expect(&["PRIMARY", "KEY"])?;
                primary_key(cursor, table, vec![name.clone()], place)?;
            } else if cursor.is(&["DEFAULT"]) || cursor.is(&["UNIQUE"]) || cursor.is(&["CHECK"]) || cursor.is(&["REFERENCES"]) {
                return Err(SqlError::unsupported(format!("{} of a column", cursor.peek())).at(place));
            } else {
                break;
            }
        }
        if cursor.take(&["METADATA"]) {
            let key = if cursor.take(&["FROM"]) { Some(cursor.string()?) } else { None };
            let is_virtual = cursor.take(&["VIRTUAL"]);
            ColumnKind::Metadata { data_type, nullable, key, is_virtual }
        } else {
            ColumnKind::Physical { data_type, nullable }
        }
    };
    let comment = if cursor.take(&["COMMENT"]) { Some(cursor.string()?) } else { None };
    table.columns.push(ColumnDefinition { name, kind, comment });
    Ok(())
}

/// What follows the columns.
fn clauses(cursor: &mut Cursor, table: &mut CreateTable) -> Result<(), SqlError> {
    if cursor.take(&["COMMENT"]) {
        table.comment = Some(cursor.string()?);
    }
    if cursor.is(&["DISTRIBUTED"]) {
        return Err(SqlError::unsupported("DISTRIBUTED").at(cursor.place()));
    }
    if cursor.take(&["PARTITIONED", "BY"]) {
        table.partitioned_by = cursor.ident_list()?;
    }
    if cursor.take(&["WITH"]) {
        table.options = if cursor.nth(1).token == Token::RParen {
            cursor.advance(2);
            vec![]
        } else {
            cursor
                .list(|cursor| {
                    let place = cursor.place();
                    cursor.option().map(|option| (option, place))
                })
                .and_then(unique)?
        };
    }
    if cursor.take(&["LIKE"]) {
        table.like = Some(like(cursor)?);
    } else if cursor.take(&["AS"]) {
        let (query, _) = cursor.query(cursor.len())?;
        table.query = Some(query);
    }
    Ok(())
}

type Placed = ((String, String), sqlparser::tokenizer::Location);

/// The options, unless a key stands twice.
fn unique(options: Vec<Placed>) -> Result<Vec<(String, String)>, SqlError> {
    let mut keys = std::collections::BTreeSet::new();
    for ((key, _), place) in &options {
        if !keys.insert(key.as_str()) {
            return Err(SqlError::new("SQL-PARSE", format!("the option '{key}' is given twice")).at(*place));
        }
    }
    Ok(options.into_iter().map(|(option, _)| option).collect())
}

/// `LIKE table [(INCLUDING ALL EXCLUDING OPTIONS …)]`, from the name on.
fn like(cursor: &mut Cursor) -> Result<Like, SqlError> {
    let table = cursor.plain_name()?;
    let mut rules: Vec<(LikeFeature, LikeMerge)> = Vec::new();
    if cursor.take_sign(&Token::LParen) {
        while !cursor.take_sign(&Token::RParen) {
            let place = cursor.place();
            let merge = [
                ("INCLUDING", LikeMerge::Including),
                ("EXCLUDING", LikeMerge::Excluding),
                ("OVERWRITING", LikeMerge::Overwriting),
            ];
            let Some((_, merge)) = merge.into_iter().find(|(word, _)| cursor.take(&[word])) else {
                return Err(cursor.unexpected("INCLUDING, EXCLUDING, OVERWRITING or )"));
            };
            let Some((word, feature)) = FEATURES.iter().copied().find(|(word, _)| cursor.take(&[word])) else {
                return Err(
                    cursor.unexpected("ALL, CONSTRAINTS, DISTRIBUTION, GENERATED, METADATA, OPTIONS, PARTITIONS or WATERMARKS")
                );
            };
            if rules.iter().any(|(known, _)| *known == feature) {
                return Err(SqlError::new("SQL-PARSE", format!("{word} stands twice in LIKE")).at(place));
            }
            let overwrites = matches!(
                feature,
                LikeFeature::Generated | LikeFeature::Metadata | LikeFeature::Options | LikeFeature::Watermarks
            );
            if merge == LikeMerge::Overwriting && !overwrites {
                return Err(SqlError::new("SQL-PARSE", format!("LIKE can't be OVERWRITING {word}"))
                    .at(place)
                    .hint("use INCLUDING or EXCLUDING"));
            }
            rules.push((feature, merge));
        }
    }
    Ok(Like { table, rules })
}

const FEATURES: &[(&str, LikeFeature)] = &[
    ("ALL", LikeFeature::All),
    ("CONSTRAINTS", LikeFeature::Constraints),
    ("DISTRIBUTION", LikeFeature::Distribution),
    ("GENERATED", LikeFeature::Generated),
    ("METADATA", LikeFeature::Metadata),
    ("OPTIONS", LikeFeature::Options),
    ("PARTITIONS", LikeFeature::Partitions),
    ("WATERMARKS", LikeFeature::Watermarks),
];
