//! The permanent databases, tables and views, which all sessions share.
//!
//! Only the leader changes them, so what it has read and written is what the store holds. Statements work on a snapshot. A change
//! that was decided on an older snapshot is not applied if it is about names that were changed since: the statement is decided again.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard, OnceCell};
use weir_ha::{Found, SqlChanges, SqlStore, StoreError};
use weir_sql::catalog::{CatalogChange, CatalogObject, DEFAULT_CATALOG, MemoryCatalog, NamedObject, ObjectPath};

use crate::client_catalogue::WrittenAnswer;
use crate::error::GatewayError;
use crate::recent_changes::RecentChanges;
use crate::records::DatabaseRecord;

/// Most tables and views.
pub(crate) const MAX_OBJECTS: usize = 10_000;
/// Most databases, besides the default one.
pub(crate) const MAX_DATABASES: usize = 1_000;
/// Most changes of one statement. The store takes 100 in one commit, and the operation and its session are among them.
const MAX_CHANGES: usize = 90;

/// The catalogue at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Differs between two snapshots of one leadership that are not the same.
    pub(crate) generation: u64,
    pub(crate) databases: Vec<String>,
    pub(crate) objects: BTreeMap<ObjectPath, CatalogObject>,
    /// The answer to clients that ask for the whole catalogue, once one has asked.
    pub(crate) answer: OnceCell<WrittenAnswer>,
}

impl Snapshot {
    /// The catalogue of a session without temporary tables and views.
    pub(crate) fn catalog(&self) -> MemoryCatalog {
        let permanent = self.objects.iter().map(|(path, object)| (path.clone(), object.clone()));
        MemoryCatalog::new(self.databases.iter().cloned(), permanent)
    }
}

/// The catalogue of a leader.
#[derive(Debug)]
pub(crate) struct Catalogue {
    store: SqlStore,
    /// Nothing until it is read, and after a write whose outcome is not known.
    loaded: Mutex<Option<Loaded>>,
    generations: std::sync::atomic::AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Loaded {
    snapshot: Arc<Snapshot>,
    database_versions: BTreeMap<String, u64>,
    object_versions: BTreeMap<ObjectPath, u64>,
    recent: RecentChanges,
}

/// The right to change the catalogue. Meanwhile no one else does.
pub(crate) struct Change<'a> {
    loaded: MutexGuard<'a, Option<Loaded>>,
    generation: u64,
    changes: Vec<CatalogChange>,
}

impl Catalogue {
    pub(crate) fn new(store: SqlStore) -> Self {
        Self { store, loaded: Mutex::new(None), generations: Default::default() }
    }

    fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
    }

    /// The catalogue as it is now.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, StoreError> {
        let mut loaded = self.loaded.lock().await;
        if let Some(loaded) = &*loaded {
            return Ok(loaded.snapshot.clone());
        }
        let (databases, objects) = self.store.catalog::<DatabaseRecord, NamedObject>().await?;
        let read = Loaded::new(self.next_generation(), databases, objects);
        let snapshot = read.snapshot.clone();
        *loaded = Some(read);
        Ok(snapshot)
    }

    /// Whether [`Self::change`] would begin these changes now.
    pub(crate) async fn allows(&self, generation: u64, changes: &[CatalogChange]) -> bool {
        self.loaded.lock().await.as_ref().is_some_and(|loaded| loaded.recent.allow(generation, changes))
    }

    /// Begins a change that was decided on the snapshot of this generation; `None` if a later one has changed the same names. The
    /// caller commits [`Change::write`], and then calls [`Change::applied`].
    pub(crate) async fn change(&self, generation: u64, changes: Vec<CatalogChange>) -> Option<Change<'_>> {
        let loaded = self.loaded.lock().await;
        let is_allowed = loaded.as_ref().is_some_and(|loaded| loaded.recent.allow(generation, &changes));
        is_allowed.then(|| Change { loaded, generation: self.next_generation(), changes })
    }
}

impl Loaded {
    fn new(generation: u64, databases: Vec<Found<DatabaseRecord>>, objects: Vec<Found<NamedObject>>) -> Self {
        let mut snapshot = Snapshot { generation, ..Snapshot::default() };
        let (mut database_versions, mut object_versions) = (BTreeMap::new(), BTreeMap::new());
        for Found { record, version } in databases {
            database_versions.insert(record.database.clone(), version);
            snapshot.databases.push(record.database);
        }
        for Found { record, version } in objects {
            object_versions.insert(record.path.clone(), version);
            snapshot.objects.insert(record.path, record.object);
        }
        Self { snapshot: Arc::new(snapshot), database_versions, object_versions, recent: RecentChanges::new(generation) }
    }
}

impl Change<'_> {
    /// The generation of the catalogue before the changes.
    pub(crate) fn before(&self) -> Option<u64> {
        self.loaded.as_ref().map(|loaded| loaded.snapshot.generation)
    }

    /// Adds the changes to a commit.
    pub(crate) fn write(&self, commit: &mut SqlChanges) -> Result<(), GatewayError> {
        check_changes(&self.changes)?;
        let Some(loaded) = &*self.loaded else { return Ok(()) };
        for change in &self.changes {
            match change {
                CatalogChange::PutDatabase { catalog, database } => {
                    check_number(loaded.database_versions.len(), MAX_DATABASES, "databases")?;
                    let record = DatabaseRecord { catalog: catalog.clone(), database: database.clone() };
                    commit.put_database(catalog, database, &record)?;
                }
                CatalogChange::RemoveDatabase { catalog, database } => {
                    if let Some(version) = loaded.database_versions.get(database) {
                        commit.delete_database(catalog, database, *version);
                    }
                }
                CatalogChange::PutObject { path, object } => {
                    let version = loaded.object_versions.get(path).copied();
                    if version.is_none() {
                        check_number(loaded.object_versions.len(), MAX_OBJECTS, "tables and views")?;
                    }
                    let record = NamedObject { path: path.clone(), object: object.clone() };
                    commit.put_object(names(path), &record, version)?;
                }
                CatalogChange::RemoveObject { path } => {
                    if let Some(version) = loaded.object_versions.get(path) {
                        commit.delete_object(names(path), *version);
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes that the changes are in the store, under this version. Without a version, the catalogue is read again. Returns the
    /// generation after the changes.
    pub(crate) fn applied(mut self, version: Option<u64>) -> u64 {
        let generation = self.generation;
        let Some(version) = version else {
            self.forget();
            return generation;
        };
        let Some(loaded) = &mut *self.loaded else { return generation };
        loaded.recent.note(generation, &self.changes);
        let mut databases = loaded.snapshot.databases.clone();
        let mut objects = loaded.snapshot.objects.clone();
        for change in std::mem::take(&mut self.changes) {
            match change {
                CatalogChange::PutDatabase { database, .. } => {
                    loaded.database_versions.insert(database.clone(), version);
                    databases.push(database);
                }
                CatalogChange::RemoveDatabase { database, .. } => {
                    loaded.database_versions.remove(&database);
                    databases.retain(|known| *known != database);
                }
                CatalogChange::PutObject { path, object } => {
                    loaded.object_versions.insert(path.clone(), version);
                    objects.insert(path, object);
                }
                CatalogChange::RemoveObject { path } => {
                    loaded.object_versions.remove(&path);
                    objects.remove(&path);
                }
            }
        }
        loaded.snapshot = Arc::new(Snapshot { generation, databases, objects, answer: OnceCell::new() });
        generation
    }

    /// Notes that it is not known what is in the store: the catalogue is read again.
    pub(crate) fn forget(mut self) {
        *self.loaded = None;
    }
}

fn names(path: &ObjectPath) -> [&str; 3] {
    debug_assert_eq!(path.catalog, DEFAULT_CATALOG);
    [&path.catalog, &path.database, &path.name]
}

/// Checks how many changes a statement makes.
pub(crate) fn check_changes(changes: &[CatalogChange]) -> Result<(), GatewayError> {
    if changes.len() <= MAX_CHANGES {
        return Ok(());
    }
    let message = format!("SQL-LIMIT: the statement changes more than {MAX_CHANGES} tables and views; drop them one by one");
    Err(GatewayError::bad_request(message))
}

fn check_number(number: usize, most: usize, what: &str) -> Result<(), GatewayError> {
    if number < most {
        return Ok(());
    }
    Err(GatewayError::bad_request(format!("SQL-LIMIT: there are {most} {what} already; drop some")))
}
