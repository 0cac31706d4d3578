//! Plans the scripts that jobs are made of.

use std::rc::Rc;

use weir_sql::bind;
use weir_sql::dialect::{Insert, Statement, parse_statement};
use weir_sql::script::{SqlError, split};
use weir_sql::session::Session;
use weir_sql::stream::Node;

/// One INSERT of a script.
#[derive(Debug, Clone)]
pub struct Insertion {
    /// The name of the table that it writes to, without catalogue and database.
    pub table: String,
    /// Its plan, as it was bound: neither pruned nor shared with others.
    pub plan: Rc<Node>,
}

/// The INSERTs of a script, in their order. Error: a statement is wrong, or is neither about the session nor an INSERT.
pub fn insertions(script: &str) -> Result<Vec<Insertion>, String> {
    let shown = |error: SqlError| error.render(script);
    let mut session = Session::default();
    let mut found = Vec::new();
    for statement in split(script).map_err(shown)? {
        let parsed = parse_statement(&statement).map_err(shown)?;
        if let Some(outcome) = session.command(&parsed) {
            outcome.map_err(shown)?;
            continue;
        }
        match parsed {
            Statement::Insert(insert) => found.push(insertion(&session, &insert).map_err(shown)?),
            Statement::StatementSet(inserts) => {
                for insert in &inserts {
                    found.push(insertion(&session, insert).map_err(shown)?);
                }
            }
            other => return Err(format!("{other:?} writes nothing")),
        }
    }
    Ok(found)
}

fn insertion(session: &Session, insert: &Insert) -> Result<Insertion, SqlError> {
    let table = session.catalog.resolve(&insert.table)?.name;
    Ok(Insertion { table, plan: bind::insert(session.environment(), insert)? })
}
