//! Calls for the cluster's SQL catalogue.

use std::time::Duration;

use reqwest::Method;
use weir_sql::catalog::{CatalogAnswer, CatalogCommit, CatalogCommitted};

use super::{ClusterClient, Repeat};
use crate::ClientError;

const PATH: &str = "/weir/v1/sql/catalog";
/// The cluster answers with this code if a commit is about names that were changed since its generation.
const CONFLICT: &str = "SQL-CONFLICT";

/// Why changes of the catalogue were not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitFailure {
    pub(crate) error: ClientError,
    /// Whether other changes came first.
    pub(crate) is_conflict: bool,
    /// Whether the changes may be made all the same: an earlier attempt of the call got no clear answer.
    pub(crate) may_be_made: bool,
}

impl ClusterClient {
    /// The cluster's databases, tables and views. The answer has none if `known` is still their generation.
    pub async fn catalog(&self, known: Option<&str>, deadline: Duration) -> Result<CatalogAnswer, ClientError> {
        let path = known.map_or_else(|| PATH.to_owned(), |known| format!("{PATH}?known={known}"));
        self.get(&path, self.within(deadline)).await
    }

    /// Commits changes of the catalogue, all or none of them, unless others have changed the same names since the generation on which
    /// they were decided.
    pub(crate) async fn commit_catalog(
        &self,
        commit: &CatalogCommit,
        deadline: Duration,
    ) -> Result<CatalogCommitted, CommitFailure> {
        let mut may_be_made = false;
        let body = serde_json::to_value(commit).map_err(|error| CommitFailure {
            error: ClientError::other(format!("CLIENT-REQUEST: {error}")),
            is_conflict: false,
            may_be_made,
        })?;
        // A second application is a conflict with the first.
        let answer = self.call_noting(Method::POST, PATH, Some(body), Repeat::Harmless, self.within(deadline), &mut may_be_made);
        answer.await.map_err(|error| {
            let refusals = if let ClientError::Refused { errors } = &error { errors.as_slice() } else { &[] };
            let is_conflict = refusals.iter().any(|refusal| refusal.split(':').next() == Some(CONFLICT));
            CommitFailure { error, is_conflict, may_be_made }
        })
    }
}
