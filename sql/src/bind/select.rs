//! Binds one SELECT.

use std::rc::Rc;

use sqlparser::ast::{Distinct, Expr, Ident, Select, SelectItem, SelectItemQualifiedWildcardKind, Spanned};
use sqlparser::tokenizer::Location;

use super::aggregate::{Aggregates, Grouping, group};
use super::expression::Expressions;
use super::grouping::Groups;
use super::scope::Scope;
use super::{Binder, unsupported};
use crate::expression::{ExprKind, Typed};
use crate::script::SqlError;
use crate::stream::{Node, calc};

impl Binder<'_> {
    pub(super) fn select(&self, select: &Select) -> Result<Rc<Node>, SqlError> {
        let at = select.select_token.0.span.start;
        refuse_clauses(select, at)?;
        let (input, scope) = self.from(&select.from, at)?;
        let plain = |clause| Expressions { environment: self.environment, scope: &scope, aggregates: None, clause };
        let filter = select.selection.as_ref().map(|filter| plain("WHERE").condition(filter)).transpose()?;
        let groups = plain("GROUP BY").groups(&select.group_by, at)?;

        let mut aggregates = Aggregates { calls: Vec::new(), groups };
        let mut above = Expressions { aggregates: Some(&mut aggregates), ..plain("SELECT") };
        let outputs = select_list(&select.projection, &scope, &mut above)?;
        above.clause = "HAVING";
        let having = select.having.as_ref().map(|having| above.condition(having)).transpose()?;
        let is_distinct = match &select.distinct {
            None | Some(Distinct::All) => false,
            Some(Distinct::Distinct) => true,
            Some(Distinct::On(_)) => return unsupported("DISTINCT ON", at),
        };
        let selected = if aggregates.is_empty() && having.is_none() {
            calc(input, filter, outputs)
        } else {
            group(input, Grouping { aggregates, filter, having, outputs }, self.environment.zone, at)?
        };
        if is_distinct { distinct(selected, self.environment.zone, at) } else { Ok(selected) }
    }
}

/// Each distinct row once: a grouping by all columns.
pub(super) fn distinct(rows: Rc<Node>, zone: &str, at: Location) -> Result<Rc<Node>, SqlError> {
    let outputs = rows.named_columns();
    let aggregates = Aggregates { calls: Vec::new(), groups: Groups::all(rows.all_columns()) };
    group(rows, Grouping { aggregates, filter: None, having: None, outputs }, zone, at)
}

/// The columns of a SELECT list. Names are Flink's: the alias, the last part of a column's name, or `EXPR$` and the position.
fn select_list(items: &[SelectItem], scope: &Scope, expressions: &mut Expressions<'_>) -> Result<Vec<(String, Typed)>, SqlError> {
    let mut outputs = Vec::new();
    let pass_on = |index: usize| {
        let column = &scope.columns[index];
        (column.name.clone(), Typed::column(index, column.data_type.clone(), column.nullable))
    };
    for item in items {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = name_of(expr).map_or_else(|| format!("EXPR${}", outputs.len()), |ident| ident.value.clone());
                outputs.push((name, typed(expressions.bind(expr)?, expr)?));
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                outputs.push((alias.value.clone(), typed(expressions.bind(expr)?, expr)?))
            }
            SelectItem::Wildcard(options) if is_plain(options) => {
                if scope.columns.is_empty() {
                    return Err(SqlError::new("SQL-NAME", "* needs a FROM").at(item.span().start));
                }
                outputs.extend((0..scope.columns.len()).map(pass_on));
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) if is_plain(options) => {
                let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.clone()).collect();
                let columns = scope.of_relation(&parts);
                if columns.is_empty() {
                    return Err(SqlError::new("SQL-NAME", format!("there is no table {name} here")).at(item.span().start));
                }
                outputs.extend(columns.into_iter().map(pass_on));
            }
            other => return unsupported(&format!("the select item {other}"), other.span().start),
        }
    }
    Ok(outputs)
}

/// A column needs a type.
fn typed(value: Typed, expr: &Expr) -> Result<Typed, SqlError> {
    match value.kind {
        ExprKind::UntypedNull => Err(SqlError::new("SQL-TYPE", "NULL has no type here")
            .at(expr.span().start)
            .hint("write CAST(NULL AS STRING) or another type")),
        _ => Ok(value),
    }
}

fn is_plain(options: &sqlparser::ast::WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}

fn name_of(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(idents) => idents.last(),
        _ => None,
    }
}

fn refuse_clauses(select: &Select, at: Location) -> Result<(), SqlError> {
    let clauses = [
        ("TOP", select.top.is_some()),
        ("SELECT INTO", select.into.is_some()),
        ("LATERAL VIEW", !select.lateral_views.is_empty()),
        ("PREWHERE", select.prewhere.is_some()),
        ("CONNECT BY", !select.connect_by.is_empty()),
        ("CLUSTER BY", !select.cluster_by.is_empty()),
        ("DISTRIBUTE BY", !select.distribute_by.is_empty()),
        ("SORT BY", !select.sort_by.is_empty()),
        ("WINDOW", !select.named_window.is_empty()),
        ("QUALIFY", select.qualify.is_some()),
        ("EXCLUDE", select.exclude.is_some()),
        ("a hint", !select.optimizer_hints.is_empty()),
        ("this form of SELECT", select.value_table_mode.is_some() || select.select_modifiers.is_some()),
    ];
    match clauses.into_iter().find(|(_, present)| *present) {
        Some((clause, _)) => unsupported(clause, at),
        None => Ok(()),
    }
}
