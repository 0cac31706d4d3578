//! The functions of JSON whose arguments have clauses, which become constant arguments.

use sqlparser::ast::{CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};
use sqlparser::tokenizer::Location;
use weir_protocol::job_graph::DataType;

use super::expression::{Expressions, type_error};
use super::unsupported;
use crate::dialect::{cast_type, marker};
use crate::expression::{ExprKind, Typed};
use crate::script::SqlError;

/// The clauses of each function, in the order of its arguments, with what holds if one is left out.
fn clauses(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    Some(match name {
        "json_value" => &[(marker::RETURNING, "STRING"), (marker::ON_EMPTY, "NULL"), (marker::ON_ERROR, "NULL")],
        "json_query" => &[(marker::WRAPPER, "WITHOUT"), (marker::ON_EMPTY, "NULL"), (marker::ON_ERROR, "NULL")],
        "json_exists" => &[(marker::ON_ERROR, "FALSE")],
        _ => return None,
    })
}

impl Expressions<'_> {
    /// A call of one of these functions; `None` for others. Error: `SQL-UNSUPPORTED` for a default that is no constant.
    pub(super) fn json_call(&mut self, name: &str, function: &Function, at: Location) -> Result<Option<Typed>, SqlError> {
        if let "json_object" | "json_array" = name {
            return self.json_constructor(name, function, at).map(Some);
        }
        let FunctionArguments::List(list) = &function.args else { return Ok(None) };
        if let ("json_string", [FunctionArg::Unnamed(FunctionArgExpr::Expr(json))]) = (name, list.args.as_slice())
            && is_json(json)
        {
            return self.bind(json).map(Some);
        }
        let Some(clauses) = clauses(name) else { return Ok(None) };
        let mut args = Vec::new();
        let mut given = Vec::new();
        for arg in &list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(self.bind(expr)?),
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                    given.push((name.value.as_str(), self.clause_text(expr, at)?));
                }
                _ => return unsupported(&format!("the argument {arg}"), at),
            }
        }
        if let Some((clause, _)) = given.iter().find(|(clause, _)| !clauses.iter().any(|(known, _)| known == clause)) {
            return unsupported(&format!("{} at {}", clause.trim_start_matches('$').to_uppercase(), name.to_uppercase()), at);
        }
        for (clause, default) in clauses {
            let text = given.iter().find(|(name, _)| name == clause).map_or(*default, |(_, text)| text.as_str());
            args.push(Typed::literal(text, DataType::String));
        }
        self.call(name, args, at).map(Some)
    }

    /// JSON_OBJECT and JSON_ARRAY. The first argument tells the task what becomes of NULL, and which values are JSON already.
    fn json_constructor(&mut self, name: &str, function: &Function, at: Location) -> Result<Typed, SqlError> {
        let mut on_null = if name == "json_object" { "NULL".to_owned() } else { "ABSENT".to_owned() };
        let mut values = Vec::new();
        if let FunctionArguments::List(list) = &function.args {
            for arg in &list.args {
                match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => values.push(expr),
                    FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } if name.value == marker::ON_NULL => {
                        on_null = self.clause_text(expr, at)?;
                    }
                    _ => return unsupported(&format!("the argument {arg}"), at),
                }
            }
        }
        let first_value = usize::from(name == "json_object");
        let kinds = values.iter().skip(first_value).step_by(first_value + 1).map(|value| if is_json(value) { 'j' } else { 'v' });
        let layout = format!("{on_null} {}", kinds.collect::<String>());
        let bound = values.iter().map(|value| self.bind(value)).collect::<Result<Vec<_>, _>>()?;
        self.call(name, std::iter::once(Typed::literal(layout, DataType::String)).chain(bound).collect(), at)
    }

    /// What a clause says: words, a type, or `DEFAULT` and a constant.
    fn clause_text(&mut self, expr: &Expr, at: Location) -> Result<String, SqlError> {
        match expr {
            Expr::Cast { kind: CastKind::Cast, data_type, .. } => Ok(cast_type(data_type).map_err(type_error)?.to_string()),
            Expr::Nested(default) => match self.bind(default)?.kind {
                ExprKind::Literal(Some(text)) => Ok(format!("DEFAULT {text}")),
                ExprKind::Literal(None) | ExprKind::UntypedNull => Ok("NULL".into()),
                _ => unsupported("a DEFAULT that is not a constant", at),
            },
            words => match self.bind(words)?.kind {
                ExprKind::Literal(Some(text)) => Ok(text),
                _ => unsupported("this clause", at),
            },
        }
    }
}

/// Whether the expression is a call that makes JSON, so that it becomes part of a document instead of a text in it.
fn is_json(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_json(inner),
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            matches!(name.as_str(), "json_object" | "json_array")
        }
        _ => false,
    }
}
