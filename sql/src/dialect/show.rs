//! SHOW, DESCRIBE and USE.

use super::cursor::Cursor;
use super::{Show, Statement};
use crate::script::SqlError;

/// Reads `SHOW …` after its first word.
pub(super) fn show(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let start = cursor.place();
    cursor.expect(&["SHOW"])?;
    let show = if cursor.take(&["CATALOGS"]) {
        Show::Catalogs
    } else if cursor.take(&["DATABASES"]) {
        Show::Databases
    } else if cursor.take(&["CURRENT", "CATALOG"]) {
        Show::CurrentCatalog
    } else if cursor.take(&["CURRENT", "DATABASE"]) {
        Show::CurrentDatabase
    } else if cursor.take(&["TABLES"]) {
        let pattern = if cursor.take(&["LIKE"]) { Some(cursor.string()?) } else { None };
        Show::Tables(pattern)
    } else if cursor.take(&["VIEWS"]) {
        Show::Views
    } else if cursor.take(&["FUNCTIONS"]) {
        Show::Functions
    } else if cursor.take(&["JOBS"]) {
        Show::Jobs
    } else if cursor.take(&["CREATE", "TABLE"]) {
        Show::CreateTable(cursor.plain_name()?)
    } else if cursor.take(&["CREATE", "VIEW"]) {
        Show::CreateView(cursor.plain_name()?)
    } else if cursor.take(&["COLUMNS"]) {
        if !cursor.take(&["FROM"]) && !cursor.take(&["IN"]) {
            return Err(cursor.unexpected("FROM and the name of a table"));
        }
        Show::Columns(cursor.plain_name()?)
    } else {
        for other in [
            "MODULES",
            "FULL",
            "JARS",
            "PARTITIONS",
            "PROCEDURES",
            "MODELS",
            "USER",
            "MATERIALIZED",
            "CREATE",
            "CONNECTIONS",
            "TEMPORARY",
        ] {
            if cursor.is(&[other]) {
                return Err(SqlError::unsupported(format!("SHOW {other}")).at(start));
            }
        }
        return Err(cursor.unexpected("what to show, such as TABLES"));
    };
    // Flink has more clauses after most of them.
    for clause in ["FROM", "IN", "LIKE", "ILIKE", "NOT"] {
        if cursor.is(&[clause]) {
            return Err(SqlError::unsupported(format!("{clause} in this SHOW statement")).at(cursor.place()));
        }
    }
    Ok(Statement::Show(show))
}

/// `DESCRIBE [EXTENDED] table` or `DESCRIBE JOB 'id'`; DESC means DESCRIBE.
pub(super) fn describe(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let start = cursor.place();
    cursor.advance(1);
    if cursor.is(&["JOB"]) && matches!(cursor.nth(1).token, sqlparser::tokenizer::Token::SingleQuotedString(_)) {
        cursor.advance(1);
        return Ok(Statement::DescribeJob(cursor.string()?));
    }
    for other in ["CATALOG", "DATABASE", "FUNCTION", "MODEL"] {
        // They may also be the names of tables.
        if cursor.is(&[other])
            && !matches!(cursor.nth(1).token, sqlparser::tokenizer::Token::EOF | sqlparser::tokenizer::Token::Period)
        {
            return Err(SqlError::unsupported(format!("DESCRIBE {other}")).at(start));
        }
    }
    // Flink prints the same with and without it.
    if !matches!(cursor.nth(1).token, sqlparser::tokenizer::Token::EOF | sqlparser::tokenizer::Token::Period) {
        let _ = cursor.take(&["EXTENDED"]) || cursor.take(&["TABLE"]);
    }
    Ok(Statement::Describe(cursor.plain_name()?))
}

/// `USE CATALOG catalog` or `USE [catalog.]database`.
pub(super) fn use_(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let start = cursor.place();
    cursor.expect(&["USE"])?;
    if cursor.take(&["CATALOG"]) {
        return Ok(Statement::UseCatalog(cursor.ident()?));
    }
    if cursor.is(&["MODULES"]) {
        return Err(SqlError::unsupported("USE MODULES").at(start));
    }
    Ok(Statement::Use(cursor.plain_name()?))
}
