//! What the coordination store holds of sessions, operations and the catalogue. `weir_ha` adds the version of the format.

mod operation;
mod session;

use serde::{Deserialize, Serialize};
use weir_sql::catalog::{CatalogObject, ObjectPath};

pub(crate) use operation::{Operation, Outcome, PageMark, ResultKind, State, Table};
pub(crate) use session::SessionRecord;

/// A database of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DatabaseRecord {
    pub(crate) catalog: String,
    pub(crate) database: String,
}

/// A table or a view of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ObjectRecord {
    pub(crate) path: ObjectPath,
    pub(crate) object: CatalogObject,
}

#[cfg(test)]
mod tests;
