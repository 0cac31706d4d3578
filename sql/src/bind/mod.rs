//! Binds queries: names become columns, and expressions get types, by Flink's rules.

mod aggregate;
mod call;
mod cast;
mod expression;
mod grouping;
mod insert;
mod interval;
mod json;
mod literal;
mod query;
mod relation;
mod scope;
mod select;
mod special_form;
mod table;
mod window;

use std::collections::BTreeMap;
use std::rc::Rc;

use sqlparser::ast::Query;
use sqlparser::tokenizer::Location;

use crate::catalog::{Catalog, CatalogTable, CatalogView, ObjectPath};
use crate::script::SqlError;
use crate::stream::Node;

pub use insert::insert;

/// What binding depends on besides the statement.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    pub catalog: &'a dyn Catalog,
    /// The session's time zone, an IANA name.
    pub zone: &'a str,
}

/// Deepest nesting of queries: subqueries, views and set operations.
const MAX_DEPTH: usize = 64;

/// Binds one query. It knows the names that the query can use.
#[derive(Clone)]
struct Binder<'a> {
    environment: Environment<'a>,
    /// The catalog and database that complete names; those of a view while it is bound.
    current: (String, String),
    /// The queries of WITH that are in scope.
    with: BTreeMap<String, Rc<NamedQuery>>,
    depth: usize,
}

/// A query of WITH. It sees the names that were in scope where it stands.
struct NamedQuery {
    query: Query,
    columns: Vec<String>,
    with: BTreeMap<String, Rc<NamedQuery>>,
}

/// Binds a whole query. Errors: `SQL-NAME`, `SQL-TYPE`, `SQL-UNSUPPORTED` and others, with their place.
pub fn query(environment: Environment<'_>, query: &Query) -> Result<Rc<Node>, SqlError> {
    Binder::new(environment).query(query)
}

/// Binds the reading of a table: all its columns. It need not be in the catalogue.
pub fn table(environment: Environment<'_>, path: &ObjectPath, table: &CatalogTable) -> Result<Rc<Node>, SqlError> {
    table::scan(environment, path, table)
}

/// Binds the query of a view. It need not be in the catalogue.
pub fn view(environment: Environment<'_>, path: &ObjectPath, view: &CatalogView) -> Result<Rc<Node>, SqlError> {
    // The statement that asks has no place for what is wrong in the view.
    Binder::new(environment).view(path, view, Location::empty())
}

impl<'a> Binder<'a> {
    fn new(environment: Environment<'a>) -> Self {
        let (catalog, database) = environment.catalog.current();
        Self { environment, current: (catalog.to_owned(), database.to_owned()), with: BTreeMap::new(), depth: 0 }
    }

    /// A binder one level deeper. Error: `SQL-LIMIT`.
    fn deeper(&self) -> Result<Self, SqlError> {
        if self.depth >= MAX_DEPTH {
            let message = format!("queries and views are nested more than {MAX_DEPTH} deep");
            return Err(SqlError::new("SQL-LIMIT", message).hint("does a view refer to itself?"));
        }
        Ok(Self { depth: self.depth + 1, ..self.clone() })
    }
}

/// The error for something that Flink has and this version does not.
fn unsupported<T>(what: &str, at: Location) -> Result<T, SqlError> {
    Err(SqlError::unsupported(what).at(at))
}
