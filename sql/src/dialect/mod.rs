//! Flink's dialect: from text to statements.
//!
//! [`parse_statement`] reads statements; [`parse_query`] and [`parse_expression`] read the stored texts of views, computed columns and
//! watermarks. Queries and expressions are sqlparser's trees. [`marker`] says what stands in them for what sqlparser does not know;
//! [`cast_type`] reads the types of casts, [`table_name`] the hints of tables, [`parse_hints`] those of SELECT.

mod alter;
mod create;
mod create_table;
mod cursor;
mod data_type;
mod explain;
mod flink;
mod hints;
mod infix;
mod insert;
mod json;
pub mod marker;
mod parse;
mod prefix;
mod refuse;
mod show;
mod spelling;
mod statement;

pub use data_type::cast_type;
pub use flink::FlinkDialect;
pub use hints::{Hint, parse_hints, table_name};
pub use parse::{parse_expression, parse_query, parse_statement};
pub use refuse::refuse_clauses;
pub use statement::*;

#[cfg(test)]
mod tests;
