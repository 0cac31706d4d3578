//! The aggregate functions of SQL with Flink's meaning: how the planner types a call, and how an operator computes it.
//!
//! The planner asks [`resolve`] for the types. An operator plans a call with [`AggregateCall::plan`], and keeps the accumulators
//! that the call makes.

mod accumulator;
mod call;
mod cell;
mod decimal;
mod distinct;
mod extreme;
mod optional;
mod picked;
mod retractable;
mod rows;
mod sum;
#[cfg(test)]
mod tests;
mod text_list;
mod typing;
mod value_list;
mod variance;

pub(crate) use accumulator::Accumulator;
pub(crate) use call::{AggregateCall, AggregateInput, AggregateOption, HandWritten};
pub(crate) use rows::{NO_SLOT, SelectedRows, Selection};
pub use typing::{AggregateFunction, ResolvedAggregate, all, resolve};
