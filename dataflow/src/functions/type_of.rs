//! TYPEOF.

use std::sync::Arc;

use weir_protocol::job_graph::DataType;

use super::operand::{TextArray, kernel_of};
use super::typing::typing;
use super::{Argument, Function};

pub(super) const FUNCTIONS: &[Function] = &[Function::first(
    "typeof",
    "TYPEOF(value[, force_serializable])",
    "The type of the value as a text, with NOT NULL if it can't be NULL. The second argument makes no difference.",
    |given| typing(given, 1, 2)?.any()?.a("a BOOLEAN", |t| *t == DataType::Boolean)?.gives_nullable(DataType::String),
    |given, _| {
        let shown = given.first().map(name_of).unwrap_or_default();
        Ok(kernel_of(move |_, rows, _| Ok(Arc::new(TextArray::from_iter_values(std::iter::repeat_n(&shown, rows))))))
    },
)];

fn name_of(argument: &Argument<'_>) -> String {
    format!("{}{}", argument.data_type, if argument.nullable { "" } else { " NOT NULL" })
}
