//! The reasons why a role does not start.

use crate::config::ConfigError;

/// Why a role could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is invalid, or lacks an option that the role needs.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A text in the configuration is not an address that can be used.
    #[error("CONFIG-VALUE: {key}: {text:?} is not an address: {reason}")]
    Address { key: &'static str, text: String, reason: String },
    /// A storage directory can't be opened.
    #[error(transparent)]
    Storage(#[from] weir_storage::OpenError),
    /// A storage directory can't be used, and waiting can't help.
    #[error("{source} ({key})")]
    StorageUnusable { key: &'static str, source: weir_storage::ProbeError },
    /// The directory of the raft log can't be used by this user.
    #[error(
        "HA-RAFT-DIRECTORY: {} ({}) can't be used: {source}. Let the user of this process read and write it and everything in it, \
         e.g. with `chown -R`. If it is there by mistake, configure another directory.",
        path.display(), crate::config::option::HA_RAFT_DIR.key
    )]
    RaftDirectory { path: std::path::PathBuf, source: std::io::Error },
    /// An operation of the operating system failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The member of the raft group did not start.
    #[error(transparent)]
    Raft(#[from] weir_ha::raft::StartError),
    /// etcd can't be used as the options say.
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
