//! A session as it is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_sql::catalog::{CatalogObject, DEFAULT_DATABASE, NamedObject, ObjectPath};
use weir_sql::session::{Session, SessionOptions};

use crate::catalogue::Snapshot;

/// A session of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    /// The client's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// What the client gave that is no option of Weir's. It has no effect; the client can read it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) properties: BTreeMap<String, String>,
    /// What is set.
    pub(crate) options: SessionOptions,
    /// The current database.
    pub(crate) database: String,
    /// Tables and views that live as long as the session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) temporary: Vec<NamedObject>,
    /// Wall-clock milliseconds since 1970 of a request, at most a minute before the last one.
    pub(crate) used_at_ms: u64,
    /// After this time without a request the session is closed, in milliseconds.
    pub(crate) idle_timeout_ms: u64,
}

impl SessionRecord {
    /// A session without any settings.
    pub(crate) fn new(name: Option<String>, idle_timeout_ms: u64, now_ms: u64) -> Self {
        Self {
            name,
            properties: BTreeMap::new(),
            options: SessionOptions::default(),
            database: DEFAULT_DATABASE.to_owned(),
            temporary: Vec::new(),
            used_at_ms: now_ms,
            idle_timeout_ms,
        }
    }

    /// The session as statements need it, with the permanent tables and views of the snapshot.
    pub(crate) fn with(&self, snapshot: &Snapshot) -> Session {
        let mut catalog = snapshot.catalog();
        for NamedObject { path, object } in &self.temporary {
            catalog.put_temporary(path.clone(), object.clone());
        }
        catalog.restore_database(self.database.clone());
        Session { catalog, options: self.options.clone() }
    }

    /// The record after a statement has changed the session.
    pub(crate) fn after(&self, session: &Session) -> Self {
        let temporary =
            |(path, object): (&ObjectPath, &CatalogObject)| NamedObject { path: path.clone(), object: object.clone() };
        let (_, database) = weir_sql::catalog::Catalog::current(&session.catalog);
        Self {
            options: session.options.clone(),
            database: database.to_owned(),
            temporary: session.catalog.temporary().map(temporary).collect(),
            ..self.clone()
        }
    }

    /// Everything that the client has set or given, by name.
    pub(crate) fn shown(&self) -> BTreeMap<String, String> {
        let options = self.options.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.properties.clone().into_iter().chain(options).collect()
    }
}
