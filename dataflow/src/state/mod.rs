//! Keyed state: key groups, versioned snapshots, and the bytes they are saved as.

mod bytes;
mod keyed_state;
mod row_format;

pub(crate) use bytes::put_bytes;
pub use bytes::{StateReader, open, seal};
pub(crate) use keyed_state::owned_position;
pub use keyed_state::{KeyedState, StateValue};
pub use row_format::{RowFormat, Rows};
