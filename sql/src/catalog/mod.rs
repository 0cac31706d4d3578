//! The tables and views that a statement can name.

mod changes;
mod cluster;
mod create;
mod describe;
mod like;
mod memory;
mod show_create;
mod table;

pub use changes::{CatalogChange, Standing, standing};
pub use cluster::{CatalogAnswer, CatalogCommit, CatalogCommitted, CatalogContents, NamedObject};
pub use create::{check_table, create_table, create_table_as};
pub use describe::{ColumnType, DESCRIBE_COLUMNS, describe};
pub(crate) use memory::check_text;
pub use memory::{DEFAULT_CATALOG, DEFAULT_DATABASE, MAX_NAME, MemoryCatalog};
pub use show_create::{show_create_table, show_create_view, type_text};
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
