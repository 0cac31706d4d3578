//! Clauses that sqlparser reads for other systems' sake, and that would go unnoticed.

use sqlparser::ast::{
    Distinct, GroupByExpr, Ident, LimitClause, Query, Select, SelectFlavor, SelectItem, SetExpr, SetQuantifier, Spanned,
    TableFactor, TableWithJoins,
};

use crate::script::SqlError;

/// Refuses the clauses of this query that Flink's grammar does not have. Queries inside it are not looked at.
///
/// The binder calls this for every query that stands in an expression; those in FROM and in WITH are checked already.
pub fn refuse_clauses(query: &Query) -> Result<(), SqlError> {
    let foreign = [
        (query.with.as_ref().is_some_and(|with| with.recursive), "WITH RECURSIVE"),
        (!query.locks.is_empty(), "FOR UPDATE"),
        (query.for_clause.is_some(), "FOR XML, FOR JSON and FOR BROWSE"),
        (query.settings.is_some(), "SETTINGS"),
        (query.format_clause.is_some(), "FORMAT"),
        (!query.pipe_operators.is_empty(), "|>"),
        (matches!(&query.limit_clause, Some(LimitClause::LimitOffset { limit_by, .. }) if !limit_by.is_empty()), "LIMIT BY"),
        (matches!(&query.limit_clause, Some(LimitClause::OffsetCommaLimit { .. })), "LIMIT with a comma"),
        (query.fetch.as_ref().is_some_and(|fetch| fetch.percent || fetch.with_ties), "FETCH with PERCENT or WITH TIES"),
    ];
    refuse(&foreign, query)
}

fn refuse(foreign: &[(bool, &str)], at: &impl Spanned) -> Result<(), SqlError> {
    match foreign.iter().find(|(found, _)| *found) {
        Some((_, what)) => Err(SqlError::unsupported(what).at(at.span().start)),
        None => Ok(()),
    }
}

/// Refuses such clauses in this query and in the queries of WITH, FROM and the set operations.
pub(super) fn refuse_clauses_within(query: &Query) -> Result<(), SqlError> {
    refuse_clauses(query)?;
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        refuse_clauses_within(&cte.query)?;
    }
    // Set operations are a chain to the left, which may be long.
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::SetOperation { left, right, set_quantifier, .. } => {
                let by_name =
                    matches!(set_quantifier, SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName);
                refuse(&[(by_name, "BY NAME")], query)?;
                refuse_in(right, query)?;
                body = left;
            }
            other => return refuse_in(other, query),
        }
    }
}

fn refuse_in(body: &SetExpr, query: &Query) -> Result<(), SqlError> {
    match body {
        SetExpr::Select(select) => refuse_in_select(select),
        SetExpr::Query(query) => refuse_clauses_within(query),
        SetExpr::SetOperation { left, right, .. } => {
            refuse_in(left, query)?;
            refuse_in(right, query)
        }
        SetExpr::Values(values) => refuse(&[(values.value_keyword, "VALUE")], query),
        SetExpr::Table(_) => Ok(()),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            refuse(&[(true, "a statement that changes a table inside a query")], query)
        }
    }
}

fn refuse_in_select(select: &Select) -> Result<(), SqlError> {
    let modifiers = matches!(&select.group_by, GroupByExpr::Expressions(_, modifiers) if !modifiers.is_empty());
    let foreign = [
        (select.top.is_some(), "TOP"),
        (matches!(select.distinct, Some(Distinct::On(_))), "DISTINCT ON"),
        (select.into.is_some(), "SELECT INTO"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (matches!(select.group_by, GroupByExpr::All(_)), "GROUP BY ALL"),
        (modifiers, "WITH ROLLUP, WITH CUBE and WITH TOTALS"),
        (select.value_table_mode.is_some(), "SELECT AS"),
        (select.select_modifiers.is_some(), "a modifier of SELECT"),
        (select.exclude.is_some(), "EXCLUDE"),
        (select.flavor != SelectFlavor::Standard, "a query that begins with FROM"),
    ];
    refuse(&foreign, select)?;
    for item in &select.projection {
        if let SelectItem::ExprWithAlias { alias, expr } = item {
            refuse_text(alias, expr)?;
        }
    }
    select.from.iter().try_for_each(refuse_in_tables)
}

/// A text as an alias would be read as a name.
/// The parser does not know its place, so the error stands at what it names.
fn refuse_text(alias: &Ident, named: &impl Spanned) -> Result<(), SqlError> {
    if alias.quote_style != Some('\'') {
        return Ok(());
    }
    let error = SqlError::new("SQL-PARSE", format!("Encountered \"{alias}\"; expected a name")).at(named.span().start);
    Err(error.hint("names are quoted with backticks"))
}

fn refuse_in_tables(tables: &TableWithJoins) -> Result<(), SqlError> {
    refuse_in_table(&tables.relation)?;
    tables.joins.iter().try_for_each(|join| {
        refuse(&[(join.global, "GLOBAL")], join)?;
        refuse_in_table(&join.relation)
    })
}

fn refuse_in_table(table: &TableFactor) -> Result<(), SqlError> {
    let (TableFactor::Table { alias, .. } | TableFactor::Derived { alias, .. } | TableFactor::TableFunction { alias, .. }) =
        table
    else {
        return refuse_kind(table);
    };
    alias.iter().try_for_each(|alias| refuse_text(&alias.name, table))?;
    refuse_kind(table)
}

fn refuse_kind(table: &TableFactor) -> Result<(), SqlError> {
    match table {
        TableFactor::Derived { subquery, sample, .. } => {
            refuse(&[(sample.is_some(), "TABLESAMPLE")], table)?;
            refuse_clauses_within(subquery)
        }
        TableFactor::NestedJoin { table_with_joins, .. } => refuse_in_tables(table_with_joins),
        TableFactor::Table { with_hints, partitions, json_path, sample, index_hints, args, .. } => refuse(
            &[
                (!with_hints.is_empty(), "WITH after a table"),
                (!partitions.is_empty(), "PARTITION after a table"),
                (json_path.is_some(), "a path after a table"),
                (sample.is_some(), "TABLESAMPLE"),
                (!index_hints.is_empty(), "an index hint"),
                (args.as_ref().is_some_and(|args| args.settings.is_some()), "SETTINGS"),
            ],
            table,
        ),
        TableFactor::TableFunction { .. } | TableFactor::Function { .. } | TableFactor::UNNEST { .. } => Ok(()),
        _ => refuse(&[(true, "this kind of table")], table),
    }
}
