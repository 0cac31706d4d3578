//! Why a statement failed.

use weir_protocol::JobId;
use weir_sql::script::SqlError;

use crate::ClientError;

/// Why a statement failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlClientError {
    /// The statement is wrong, or asks for what does not exist. Its place relates to the script that the statement is from.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The cluster could not be reached, or refused.
    #[error(transparent)]
    Cluster(#[from] ClientError),
    /// The statement was perhaps carried out, or in part: the change of the cluster's catalogue, its last step, failed.
    #[error("{error}{}{}", unknown(*.may_be_made), submitted(*.job))]
    Unfinished {
        error: ClientError,
        /// Whether the catalogue may have been changed.
        may_be_made: bool,
        /// The job that was submitted before.
        job: Option<JobId>,
    },
}

impl SqlClientError {
    /// The error of a statement whose job was submitted before.
    pub(super) fn after(job: Option<JobId>, error: SqlError) -> Self {
        let hint = format!("{}{}", error.hint.clone().unwrap_or_default(), submitted(job));
        Self::Sql(SqlError { hint: Some(hint.trim_start().to_owned()).filter(|hint| !hint.is_empty()), ..error })
    }

    /// The error for people. `script` is what the statement is from.
    pub fn render(&self, script: &str) -> String {
        match self {
            Self::Sql(error) => error.render(script),
            other => other.to_string(),
        }
    }
}

fn unknown(may_be_made: bool) -> &'static str {
    if may_be_made { "\nit is not known whether tables and views were changed; SHOW TABLES tells" } else { "" }
}

fn submitted(job: Option<JobId>) -> String {
    job.map_or_else(String::new, |job| format!("\nits job {job} was submitted before; STOP JOB '{job}' ends it"))
}
