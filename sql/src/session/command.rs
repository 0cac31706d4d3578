//! Carries out the statements that concern only the session.

use std::collections::BTreeSet;

use sqlparser::ast::{ObjectName, Spanned};
use weir_dataflow::functions::{self, Function};
use weir_protocol::job_graph::DataType;

use super::{Outcome, ResultTable, SessionOptions};
use crate::catalog::{
    Catalog, CatalogObject, CatalogView, ColumnType, DESCRIBE_COLUMNS, MemoryCatalog, ObjectPath, create_table, create_table_as,
    describe, show_create_table, show_create_view,
};
use crate::dialect::{AlterTable, CreateTable, CreateView, Drop, DropObject, Show, Statement, TableChange};
use crate::script::SqlError;

/// The names of the scalar functions that a statement can call, in lower case. Operators such as `+` are functions too, but are not
/// called by name.
pub fn function_names() -> BTreeSet<&'static str> {
    let is_called = |function: &&Function| function.syntax.to_lowercase().starts_with(function.name);
    functions::all().filter(is_called).map(|function| function.name).collect()
}

/// A catalogue and options, which statements read and change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Session {
    pub catalog: MemoryCatalog,
    pub options: SessionOptions,
}

impl Session {
    /// Carries out a statement that concerns only the session and its catalogue. `None` if it needs a job: queries, INSERT,
    /// statement sets, EXPLAIN, `CREATE TABLE … AS`, and the statements about jobs.
    ///
    /// Errors change nothing.
    pub fn command(&mut self, statement: &Statement) -> Option<Result<Outcome, SqlError>> {
        Some(match statement {
            Statement::CreateTable(create) if create.query.is_none() => self.create_table(create),
            Statement::CreateView(create) => self.create_view(create),
            Statement::CreateDatabase { name, if_not_exists } => done(self.catalog.create_database(name, *if_not_exists)),
            Statement::Drop(drop) => self.drop(drop),
            Statement::AlterTable(alter) => self.alter(alter),
            Statement::UseCatalog(name) => done(self.catalog.use_catalog(name)),
            Statement::Use(name) => done(self.catalog.use_database(name)),
            Statement::Set(None) => Ok(Outcome::Table(self.settings())),
            Statement::Set(Some((key, value))) => done(self.options.set(key, value)),
            Statement::Reset(None) => {
                self.options.reset_all();
                Ok(Outcome::Done)
            }
            Statement::Reset(Some(key)) => done(self.options.reset(key)),
            Statement::Show(Show::Jobs) => return None,
            Statement::Show(show) => self.show(show).map(Outcome::Table),
            Statement::Describe(name) => self.describe(name).map(Outcome::Table),
            Statement::Query(_)
            | Statement::Insert(_)
            | Statement::StatementSet(_)
            | Statement::Explain(_)
            | Statement::CreateTable(_)
            | Statement::DescribeJob(_)
            | Statement::StopJob(_) => return None,
        })
    }

    /// Creates the table of `CREATE TABLE … AS`, whose query has these columns. The caller then inserts the query's rows.
    /// Whether there is anything to insert: not if the table exists already and the statement allows it.
    pub fn create_table_as(&mut self, create: &CreateTable, columns: &[ColumnType]) -> Result<bool, SqlError> {
        let path = self.catalog.resolve(&create.name)?;
        if create.if_not_exists && self.catalog.exists(&path, false) {
            return Ok(false);
        }
        let columns = columns.iter().map(|column| (column.name.clone(), column.data_type.clone(), column.nullable)).collect();
        let table = create_table_as(create, columns).map_err(|error| error.at(create.name.span().start))?;
        self.table_columns(&path, &table)?;
        self.catalog.create(&create.name, CatalogObject::Table(table), false, false)?;
        Ok(true)
    }

    fn settings(&self) -> ResultTable {
        let rows = self.options.iter().map(|(key, value)| vec![Some(key.to_owned()), Some(value.to_owned())]).collect();
        ResultTable { columns: vec![("key".into(), DataType::String), ("value".into(), DataType::String)], rows }
    }

    fn create_table(&mut self, create: &CreateTable) -> Result<Outcome, SqlError> {
        let path = self.catalog.resolve(&create.name)?;
        if create.if_not_exists && self.catalog.exists(&path, create.temporary) {
            return Ok(Outcome::Done);
        }
        let base = match &create.like {
            None => None,
            Some(like) => match self.catalog.find(&like.table)? {
                (_, CatalogObject::Table(table)) => Some(table.clone()),
                (base, CatalogObject::View(_)) => {
                    let message = format!("{base} is a view; LIKE needs a table");
                    return Err(SqlError::new("SQL-CATALOG", message).at(like.table.span().start));
                }
            },
        };
        let table = create_table(create, base.as_ref())?;
        self.table_columns(&path, &table)?;
        done(self.catalog.create(&create.name, CatalogObject::Table(table), create.temporary, create.if_not_exists))
    }

    fn create_view(&mut self, create: &CreateView) -> Result<Outcome, SqlError> {
        let path = self.catalog.resolve(&create.name)?;
        if create.if_not_exists && self.catalog.exists(&path, create.temporary) {
            return Ok(Outcome::Done);
        }
        let columns = self.query_columns(&create.query)?;
        if !create.columns.is_empty() && create.columns.len() != columns.len() {
            let message = format!("the view names {} columns, but its query has {}", create.columns.len(), columns.len());
            return Err(SqlError::new("SQL-CATALOG", message).at(create.columns[0].span.start));
        }
        for (i, column) in create.columns.iter().enumerate() {
            if create.columns[..i].iter().any(|earlier| earlier.value == column.value) {
                let message = format!("there are two columns {:?}", column.value);
                return Err(SqlError::new("SQL-CATALOG", message).at(column.span.start));
            }
        }
        let (catalog, database) = self.catalog.current();
        let view = CatalogView {
            query: create.text.clone(),
            columns: create.columns.iter().map(|column| column.value.clone()).collect(),
            catalog: catalog.to_owned(),
            database: database.to_owned(),
            comment: create.comment.clone(),
        };
        done(self.catalog.create(&create.name, CatalogObject::View(view), create.temporary, create.if_not_exists))
    }

    fn drop(&mut self, drop: &Drop) -> Result<Outcome, SqlError> {
        done(match drop.object {
            DropObject::Table => self.catalog.drop(&drop.name, false, drop.temporary, drop.if_exists),
            DropObject::View => self.catalog.drop(&drop.name, true, drop.temporary, drop.if_exists),
            DropObject::Database { cascade } => self.catalog.drop_database(&drop.name, drop.if_exists, cascade),
        })
    }

    fn alter(&mut self, alter: &AlterTable) -> Result<Outcome, SqlError> {
        let path = self.catalog.resolve(&alter.name)?;
        let place = alter.name.span().start;
        if self.catalog.exists(&path, true) {
            let error = SqlError::unsupported(format!("ALTER TABLE of the temporary table {path}")).at(place);
            return Err(error.hint("drop it and create it again"));
        }
        let mut table = match self.catalog.object(&path) {
            Some(CatalogObject::Table(table)) => table.clone(),
            Some(CatalogObject::View(_)) => {
                return Err(SqlError::new("SQL-CATALOG", format!("{path} is a view; ALTER TABLE needs a table")).at(place));
            }
            None if alter.if_exists => return Ok(Outcome::Done),
            None => return Err(self.catalog.no_object("table", &path, &alter.name)),
        };
        match &alter.change {
            TableChange::Rename(to) => return done(self.catalog.rename(&path, to)),
            TableChange::SetOptions(options) => table.options.extend(options.iter().cloned()),
            TableChange::ResetOptions(keys) => {
                for key in keys {
                    if key == "connector" {
                        return Err(SqlError::new("SQL-CATALOG", "the option 'connector' can't be reset").at(place));
                    }
                    table.options.remove(key);
                }
            }
        }
        self.catalog.replace(path, CatalogObject::Table(table));
        Ok(Outcome::Done)
    }

    fn show(&self, show: &Show) -> Result<ResultTable, SqlError> {
        let (catalog, database) = self.catalog.current();
        Ok(match show {
            Show::Catalogs => ResultTable::of_texts("catalog name", [catalog.to_owned()]),
            Show::Databases => ResultTable::of_texts("database name", self.catalog.databases().map(str::to_owned)),
            Show::CurrentCatalog => ResultTable::of_texts("current catalog name", [catalog.to_owned()]),
            Show::CurrentDatabase => ResultTable::of_texts("current database name", [database.to_owned()]),
            Show::Tables(pattern) => {
                let names = self.catalog.names(catalog, database);
                let passes = |name: &String| pattern.as_ref().is_none_or(|pattern| is_like(name, pattern));
                ResultTable::of_texts("table name", names.into_iter().filter(passes))
            }
            Show::Views => {
                let is_view = |object: &CatalogObject| matches!(object, CatalogObject::View(_));
                ResultTable::of_texts("view name", self.catalog.list(catalog, database, is_view))
            }
            Show::Functions => ResultTable::of_texts("function name", function_names().into_iter().map(str::to_owned)),
            Show::Columns(name) => self.describe(name)?,
            Show::CreateTable(name) => match self.catalog.find(name)? {
                (path, CatalogObject::Table(table)) => {
                    ResultTable::of_texts("result", [show_create_table(&path, table, self.catalog.exists(&path, true))])
                }
                (path, CatalogObject::View(_)) => return Err(wrong_kind(&path, "view", "SHOW CREATE VIEW", name)),
            },
            Show::CreateView(name) => match self.catalog.find(name)? {
                (path, CatalogObject::View(view)) => {
                    let columns = self.view_columns(&path, view)?;
                    let names: Vec<_> = columns.into_iter().map(|column| column.name).collect();
                    let temporary = self.catalog.exists(&path, true);
                    ResultTable::of_texts("result", [show_create_view(&path, view, &names, temporary)])
                }
                (path, CatalogObject::Table(_)) => return Err(wrong_kind(&path, "table", "SHOW CREATE TABLE", name)),
            },
            Show::Jobs => return Err(SqlError::unsupported("SHOW JOBS without a cluster")),
        })
    }

    fn describe(&self, name: &ObjectName) -> Result<ResultTable, SqlError> {
        let (path, object) = self.catalog.find(name)?;
        let rows = match object {
            CatalogObject::Table(table) => {
                let types = self.table_columns(&path, table)?;
                describe(&types, Some(table))
            }
            CatalogObject::View(view) => describe(&self.view_columns(&path, view)?, None),
        };
        let has_comments = rows.first().is_some_and(|row| row.len() > DESCRIBE_COLUMNS.len());
        let column = |name: &str| (name.to_owned(), if name == "null" { DataType::Boolean } else { DataType::String });
        let columns = DESCRIBE_COLUMNS.iter().copied().chain(has_comments.then_some("comment")).map(column).collect();
        Ok(ResultTable { columns, rows })
    }
}

fn done(outcome: Result<(), SqlError>) -> Result<Outcome, SqlError> {
    outcome.map(|()| Outcome::Done)
}

fn wrong_kind(path: &ObjectPath, kind: &str, other: &str, name: &ObjectName) -> SqlError {
    SqlError::new("SQL-CATALOG", format!("{path} is a {kind}")).at(name.span().start).hint(format!("write {other}"))
}

/// Whether a name is LIKE a pattern: `%` stands for any text, `_` for any character, and a backslash takes their meaning.
fn is_like(name: &str, pattern: &str) -> bool {
    enum Part {
        Any,
        One,
        Exactly(char),
    }
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => Part::Exactly(chars.next().unwrap_or('\\')),
            other => Part::Exactly(other),
        });
    }
    let name: Vec<char> = name.chars().collect();
    // After a mismatch, the last `%` takes one character more.
    let (mut at, mut part, mut retry) = (0, 0, None);
    loop {
        match parts.get(part) {
            Some(Part::Any) => {
                retry = Some((at, part));
                part += 1;
            }
            None if at == name.len() => return true,
            Some(Part::One) if at < name.len() => (at, part) = (at + 1, part + 1),
            Some(Part::Exactly(c)) if name.get(at) == Some(c) => (at, part) = (at + 1, part + 1),
            _ => match retry {
                Some((from, any)) if from < name.len() => {
                    retry = Some((from + 1, any));
                    (at, part) = (from + 1, any + 1);
                }
                _ => return false,
            },
        }
    }
}
