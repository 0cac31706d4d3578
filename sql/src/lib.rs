//! Flink SQL: text and a catalogue become JobGraphs. Pure: no clock, no I/O.
