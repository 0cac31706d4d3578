//! The bodies of `/weir/v1/sql/catalog`, with which a client reads and changes the catalogue of a cluster.

use serde::{Deserialize, Serialize};

use super::{CatalogChange, CatalogObject, ObjectPath};

/// A table or a view with its name. This is also the stored form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedObject {
    pub path: ObjectPath,
    pub object: CatalogObject,
}

/// The permanent databases, tables and views of a cluster.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CatalogContents {
    /// The databases besides the default one.
    pub databases: Vec<String>,
    pub objects: Vec<NamedObject>,
}

/// Answer to `GET /weir/v1/sql/catalog?known=GENERATION`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CatalogAnswer {
    /// Names this state of the catalogue. No two states have the same, also under different leaders.
    pub generation: String,
    /// Missing if the client knows this generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<CatalogContents>,
}

/// Body of `POST /weir/v1/sql/catalog`: changes that are made all at once, unless the same names were changed since the generation on
/// which they were decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogCommit {
    pub generation: String,
    pub changes: Vec<CatalogChange>,
}

/// Answer to a [`CatalogCommit`]. The changes are durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogCommitted {
    /// The generation of the catalogue with the changes. Missing if it also has changes of others since the generation on which these
    /// were decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
}
