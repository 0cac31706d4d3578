//! A session: its catalogue, its options, and the statements that only concern these.

mod check;
mod command;
mod option;
mod options;
mod planning;
mod result;

pub use command::{Session, function_names};
pub use option::{OPTIONS, SessionOption};
pub use options::{Retention, SessionOptions};
pub use result::{Outcome, ResultTable};

#[cfg(test)]
mod tests;
