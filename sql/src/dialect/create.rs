//! CREATE VIEW, CREATE DATABASE, and which CREATE it is.

use super::cursor::Cursor;
use super::{CreateView, Statement, create_table};
use crate::script::SqlError;

/// Reads `CREATE …` after its first word.
pub(super) fn create(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let start = cursor.place();
    cursor.expect(&["CREATE"])?;
    if cursor.is(&["OR", "REPLACE"]) {
        return Err(SqlError::unsupported("CREATE OR REPLACE").at(start).hint("drop it first"));
    }
    let temporary = cursor.take(&["TEMPORARY"]);
    if cursor.take(&["TABLE"]) {
        return create_table::create_table(cursor, temporary).map(Statement::CreateTable);
    }
    if cursor.take(&["VIEW"]) {
        return create_view(cursor, temporary).map(Statement::CreateView);
    }
    if !temporary && cursor.take(&["DATABASE"]) {
        let if_not_exists = cursor.take(&["IF", "NOT", "EXISTS"]);
        let name = cursor.plain_name()?;
        if cursor.is(&["COMMENT"]) || cursor.is(&["WITH"]) {
            return Err(SqlError::unsupported("a comment or options of a database").at(cursor.place()));
        }
        return Ok(Statement::CreateDatabase { name, if_not_exists });
    }
    for other in ["FUNCTION", "SYSTEM", "CATALOG", "MODEL", "MATERIALIZED", "CONNECTION"] {
        if cursor.is(&[other]) {
            let error = SqlError::unsupported(format!("CREATE {other}")).at(start);
            return Err(match other {
                "FUNCTION" | "SYSTEM" => {
                    error.hint("Weir runs no Java code; its own functions are there without CREATE FUNCTION")
                }
                "CATALOG" => error.hint("there is one catalog: default_catalog"),
                _ => error,
            });
        }
    }
    Err(cursor.unexpected("TABLE, VIEW or DATABASE"))
}

/// `CREATE VIEW`, from the name on.
fn create_view(cursor: &mut Cursor, temporary: bool) -> Result<CreateView, SqlError> {
    let if_not_exists = cursor.take(&["IF", "NOT", "EXISTS"]);
    let name = cursor.plain_name()?;
    let mut columns = Vec::new();
    if *cursor.peek() == sqlparser::tokenizer::Token::LParen {
        columns = cursor.ident_list()?;
    }
    let comment = if cursor.take(&["COMMENT"]) { Some(cursor.string()?) } else { None };
    cursor.expect(&["AS"])?;
    let (query, text) = cursor.query(cursor.len())?;
    Ok(CreateView { name, temporary, if_not_exists, columns, comment, query, text })
}
