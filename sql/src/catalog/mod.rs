//! The tables and views that a statement can name.

mod table;

pub use table::*;

/// Resolved names: what the planner reads. It never writes.
pub trait Catalog {
    /// The table or view of this full name, if there is one.
    fn object(&self, path: &ObjectPath) -> Option<&CatalogObject>;
    /// The catalog and database that complete shorter names.
    fn current(&self) -> (&str, &str);
    /// The names of all tables and views of a database, for hints.
    fn names(&self, catalog: &str, database: &str) -> Vec<String>;
}
