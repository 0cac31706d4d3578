//! Checks changes of the catalogue that were decided elsewhere: they must be what statements could have decided here.

use std::collections::BTreeSet;

use super::Session;
use crate::catalog::{
    CatalogChange, CatalogObject, CatalogView, DEFAULT_CATALOG, DEFAULT_DATABASE, ObjectPath, check_table, check_text,
};
use crate::dialect::parse_query;
use crate::script::SqlError;

impl Session {
    /// Checks changes of this session's catalogue that are not from a statement. Errors: `SQL-CATALOG`, and those of the texts in
    /// tables and views. Needs as much stack as planning does.
    pub fn check_changes(&self, changes: &[CatalogChange]) -> Result<(), SqlError> {
        let mut names = BTreeSet::new();
        for change in changes {
            let (catalog, database, name) = match change {
                CatalogChange::PutDatabase { catalog, database } | CatalogChange::RemoveDatabase { catalog, database } => {
                    (catalog, database, None)
                }
                CatalogChange::PutObject { path, .. } | CatalogChange::RemoveObject { path } => {
                    (&path.catalog, &path.database, Some(&path.name))
                }
            };
            check_database(catalog, database)?;
            name.map_or(Ok(()), |name| check_text(name))?;
            if !names.insert((database, name)) {
                let name = name.unwrap_or(database);
                return Err(wrong(format!("{name:?} is changed twice")));
            }
        }
        changes.iter().try_for_each(|change| self.check_change(change, changes))
    }

    /// Checks one of the changes against the catalogue and the others.
    fn check_change(&self, change: &CatalogChange, all: &[CatalogChange]) -> Result<(), SqlError> {
        match change {
            CatalogChange::PutDatabase { database, .. } if self.catalog.has_database(database) => {
                Err(wrong(format!("the database {database} exists already")))
            }
            CatalogChange::PutDatabase { .. } => Ok(()),
            CatalogChange::RemoveDatabase { database, .. } => self.check_removal(database, all),
            CatalogChange::PutObject { path, object } => {
                let is_its_database = |change: &CatalogChange| match change {
                    CatalogChange::PutDatabase { database, .. } => *database == path.database,
                    _ => false,
                };
                if !self.catalog.has_database(&path.database) && !all.iter().any(is_its_database) {
                    return Err(wrong(format!("there is no database {} for {path}", path.database)));
                }
                self.check_object(path, object).map_err(|error| of(path, error))
            }
            CatalogChange::RemoveObject { path } if self.catalog.permanent_object(path).is_none() => {
                Err(wrong(format!("there is no table or view {path}")))
            }
            CatalogChange::RemoveObject { .. } => Ok(()),
        }
    }

    /// A database goes with all its tables and views.
    fn check_removal(&self, database: &str, all: &[CatalogChange]) -> Result<(), SqlError> {
        if database == DEFAULT_DATABASE || !self.catalog.has_database(database) {
            return Err(wrong(format!("the database {database} does not exist, or can't be dropped")));
        }
        let removed: BTreeSet<_> = all
            .iter()
            .filter_map(|change| match change {
                CatalogChange::RemoveObject { path } => Some(path),
                _ => None,
            })
            .collect();
        let put = all.iter().filter_map(|change| match change {
            CatalogChange::PutObject { path, .. } => Some(path),
            _ => None,
        });
        let kept = self.catalog.permanent().map(|(path, _)| path).filter(|path| !removed.contains(path)).chain(put);
        match kept.into_iter().find(|path| path.database == database) {
            None => Ok(()),
            Some(path) => Err(wrong(format!("the database {database} is not empty: it has {path}"))),
        }
    }

    fn check_object(&self, path: &ObjectPath, object: &CatalogObject) -> Result<(), SqlError> {
        match object {
            CatalogObject::Table(table) => {
                check_table(table)?;
                self.table_columns(path, table)?;
            }
            CatalogObject::View(view) => check_view(view)?,
        }
        // It is stored in this form.
        let read = serde_json::to_string(object).and_then(|text| serde_json::from_str::<CatalogObject>(&text));
        match read {
            Ok(read) if read == *object => Ok(()),
            Ok(_) => Err(wrong("it would be stored as something else")),
            Err(error) => Err(wrong(format!("it could not be read from the store: {error}"))),
        }
    }
}

/// The tables of a view's query may be others later, or temporary ones of a session, so only its text is checked.
fn check_view(view: &CatalogView) -> Result<(), SqlError> {
    check_database(&view.catalog, &view.database)?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = view.columns.iter().find(|column| !seen.insert(column.as_str())) {
        return Err(wrong(format!("there are two columns {twice:?}")));
    }
    parse_query(&view.query).map(|_| ())
}

fn check_database(catalog: &str, database: &str) -> Result<(), SqlError> {
    if catalog != DEFAULT_CATALOG {
        return Err(wrong(format!("the only catalog is {DEFAULT_CATALOG}")));
    }
    check_text(database)
}

fn wrong(message: impl Into<String>) -> SqlError {
    SqlError::new("SQL-CATALOG", message)
}

/// An error in what is not in a statement has no place.
fn of(path: &ObjectPath, error: SqlError) -> SqlError {
    SqlError { place: None, message: format!("{path}: {}", error.message), ..error }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::command::decided;
    use crate::script::split;

    fn run(session: Session, statement: &str) -> (Session, Vec<CatalogChange>) {
        let statement = &split(statement).unwrap()[0];
        let decided = decided(session, statement).unwrap_or_else(|error| panic!("{error}"));
        (decided.session, decided.changes)
    }

    #[test]
    fn what_statements_decide_passes() {
        let mut session = Session::default();
        for statement in [
            "CREATE DATABASE d",
            "CREATE TABLE d.t (n BIGINT, ts TIMESTAMP(3), m AS n + 1, f STRING NOT NULL METADATA FROM 'file.name' VIRTUAL,
               r ROW<`a b` INT, c ARRAY<DECIMAL(3, 1) NOT NULL>>, PRIMARY KEY (n) NOT ENFORCED,
               WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) COMMENT 'it''s' PARTITIONED BY (n) WITH ('connector' = 'no such')",
            "CREATE TABLE u WITH ('number-of-rows' = '1') LIKE d.t",
            "CREATE TEMPORARY TABLE hidden (n INT) WITH ('connector' = 'datagen')",
            "CREATE VIEW v (a, b) COMMENT 'c' AS SELECT n, 'x;' FROM hidden -- of a temporary table",
            "CREATE TABLE w WITH ('connector' = 'blackhole') AS SELECT n FROM hidden",
            "ALTER TABLE u SET ('a' = 'b')",
            "ALTER TABLE u RENAME TO x",
            "DROP VIEW v",
            "DROP DATABASE d CASCADE",
        ] {
            let (next, changes) = run(session.clone(), statement);
            assert_eq!(session.check_changes(&changes), Ok(()), "{statement}");
            session = next;
        }
    }

    fn session() -> Session {
        let session = run(Session::default(), "CREATE DATABASE d").0;
        run(session, "CREATE TABLE d.t (n INT) WITH ('connector' = 'datagen')").0
    }

    fn refused(changes: Value) -> String {
        let changes: Vec<CatalogChange> = serde_json::from_value(changes).unwrap();
        session().check_changes(&changes).expect_err("it is refused").to_string()
    }

    fn path(database: &str, name: &str) -> Value {
        json!({"catalog": "default_catalog", "database": database, "name": name})
    }

    fn put(object: Value) -> Value {
        json!({"change": "put_object", "path": path("d", "new"), "object": object})
    }

    #[test]
    fn changes_that_do_not_fit_the_catalogue_are_refused() {
        let view = json!({"object": "view", "query": "SELECT 1", "catalog": "default_catalog", "database": "d"});
        let put_at = |path: Value| json!({"change": "put_object", "path": path, "object": view});
        let database = |change: &str, name: &str| json!({"change": change, "catalog": "default_catalog", "database": name});
        let remove = |path: Value| json!({"change": "remove_object", "path": path});
        for (changes, expected) in [
            (json!([put_at(path("e", "x"))]), "there is no database e"),
            (json!([put_at(path("d", ""))]), "a name has 1 to 128 bytes"),
            (json!([put_at(path("d", "a\nb"))]), "control characters"),
            (json!([put_at(path(&"d".repeat(129), "x"))]), "a name has 1 to 128 bytes"),
            (json!([put_at(json!({"catalog": "c", "database": "d", "name": "x"}))]), "the only catalog"),
            (json!([put_at(path("d", "x")), remove(path("d", "x"))]), "changed twice"),
            (json!([remove(path("d", "x"))]), "there is no table or view"),
            (json!([database("put_database", "d")]), "exists already"),
            (json!([database("put_database", "x"), database("remove_database", "x")]), "changed twice"),
            (json!([database("remove_database", "default_database")]), "can't be dropped"),
            (json!([database("remove_database", "x")]), "does not exist"),
            (json!([database("remove_database", "d")]), "is not empty"),
            (json!([remove(path("d", "t")), put_at(path("d", "x")), database("remove_database", "d")]), "is not empty"),
        ] {
            let error = refused(changes.clone());
            assert!(error.starts_with("SQL-CATALOG") && error.contains(expected), "{changes}: {error}");
        }
    }

    #[test]
    fn tables_and_views_that_no_statement_makes_are_refused() {
        let column = |name: &str| json!({"name": name, "kind": {"physical": {"type": "TIMESTAMP(3)", "nullable": true}}});
        let computed = |text: &str| json!({"name": "c", "kind": {"computed": text}});
        let interval = json!({"name": "i", "kind": {"physical": {"type": "INTERVAL MONTH", "nullable": true}}});
        let table = |columns: Value, more: Value| {
            let mut table = json!({"object": "table", "columns": columns});
            table.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            put(table)
        };
        let view = |query: &str, columns: Value| {
            put(json!({"object": "view", "query": query, "columns": columns, "catalog": "default_catalog", "database": "d"}))
        };
        let deep = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
        for (change, code, expected) in [
            (table(json!([]), json!({})), "SQL-CATALOG", "no column"),
            (table(json!([column("n"), column("n")]), json!({})), "SQL-CATALOG", "two columns"),
            (table(json!([column("")]), json!({})), "SQL-CATALOG", "a name has"),
            (table(json!([column("n")]), json!({"primary_key": ["m"]})), "SQL-CATALOG", "no column of the table"),
            (table(json!([column("n")]), json!({"primary_key": ["n"]})), "SQL-CATALOG", "NOT NULL"),
            (table(json!([column("n")]), json!({"partition_keys": ["n", "n"]})), "SQL-CATALOG", "twice"),
            (table(json!([column("n"), computed("m + 1")]), json!({})), "SQL-NAME", "column \"c\""),
            (table(json!([column("n"), computed("n n")]), json!({})), "SQL-PARSE", "Encountered"),
            (table(json!([column("n"), computed(&deep)]), json!({})), "SQL-LIMIT", "nested"),
            (
                table(json!([column("n")]), json!({"watermark": {"column": "n", "expression": "1"}})),
                "SQL-TIME",
                "needs TIMESTAMP",
            ),
            (table(json!([column("n"), interval]), json!({})), "SQL-UNSUPPORTED", "INTERVAL MONTH"),
            (view("SELECT", json!([])), "SQL-PARSE", "Encountered"),
            (view("SELECT 1 AS a, 2 AS b extra words", json!([])), "SQL-PARSE", "Encountered"),
            (view("SELECT 1; SELECT 2", json!([])), "SQL-PARSE", "Encountered"),
            (view(&deep, json!([])), "SQL-LIMIT", "nested"),
            (view("SELECT 1, 2", json!(["a", "a"])), "SQL-CATALOG", "two columns"),
        ] {
            let error = refused(json!([change]));
            assert!(error.starts_with(code) && error.contains(expected), "{change}: {error}");
            assert!(error.contains("default_catalog.d.new"), "it is named: {error}");
        }
    }
}
