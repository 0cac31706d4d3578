//! Rows between text and Arrow: typed column builders, text renderings, timestamps.

pub(crate) mod buffer;
pub(crate) mod text;
pub(crate) mod timestamp;

pub(crate) use buffer::RowBuffer;
