//! The catalogue of a client: the session's own, or the cluster's.
//!
//! Of the cluster's, the session has a copy. It is brought up to date before each statement that uses it, and a change is committed
//! only if others have not changed the same names since.

use std::time::Duration;

use weir_sql::catalog::{CatalogChange, CatalogCommit, MemoryCatalog, Standing, standing};
use weir_sql::command::on_large_stack;
use weir_sql::dialect::parse_statement;
use weir_sql::script::ScriptStatement;
use weir_sql::session::Session;

use super::{Outcome, SqlClient, SqlClientError, Work};
use crate::ClientError;
use crate::cluster_client::CommitFailure;

/// Where the databases and the permanent tables and views of a client are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Home {
    /// In the session, and end with it.
    #[default]
    Session,
    /// In the cluster. The session has those of this generation, or none yet.
    Cluster { generation: Option<String> },
}

/// A statement that is carried out but for its change of the catalogue.
pub(super) struct Prepared {
    pub(super) outcome: Outcome,
    /// The session after the statement.
    pub(super) session: Session,
    pub(super) changes: Vec<CatalogChange>,
}

/// A change that may have been made.
pub(super) struct Doubtful {
    prepared: Prepared,
    /// The catalogue on which it was decided.
    before: MemoryCatalog,
    pub(super) error: ClientError,
}

/// What became of a change.
pub(super) enum Committed {
    Done(Outcome),
    /// The statement has to be decided again. The change may have been made all the same.
    Outdated(Option<Box<Doubtful>>),
}

impl SqlClient {
    /// Brings the copy of the cluster's catalogue up to date, if the statement uses it.
    pub(super) async fn prepare_catalog(&mut self, statement: &ScriptStatement, work: &Work) -> Result<(), SqlClientError> {
        if self.home == Home::Session || !on_large_stack(|| parse_statement(statement).map(|parsed| parsed.uses_catalog()))?? {
            return Ok(());
        }
        self.refresh_catalog(self.patience).await.map_err(|error| work.unfinished(error))
    }

    /// Reads the cluster's catalogue if it has changed, so that [`Self::names`] are up to date. Does nothing if the session has a
    /// catalogue of its own.
    pub async fn refresh_catalog(&mut self, patience: Duration) -> Result<(), ClientError> {
        let Home::Cluster { generation } = &mut self.home else { return Ok(()) };
        let newest = self.cluster.catalog(generation.as_deref(), patience).await?;
        if let Some(contents) = newest.catalog {
            let objects = contents.objects.into_iter().map(|named| (named.path, named.object));
            self.session.catalog.replace_permanent(contents.databases, objects);
        }
        *generation = Some(newest.generation);
        Ok(())
    }

    /// Ends a statement: the changes are durable, and the session is that after it.
    pub(super) async fn commit(&mut self, prepared: Prepared, work: &mut Work) -> Result<Committed, SqlClientError> {
        if let Home::Cluster { generation } = &mut self.home
            && !prepared.changes.is_empty()
        {
            let commit = CatalogCommit { generation: generation.clone().unwrap_or_default(), changes: prepared.changes.clone() };
            match self.cluster.commit_catalog(&commit, self.patience).await {
                Ok(committed) => *generation = committed.generation,
                Err(CommitFailure { error, is_conflict, may_be_made }) => {
                    // Also an attempt of an earlier call may arrive late.
                    work.may_be_made |= may_be_made;
                    if !is_conflict {
                        return Err(work.unfinished(error));
                    }
                    let before = self.session.catalog.clone();
                    return Ok(Committed::Outdated(work.may_be_made.then(|| Box::new(Doubtful { prepared, before, error }))));
                }
            }
        }
        self.session = prepared.session;
        Ok(Committed::Done(prepared.outcome))
    }

    /// What became of a change of which only the newest catalogue tells whether it was made. `None`: it was not.
    pub(super) fn settle(&mut self, doubtful: Box<Doubtful>, work: &Work) -> Result<Option<Outcome>, SqlClientError> {
        let Doubtful { prepared, before, error } = *doubtful;
        match standing(&prepared.changes, &before, &self.session.catalog) {
            Standing::NotMade => Ok(None),
            Standing::Unclear => Err(work.unfinished(error)),
            Standing::Made => {
                self.session = prepared.session;
                // The cluster's catalogue may have further changes: read it again.
                self.home = Home::Cluster { generation: None };
                Ok(Some(prepared.outcome))
            }
        }
    }
}

#[cfg(test)]
mod tests;
