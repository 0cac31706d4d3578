//! Binds whole queries: WITH, set operations, VALUES.

use std::collections::BTreeSet;
use std::rc::Rc;

use sqlparser::ast::{Query, SetExpr, SetOperator, SetQuantifier, Spanned, Values};
use sqlparser::tokenizer::Location;

use super::expression::Expressions;
use super::scope::Scope;
use super::select::distinct;
use super::{Binder, NamedQuery, unsupported};
use crate::expression::{ExprKind, Typed};
use crate::script::SqlError;
use crate::stream::{Column, Node, NodeKind, as_changes, calc, declared};

impl Binder<'_> {
    pub(super) fn query(&self, query: &Query) -> Result<Rc<Node>, SqlError> {
        let mut binder = self.deeper()?;
        if let Some(with) = &query.with {
            if with.recursive {
                return unsupported("WITH RECURSIVE", with.span().start);
            }
            for cte in &with.cte_tables {
                let columns = cte.alias.columns.iter().map(|column| column.name.value.clone()).collect();
                let named = NamedQuery { query: (*cte.query).clone(), columns, with: binder.with.clone() };
                binder.with.insert(cte.alias.name.value.clone(), Rc::new(named));
            }
        }
        let at = query.body.span().start;
        let clauses = [
            ("ORDER BY", query.order_by.is_some()),
            ("LIMIT", query.limit_clause.is_some()),
            ("FETCH", query.fetch.is_some()),
            ("FOR UPDATE", !query.locks.is_empty()),
            ("this clause of a query", query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some()),
            ("the operator |>", !query.pipe_operators.is_empty()),
        ];
        if let Some((clause, _)) = clauses.into_iter().find(|(_, present)| *present) {
            return unsupported(clause, at);
        }
        binder.set_expression(&query.body)
    }

    /// A SELECT, VALUES, or an operation on such. The parser nests `a UNION ALL b UNION ALL c` to the left, so the left side is
    /// followed in a loop as far as the operation is the same.
    fn set_expression(&self, body: &SetExpr) -> Result<Rc<Node>, SqlError> {
        let mut rest = Vec::new();
        let mut first = body;
        while let SetExpr::SetOperation { left, op, set_quantifier, right } = first {
            let at = right.span().start;
            match (op, set_quantifier) {
                (SetOperator::Union, SetQuantifier::All) => rest.push(right.as_ref()),
                (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) if rest.is_empty() => {
                    let inputs = vec![self.deeper()?.set_expression(left)?, self.deeper()?.set_expression(right)?];
                    return distinct(self.union(inputs, at)?, self.environment.zone, at);
                }
                (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => break,
                (op, quantifier) => return unsupported(&format!("{op} {quantifier}"), at),
            }
            first = left.as_ref();
        }
        rest.push(first);
        rest.reverse();
        let mut inputs = Vec::with_capacity(rest.len());
        for part in &rest {
            inputs.push(match part {
                SetExpr::Select(select) => self.select(select)?,
                SetExpr::Query(query) => self.query(query)?,
                SetExpr::Values(values) => self.values(values)?,
                SetExpr::SetOperation { .. } => self.deeper()?.set_expression(part)?,
                other => {
                    let shown: String = other.to_string().chars().take(40).collect();
                    return unsupported(&format!("{shown} in a query"), other.span().start);
                }
            });
        }
        match inputs.len() {
            1 => Ok(inputs.swap_remove(0)),
            _ => self.union(inputs, body.span().start),
        }
    }

    /// All rows of all inputs, in the types that they have in common and under the names of the first.
    fn union(&self, inputs: Vec<Rc<Node>>, at: Location) -> Result<Rc<Node>, SqlError> {
        let scope = Scope::default();
        let expressions = Expressions { environment: self.environment, scope: &scope, aggregates: None, clause: "UNION ALL" };
        let first = &inputs[0];
        if let Some(other) = inputs.iter().find(|input| input.columns.len() != first.columns.len()) {
            let message = format!(
                "UNION ALL of {} and {} columns: all parts need the same number",
                first.columns.len(),
                other.columns.len()
            );
            return Err(SqlError::new("SQL-TYPE", message).at(at));
        }
        let mut columns = Vec::with_capacity(first.columns.len());
        for index in 0..first.columns.len() {
            let parts: Vec<_> = inputs.iter().map(|input| input.column(index)).collect();
            columns.push(Column {
                name: first.columns[index].name.clone(),
                data_type: expressions.common_type(&parts.iter().collect::<Vec<_>>(), "UNION ALL", at)?,
                nullable: parts.iter().any(|part| part.nullable),
                // Event time goes on only if it is that in every part.
                is_rowtime: inputs.iter().all(|input| input.columns[index].is_rowtime),
            });
        }
        let window = inputs[0].window.filter(|window| inputs.iter().all(|input| input.window == Some(*window)));
        let inputs = inputs
            .into_iter()
            .map(|input| {
                let coerced = columns.iter().enumerate().map(|(index, column)| {
                    Ok((column.name.clone(), expressions.coerce(input.column(index), &column.data_type)?))
                });
                let coerced = calc(input.clone(), None, coerced.collect::<Result<_, SqlError>>()?);
                // All edges into one input have the same columns.
                Ok(declared(coerced, |index, _| columns[index].nullable))
            })
            .collect::<Result<Vec<_>, SqlError>>()?;
        let is_updating = inputs.iter().any(|input| input.is_updating);
        let inputs = if is_updating { inputs.into_iter().map(as_changes).collect() } else { inputs };
        Ok(Rc::new(Node { kind: NodeKind::Union, inputs, columns, window, is_updating }))
    }

    fn values(&self, values: &Values) -> Result<Rc<Node>, SqlError> {
        let at = values.span().start;
        let scope = Scope::default();
        let mut expressions = Expressions { environment: self.environment, scope: &scope, aggregates: None, clause: "VALUES" };
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            rows.push(row.content.iter().map(|value| expressions.bind(value)).collect::<Result<Vec<_>, _>>()?);
        }
        let width = rows.first().map_or(0, Vec::len);
        let widths: BTreeSet<_> = rows.iter().map(Vec::len).collect();
        if width == 0 || widths.len() > 1 {
            return Err(SqlError::new("SQL-TYPE", "the rows of VALUES need the same number of values, at least one").at(at));
        }
        let mut columns = Vec::with_capacity(width);
        for index in 0..width {
            let parts: Vec<&Typed> = rows.iter().map(|row| &row[index]).collect();
            let data_type = match parts.iter().all(|part| part.kind == ExprKind::UntypedNull) {
                // The column that the value is written to gives it another type.
                true => weir_protocol::job_graph::DataType::String,
                false => expressions.common_type(&parts, "VALUES", at)?,
            };
            let nullable = parts.iter().any(|part| part.nullable);
            columns.push(Column { name: format!("EXPR${index}"), data_type, nullable, is_rowtime: false });
        }
        let rows = rows
            .into_iter()
            .map(|row| {
                row.into_iter().zip(&columns).map(|(value, column)| expressions.coerce(value, &column.data_type)).collect()
            })
            .collect::<Result<_, SqlError>>()?;
        Ok(Rc::new(Node { kind: NodeKind::Values { rows }, inputs: Vec::new(), columns, window: None, is_updating: false }))
    }
}
