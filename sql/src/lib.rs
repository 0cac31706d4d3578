//! Flink SQL: text and a catalogue become JobGraphs. Pure: no clock, no I/O.

pub mod catalog;
pub mod dialect;
pub mod script;
