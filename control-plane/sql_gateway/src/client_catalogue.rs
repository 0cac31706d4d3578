//! The catalogue for clients that plan their statements themselves, such as `weir sql`: they read all of it, and commit changes that
//! they have decided on what they read.

use std::sync::Arc;

use axum::body::Bytes;
use weir_ha::{SqlChanges, SqlCommit, StoreError};
use weir_sql::catalog::{CatalogAnswer, CatalogCommit, CatalogCommitted, CatalogContents, NamedObject};

use crate::catalogue::{Snapshot, check_changes};
use crate::error::GatewayError;
use crate::led::{Led, over};

/// Longest answer, in bytes. The client library, and a JobManager that passes the answer on, take no longer one.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The JSON of the whole catalogue, or its length if it is too long.
pub(crate) type WrittenAnswer = Result<Bytes, usize>;

impl Led {
    /// The catalogue as the JSON of a [`CatalogAnswer`]. It is short if the client knows the newest generation.
    pub(crate) async fn catalogue_answer(&self, known: Option<&str>) -> Result<Bytes, GatewayError> {
        // A gateway that is made for a late request counts generations from the beginning again.
        if self.is_over() {
            return Err(over());
        }
        let snapshot = self.snapshot().await?;
        let generation = self.generation_name(snapshot.generation);
        if known == Some(&generation) {
            return written(&CatalogAnswer { generation, catalog: None });
        }
        let write = || async {
            let snapshot = snapshot.clone();
            let work = weir_world::blocking(move || written(&whole(generation, &snapshot)));
            work.await
                .map_err(|error| GatewayError::internal(format!("SQL-PANIC: the catalogue can't be written: {error}")))?
                .map(bounded)
        };
        match snapshot.answer.get_or_try_init(write).await? {
            Ok(answer) => Ok(answer.clone()),
            Err(bytes) => Err(GatewayError::bad_request(format!(
                "SQL-LIMIT: the catalogue has {bytes} bytes; a client can read {MAX_ANSWER_BYTES}; drop tables and views, or use a client \
                 of the SQL gateway"
            ))),
        }
    }

    /// Makes changes durable that a client has decided, all or none of them. Error `SQL-CONFLICT`: other changes came first.
    pub(crate) async fn commit_catalogue(&self, commit: CatalogCommit) -> Result<CatalogCommitted, GatewayError> {
        if self.is_over() {
            return Err(over());
        }
        let CatalogCommit { generation, changes } = commit;
        self.leading.check_store()?;
        check_changes(&changes)?;
        let snapshot = self.snapshot().await?;
        let decided_on = self.generation_named(&generation).ok_or_else(outdated)?;
        if !self.catalogue.allows(decided_on, &changes).await {
            return Err(outdated());
        }
        if changes.is_empty() {
            let is_newest = snapshot.generation == decided_on;
            return Ok(CatalogCommitted { generation: is_newest.then_some(generation) });
        }
        // What is checked stays so: no change that is about the same names or their databases is let in between.
        let changes = self.planner.check(snapshot, changes).await?;
        let change = self.catalogue.change(decided_on, changes).await.ok_or_else(outdated)?;
        let is_next = change.before() == Some(decided_on);
        let mut commit = SqlChanges::default();
        change.write(&mut commit)?;
        match self.store.commit(self.leading.leadership(), commit).await {
            Ok(SqlCommit::Applied { version }) => {
                let generation = self.generation_name(change.applied(version));
                Ok(CatalogCommitted { generation: is_next.then_some(generation) })
            }
            Ok(SqlCommit::Conflict { .. }) => {
                change.forget();
                Err(outdated())
            }
            // Nothing was changed. For an error that may pass, a client repeats the request for as long as it has patience.
            Err(error @ StoreError::NoRoom { .. }) => Err(GatewayError::conflict(error.to_string())),
            Err(error @ StoreError::Refused { .. }) => Err(error.into()),
            Err(error) => {
                change.forget();
                Err(error.into())
            }
        }
    }

    /// The name of a generation for clients. It differs from those of other leaderships.
    fn generation_name(&self, generation: u64) -> String {
        format!("{}-{generation}", self.leading.epoch())
    }

    /// The generation of this name, if it is one of this leadership.
    fn generation_named(&self, name: &str) -> Option<u64> {
        let generation = name.strip_prefix(&format!("{}-", self.leading.epoch()))?.parse().ok()?;
        (self.generation_name(generation) == name).then_some(generation)
    }
}

fn whole(generation: String, snapshot: &Arc<Snapshot>) -> CatalogAnswer {
    let objects = snapshot.objects.iter().map(|(path, object)| NamedObject { path: path.clone(), object: object.clone() });
    let contents = CatalogContents { databases: snapshot.databases.clone(), objects: objects.collect() };
    CatalogAnswer { generation, catalog: Some(contents) }
}

fn written(answer: &CatalogAnswer) -> Result<Bytes, GatewayError> {
    let written = serde_json::to_vec(answer);
    written
        .map(Bytes::from)
        .map_err(|error| GatewayError::internal(format!("SQL-PANIC: the catalogue can't be written: {error}")))
}

fn bounded(answer: Bytes) -> WrittenAnswer {
    if answer.len() <= MAX_ANSWER_BYTES { Ok(answer) } else { Err(answer.len()) }
}

fn outdated() -> GatewayError {
    GatewayError::conflict("SQL-CONFLICT: tables or views were changed since; read the catalogue and decide again")
}
