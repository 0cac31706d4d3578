//! EXPLAIN.

use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::{Explain, Statement, insert, parse};
use crate::script::SqlError;

/// `EXPLAIN [PLAN FOR | details] statement`.
pub(super) fn explain(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    cursor.expect(&["EXPLAIN"])?;
    let (mut estimated_cost, mut changelog_mode, mut json_execution_plan) = (false, false, false);
    if !cursor.take(&["PLAN", "FOR"]) {
        loop {
            if cursor.take(&["ESTIMATED_COST"]) {
                estimated_cost = true;
            } else if cursor.take(&["CHANGELOG_MODE"]) {
                changelog_mode = true;
            } else if cursor.take(&["JSON_EXECUTION_PLAN"]) {
                json_execution_plan = true;
            } else if cursor.is(&["PLAN_ADVICE"]) {
                return Err(SqlError::unsupported("EXPLAIN PLAN_ADVICE").at(cursor.place()));
            } else {
                break;
            }
            if !cursor.take_sign(&Token::Comma) {
                break;
            }
        }
    }
    let place = cursor.place();
    let statement = if cursor.take(&["STATEMENT", "SET", "BEGIN"]) {
        Statement::StatementSet(insert::set(cursor)?)
    } else {
        parse::read(cursor)?
    };
    if !matches!(statement, Statement::Query(_) | Statement::Insert(_) | Statement::StatementSet(_)) {
        return Err(SqlError::unsupported("EXPLAIN of anything but a query, INSERT or a statement set").at(place));
    }
    Ok(Statement::Explain(Explain { statement: Box::new(statement), estimated_cost, changelog_mode, json_execution_plan }))
}
