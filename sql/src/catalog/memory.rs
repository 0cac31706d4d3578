//! A catalogue in memory.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::ast::{Ident, ObjectName, Spanned};
use weir_protocol::job_graph::catalog::closest;

use super::{Catalog, CatalogChange, CatalogObject, ObjectPath};
use crate::script::SqlError;

/// The only catalog.
pub const DEFAULT_CATALOG: &str = "default_catalog";
/// The database that always exists.
pub const DEFAULT_DATABASE: &str = "default_database";
/// Longest name of a database, a table, a view or a column, in bytes.
pub const MAX_NAME: usize = 128;

/// Databases, tables and views, of which some live only as long as the session.
///
/// A temporary object hides the permanent one of the same name. Changes that were made are collected until
/// [`MemoryCatalog::take_changes`] takes them, so that they can be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryCatalog {
    databases: BTreeSet<String>,
    permanent: BTreeMap<ObjectPath, CatalogObject>,
    temporary: BTreeMap<ObjectPath, CatalogObject>,
    database: String,
    changes: Vec<CatalogChange>,
}

impl Default for MemoryCatalog {
    fn default() -> Self {
        Self {
            databases: BTreeSet::from([DEFAULT_DATABASE.to_owned()]),
            permanent: BTreeMap::new(),
            temporary: BTreeMap::new(),
            database: DEFAULT_DATABASE.to_owned(),
            changes: Vec::new(),
        }
    }
}

impl Catalog for MemoryCatalog {
    fn object(&self, path: &ObjectPath) -> Option<&CatalogObject> {
        self.temporary.get(path).or_else(|| self.permanent.get(path))
    }

    fn current(&self) -> (&str, &str) {
        (DEFAULT_CATALOG, &self.database)
    }

    fn names(&self, catalog: &str, database: &str) -> Vec<String> {
        self.list(catalog, database, |_| true)
    }
}

impl MemoryCatalog {
    /// A catalogue with these databases, besides the default one, and these permanent tables and views. Their databases exist too.
    pub fn new(
        databases: impl IntoIterator<Item = String>,
        objects: impl IntoIterator<Item = (ObjectPath, CatalogObject)>,
    ) -> Self {
        let mut catalog = Self::default();
        catalog.replace_permanent(databases, objects);
        catalog
    }

    /// Replaces what others can change, as a store holds it now: the databases besides the default one, and the permanent tables and
    /// views. Temporary objects and the current database stay, also if the database does not exist any more.
    pub fn replace_permanent(
        &mut self,
        databases: impl IntoIterator<Item = String>,
        objects: impl IntoIterator<Item = (ObjectPath, CatalogObject)>,
    ) {
        self.databases = BTreeSet::from([DEFAULT_DATABASE.to_owned()]);
        self.databases.extend(databases);
        self.permanent.clear();
        for (path, object) in objects {
            self.databases.insert(path.database.clone());
            self.permanent.insert(path, object);
        }
    }

    /// The permanent tables and views.
    pub fn permanent(&self) -> impl Iterator<Item = (&ObjectPath, &CatalogObject)> {
        self.permanent.iter()
    }

    /// The permanent table or view of this name, also if a temporary one hides it.
    pub fn permanent_object(&self, path: &ObjectPath) -> Option<&CatalogObject> {
        self.permanent.get(path)
    }

    /// The tables and views that live as long as the session.
    pub fn temporary(&self) -> impl Iterator<Item = (&ObjectPath, &CatalogObject)> {
        self.temporary.iter()
    }

    /// Puts a temporary table or view, e.g. of a session that is restored.
    pub fn put_temporary(&mut self, path: ObjectPath, object: CatalogObject) {
        self.temporary.insert(path, object);
    }

    /// Makes a database the current one, also if it does not exist any more: then names that need it are refused.
    pub fn restore_database(&mut self, database: String) {
        self.database = database;
    }

    /// The databases, sorted.
    pub fn databases(&self) -> impl Iterator<Item = &str> {
        self.databases.iter().map(String::as_str)
    }

    /// Whether there is a database of this name.
    pub fn has_database(&self, name: &str) -> bool {
        self.databases.contains(name)
    }

    /// The changes of permanent objects since the last call.
    pub fn take_changes(&mut self) -> Vec<CatalogChange> {
        std::mem::take(&mut self.changes)
    }

    /// The names of a database's objects that pass, sorted.
    pub(crate) fn list(&self, catalog: &str, database: &str, passes: impl Fn(&CatalogObject) -> bool) -> Vec<String> {
        let here = |path: &&ObjectPath| path.catalog == catalog && path.database == database;
        let paths: BTreeSet<_> = self.temporary.keys().chain(self.permanent.keys()).filter(here).collect();
        paths.into_iter().filter(|path| self.object(path).is_some_and(&passes)).map(|path| path.name.clone()).collect()
    }

    /// Completes a name by the current catalog and database. Errors: `SQL-CATALOG`.
    pub fn resolve(&self, name: &ObjectName) -> Result<ObjectPath, SqlError> {
        let parts = idents(name)?;
        let (database, object) = match parts.as_slice() {
            [object] => (self.database.clone(), object),
            [database, object] => (database.value.clone(), object),
            [catalog, database, object] => {
                check_catalog(catalog)?;
                (database.value.clone(), object)
            }
            _ => return Err(too_many_parts(name)),
        };
        check_name(object)?;
        if !self.has_database(&database) {
            return Err(self.no_database(&database, name));
        }
        Ok(ObjectPath { catalog: DEFAULT_CATALOG.to_owned(), database, name: object.value.clone() })
    }

    /// The database of a name with one or two parts. It need not exist.
    fn database(&self, name: &ObjectName) -> Result<String, SqlError> {
        let parts = idents(name)?;
        let database = match parts.as_slice() {
            [database] => database,
            [catalog, database] => {
                check_catalog(catalog)?;
                database
            }
            _ => return Err(too_many_parts(name)),
        };
        check_name(database)?;
        Ok(database.value.clone())
    }

    fn no_database(&self, database: &str, name: &ObjectName) -> SqlError {
        let error =
            SqlError::new("SQL-CATALOG", format!("there is no database {database} in {DEFAULT_CATALOG}")).at(name.span().start);
        match closest(database, self.databases()) {
            Some(other) => error.hint(format!("did you mean {other}?")),
            None => error.hint("SHOW DATABASES lists them"),
        }
    }

    /// The error that there is no such table or view.
    pub fn no_object(&self, kind: &str, path: &ObjectPath, name: &ObjectName) -> SqlError {
        let error = SqlError::new("SQL-CATALOG", format!("there is no {kind} {path}")).at(name.span().start);
        let names = self.names(&path.catalog, &path.database);
        match closest(&path.name, names.iter().map(String::as_str)) {
            Some(other) => error.hint(format!("did you mean {other}?")),
            None => error.hint("SHOW TABLES lists the tables and views"),
        }
    }

    /// The table or view of this name. Error: `SQL-CATALOG`.
    pub fn find(&self, name: &ObjectName) -> Result<(ObjectPath, &CatalogObject), SqlError> {
        let path = self.resolve(name)?;
        match self.object(&path) {
            Some(object) => Ok((path, object)),
            None => Err(self.no_object("table or view", &path, name)),
        }
    }

    /// Makes a catalog the current one, as `USE CATALOG` does.
    pub fn use_catalog(&mut self, name: &Ident) -> Result<(), SqlError> {
        check_catalog(name)?;
        self.database = DEFAULT_DATABASE.to_owned();
        Ok(())
    }

    /// Makes a database the current one, as `USE` does.
    pub fn use_database(&mut self, name: &ObjectName) -> Result<(), SqlError> {
        let database = self.database(name)?;
        if !self.has_database(&database) {
            return Err(self.no_database(&database, name));
        }
        self.database = database;
        Ok(())
    }

    /// Adds a database, as `CREATE DATABASE` does.
    pub fn create_database(&mut self, name: &ObjectName, if_not_exists: bool) -> Result<(), SqlError> {
        let database = self.database(name)?;
        if self.databases.contains(&database) {
            if if_not_exists {
                return Ok(());
            }
            return Err(SqlError::new("SQL-CATALOG", format!("the database {database} exists already")).at(name.span().start));
        }
        self.databases.insert(database.clone());
        self.changes.push(CatalogChange::PutDatabase { catalog: DEFAULT_CATALOG.to_owned(), database });
        Ok(())
    }

    /// Removes a database, as `DROP DATABASE` does.
    pub fn drop_database(&mut self, name: &ObjectName, if_exists: bool, cascade: bool) -> Result<(), SqlError> {
        let database = self.database(name)?;
        let refused = |what: String| SqlError::new("SQL-CATALOG", what).at(name.span().start);
        if !self.databases.contains(&database) {
            return if if_exists { Ok(()) } else { Err(self.no_database(&database, name)) };
        }
        if database == self.database {
            return Err(refused(format!("the database {database} is in use")).hint("USE another database first"));
        }
        if database == DEFAULT_DATABASE {
            return Err(refused(format!("the database {DEFAULT_DATABASE} can't be dropped")));
        }
        let paths: Vec<_> = self.permanent.keys().filter(|path| path.database == database).cloned().collect();
        if !paths.is_empty() && !cascade {
            let message = format!("the database {database} is not empty: it has {} tables and views", paths.len());
            return Err(refused(message).hint("DROP DATABASE … CASCADE drops them too"));
        }
        for path in paths {
            self.permanent.remove(&path);
            self.changes.push(CatalogChange::RemoveObject { path });
        }
        self.temporary.retain(|path, _| path.database != database);
        self.databases.remove(&database);
        self.changes.push(CatalogChange::RemoveDatabase { catalog: DEFAULT_CATALOG.to_owned(), database });
        Ok(())
    }

    /// Puts a new table or view. If it exists already, nothing happens if that is allowed.
    pub fn create(
        &mut self,
        name: &ObjectName,
        object: CatalogObject,
        temporary: bool,
        if_not_exists: bool,
    ) -> Result<(), SqlError> {
        let path = self.resolve(name)?;
        if self.exists(&path, temporary) {
            if if_not_exists {
                return Ok(());
            }
            let what = if temporary { "a temporary table or view" } else { "a table or view" };
            let error = SqlError::new("SQL-CATALOG", format!("{what} {path} exists already")).at(name.span().start);
            return Err(error.hint("drop it first, or write IF NOT EXISTS"));
        }
        self.put(path, object, temporary);
        Ok(())
    }

    /// Whether there is a temporary or permanent object of this name.
    pub fn exists(&self, path: &ObjectPath, temporary: bool) -> bool {
        if temporary { self.temporary.contains_key(path) } else { self.permanent.contains_key(path) }
    }

    fn put(&mut self, path: ObjectPath, object: CatalogObject, temporary: bool) {
        if temporary {
            self.temporary.insert(path, object);
        } else {
            self.permanent.insert(path.clone(), object.clone());
            self.changes.push(CatalogChange::PutObject { path, object });
        }
    }

    /// `DROP TABLE` and `DROP VIEW`.
    pub fn drop(&mut self, name: &ObjectName, is_view: bool, temporary: bool, if_exists: bool) -> Result<(), SqlError> {
        let kind = if is_view { "view" } else { "table" };
        let path = match self.resolve(name) {
            Ok(path) => path,
            Err(_) if if_exists => return Ok(()),
            Err(error) => return Err(error),
        };
        let matches = |object: &CatalogObject| matches!(object, CatalogObject::View(_)) == is_view;
        if temporary {
            return match self.temporary.get(&path).filter(|object| matches(object)) {
                Some(_) => {
                    self.temporary.remove(&path);
                    Ok(())
                }
                None if if_exists => Ok(()),
                None => Err(self.no_object(&format!("temporary {kind}"), &path, name)),
            };
        }
        if self.temporary.get(&path).is_some_and(matches) {
            let message = format!("the temporary {kind} {path} hides the permanent one");
            let hint = format!("DROP TEMPORARY {} first", kind.to_uppercase());
            return Err(SqlError::new("SQL-CATALOG", message).at(name.span().start).hint(hint));
        }
        match self.permanent.get(&path) {
            Some(object) if matches(object) => {
                self.permanent.remove(&path);
                self.changes.push(CatalogChange::RemoveObject { path });
                Ok(())
            }
            _ if if_exists => Ok(()),
            Some(_) => {
                let other = if is_view { "table" } else { "view" };
                let error = SqlError::new("SQL-CATALOG", format!("{path} is a {other}")).at(name.span().start);
                Err(error.hint(format!("write DROP {}", other.to_uppercase())))
            }
            None => Err(self.no_object(kind, &path, name)),
        }
    }

    /// Renames a permanent table or view within its database.
    pub fn rename(&mut self, path: &ObjectPath, to: &ObjectName) -> Result<(), SqlError> {
        // A name without database means the table's database, even if another one is in use.
        let new = match idents(to)?.as_slice() {
            [only] => {
                check_name(only)?;
                ObjectPath { name: only.value.clone(), ..path.clone() }
            }
            _ => self.resolve(to)?,
        };
        if new.database != path.database {
            return Err(SqlError::unsupported("renaming into another database").at(to.span().start));
        }
        if self.permanent.contains_key(&new) {
            return Err(SqlError::new("SQL-CATALOG", format!("a table or view {new} exists already")).at(to.span().start));
        }
        if let Some(object) = self.permanent.remove(path) {
            self.changes.push(CatalogChange::RemoveObject { path: path.clone() });
            self.put(new, object, false);
        }
        Ok(())
    }

    /// Replaces a permanent table or view.
    pub fn replace(&mut self, path: ObjectPath, object: CatalogObject) {
        self.put(path, object, false);
    }
}

fn idents(name: &ObjectName) -> Result<Vec<Ident>, SqlError> {
    name.0.iter().map(|part| part.as_ident().cloned()).collect::<Option<_>>().ok_or_else(|| too_many_parts(name))
}

fn too_many_parts(name: &ObjectName) -> SqlError {
    SqlError::new("SQL-CATALOG", format!("{name} is no name here: it has too many parts")).at(name.span().start)
}

fn check_catalog(name: &Ident) -> Result<(), SqlError> {
    if name.value == DEFAULT_CATALOG {
        return Ok(());
    }
    let error = SqlError::new("SQL-CATALOG", format!("there is no catalog {}", name.value)).at(name.span.start);
    Err(error.hint(format!("the only catalog is {DEFAULT_CATALOG}")))
}

/// Checks the length of a name.
pub(super) fn check_name(name: &Ident) -> Result<(), SqlError> {
    check_text(&name.value).map_err(|error| error.at(name.span.start))
}

/// As [`check_name`], for a name that is not from a statement.
pub(crate) fn check_text(name: &str) -> Result<(), SqlError> {
    if name.is_empty() || name.len() > MAX_NAME {
        let message = format!("a name has 1 to {MAX_NAME} bytes; this one has {}", name.len());
        return Err(SqlError::new("SQL-CATALOG", message));
    }
    if name.chars().any(char::is_control) {
        return Err(SqlError::new("SQL-CATALOG", "a name can't contain control characters"));
    }
    Ok(())
}
