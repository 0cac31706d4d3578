//! What a statement changed, for the store of the catalogue.

use super::{CatalogObject, ObjectPath};

/// A change of the permanent part of the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub enum CatalogChange {
    /// The database now exists.
    PutDatabase { catalog: String, database: String },
    /// The database no longer exists. Changes for its tables stand before it.
    RemoveDatabase { catalog: String, database: String },
    /// The table or view is now this.
    PutObject { path: ObjectPath, object: CatalogObject },
    /// The table or view no longer exists.
    RemoveObject { path: ObjectPath },
}
