//! Flink SQL: text and a catalogue become JobGraphs. Pure: no clock, no I/O.

pub mod catalog;
pub mod connector;
pub mod dialect;
mod option;
pub mod script;
pub mod session;

pub use option::OptionValue;
