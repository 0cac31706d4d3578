//! SQL expressions over the columns of a batch: parsed, typed and evaluated by DataFusion.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, Diagnostic, SchemaError, TableReference};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, ScalarUDF, TableSource, Volatility, WindowUDF};
use datafusion_functions::datetime::planner::DatetimeFunctionPlanner;
use datafusion_functions::unicode::planner::UnicodeFunctionPlanner;
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::expressions::BinaryExpr;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::operator::OperatorError;
use crate::schema;

/// Maximum length of an expression, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;

/// Maximum number of operators, keywords and brackets in an expression. It limits the nesting, and so the stack for planning.
pub const MAX_NESTING: usize = 200;

/// A SQL expression planned over one schema.
///
/// Column names are case-sensitive. Functions are DataFusion's scalar functions, except those whose result differs from call to
/// call: a row that is processed again after a failure must give the same result. Integer arithmetic that overflows is an error.
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
    pub fn plan(text: &str, schema: &SchemaRef) -> Result<Self, OperatorError> {
        let parsed = parse(text)?;
        let fails = |error: DataFusionError| planning_error(text, schema, &error);
        let df_schema = Arc::new(DFSchema::try_from(schema.as_ref().clone()).map_err(fails)?);
        let functions = Functions::new();
        let options = ParserOptions::new()
            .with_enable_ident_normalization(false)
            .with_map_string_types_to_utf8view(false)
            .with_collect_spans(true);
        let logical = SqlToRel::new_with_options(&functions, options)
            .sql_to_expr(parsed, &df_schema, &mut PlannerContext::new())
            .map_err(fails)?;
        let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(df_schema.clone()).build());
        let typed = simplifier.coerce(logical, &df_schema).map_err(fails)?;
        let column = match &typed {
            Expr::Column(column) => Some(column.name.clone()),
            _ => None,
        };
        let typed = simplifier.simplify(typed).map_err(fails)?;
        // Simplifying can add literals of other types, so coerce again.
        let typed = simplifier.coerce(typed, &df_schema).map_err(fails)?;
        let result = typed.get_type(&df_schema).map_err(fails)?;
        let data_type = column_type(text, &result)?;
        let typed = if data_type == result { typed } else { typed.cast_to(&data_type, &df_schema).map_err(fails)? };
        let nullable = typed.nullable(&df_schema).map_err(fails)?;
        let physical = create_physical_expr(&typed, &df_schema, &ExecutionProps::new(), &PhysicalPlanningContext::default());
        let physical = fail_on_overflow(physical.map_err(fails)?).map_err(fails)?;
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

    /// Computes the result for each row. Error: `EXPR-EVAL`, for example for a division by zero.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, OperatorError> {
        let value = self.physical.evaluate(batch).and_then(|value| value.into_array_of_size(batch.num_rows()));
        value.map_err(|error| {
            OperatorError::fatal("EXPR-EVAL", format!("expression {}: {}", shorten(&self.text), error.strip_backtrace()))
        })
    }
}

/// The type that the result is cast to: DataFusion's functions return more types than columns can have.
fn column_type(text: &str, result: &DataType) -> Result<DataType, OperatorError> {
    if schema::column_type(result).is_some() {
        return Ok(result.clone());
    }
    match result {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => Ok(DataType::Int32),
        DataType::UInt32 | DataType::UInt64 => Ok(DataType::Int64),
        DataType::Float16 | DataType::Float32 | DataType::Decimal128(..) => Ok(DataType::Float64),
        DataType::LargeUtf8 | DataType::Utf8View => Ok(DataType::Utf8),
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, None) => {
            Ok(DataType::Timestamp(TimeUnit::Millisecond, None))
        }
        other => {
            let message = format!("expression {} has type {other}, which is not a column type; CAST it", shorten(text));
            Err(OperatorError::fatal("EXPR-TYPE", message))
        }
    }
}

fn parse(text: &str) -> Result<datafusion_sql::sqlparser::ast::Expr, OperatorError> {
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
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let refuse_parsed = |error: ParserError| match error {
        ParserError::TokenizerError(what) | ParserError::ParserError(what) => refuse(what),
        ParserError::RecursionLimitExceeded => refuse("it is nested too deeply".into()),
    };
    let parsed = parser.parse_expr().map_err(refuse_parsed)?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(refuse(format!("unexpected {} after its end{}", next.token, next.span.start)));
    }
    Ok(parsed)
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

/// Makes arithmetic that overflows fail instead of returning a wrong number.
fn fail_on_overflow(expr: Arc<dyn PhysicalExpr>) -> datafusion_common::Result<Arc<dyn PhysicalExpr>> {
    let rewritten = expr.transform_up(|node| {
        let any: &dyn Any = node.as_ref();
        Ok(match any.downcast_ref::<BinaryExpr>() {
            Some(binary) => Transformed::yes(Arc::new(binary.clone().with_fail_on_overflow(true)) as Arc<dyn PhysicalExpr>),
            None => Transformed::no(node),
        })
    });
    Ok(rewritten?.data)
}

/// Resolves names in an expression: only DataFusion's scalar functions exist.
struct Functions {
    by_name: BTreeMap<String, Arc<ScalarUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    options: ConfigOptions,
}

impl Functions {
    fn new() -> Self {
        let mut by_name = BTreeMap::new();
        for function in datafusion_functions::all_default_functions() {
            // Clock and random functions would give another result if the row is processed again after a failure.
            if function.signature().volatility == Volatility::Immutable {
                for alias in function.aliases() {
                    by_name.insert(alias.clone(), function.clone());
                }
                by_name.insert(function.name().to_owned(), function);
            }
        }
        Self {
            by_name,
            planners: vec![Arc::new(DatetimeFunctionPlanner), Arc::new(UnicodeFunctionPlanner)],
            options: ConfigOptions::default(),
        }
    }
}

impl ContextProvider for Functions {
    fn get_table_source(&self, name: TableReference) -> datafusion_common::Result<Arc<dyn TableSource>> {
        Err(DataFusionError::Plan(format!("an expression can't read table {name}")))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.by_name.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.by_name.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
    use arrow_array::{Float64Array, Int64Array, StringArray, TimestampMillisecondArray};
    use proptest::prelude::*;

    use super::*;

    fn bids() -> RecordBatch {
        RecordBatch::try_from_iter([
            ("auction", Arc::new(Int64Array::from(vec![Some(1), Some(2), None])) as ArrayRef),
            ("userId", Arc::new(Int64Array::from(vec![10, 20, i64::MAX])) as ArrayRef),
            ("price", Arc::new(Float64Array::from(vec![1.5, 2.0, 4.0])) as ArrayRef),
            ("name", Arc::new(StringArray::from(vec!["ann", "Bob", ""])) as ArrayRef),
            ("time", Arc::new(TimestampMillisecondArray::from(vec![0, 61_000, 3_600_000])) as ArrayRef),
        ])
        .unwrap()
    }

    fn plan(text: &str) -> Result<Expression, OperatorError> {
        Expression::plan(text, &bids().schema())
    }

    fn evaluate(text: &str) -> ArrayRef {
        plan(text).unwrap().evaluate(&bids()).unwrap()
    }

    #[test]
    fn expressions_are_typed_coerced_and_evaluated() {
        assert_eq!(evaluate("auction * 2 + 1").as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(3), Some(5), None]));
        assert_eq!(evaluate("price * auction").as_primitive::<Float64Type>().value(1), 4.0);
        assert_eq!(evaluate("upper(name) || '!'").as_string::<i32>().value(1), "BOB!");
        assert_eq!(evaluate("CASE WHEN price > 1.9 THEN 'high' ELSE 'low' END").as_string::<i32>().value(0), "low");
        assert!(evaluate("auction IS NULL OR userId BETWEEN 5 AND 15").as_boolean().value(0));
        assert_eq!(evaluate("coalesce(auction, 0)").null_count(), 0);
        assert!(evaluate("name LIKE '%nn' AND auction IN (1, 3)").as_boolean().value(0));
        assert_eq!(evaluate("7").as_primitive::<Int64Type>().values().as_ref(), [7, 7, 7]);
    }

    #[test]
    fn times_compare_with_text_and_convert_to_milliseconds() {
        assert!(evaluate("time >= TIMESTAMP '1970-01-01 00:01:00'").as_boolean().value(1));
        assert_eq!(evaluate("CAST(time AS BIGINT)").as_primitive::<Int64Type>().value(1), 61_000);
        let minutes = evaluate("date_trunc('minute', time)");
        assert_eq!(minutes.as_primitive::<TimestampMillisecondType>().value(1), 60_000);
        let hour = plan("extract(hour FROM time)").unwrap();
        assert_eq!(hour.data_type(), &DataType::Int32);
        let made = plan("to_timestamp_millis(userId)").unwrap();
        assert_eq!(made.data_type(), &DataType::Timestamp(TimeUnit::Millisecond, None));
    }

    #[test]
    fn an_error_gives_the_position_of_the_mistake() {
        let error = plan("auction +").unwrap_err();
        assert_eq!(error.code, "EXPR-PARSE");
        let error = plan("auction 7").unwrap_err();
        assert!(error.code == "EXPR-PARSE" && error.message.contains("Column: 9"), "{error}");
        let error = plan("auction + acution").unwrap_err();
        assert_eq!(error.code, "EXPR-COLUMN");
        assert!(error.message.contains("\"acution\" at line 1, column 11; the input is (auction bigint, userId"), "{error}");
        assert_eq!(plan("USERID").unwrap_err().code, "EXPR-COLUMN");
        for wrong in ["name * 2.5 + time", "no_such_function(1)", "sum(auction)", "NULL", "(SELECT 1)", "interval '1 day'"] {
            assert_eq!(plan(wrong).unwrap_err().code, "EXPR-TYPE", "{wrong}");
        }
    }

    #[test]
    fn functions_whose_result_differs_from_call_to_call_are_refused() {
        for text in ["now()", "random()", "uuid()", "current_timestamp", "CURRENT_DATE"] {
            assert!(["EXPR-TYPE", "EXPR-COLUMN"].contains(&plan(text).unwrap_err().code), "{text}");
        }
    }

    #[test]
    fn overflow_and_division_by_zero_are_errors() {
        for text in ["userId + 1", "userId / (auction - 1)"] {
            assert_eq!(plan(text).unwrap().evaluate(&bids()).unwrap_err().code, "EXPR-EVAL", "{text}");
        }
    }

    #[test]
    fn long_and_deep_expressions_are_refused_and_the_longest_allowed_works() {
        let sum = |terms: usize| vec!["auction"; terms].join("+");
        assert_eq!(plan(&sum(MAX_NESTING + 2)).unwrap_err().code, "EXPR-PARSE");
        assert_eq!(evaluate(&sum(MAX_NESTING - 1)).as_primitive::<Int64Type>().value(0), MAX_NESTING as i64 - 1);
        assert_eq!(plan(&format!("{}1{}", "(".repeat(90), ")".repeat(90))).unwrap_err().code, "EXPR-PARSE");
        assert_eq!(plan(&"'x'".repeat(40_000)).unwrap_err().code, "EXPR-PARSE");
        let many = (0..2_000).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
        assert!(evaluate(&format!("auction IN ({many})")).as_boolean().value(0));
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in r#"[a-z0-9+*/()',<>=. "-]{0,40}"#) {
            let _ = plan(&text);
        }
    }
}
