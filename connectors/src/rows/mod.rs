//! Converts rows between text and Arrow: typed column builders, text formats, timestamps.

pub(crate) mod buffer;
pub(crate) mod text;
pub(crate) mod timestamp;

pub(crate) use buffer::RowBuffer;
