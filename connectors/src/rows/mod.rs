//! Converts rows between text and Arrow: typed column builders, text formats, and the text forms of single values.

mod base64;
pub(crate) mod buffer;
pub(crate) mod column;
pub(crate) mod decimal;
mod line;
mod parse;
pub(crate) mod text;
pub(crate) mod times;
pub(crate) mod view;

use arrow_schema::DataType;
use weir_dataflow::operator::OperatorError;
use weir_dataflow::schema::type_name;

pub use buffer::RowBuffer;

/// The error (`CONN-TYPE`) for a column type that connectors can't read or write.
pub(crate) fn unsupported_type(name: &str, data_type: &DataType) -> OperatorError {
    OperatorError::fatal(
        "CONN-TYPE",
        format!("column {name:?} has type {}, which can't be read or written", type_name(data_type)),
    )
}
