//! The functions that an expression can call.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, TableReference};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, Volatility, WindowUDF};
use datafusion_functions::datetime::planner::DatetimeFunctionPlanner;
use datafusion_functions::unicode::planner::UnicodeFunctionPlanner;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use weir_protocol::job_graph::catalog::closest;

use super::rounding::{DateBin, DateTrunc};

/// Resolves names in an expression: only DataFusion's scalar functions exist.
pub(super) struct Functions {
    by_name: BTreeMap<String, Arc<ScalarUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    options: ConfigOptions,
}

impl Functions {
    pub(super) fn new() -> Self {
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
        let date_trunc = Arc::new(ScalarUDF::from(DateTrunc::new()));
        by_name.insert("date_bin".to_owned(), Arc::new(ScalarUDF::from(DateBin::new())));
        by_name.insert("date_trunc".to_owned(), date_trunc.clone());
        by_name.insert("datetrunc".to_owned(), date_trunc);
        Self {
            by_name,
            planners: vec![Arc::new(DatetimeFunctionPlanner), Arc::new(UnicodeFunctionPlanner)],
            options: ConfigOptions::default(),
        }
    }
}

/// Aggregates that a user may expect here.
const AGGREGATES: [&str; 8] = ["sum", "count", "avg", "min", "max", "stddev", "median", "count_distinct"];

impl Functions {
    /// Why an expression with these tokens could not be planned, if the reason is a function that an expression can't call.
    /// DataFusion's own message would name its internals.
    pub(super) fn refusal(&self, tokens: &[TokenWithSpan]) -> Option<String> {
        let tokens: Vec<&Token> =
            tokens.iter().map(|token| &token.token).filter(|token| !matches!(token, Token::Whitespace(_))).collect();
        let mut open = Vec::new();
        let (mut called, mut refusal) = (None, None);
        for (index, token) in tokens.iter().enumerate() {
            match token {
                Token::LParen => open.push(index.checked_sub(1).and_then(|before| tokens.get(before).copied())),
                Token::RParen => called = open.pop().flatten(),
                Token::Word(word) if word.keyword == Keyword::OVER => {
                    let name = called.map(Token::to_string).unwrap_or_default();
                    return Some(format!(
                        "{name} with OVER is a window function, which an expression can't call; an expression sees one row at a time"
                    ));
                }
                Token::Word(word) if matches!(tokens.get(index + 1), Some(Token::LParen)) => {
                    let name = word.value.to_lowercase();
                    if AGGREGATES.contains(&name.as_str()) {
                        let name = &word.value;
                        let reason = format!("{name} is an aggregate, which an expression can't call; use a window operator");
                        refusal.get_or_insert(reason);
                    } else if word.keyword == Keyword::NoKeyword && !self.by_name.contains_key(&name) {
                        let similar = closest(&name, self.by_name.keys().map(String::as_str));
                        let similar = similar.map(|similar| format!("; did you mean {similar}?")).unwrap_or_default();
                        refusal.get_or_insert(format!("there is no function {}{similar}", word.value));
                    }
                }
                _ => {}
            }
        }
        refusal
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
