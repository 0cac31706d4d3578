//! Keyed state by key group, with versioned snapshots and their serialised form.

mod bytes;
mod key_index;
mod keyed_state;
mod row_format;
mod row_reader;

pub(crate) use bytes::put_bytes;
pub use bytes::{StateReader, open, seal};
pub(crate) use key_index::{BatchKeys, KeyIndex, KeyLayout};
pub(crate) use keyed_state::owned_position;
pub use keyed_state::{KeyedState, StateValue};
pub use row_format::{RowFormat, Rows};
