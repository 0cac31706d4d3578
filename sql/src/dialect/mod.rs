//! Flink's dialect: from text to statements.

mod statement;

pub use statement::*;
