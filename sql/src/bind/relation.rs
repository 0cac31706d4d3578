//! Binds FROM: tables, views, subqueries and table functions.

use std::borrow::Cow;
use std::rc::Rc;

use sqlparser::ast::{Expr, FunctionArguments, ObjectName, Spanned, TableAlias, TableFactor, TableWithJoins};
use sqlparser::tokenizer::Location;
use weir_protocol::job_graph::DataType;
use weir_protocol::job_graph::catalog::closest;

use super::scope::Scope;
use super::{Binder, table, unsupported};
use crate::catalog::{CatalogObject, CatalogTable, CatalogView, ObjectPath};
use crate::dialect::{parse_query, table_name};
use crate::expression::Typed;
use crate::script::SqlError;
use crate::stream::{Column, Node, NodeKind, calc};

impl Binder<'_> {
    /// The rows of FROM, and the names under which expressions know their columns.
    pub(super) fn from(&self, from: &[TableWithJoins], at: Location) -> Result<(Rc<Node>, Scope), SqlError> {
        match from {
            [] => Ok((one_row(), Scope::default())),
            [TableWithJoins { relation, joins }] if joins.is_empty() => self.relation(relation),
            [TableWithJoins { joins, .. }] => unsupported("a join", joins.first().map_or(at, |join| join.relation.span().start)),
            [_, second, ..] => unsupported("a join (several tables in FROM)", second.span().start),
        }
    }

    fn relation(&self, factor: &TableFactor) -> Result<(Rc<Node>, Scope), SqlError> {
        let at = factor.span().start;
        match factor {
            TableFactor::Table { name, alias, args: None, with_hints, version: None, sample: None, partitions, .. }
                if with_hints.is_empty() && partitions.is_empty() =>
            {
                let (name, options) = table_name(name)?;
                let node = self.named(&name, &options, at)?;
                aliased(node, alias.as_ref(), parts(&name), at)
            }
            TableFactor::Table { version: Some(_), .. } => unsupported("FOR SYSTEM_TIME AS OF", at),
            TableFactor::Table { name, alias, args: Some(args), .. } => {
                let node = self.table_function(&parts(name), &args.args, at)?;
                aliased(node, alias.as_ref(), Vec::new(), at)
            }
            TableFactor::Function { lateral: false, name, args, alias, .. } => {
                let node = self.table_function(&parts(name), args, at)?;
                aliased(node, alias.as_ref(), Vec::new(), at)
            }
            TableFactor::TableFunction { expr: Expr::Function(function), alias } => {
                let FunctionArguments::List(list) = &function.args else { return unsupported("this table function", at) };
                let node = self.table_function(&parts(&function.name), &list.args, at)?;
                aliased(node, alias.as_ref(), Vec::new(), at)
            }
            TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
                aliased(self.query(subquery)?, alias.as_ref(), Vec::new(), at)
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } if table_with_joins.joins.is_empty() => {
                self.relation(&table_with_joins.relation)
            }
            TableFactor::NestedJoin { .. } => unsupported("a join", at),
            TableFactor::UNNEST { .. } => unsupported("UNNEST", at),
            TableFactor::MatchRecognize { .. } => unsupported("MATCH_RECOGNIZE", at),
            TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => unsupported("PIVOT", at),
            _ => unsupported("this kind of table in FROM", at),
        }
    }

    /// The relation of this name: a query of WITH, a table or a view. `options` are those of a hint, which win over the table's.
    pub(super) fn named(&self, name: &ObjectName, options: &[(String, String)], at: Location) -> Result<Rc<Node>, SqlError> {
        let parts = parts(name);
        if let [only] = parts.as_slice()
            && let Some(named) = self.with.get(only)
            && options.is_empty()
        {
            let binder = Self { with: named.with.clone(), ..self.deeper()? };
            let node = binder.query(&named.query)?;
            return renamed(node, &named.columns, at);
        }
        let path = self.resolve(&parts, at)?;
        match self.environment.catalog.object(&path) {
            Some(CatalogObject::Table(found)) => table::scan(self.environment, &path, &with_options(found, options)),
            Some(CatalogObject::View(_)) if !options.is_empty() => unsupported("the hint OPTIONS at a view", at),
            Some(CatalogObject::View(view)) => self.view(&path, view, at),
            None => Err(self.unknown_table(&path, at)),
        }
    }

    /// Completes a name by the current catalog and database. Error: `SQL-NAME`.
    pub(super) fn resolve(&self, parts: &[String], at: Location) -> Result<ObjectPath, SqlError> {
        let (catalog, database) = &self.current;
        let (catalog, database, name) = match parts {
            [name] => (catalog, database, name),
            [database, name] => (catalog, database, name),
            [catalog, database, name] => (catalog, database, name),
            _ => return Err(SqlError::new("SQL-NAME", format!("{:?} is no table's name", parts.join("."))).at(at)),
        };
        Ok(ObjectPath { catalog: catalog.clone(), database: database.clone(), name: name.clone() })
    }

    pub(super) fn unknown_table(&self, path: &ObjectPath, at: Location) -> SqlError {
        let names = self.environment.catalog.names(&path.catalog, &path.database);
        let names = names.iter().chain(self.with.keys());
        let hint = match closest(&path.name, names.map(String::as_str)) {
            Some(close) => format!("did you mean {close:?}?"),
            None => "SHOW TABLES lists the tables; CREATE TABLE makes one".into(),
        };
        SqlError::new("SQL-NAME", format!("there is no table or view {path}")).at(at).hint(hint)
    }

    pub(super) fn view(&self, path: &ObjectPath, view: &CatalogView, at: Location) -> Result<Rc<Node>, SqlError> {
        let query = parse_query(&view.query).map_err(|error| in_view(path, error, at))?;
        let current = (view.catalog.clone(), view.database.clone());
        let binder = Self { current, with: Default::default(), ..self.deeper()? };
        let node = binder.query(&query).map_err(|error| in_view(path, error, at))?;
        renamed(node, &view.columns, at)
    }
}

/// The table with some of its options set anew.
pub(super) fn with_options<'t>(table: &'t CatalogTable, options: &[(String, String)]) -> Cow<'t, CatalogTable> {
    if options.is_empty() {
        return Cow::Borrowed(table);
    }
    let mut table = table.clone();
    table.options.extend(options.iter().cloned());
    Cow::Owned(table)
}

/// An error in the text of a view, told at the place that names the view.
fn in_view(path: &ObjectPath, error: SqlError, at: Location) -> SqlError {
    let message = format!("in the view {path}: {}", error.message);
    SqlError { place: None, message, ..error }.at(at)
}

/// The parts of a name.
pub(super) fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone())).collect()
}

/// The single row of a SELECT without FROM.
fn one_row() -> Rc<Node> {
    let columns = vec![Column { name: "$f0".into(), data_type: DataType::Int, nullable: false, is_rowtime: false }];
    let rows = vec![vec![Typed::literal("0", DataType::Int)]];
    Rc::new(Node { kind: NodeKind::Values { rows }, inputs: Vec::new(), columns, window: None, is_updating: false })
}

/// The relation under its alias, or under its own name.
fn aliased(node: Rc<Node>, alias: Option<&TableAlias>, own: Vec<String>, at: Location) -> Result<(Rc<Node>, Scope), SqlError> {
    let Some(alias) = alias else {
        let scope = Scope::of(&node, own);
        return Ok((node, scope));
    };
    let names: Vec<_> = alias.columns.iter().map(|column| column.name.value.clone()).collect();
    let node = renamed(node, &names, at)?;
    let scope = Scope::of(&node, vec![alias.name.value.clone()]);
    Ok((node, scope))
}

/// The relation with other names for its columns; with its own if `names` is empty. Error: `SQL-NAME` for another number.
fn renamed(node: Rc<Node>, names: &[String], at: Location) -> Result<Rc<Node>, SqlError> {
    if names.is_empty() {
        return Ok(node);
    }
    if names.len() != node.columns.len() {
        let message = format!("{} names for {} columns", names.len(), node.columns.len());
        return Err(SqlError::new("SQL-NAME", message).at(at));
    }
    let columns = names.iter().cloned().zip(node.all_columns()).collect();
    Ok(calc(node, None, columns))
}

/// The name in `TABLE name` as an argument.
pub(super) fn argument_name(expr: &Expr) -> Option<ObjectName> {
    match expr {
        Expr::Identifier(ident) => Some(ObjectName::from(vec![ident.clone()])),
        Expr::CompoundIdentifier(idents) => Some(ObjectName::from(idents.clone())),
        _ => None,
    }
}
