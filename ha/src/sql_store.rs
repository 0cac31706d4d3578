//! The sessions and operations of the SQL gateway, and the SQL catalogue. What the records hold is the gateway's matter.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_protocol::JobId;

use crate::job_graph_store::TokenRecord;
use crate::resolved_commit::{self, Resolved};
use crate::{Expect, HaServices, Leadership, Operation, StoreError, Versioned, keys, record};

/// The handle of a session or an operation: a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlHandle(pub u128);

impl fmt::Display for SqlHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
        f.write_str(&parts.join("-"))
    }
}

impl FromStr for SqlHandle {
    type Err = String;

    /// Reads the form that [`fmt::Display`] writes, in upper or lower case.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a handle has the form 01234567-89ab-cdef-0123-456789abcdef".to_owned();
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let is_hex = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let handle = u128::from_str_radix(&digits, 16).ok().filter(|_| is_hex).map(Self).ok_or_else(wrong)?;
        if handle.to_string().eq_ignore_ascii_case(text) { Ok(handle) } else { Err(wrong()) }
    }
}

/// A record and the version of the store under which it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<T> {
    pub record: T,
    pub version: u64,
}

/// The SQL part of the coordination store.
#[derive(Clone)]
pub struct SqlStore {
    ha: HaServices,
}

impl fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqlStore")
    }
}

/// Changes that are applied together or not at all.
#[derive(Debug, Clone, Default)]
pub struct SqlChanges {
    operations: Vec<Operation>,
    is_growing: bool,
}

/// The outcome of [`SqlStore::commit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlCommit {
    /// The changes are durable.
    Applied {
        /// The version of every record that was put. `None` if it has to be read: the answer of the store was lost.
        version: Option<u64>,
    },
    /// Nothing was changed: a record was not as expected.
    Conflict {
        /// The first such key.
        key: String,
    },
}

impl SqlChanges {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Puts a session. `expected` is the version of the record that it replaces.
    pub fn put_session<T: Serialize>(&mut self, session: SqlHandle, record: &T, expected: Option<u64>) -> Result<(), StoreError> {
        self.put(keys::sql_session(session), record, expected)
    }

    /// Removes a session, if it is there. Its operations stay.
    pub fn delete_session(&mut self, session: SqlHandle) {
        self.operations.push(Operation::Delete { key: keys::sql_session(session), expect: Expect::Any });
    }

    /// Puts an operation. `expected` is the version of the record that it replaces.
    pub fn put_operation<T: Serialize>(
        &mut self,
        session: SqlHandle,
        operation: SqlHandle,
        record: &T,
        expected: Option<u64>,
    ) -> Result<(), StoreError> {
        self.put(keys::sql_operation(session, operation), record, expected)
    }

    /// Removes an operation, if it is there.
    pub fn delete_operation(&mut self, session: SqlHandle, operation: SqlHandle) {
        self.operations.push(Operation::Delete { key: keys::sql_operation(session, operation), expect: Expect::Any });
    }

    /// Puts a database. `record` has the names.
    pub fn put_database<T: Serialize>(&mut self, catalog: &str, database: &str, record: &T) -> Result<(), StoreError> {
        self.put(keys::catalog_database(catalog, database), record, None)
    }

    /// Removes a database that has this version.
    pub fn delete_database(&mut self, catalog: &str, database: &str, version: u64) {
        let key = keys::catalog_database(catalog, database);
        self.operations.push(Operation::Delete { key, expect: Expect::Version(version) });
    }

    /// Puts a table or a view. `record` has the names; `expected` is the version of the record that it replaces.
    pub fn put_object<T: Serialize>(
        &mut self,
        [catalog, database, name]: [&str; 3],
        record: &T,
        expected: Option<u64>,
    ) -> Result<(), StoreError> {
        self.put(keys::catalog_object(catalog, database, name), record, expected)
    }

    /// Removes a table or a view that has this version.
    pub fn delete_object(&mut self, [catalog, database, name]: [&str; 3], version: u64) {
        let key = keys::catalog_object(catalog, database, name);
        self.operations.push(Operation::Delete { key, expect: Expect::Version(version) });
    }

    fn put<T: Serialize>(&mut self, key: String, record: &T, expected: Option<u64>) -> Result<(), StoreError> {
        let value = record::encode(&key, record)?;
        self.is_growing |= expected.is_none();
        self.operations.push(Operation::Put { key, value, expect: expected.map_or(Expect::Absent, Expect::Version) });
        Ok(())
    }
}

impl SqlStore {
    /// The SQL part of this store.
    pub fn new(ha: HaServices) -> Self {
        Self { ha }
    }

    /// One session, if it is there.
    pub async fn session<T: DeserializeOwned>(&self, session: SqlHandle) -> Result<Option<Found<T>>, StoreError> {
        let key = keys::sql_session(session);
        self.ha.get(&key).await?.map(|found| read(&key, &found)).transpose()
    }

    /// All sessions. A session that can't be read is left out: it concerns no other.
    pub async fn sessions<T: DeserializeOwned>(&self) -> Result<Vec<(SqlHandle, Found<T>)>, StoreError> {
        let found = self.ha.list(keys::SQL_SESSIONS).await?;
        Ok(found.iter().filter_map(|(key, found)| readable(key, keys::SQL_SESSIONS, found)).collect())
    }

    /// The operations of a session. One that can't be read is left out: it concerns no other.
    pub async fn operations<T: DeserializeOwned>(&self, session: SqlHandle) -> Result<Vec<(SqlHandle, Found<T>)>, StoreError> {
        let prefix = keys::sql_operations(session);
        let found = self.ha.list(&prefix).await?;
        Ok(found.iter().filter_map(|(key, found)| readable(key, &prefix, found)).collect())
    }

    /// Session and handle of every operation, also of sessions that are gone.
    pub async fn operation_handles(&self) -> Result<Vec<(SqlHandle, SqlHandle)>, StoreError> {
        let handles = |(key, _): (String, Versioned)| {
            let (session, operation) = key.strip_prefix(keys::SQL_OPERATIONS)?.split_once('/')?;
            Some((session.parse().ok()?, operation.parse().ok()?))
        };
        Ok(self.ha.list(keys::SQL_OPERATIONS).await?.into_iter().filter_map(handles).collect())
    }

    /// The databases of the catalogue, and its tables and views. The records have the names. The error names a record that can't be
    /// read: without it, statements could mean something else.
    pub async fn catalog<D: DeserializeOwned, O: DeserializeOwned>(&self) -> Result<(Vec<Found<D>>, Vec<Found<O>>), StoreError> {
        let (mut databases, mut objects) = (Vec::new(), Vec::new());
        for (key, found) in &self.ha.list(keys::CATALOG).await? {
            match key.split('/').nth(2) {
                Some("d") => databases.push(read(key, found)?),
                Some("o") => objects.push(read(key, found)?),
                _ => tracing::error!(key, "unknown key in the SQL catalogue: written by a newer version; ignored"),
            }
        }
        Ok((databases, objects))
    }

    /// The job that a submission with this client token has created, if there was one.
    pub async fn job_of_token(&self, token: &str) -> Result<Option<JobId>, StoreError> {
        let Some(key) = keys::token(token) else { return Ok(None) };
        let Some(found) = self.ha.get(&key).await? else { return Ok(None) };
        let known: TokenRecord = record::decode(&key, &found.value)?;
        Ok(Some(known.job))
    }

    /// Applies changes. Error: `NoRoom` for new records if the store is half full.
    pub async fn commit(&self, leadership: &Leadership, changes: SqlChanges) -> Result<SqlCommit, StoreError> {
        if changes.is_empty() {
            return Ok(SqlCommit::Applied { version: None });
        }
        if changes.is_growing {
            StoreError::check_room(self.ha.usage())?;
        }
        Ok(match resolved_commit::commit_versioned(&*self.ha, leadership, changes.operations).await? {
            (Resolved::Applied, version) => SqlCommit::Applied { version },
            (Resolved::Conflict { key }, _) => SqlCommit::Conflict { key },
        })
    }
}

fn read<T: DeserializeOwned>(key: &str, found: &Versioned) -> Result<Found<T>, StoreError> {
    Ok(Found { record: record::decode(key, &found.value)?, version: found.version })
}

/// The handle at the end of a key and its record, if both can be read.
fn readable<T: DeserializeOwned>(key: &str, prefix: &str, found: &Versioned) -> Option<(SqlHandle, Found<T>)> {
    let handle = key.strip_prefix(prefix).and_then(|handle| handle.parse().ok());
    let record = read(key, found).inspect_err(|error| tracing::error!(%error, "a record of the SQL gateway can't be read")).ok();
    Some((handle?, record?))
}

#[cfg(test)]
mod tests;
