//! Flink SQL: text and a catalogue become JobGraphs. Pure: no clock, no I/O.

pub mod bind;
pub mod catalog;
pub mod command;
pub mod completion;
pub mod connector;
pub mod dialect;
pub mod expression;
pub mod graph;
mod option;
pub mod planner;
pub mod script;
pub mod session;
pub mod stream;

pub use option::{OptionValue, duration_ms};
