//! Names for what Flink's grammar has and sqlparser's tree has not. They stand in the tree as function calls.
//!
//! | marker | Flink | arguments |
//! | --- | --- | --- |
//! | [`TABLE`] | `TABLE t`, `TABLE (query)` | an identifier or a compound identifier; or a subquery (`FunctionArguments::Subquery`) |
//! | [`MAP`] | `MAP[k, v, …]` | keys and values in turn |
//! | [`BETWEEN_SYMMETRIC`] | `x BETWEEN SYMMETRIC a AND b` | x, a, b |
//! | [`IS_JSON`] | `x IS JSON [VALUE \| SCALAR \| ARRAY \| OBJECT]` | x, the word as text |
//!
//! NOT before `BETWEEN` and after `IS` becomes NOT around the call.
//!
//! The clauses of the JSON functions are named arguments after the positional ones: [`RETURNING`] is a cast of NULL to the type;
//! [`ON_EMPTY`], [`ON_ERROR`], [`ON_NULL`] and [`WRAPPER`] are a text in upper case such as `'NULL'`, `'ERROR'`, `'EMPTY ARRAY'`,
//! `'ABSENT'`, `'CONDITIONAL'`, or, for `DEFAULT e`, the expression in brackets (`Expr::Nested`). The keys and values of
//! `JSON_OBJECT` and `JSON_OBJECTAGG` are positional, in turn.

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName};
use sqlparser::tokenizer::Span;

/// `TABLE t` or `TABLE (query)`.
pub const TABLE: &str = "$table";
/// The marker of `MAP[…]`.
pub const MAP: &str = "$map";
/// The marker of `BETWEEN SYMMETRIC`.
pub const BETWEEN_SYMMETRIC: &str = "$between_symmetric";
/// The marker of `IS JSON`.
pub const IS_JSON: &str = "$is_json";
/// The marker of `RETURNING type`.
pub const RETURNING: &str = "$returning";
/// `… ON EMPTY`.
pub const ON_EMPTY: &str = "$on_empty";
/// `… ON ERROR`.
pub const ON_ERROR: &str = "$on_error";
/// `NULL ON NULL` or `ABSENT ON NULL`.
pub const ON_NULL: &str = "$on_null";
/// `WITH … ARRAY WRAPPER`.
pub const WRAPPER: &str = "$wrapper";

/// A marker's name at a place.
pub(super) fn ident(name: &str, span: Span) -> Ident {
    Ident { value: name.to_owned(), quote_style: None, span }
}

/// A call without filter, window and so on.
pub(super) fn function(name: Ident, args: FunctionArguments) -> Function {
    Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    }
}

/// A call of a marker.
pub(super) fn call(name: &str, span: Span, args: Vec<Expr>) -> Function {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] };
    function(ident(name, span), FunctionArguments::List(list))
}
