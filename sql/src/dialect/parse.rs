//! Which statement it is.

use sqlparser::ast::{Expr, Query};
use sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::{Statement, StopJob, alter, create, explain, insert, show};
use crate::script::{ScriptStatement, SqlError, fragment};

/// Parses one statement of a script. Places in errors relate to the script.
///
/// What Flink has and Weir has not is refused by name with `SQL-UNSUPPORTED`; other errors have `SQL-PARSE`, `SQL-TYPE` or `SQL-LIMIT`.
pub fn parse_statement(statement: &ScriptStatement) -> Result<Statement, SqlError> {
    let mut cursor = Cursor::new(statement)?;
    let parsed = read(&mut cursor)?;
    cursor.expect_end()?;
    Ok(parsed)
}

/// Parses a query, e.g. of a stored view. Places in errors relate to this text.
pub fn parse_query(text: &str) -> Result<Query, SqlError> {
    let statement = fragment(text)?;
    let mut cursor = Cursor::new(&statement)?;
    let (query, _) = cursor.query(cursor.len())?;
    Ok(*query)
}

/// Parses an expression, e.g. of a stored computed column. Places in errors relate to this text.
pub fn parse_expression(text: &str) -> Result<Expr, SqlError> {
    let statement = fragment(text)?;
    let mut cursor = Cursor::new(&statement)?;
    let (expression, _) = cursor.expression(&[])?;
    cursor.expect_end()?;
    Ok(*expression)
}

/// Reads the statement at the cursor.
pub(super) fn read(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    if *cursor.peek() == Token::LParen {
        return query(cursor);
    }
    let first = match cursor.peek() {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => return Err(cursor.unexpected("a statement")),
    };
    match first.as_str() {
        "SELECT" | "WITH" | "VALUES" | "TABLE" => query(cursor),
        "INSERT" => insert::insert(cursor, cursor.len()).map(Statement::Insert),
        "EXECUTE" => insert::execute(cursor),
        "BEGIN" => insert::begin(cursor),
        "EXPLAIN" => explain::explain(cursor),
        "CREATE" => create::create(cursor),
        "DROP" => alter::drop(cursor),
        "ALTER" => alter::alter(cursor),
        "SHOW" => show::show(cursor),
        "DESCRIBE" | "DESC" => show::describe(cursor),
        "USE" => show::use_(cursor),
        "SET" => set(cursor),
        "RESET" => reset(cursor),
        "STOP" => stop(cursor),
        other => Err(refused(cursor, other)),
    }
}

fn query(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let (query, _) = cursor.query(cursor.len())?;
    Ok(Statement::Query(query))
}

/// The error for a first word that begins no statement.
fn refused(cursor: &Cursor, first: &str) -> SqlError {
    let what = match first {
        "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" | "CALL" => first.to_owned(),
        "ANALYZE" => "ANALYZE TABLE".to_owned(),
        "COMPILE" => "COMPILE PLAN".to_owned(),
        "LOAD" | "UNLOAD" => format!("{first} MODULE"),
        "ADD" | "REMOVE" => format!("{first} JAR"),
        "QUIT" | "EXIT" | "CLEAR" | "HELP" | "SOURCE" => {
            let message = format!("{first} is a command of the shell, not a statement");
            return SqlError::new("SQL-UNSUPPORTED", message).at(cursor.place());
        }
        _ => return cursor.unexpected("a statement"),
    };
    let error = SqlError::unsupported(what).at(cursor.place());
    match first {
        "ADD" | "REMOVE" => error.hint("Weir runs no Java code"),
        _ => error,
    }
}

/// `SET`, `SET 'key' = 'value'`, or `SET key = value` as Flink's shell has it.
fn set(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    cursor.expect(&["SET"])?;
    if cursor.at_end() {
        return Ok(Statement::Set(None));
    }
    if matches!(cursor.peek(), Token::SingleQuotedString(_)) {
        return Ok(Statement::Set(Some(cursor.option()?)));
    }
    let Some(equals) = cursor.find(|cursor, n| cursor.nth(n).token == Token::Eq) else {
        cursor.advance(cursor.len() - cursor.position());
        return Err(cursor.unexpected("= and the value of the option"));
    };
    let key = cursor.text_until(equals).trim().to_owned();
    cursor.advance(equals - cursor.position());
    if key.is_empty() {
        return Err(cursor.unexpected("the name of an option"));
    }
    cursor.expect_sign(&Token::Eq)?;
    if cursor.at_end() {
        return Err(cursor.unexpected("the value of the option"));
    }
    if matches!(cursor.peek(), Token::SingleQuotedString(_)) {
        return Ok(Statement::Set(Some((key, cursor.string()?))));
    }
    let value = cursor.text_until(cursor.len());
    cursor.advance(cursor.len() - cursor.position());
    Ok(Statement::Set(Some((key, value))))
}

/// `RESET` or `RESET 'key'`.
fn reset(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    cursor.expect(&["RESET"])?;
    if cursor.at_end() {
        return Ok(Statement::Reset(None));
    }
    if matches!(cursor.peek(), Token::SingleQuotedString(_)) {
        return Ok(Statement::Reset(Some(cursor.string()?)));
    }
    let key = cursor.text_until(cursor.len());
    cursor.advance(cursor.len() - cursor.position());
    Ok(Statement::Reset(Some(key)))
}

/// `STOP JOB 'id' [WITH SAVEPOINT] [WITH DRAIN]`.
fn stop(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    cursor.expect(&["STOP", "JOB"])?;
    let job = cursor.string()?;
    let mut stop = StopJob { job, with_savepoint: false, with_drain: false };
    while cursor.take(&["WITH"]) {
        if !stop.with_savepoint && !stop.with_drain && cursor.take(&["SAVEPOINT"]) {
            stop.with_savepoint = true;
        } else if !stop.with_drain && cursor.take(&["DRAIN"]) {
            stop.with_drain = true;
        } else {
            return Err(cursor.unexpected("SAVEPOINT or DRAIN"));
        }
    }
    if stop.with_drain && !stop.with_savepoint {
        let error = SqlError::new("SQL-PARSE", "WITH DRAIN needs WITH SAVEPOINT");
        return Err(error.hint("write STOP JOB 'id' WITH SAVEPOINT WITH DRAIN"));
    }
    Ok(Statement::StopJob(stop))
}
