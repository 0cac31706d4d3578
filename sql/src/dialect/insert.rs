//! INSERT and statement sets.

use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::{Insert, Statement, parse};
use crate::script::SqlError;

/// `INSERT INTO table [(columns)] query`, up to the token `end`.
pub(super) fn insert(cursor: &mut Cursor, end: usize) -> Result<Insert, SqlError> {
    cursor.expect(&["INSERT"])?;
    if cursor.is(&["OVERWRITE"]) {
        let error = SqlError::unsupported("INSERT OVERWRITE").at(cursor.place());
        return Err(error.hint("write into an empty directory with INSERT INTO"));
    }
    cursor.expect(&["INTO"])?;
    let _ = cursor.take(&["TABLE"]);
    let table = cursor.name()?;
    if cursor.is(&["PARTITION"]) {
        return Err(SqlError::unsupported("INSERT INTO … PARTITION").at(cursor.place()));
    }
    let mut columns = Vec::new();
    if *cursor.peek() == Token::LParen && !begins_query(cursor, 1) {
        columns = cursor.list(|cursor| {
            let column = cursor.ident()?;
            if *cursor.peek() == Token::Period {
                return Err(SqlError::unsupported("INSERT into a field of a row").at(cursor.place()));
            }
            Ok(column)
        })?;
    }
    if !begins_query(cursor, 0) {
        return Err(cursor.unexpected("a query: SELECT or VALUES"));
    }
    if let Some(conflict) =
        cursor.find(|cursor, n| cursor.is_nth(n, "ON") && cursor.is_nth(n + 1, "CONFLICT")).filter(|i| *i < end)
    {
        cursor.advance(conflict - cursor.position());
        return Err(SqlError::unsupported("ON CONFLICT").at(cursor.place()));
    }
    let (query, _) = cursor.query(end)?;
    Ok(Insert { table, columns, query })
}

fn begins_query(cursor: &Cursor, n: usize) -> bool {
    cursor.nth(n).token == Token::LParen || ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| cursor.is_nth(n, word))
}

/// `EXECUTE STATEMENT SET BEGIN … END`, `EXECUTE INSERT …`, `EXECUTE SELECT …`.
pub(super) fn execute(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    cursor.expect(&["EXECUTE"])?;
    if cursor.is(&["PLAN"]) {
        return Err(SqlError::unsupported("EXECUTE PLAN").at(cursor.place()));
    }
    if cursor.take(&["STATEMENT", "SET", "BEGIN"]) {
        return set(cursor).map(Statement::StatementSet);
    }
    if !cursor.is(&["INSERT"]) && !begins_query(cursor, 0) {
        return Err(cursor.unexpected("STATEMENT SET BEGIN, INSERT or a query"));
    }
    parse::read(cursor)
}

/// `BEGIN STATEMENT SET; … END`.
pub(super) fn begin(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    cursor.expect(&["BEGIN", "STATEMENT", "SET"])?;
    cursor.expect_sign(&Token::SemiColon)?;
    set(cursor).map(Statement::StatementSet)
}

/// The inserts up to END. Semicolons end them.
pub(super) fn set(cursor: &mut Cursor) -> Result<Vec<Insert>, SqlError> {
    let mut inserts = Vec::new();
    loop {
        while cursor.take_sign(&Token::SemiColon) {}
        if cursor.take(&["END"]) {
            break;
        }
        if !cursor.is(&["INSERT"]) {
            return Err(cursor.unexpected("INSERT or END"));
        }
        let end = cursor.find(|cursor, n| cursor.nth(n).token == Token::SemiColon);
        let Some(end) = end else {
            // The insert itself may have an error that comes first.
            insert(cursor, cursor.len())?;
            return Err(cursor.unexpected("; and END"));
        };
        inserts.push(insert(cursor, end)?);
    }
    if inserts.is_empty() {
        return Err(SqlError::new("SQL-PARSE", "a statement set needs at least one INSERT"));
    }
    Ok(inserts)
}
