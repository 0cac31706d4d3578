//! SQL expressions over the columns of a batch: parsed, typed and evaluated by DataFusion.

mod functions;
mod guard;
mod integer;
mod rounding;
#[cfg(test)]
mod tests;
mod times;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, Diagnostic, ScalarValue, SchemaError};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{Expr, ExprSchemable};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, Literal};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr, create_physical_expr};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast;
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::operator::OperatorError;
use crate::operators::expression::functions::Functions;
use crate::operators::expression::guard::Guard;
pub use crate::operators::expression::integer::Overflow;
use crate::operators::expression::times::RoundDown;
use crate::options::Options;
use crate::schema;

/// Maximum length of an expression, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;

/// Maximum number of operators, keywords and brackets in an expression. It limits the nesting, and so the stack for planning.
pub const MAX_NESTING: usize = 200;

/// A SQL expression planned over one schema.
///
/// Column names are case-sensitive. Functions are DataFusion's scalar functions, except those whose result differs from call to
/// call: a row that is processed again after a failure must give the same result. For the same reason the outcome of a row depends
/// on that row alone: AND, OR, CASE and COALESCE evaluate an operand only for the rows that need it.
///
/// DataFusion's simplifier is not used. It moves operands out of their guards, and computes constants by other rules than rows.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    nullable: bool,
    column: Option<String>,
}

impl Expression {
    /// Plans `text` over rows of `schema`.
    ///
    /// Errors: `EXPR-PARSE` (not SQL, or too long), `EXPR-COLUMN` (a column that does not exist), `EXPR-TYPE` (wrong types,
    /// unknown functions, or a result that is no column type). Messages give line and column if known.
    pub fn plan(text: &str, schema: &SchemaRef, overflow: Overflow) -> Result<Self, OperatorError> {
        let (tokens, parsed) = parse(text)?;
        let fails = |error: DataFusionError| planning_error(text, schema, &error);
        let df_schema = Arc::new(DFSchema::try_from(schema.as_ref().clone()).map_err(fails)?);
        let functions = Functions::new();
        let options = ParserOptions::new()
            .with_enable_ident_normalization(false)
            .with_map_string_types_to_utf8view(false)
            .with_collect_spans(true);
        let logical = SqlToRel::new_with_options(&functions, options)
            .sql_to_expr(parsed, &df_schema, &mut PlannerContext::new())
            .map_err(|error| match functions.refusal(&tokens) {
                Some(reason) => OperatorError::fatal("EXPR-TYPE", format!("expression {}: {reason}", shorten(text))),
                None => fails(error),
            })?;
        let typed = typed(logical, &df_schema).map_err(fails)?;
        let column = match &typed {
            Expr::Column(column) => Some(column.name.clone()),
            _ => None,
        };
        let result = typed.get_type(&df_schema).map_err(fails)?;
        let data_type = if column.is_some() { result.clone() } else { column_type(text, &result)? };
        let typed = if data_type == result { typed } else { typed.cast_to(&data_type, &df_schema).map_err(fails)? };
        let nullable = typed.nullable(&df_schema).map_err(fails)?;
        let physical = create_physical_expr(&typed, &df_schema, &ExecutionProps::new(), &PhysicalPlanningContext::default());
        let physical = by_row(physical.map_err(fails)?, schema, overflow).map_err(fails)?;
        let physical = fold_constants(physical).map_err(fails)?;
        Ok(Self { text: text.to_owned(), physical, data_type, nullable, column })
    }

    /// The Arrow type of the result; it always represents a column type.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Whether the result can be null.
    pub fn nullable(&self) -> bool {
        self.nullable
    }

    /// The name of the input column, if the expression is only a column.
    pub fn as_column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// Computes the result for each row. Errors: `EXPR-EVAL`, for example for a division by zero, and `EXPR-OVERFLOW`.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, OperatorError> {
        let value = self.physical.evaluate(batch).and_then(|value| value.into_array_of_size(batch.num_rows()));
        value.map_err(|error| {
            let code = match error.find_root() {
                DataFusionError::ArrowError(error, _) if matches!(**error, ArrowError::ArithmeticOverflow(_)) => "EXPR-OVERFLOW",
                _ => "EXPR-EVAL",
            };
            OperatorError::fatal(code, format!("expression {}: {}", shorten(&self.text), error.strip_backtrace()))
        })
    }
}

/// Reads the option `overflow` of an operator with expressions.
pub(super) fn overflow_option(options: &Options<'_>) -> Result<Overflow, OperatorError> {
    match options.optional_string("overflow")? {
        None | Some("wrap") => Ok(Overflow::Wrap),
        Some("error") => Ok(Overflow::Error),
        Some(other) => Err(options.out_of_range("overflow", &format!("must be \"wrap\" or \"error\", not {other:?}"))),
    }
}

/// Gives every operand its type, and replaces functions that are only short for other expressions, such as COALESCE.
fn typed(logical: Expr, schema: &Arc<DFSchema>) -> datafusion_common::Result<Expr> {
    let context = SimplifyContext::builder().with_schema(schema.clone()).build();
    let simplifier = ExprSimplifier::new(context.clone());
    let coerce = |expr: Expr| simplifier.coerce(expr, schema).and_then(times::casts_to_millis);
    let mut typed = coerce(times::use_millis(logical, schema)?)?;
    // A replacement can contain further such functions, and literals of other types.
    for _ in 0..3 {
        let replaced = typed.transform_up(|expr| match expr {
            Expr::ScalarFunction(ScalarFunction { func, args }) => Ok(match func.simplify(args, &context)? {
                ExprSimplifyResult::Original(args) => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
                ExprSimplifyResult::Simplified(expr) => Transformed::yes(expr),
            }),
            other => Ok(Transformed::no(other)),
        })?;
        typed = coerce(replaced.data)?;
        if !replaced.transformed {
            break;
        }
    }
    Ok(typed)
}

/// Replaces the parts that DataFusion would compute by the batch, or by rules other than ours.
fn by_row(
    physical: Arc<dyn PhysicalExpr>,
    schema: &Schema,
    overflow: Overflow,
) -> datafusion_common::Result<Arc<dyn PhysicalExpr>> {
    let replaced = physical.transform_up(|node| {
        if let Some(binary) = node.downcast_ref::<BinaryExpr>()
            && let Some(guard) = Guard::of(binary)?
        {
            return Ok(Transformed::yes(Arc::new(guard) as Arc<dyn PhysicalExpr>));
        }
        if let Some(rounded) = RoundDown::of(&node, schema)? {
            return Ok(Transformed::yes(Arc::new(rounded) as Arc<dyn PhysicalExpr>));
        }
        Ok(match integer::obey(&node, schema, overflow)? {
            Some(obedient) => Transformed::yes(obedient),
            None => Transformed::no(node),
        })
    })?;
    Ok(replaced.data)
}

/// Computes constant parts once, by the code that computes rows. A part that fails stays, because it may stand behind a guard. A
/// constant that can't be cast is an error at once.
fn fold_constants(physical: Arc<dyn PhysicalExpr>) -> datafusion_common::Result<Arc<dyn PhysicalExpr>> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
    let folded = physical.transform_up(|node| {
        let operands = node.children();
        let constant =
            operands.iter().all(|operand| operand.is::<Literal>()) && (!operands.is_empty() || node.is::<ScalarFunctionExpr>());
        if !constant {
            return Ok(Transformed::no(node));
        }
        let value = node.evaluate(&row).and_then(|value| ScalarValue::try_from_array(&value.into_array(1)?, 0));
        match value {
            Ok(value) => Ok(Transformed::yes(Arc::new(Literal::new(value)) as Arc<dyn PhysicalExpr>)),
            Err(error) if node.is::<CastExpr>() => Err(error),
            Err(_) => Ok(Transformed::no(node)),
        }
    })?;
    Ok(folded.data)
}

/// The type that the result of a computation is cast to. Jobs of the first version declare these types, which had no others.
fn column_type(text: &str, result: &DataType) -> Result<DataType, OperatorError> {
    match result {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => Ok(DataType::Int32),
        DataType::UInt32 | DataType::UInt64 => Ok(DataType::Int64),
        DataType::Float16 | DataType::Float32 | DataType::Decimal128(..) => Ok(DataType::Float64),
        DataType::LargeUtf8 | DataType::Utf8View => Ok(DataType::Utf8),
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, None) => {
            Ok(DataType::Timestamp(TimeUnit::Millisecond, None))
        }
        known if schema::column_type(known).is_some() => Ok(known.clone()),
        other => {
            let message = format!("expression {} has type {other}, which is not a column type; CAST it", shorten(text));
            Err(OperatorError::fatal("EXPR-TYPE", message))
        }
    }
}

fn parse(text: &str) -> Result<(Vec<TokenWithSpan>, ast::Expr), OperatorError> {
    let refuse = |what: String| OperatorError::fatal("EXPR-PARSE", format!("expression {}: {what}", shorten(text)));
    if text.len() > MAX_TEXT {
        return Err(refuse(format!("it has {} bytes; the maximum is {MAX_TEXT}", text.len())));
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|e| refuse(e.to_string()))?;
    let nests = |token: &Token| match token {
        Token::Word(word) => word.keyword != datafusion_sql::sqlparser::keywords::Keyword::NoKeyword,
        Token::Whitespace(_) | Token::Comma | Token::Number(..) | Token::SingleQuotedString(_) => false,
        _ => true,
    };
    let nesting = tokens.iter().filter(|token| nests(&token.token)).count();
    if nesting > MAX_NESTING {
        return Err(refuse(format!(
            "it has {nesting} operators, keywords and brackets; the maximum is {MAX_NESTING}; split it into two steps"
        )));
    }
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens.clone());
    let refuse_parsed = |error: ParserError| match error {
        ParserError::TokenizerError(what) | ParserError::ParserError(what) => refuse(what),
        ParserError::RecursionLimitExceeded => refuse("it is nested too deeply".into()),
    };
    let parsed = parser.parse_expr().map_err(refuse_parsed)?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(refuse(format!("unexpected {} after its end{}", next.token, next.span.start)));
    }
    Ok((tokens, parsed))
}

fn planning_error(text: &str, schema: &SchemaRef, error: &DataFusionError) -> OperatorError {
    let position = match error.diagnostic() {
        Some(Diagnostic { span: Some(span), .. }) => format!(" at line {}, column {}", span.start.line, span.start.column),
        _ => String::new(),
    };
    let (code, what) = match error.find_root() {
        DataFusionError::SchemaError(what, _) => match what.as_ref() {
            SchemaError::FieldNotFound { field, .. } => (
                "EXPR-COLUMN",
                format!("there is no column {:?}{position}; the input is {}", field.name, schema::describe(schema)),
            ),
            other => ("EXPR-COLUMN", format!("{other}{position}")),
        },
        other => ("EXPR-TYPE", format!("{}{position}", other.strip_backtrace())),
    };
    let line = what.lines().next().unwrap_or_default();
    OperatorError::fatal(code, format!("expression {}: {}", shorten(text), line.chars().take(500).collect::<String>()))
}

fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(80).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
