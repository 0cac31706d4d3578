//! Calls of functions, and the functions that are syntax of their own.

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned};
use sqlparser::tokenizer::Location;
use weir_dataflow::functions::{self, Argument};
use weir_protocol::job_graph::DataType;
use weir_protocol::job_graph::catalog::closest;

use super::expression::{Expressions, disjunction};
use super::{literal, unsupported};
use crate::dialect::marker;
use crate::expression::{ExprKind, FunctionRef, Typed};
use crate::script::SqlError;

/// Functions of Flink that this version does not have, with a sentence for each.
const NOT_YET: &[(&str, &str)] = &[
    ("tumble_start", "use the table-valued function TUMBLE and its column window_start"),
    ("tumble_end", "use the table-valued function TUMBLE and its column window_end"),
    ("tumble_rowtime", "use the table-valued function TUMBLE and its column window_time"),
    ("hop_start", "use the table-valued function HOP and its column window_start"),
    ("hop_end", "use the table-valued function HOP and its column window_end"),
    ("session_start", "session windows come later"),
    ("session_end", "session windows come later"),
    ("current_watermark", "event time is not visible to expressions"),
    ("group_id", "GROUPING_ID tells the sets apart"),
];

/// Functions of an array and a value of the type of its elements.
const WITH_ELEMENT: [&str; 5] = ["array_append", "array_contains", "array_position", "array_prepend", "array_remove"];

impl Expressions<'_> {
    /// A call as it stands in the text.
    pub(super) fn function(&mut self, function: &Function, at: Location) -> Result<Typed, SqlError> {
        let name = function.name.to_string().replace('`', "");
        let lower = name.to_lowercase();
        if function.over.is_some() {
            return unsupported("OVER", at);
        }
        if super::aggregate::is_aggregate(&lower) {
            return self.aggregate(&lower, function, at);
        }
        if function.filter.is_some() || !function.within_group.is_empty() || function.null_treatment.is_some() {
            return unsupported(&format!("FILTER, WITHIN GROUP or IGNORE NULLS at {name}, which is no aggregate"), at);
        }
        if matches!(lower.as_str(), "grouping" | "grouping_id") {
            return self.grouping(&name.to_uppercase(), function, at);
        }
        if let Some((_, instead)) = NOT_YET.iter().find(|(known, _)| *known == lower) {
            return Err(SqlError::unsupported(name.to_uppercase()).at(at).hint(*instead));
        }
        if let Some(call) = self.json_call(&lower, function, at)? {
            return Ok(call);
        }
        let operands = operands(function, at)?;
        match lower.as_str() {
            "timestampadd" | "timestampdiff" => {
                let [unit, rest @ ..] = operands.as_slice() else {
                    return Err(SqlError::new("SQL-TYPE", format!("{name} needs a unit and two values")).at(at));
                };
                let Expr::Identifier(unit) = unit else {
                    return Err(SqlError::new("SQL-TYPE", format!("{name} needs a unit such as DAY first")).at(at));
                };
                let mut args = vec![literal::text_literal(&unit.value.to_uppercase())];
                for operand in rest {
                    args.push(self.bind(operand)?);
                }
                self.call(&lower, args, at)
            }
            "coalesce" => {
                let values = operands.iter().map(|operand| self.bind(operand)).collect::<Result<Vec<_>, _>>()?;
                if values.is_empty() {
                    return Err(SqlError::new("SQL-TYPE", "COALESCE needs a value").at(at));
                }
                let data_type = self.type_of_all(&values.iter().collect::<Vec<_>>(), "COALESCE", functions::merged_type, at)?;
                let nullable = values.iter().all(|value| value.nullable);
                let values = values.into_iter().map(|value| self.coerce(value, &data_type)).collect::<Result<_, _>>()?;
                Ok(Typed { kind: ExprKind::Coalesce(values), data_type, nullable })
            }
            // The time of the clock, which no other call of this function reads.
            "unix_timestamp" if operands.is_empty() => self.call("unix_timestamp_now", Vec::new(), at),
            "typeof" if matches!(operands.first(), Some(Expr::Value(value)) if value.value == sqlparser::ast::Value::Null) => {
                Ok(Typed { nullable: true, ..Typed::literal("NULL", DataType::String) })
            }
            "current_database" if operands.is_empty() => {
                let (_, database) = self.environment.catalog.current();
                Ok(Typed::literal(database, DataType::String))
            }
            marker::MAP => self.call_on("map", &operands, at),
            marker::IS_JSON => self.call_on("is_json", &operands, at),
            marker::BETWEEN_SYMMETRIC => self.between_symmetric(&operands, at),
            _ => self.call_on(&lower, &operands, at),
        }
    }

    /// `x BETWEEN SYMMETRIC a AND b`: in one of the two orders.
    fn between_symmetric(&mut self, operands: &[&Expr], at: Location) -> Result<Typed, SqlError> {
        let [value, one, other] = operands else {
            return Err(SqlError::new("SQL-TYPE", "BETWEEN SYMMETRIC needs two bounds").at(at));
        };
        let (value, one, other) = (self.bind(value)?, self.bind(one)?, self.bind(other)?);
        let forwards = self.between(value.clone(), one.clone(), other.clone(), at)?;
        let backwards = self.between(value, other, one, at)?;
        Ok(disjunction(vec![forwards, backwards]))
    }

    /// A call with bound arguments. Errors: `SQL-NAME` for an unknown function, `SQL-TYPE` for wrong arguments.
    pub(super) fn call(&self, name: &str, mut args: Vec<Typed>, at: Location) -> Result<Typed, SqlError> {
        let function = functions::by_sql_name(name).ok_or_else(|| unknown(name, at))?;
        // A NULL without type is of the type of the other arguments.
        let typed = args.iter().find(|arg| arg.kind != ExprKind::UntypedNull).map(|arg| match &arg.data_type {
            DataType::Array(element) if WITH_ELEMENT.contains(&name) => element.data_type.clone(),
            other => other.clone(),
        });
        if let Some(typed) = typed {
            for arg in args.iter_mut().filter(|arg| arg.kind == ExprKind::UntypedNull) {
                *arg = Typed::null(typed.clone());
            }
        }
        if function.takes_zone {
            args.push(Typed::literal(self.environment.zone, DataType::String));
        }
        let arguments: Vec<_> = args
            .iter()
            .map(|arg| Argument {
                data_type: &arg.data_type,
                nullable: arg.nullable,
                constant: match &arg.kind {
                    ExprKind::Literal(value) => Some(value.as_deref()),
                    ExprKind::UntypedNull => Some(None),
                    _ => None,
                },
            })
            .collect();
        let resolved = (function.resolve)(&arguments).map_err(|what| {
            let message = format!("{}: {what}", function.name.to_uppercase());
            SqlError::new("SQL-TYPE", message).at(at).hint(function.syntax)
        })?;
        let args = args
            .into_iter()
            .zip(&resolved.arguments)
            .map(|(arg, to)| self.coerce(arg, to))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.at(at))?;
        Ok(Typed {
            kind: ExprKind::Call { function: FunctionRef(function), args },
            data_type: resolved.result,
            nullable: resolved.nullable,
        })
    }
}

fn unknown(name: &str, at: Location) -> SqlError {
    let aggregates = super::aggregate::names();
    let hint = closest(name, functions::all().map(|function| function.name).chain(aggregates))
        .map(|close| format!("did you mean {}?", close.to_uppercase()));
    let shown: String = name.to_uppercase().chars().take(64).collect();
    SqlError { hint, ..SqlError::new("SQL-NAME", format!("there is no function {shown}")).at(at) }
}

/// The arguments of a call, all of them plain expressions.
pub(super) fn operands(function: &Function, at: Location) -> Result<Vec<&Expr>, SqlError> {
    let list = match &function.args {
        FunctionArguments::None => return Ok(Vec::new()),
        FunctionArguments::Subquery(_) => return unsupported("a subquery as an argument", at),
        FunctionArguments::List(list) => list,
    };
    if !list.clauses.is_empty() {
        return unsupported("a clause in the arguments of a function", at);
    }
    list.args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
            other => unsupported(&format!("the argument {other}"), other.span().start),
        })
        .collect()
}
