//! What the coordination store holds of sessions, operations and the catalogue. `weir_ha` adds the version of the format.

mod operation;
mod session;

use serde::{Deserialize, Serialize};

pub(crate) use operation::{Operation, Outcome, PageMark, ResultKind, State, Table};
pub(crate) use session::SessionRecord;

/// A database of the catalogue. A table or a view is stored as a [`NamedObject`](weir_sql::catalog::NamedObject).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DatabaseRecord {
    pub(crate) catalog: String,
    pub(crate) database: String,
}

#[cfg(test)]
mod tests;
