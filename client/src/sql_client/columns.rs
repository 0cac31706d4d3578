//! Answers the session's questions about columns, by binding queries.

use sqlparser::ast::Query;
use weir_sql::bind::{self, Environment};
use weir_sql::catalog::{Catalog, CatalogObject, CatalogTable, CatalogView, ColumnType, ObjectPath};
use weir_sql::dialect::parse_query;
use weir_sql::script::SqlError;
use weir_sql::session::{Planner, SessionOptions};

/// The planner as the session sees it.
#[derive(Debug)]
pub(super) struct Columns;

impl Planner for Columns {
    fn table_columns(
        &self,
        catalog: &dyn Catalog,
        options: &SessionOptions,
        path: &ObjectPath,
        table: &CatalogTable,
    ) -> Result<Vec<ColumnType>, SqlError> {
        object_columns(catalog, options, path, CatalogObject::Table(table.clone()))
    }

    fn query_columns(&self, catalog: &dyn Catalog, options: &SessionOptions, query: &Query) -> Result<Vec<ColumnType>, SqlError> {
        let bound = bind::query(Environment { catalog, zone: options.local_time_zone() }, query)?;
        let column = |column: &weir_sql::stream::Column| ColumnType {
            name: column.name.clone(),
            data_type: column.data_type.clone(),
            nullable: column.nullable,
            time: column.is_rowtime.then_some("ROWTIME"),
        };
        Ok(bound.columns.iter().map(column).collect())
    }

    fn view_columns(
        &self,
        catalog: &dyn Catalog,
        options: &SessionOptions,
        path: &ObjectPath,
        view: &CatalogView,
    ) -> Result<Vec<ColumnType>, SqlError> {
        object_columns(catalog, options, path, CatalogObject::View(view.clone()))
    }
}

/// The columns that `SELECT *` gives. The object need not be in the catalogue.
fn object_columns(
    catalog: &dyn Catalog,
    options: &SessionOptions,
    path: &ObjectPath,
    object: CatalogObject,
) -> Result<Vec<ColumnType>, SqlError> {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let name = [&path.catalog, &path.database, &path.name].map(|name| quoted(name)).join(".");
    let query = parse_query(&format!("SELECT * FROM {name}"))?;
    // Places relate to the query above, which the user has not written.
    let unplaced = |error: SqlError| SqlError { place: None, ..error };
    Columns.query_columns(&With { catalog, path, object }, options, &query).map_err(unplaced)
}

/// A catalogue with one object more, or another one.
struct With<'a> {
    catalog: &'a dyn Catalog,
    path: &'a ObjectPath,
    object: CatalogObject,
}

impl Catalog for With<'_> {
    fn object(&self, path: &ObjectPath) -> Option<&CatalogObject> {
        if path == self.path { Some(&self.object) } else { self.catalog.object(path) }
    }

    fn current(&self) -> (&str, &str) {
        self.catalog.current()
    }

    fn names(&self, catalog: &str, database: &str) -> Vec<String> {
        self.catalog.names(catalog, database)
    }
}
