//! Why a role does not start.

use crate::config::ConfigError;

/// Why a role could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration does not fit the role.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address in the configuration is none.
    #[error("CONFIG-VALUE: {key}: {text:?} is not an address: {reason}")]
    Address {
        key: &'static str,
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// A place for files can't be opened.
    #[error(transparent)]
    Storage(#[from] weir_storage::OpenError),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The raft group can't be joined.
    #[error(transparent)]
    Raft(#[from] weir_ha::raft::StartError),
    /// etcd can't be used.
    #[error(transparent)]
    Etcd(#[from] weir_ha::etcd::StartError),
    /// ZooKeeper can't be used as the options say.
    #[error(transparent)]
    ZooKeeper(#[from] weir_ha::zookeeper::StartError),
    /// The JobManager did not start.
    #[error(transparent)]
    JobManager(#[from] weir_control_plane::job_manager::StartError),
    /// The TaskManager did not start.
    #[error(transparent)]
    TaskManager(#[from] weir_worker::StartError),
}
