//! The scalar functions of SQL with Flink's meaning: how the planner types a call, and how a task computes it.
//!
//! A function is one [`Function`] value in the list of its family. The planner asks [`Function::resolve`] for the types; a task asks
//! [`Function::kernel`] once for each call in a program, and the kernel for each batch. Operators such as `+` are functions too.

#[cfg(test)]
mod answers;
mod arithmetic;
pub mod cast;
mod chance;
mod collection;
mod common_type;
mod comparison;
mod conditional;
pub mod decimal;
mod hash;
mod json;
mod logic;
mod math;
mod membership;
pub mod operand;
#[cfg(test)]
pub(crate) mod probe;
mod regexp;
mod registry;
pub mod signature;
mod string;
mod time;
mod type_of;
mod typing;
#[cfg(test)]
mod value_tests;

use arrow_array::ArrayRef;
use weir_protocol::job_graph::DataType;

use crate::operator::OperatorError;
pub use chance::Chance;
pub use common_type::{common_type, merged_type};
pub use registry::{all, by_call_name, by_sql_name};

/// A function of SQL in one version.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Its name in SQL in lower case, e.g. `split_index`, or of an operator, e.g. `add`.
    pub name: &'static str,
    /// Version of its meaning. A program names both, as in `split_index@1`; old versions stay for persisted jobs.
    pub version: u32,
    /// How a call is written, e.g. `SPLIT_INDEX(text, delimiter, index)`.
    pub syntax: &'static str,
    /// One sentence that says what it returns.
    pub doc: &'static str,
    /// Whether the planner adds the session's time zone as a last argument, a constant STRING.
    pub takes_zone: bool,
    /// Whether equal arguments give equal results; false for functions of the clock and of chance.
    pub deterministic: bool,
    /// Types a call. The error says which argument is wrong and what is expected, in words that follow the name of the function.
    pub resolve: Resolve,
    /// Prepares a call whose arguments have the resolved types. The error tells what is wrong with a constant, e.g. a pattern.
    pub kernel: Prepare,
}

/// Types a call of a function.
pub type Resolve = fn(&[Argument<'_>]) -> Result<Resolved, String>;

/// Prepares a call of a function whose arguments have the resolved types, and whose result is of the type given.
pub type Prepare = fn(&[Argument<'_>], &DataType) -> Result<Box<dyn Kernel>, String>;

impl Function {
    /// The name that programs use, e.g. `split_index@1`.
    pub fn call_name(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// What is known of an argument before there are rows.
#[derive(Debug, Clone, Copy)]
pub struct Argument<'a> {
    pub data_type: &'a DataType,
    pub nullable: bool,
    /// The value of a constant, as a literal of a program has it: `Some(None)` is the constant NULL.
    pub constant: Option<Option<&'a str>>,
}

/// The types of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What each argument is cast to. An argument that has this type already is left as it is.
    pub arguments: Vec<DataType>,
    pub result: DataType,
    /// Whether the result can be null.
    pub nullable: bool,
}

/// The values of one argument.
#[derive(Debug, Clone)]
pub enum Operand {
    /// One value a row.
    Column(ArrayRef),
    /// One value for all rows: an array of length 1.
    Constant(ArrayRef),
}

/// What a kernel may know besides its arguments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    /// The time at which the batch is processed, in milliseconds since 1970.
    pub now_ms: u64,
    /// Where random values come from.
    pub chance: Chance,
}

/// A prepared call.
pub trait Kernel: Send {
    /// Computes `rows` values of the result type, from operands of the resolved types. Each value depends only on the operands of
    /// its row. Error: `EXPR-EVAL` if a row has no result, e.g. a division by zero.
    fn evaluate(&mut self, operands: &[Operand], rows: usize, clock: Clock) -> Result<ArrayRef, OperatorError>;
}
