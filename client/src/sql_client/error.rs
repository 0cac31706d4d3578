//! Why a statement failed.

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
}
