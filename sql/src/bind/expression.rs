//! Binds expressions.

use sqlparser::ast::{BinaryOperator, CastKind, Expr, Spanned, UnaryOperator, Value, ValueWithSpan};
use sqlparser::tokenizer::Location;
use weir_dataflow::functions;
use weir_protocol::job_graph::DataType;

use super::aggregate::Aggregates;
use super::interval;
use super::scope::{Scope, field};
use super::{Environment, literal, unsupported};
use crate::dialect::cast_type;
use crate::expression::{ExprKind, Typed};
use crate::script::SqlError;

/// Binds expressions over the columns of a scope.
pub(super) struct Expressions<'a> {
    pub(super) environment: Environment<'a>,
    pub(super) scope: &'a Scope,
    /// Collects the aggregates, where they are allowed.
    pub(super) aggregates: Option<&'a mut Aggregates>,
    /// Where aggregates are not allowed, the name of that place.
    pub(super) clause: &'static str,
}

impl Expressions<'_> {
    /// Binds an expression. Errors: `SQL-NAME`, `SQL-TYPE`, `SQL-UNSUPPORTED`.
    pub(super) fn bind(&mut self, expr: &Expr) -> Result<Typed, SqlError> {
        let mut bound = self.bind_kind(expr).map_err(|error| error.at(expr.span().start))?;
        // Above a grouping, an expression that a set lacks is NULL in the rows of that set.
        if let Some(groups) = self.aggregates.as_ref().map(|aggregates| &aggregates.groups)
            && groups.position(&bound).is_some_and(|position| groups.is_missing_somewhere(position))
        {
            bound.nullable = true;
        }
        Ok(bound)
    }

    /// Binds a condition. Error: `SQL-TYPE` if it is not BOOLEAN.
    pub(super) fn condition(&mut self, expr: &Expr) -> Result<Typed, SqlError> {
        let bound = self.bind(expr)?;
        match (&bound.kind, &bound.data_type) {
            (ExprKind::UntypedNull, _) => Ok(Typed::null(DataType::Boolean)),
            (_, DataType::Boolean) => Ok(bound),
            (_, other) => {
                let message = format!("{} needs a condition of type BOOLEAN, not {other}", self.clause);
                Err(SqlError::new("SQL-TYPE", message).at(expr.span().start))
            }
        }
    }

    fn bind_kind(&mut self, expr: &Expr) -> Result<Typed, SqlError> {
        let at = expr.span().start;
        match expr {
            Expr::Identifier(ident) => self.scope.name(ident),
            Expr::CompoundIdentifier(idents) => self.scope.path(idents),
            Expr::Nested(inner) => self.bind(inner),
            Expr::Value(value) => literal::literal(value),
            Expr::BinaryOp { .. } => self.binary_chain(expr),
            Expr::UnaryOp { op, expr } => self.unary(op, expr, at),
            Expr::IsNull(operand) => self.test("is_null", operand),
            Expr::IsNotNull(operand) => self.test("is_not_null", operand),
            Expr::IsTrue(operand) => self.test("is_true", operand),
            Expr::IsNotTrue(operand) => self.test("is_not_true", operand),
            Expr::IsFalse(operand) => self.test("is_false", operand),
            Expr::IsNotFalse(operand) => self.test("is_not_false", operand),
            Expr::IsUnknown(operand) => self.test("is_unknown", operand),
            Expr::IsNotUnknown(operand) => self.test("is_not_unknown", operand),
            Expr::IsDistinctFrom(left, right) => self.call_on("is_distinct", &[left, right], at),
            Expr::IsNotDistinctFrom(left, right) => self.call_on("is_not_distinct", &[left, right], at),
            Expr::Between { expr, negated, low, high } => {
                let (value, low, high) = (self.bind(expr)?, self.bind(low)?, self.bind(high)?);
                let between = self.between(value, low, high, at)?;
                self.negated(*negated, between, at)
            }
            Expr::InList { expr, list, negated } => {
                let found = self.in_list(expr, list, at)?;
                self.negated(*negated, found, at)
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.pattern("like", *negated, expr, pattern, escape_char.as_ref(), at)
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                self.pattern("similar", *negated, expr, pattern, escape_char.as_ref(), at)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let operand = operand.as_ref().map(|operand| self.bind(operand)).transpose()?;
                let mut branches = Vec::with_capacity(conditions.len());
                for branch in conditions {
                    let condition = match &operand {
                        None => self.condition(&branch.condition)?,
                        Some(operand) => {
                            let value = self.bind(&branch.condition)?;
                            self.call("eq", vec![operand.clone(), value], branch.condition.span().start)?
                        }
                    };
                    branches.push((condition, self.bind(&branch.result)?));
                }
                let otherwise = else_result.as_ref().map(|otherwise| self.bind(otherwise)).transpose()?;
                self.case(branches, otherwise, at)
            }
            Expr::Cast { kind, expr, data_type, format: None, .. } => {
                let or_null = match kind {
                    CastKind::Cast => false,
                    CastKind::TryCast => true,
                    _ => return unsupported("this form of CAST", at),
                };
                let to = cast_type(data_type).map_err(type_error)?;
                let value = self.bind(expr)?;
                self.explicit_cast(value, to, or_null)
            }
            Expr::Function(function) => self.function(function, at),
            Expr::Tuple(values) => {
                let values: Vec<&Expr> = values.iter().collect();
                self.call_on("row", &values, at)
            }
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain, at),
            Expr::Interval(_) => match interval::length(expr)? {
                Some(length) => Ok(length.literal()),
                None => unsupported("this INTERVAL", at),
            },
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => unsupported("a subquery in an expression", at),
            other => self.special_form(other, at),
        }
    }

    /// Binds a chain of binary operators. The parser nests `a OR b OR c` to the left, perhaps thousands deep, so the left side is
    /// followed in a loop.
    fn binary_chain(&mut self, expr: &Expr) -> Result<Typed, SqlError> {
        let mut rest = Vec::new();
        let mut first = expr;
        while let Expr::BinaryOp { left, op, right } = first {
            rest.push((op, right.as_ref()));
            first = left.as_ref();
        }
        rest.reverse();
        let mut bound = self.bind(first)?;
        let mut rest = rest.into_iter().peekable();
        while let Some((op, right)) = rest.next() {
            let at = right.span().start;
            if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
                let mut operands = vec![self.truth(bound, first.span().start)?, self.condition(right)?];
                while let Some((_, next)) = rest.next_if(|(next, _)| *next == op) {
                    operands.push(self.condition(next)?);
                }
                bound = if *op == BinaryOperator::And { conjunction(operands) } else { disjunction(operands) };
                continue;
            }
            let right = self.bind(right)?;
            bound = match (bound.data_type.is_interval(), right.data_type.is_interval()) {
                (false, false) => self.call(operator(op, at)?, vec![bound, right], at)?,
                _ => self.with_interval(op, bound, right, at)?,
            };
        }
        Ok(bound)
    }

    fn truth(&self, bound: Typed, at: Location) -> Result<Typed, SqlError> {
        match (&bound.kind, &bound.data_type) {
            (ExprKind::UntypedNull, _) => Ok(Typed::null(DataType::Boolean)),
            (_, DataType::Boolean) => Ok(bound),
            (_, other) => Err(SqlError::new("SQL-TYPE", format!("AND and OR need operands of type BOOLEAN, not {other}")).at(at)),
        }
    }

    fn unary(&mut self, op: &UnaryOperator, operand: &Expr, at: Location) -> Result<Typed, SqlError> {
        match op {
            UnaryOperator::Not => {
                let condition = self.condition(operand)?;
                self.call("not", vec![condition], at)
            }
            UnaryOperator::Plus => self.bind(operand),
            UnaryOperator::Minus => {
                // The smallest integer of a type has no positive counterpart.
                if let Expr::Value(ValueWithSpan { value: Value::Number(digits, long), span }) = operand {
                    let negative = format!("-{digits}");
                    let fits =
                        negative.parse::<i32>().map(|_| DataType::Int).or(negative.parse::<i64>().map(|_| DataType::Bigint));
                    if let Ok(data_type) = fits {
                        return Ok(Typed::literal(negative.parse::<i64>().map_or(negative, |n| n.to_string()), data_type));
                    }
                    let positive = literal::literal(&ValueWithSpan { value: Value::Number(digits.clone(), *long), span: *span })?;
                    if let ExprKind::Literal(Some(text)) = &positive.kind {
                        return Ok(Typed::literal(format!("-{text}"), positive.data_type));
                    }
                }
                let operand = self.bind(operand)?;
                if operand.data_type.is_interval() {
                    self.negated_interval(operand, at)
                } else {
                    self.call("negate", vec![operand], at)
                }
            }
            other => unsupported(&format!("the operator {other}"), at),
        }
    }

    fn test(&mut self, name: &str, operand: &Expr) -> Result<Typed, SqlError> {
        self.call_on(name, &[operand], operand.span().start)
    }

    pub(super) fn call_on(&mut self, name: &str, operands: &[&Expr], at: Location) -> Result<Typed, SqlError> {
        let args = operands.iter().map(|operand| self.bind(operand)).collect::<Result<_, _>>()?;
        self.call(name, args, at)
    }

    pub(super) fn between(&self, value: Typed, low: Typed, high: Typed, at: Location) -> Result<Typed, SqlError> {
        let least = self.call("ge", vec![value.clone(), low], at)?;
        let most = self.call("le", vec![value, high], at)?;
        Ok(conjunction(vec![least, most]))
    }

    fn negated(&self, negated: bool, condition: Typed, at: Location) -> Result<Typed, SqlError> {
        if negated { self.call("not", vec![condition], at) } else { Ok(condition) }
    }

    fn in_list(&mut self, value: &Expr, list: &[Expr], at: Location) -> Result<Typed, SqlError> {
        let value = self.bind(value)?;
        let list = list.iter().map(|item| self.bind(item)).collect::<Result<Vec<_>, _>>()?;
        if list.iter().all(|item| matches!(item.kind, ExprKind::Literal(_) | ExprKind::UntypedNull)) {
            return self.call("in", std::iter::once(value).chain(list).collect(), at);
        }
        let equal = list.into_iter().map(|item| self.call("eq", vec![value.clone(), item], at)).collect::<Result<_, _>>()?;
        Ok(disjunction(equal))
    }

    fn pattern(
        &mut self,
        name: &str,
        negated: bool,
        value: &Expr,
        pattern: &Expr,
        escape: Option<&ValueWithSpan>,
        at: Location,
    ) -> Result<Typed, SqlError> {
        let mut args = vec![self.bind(value)?, self.bind(pattern)?];
        if let Some(escape) = escape {
            args.push(literal::literal(escape)?);
        }
        let found = self.call(name, args, at)?;
        self.negated(negated, found, at)
    }

    /// CASE: all results get their common type.
    pub(super) fn case(&self, branches: Vec<(Typed, Typed)>, otherwise: Option<Typed>, at: Location) -> Result<Typed, SqlError> {
        let results: Vec<_> = branches.iter().map(|(_, result)| result).chain(&otherwise).collect();
        let data_type = self.common_type(&results, "CASE", at)?;
        let nullable = otherwise.is_none() || results.iter().any(|result| result.nullable);
        let branches = branches
            .into_iter()
            .map(|(condition, result)| Ok((condition, self.coerce(result, &data_type)?)))
            .collect::<Result<_, SqlError>>()?;
        let otherwise = otherwise.map(|otherwise| self.coerce(otherwise, &data_type)).transpose()?.map(Box::new);
        Ok(Typed { kind: ExprKind::Case { branches, otherwise }, data_type, nullable })
    }

    /// The type that all of these can be converted to. NULLs without type follow the others.
    pub(super) fn common_type(&self, values: &[&Typed], what: &str, at: Location) -> Result<DataType, SqlError> {
        self.type_of_all(values, what, functions::common_type, at)
    }

    /// The type that `rule` gives for all of these. Errors: `SQL-TYPE` if it gives none, or if all are NULL without type.
    pub(super) fn type_of_all(
        &self,
        values: &[&Typed],
        what: &str,
        rule: fn(&[DataType]) -> Option<DataType>,
        at: Location,
    ) -> Result<DataType, SqlError> {
        let types: Vec<_> =
            values.iter().filter(|value| value.kind != ExprKind::UntypedNull).map(|value| value.data_type.clone()).collect();
        if types.is_empty() {
            return Err(SqlError::new("SQL-TYPE", format!("{what} has only NULLs, so it has no type"))
                .at(at)
                .hint("CAST one of them"));
        }
        rule(&types).ok_or_else(|| {
            let shown: Vec<_> = types.iter().map(ToString::to_string).collect();
            let message = format!("the results of {what} have no common type: {}", shown.join(", "));
            SqlError::new("SQL-TYPE", message).at(at).hint("CAST them to one type")
        })
    }

    fn access(&mut self, root: &Expr, chain: &[sqlparser::ast::AccessExpr], at: Location) -> Result<Typed, SqlError> {
        use sqlparser::ast::{AccessExpr, Subscript};
        let mut value = self.bind(root)?;
        for access in chain {
            value = match access {
                AccessExpr::Dot(Expr::Identifier(name)) => field(value, name)?,
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let index = self.bind(index)?;
                    self.call("at", vec![value, index], at)?
                }
                _ => return unsupported("this access to a part of a value", at),
            };
        }
        Ok(value)
    }
}

/// The error for a type that can't be read.
pub(super) fn type_error(what: String) -> SqlError {
    SqlError::new("SQL-TYPE", what)
}

fn conjunction(operands: Vec<Typed>) -> Typed {
    let nullable = operands.iter().any(|operand| operand.nullable);
    Typed { kind: ExprKind::And(operands), data_type: DataType::Boolean, nullable }
}

pub(super) fn disjunction(operands: Vec<Typed>) -> Typed {
    let nullable = operands.iter().any(|operand| operand.nullable);
    Typed { kind: ExprKind::Or(operands), data_type: DataType::Boolean, nullable }
}

pub(super) fn operator(op: &BinaryOperator, at: Location) -> Result<&'static str, SqlError> {
    Ok(match op {
        BinaryOperator::Plus => "add",
        BinaryOperator::Minus => "subtract",
        BinaryOperator::Multiply => "multiply",
        BinaryOperator::Divide => "divide",
        BinaryOperator::Modulo => "mod",
        BinaryOperator::StringConcat => "concat_operator",
        BinaryOperator::Eq => "eq",
        BinaryOperator::NotEq => "ne",
        BinaryOperator::Lt => "lt",
        BinaryOperator::LtEq => "le",
        BinaryOperator::Gt => "gt",
        BinaryOperator::GtEq => "ge",
        other => return unsupported(&format!("the operator {other}"), at),
    })
}
