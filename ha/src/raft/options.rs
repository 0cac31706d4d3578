//! How a member is started.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::log::{DiskFailureHook, LogError};
use super::types::Member;

/// Where the peer service listens.
#[derive(Debug)]
pub enum Listen {
    Address(String),
    /// Takes a socket that is bound already, e.g. to a port the system chose.
    Listener(TcpListener),
}

/// How a member is started.
pub struct RaftOptions {
    /// Stable name of this member, e.g. `jm-1`.
    pub name: String,
    /// Where its peer service listens.
    pub listen: Listen,
    /// The members that found the group, this one among them. A member that joins later names those that it can ask
    /// to be let in.
    pub members: Vec<Member>,
    /// Its directory: log, snapshots, vote, identity. Belongs to one process.
    pub data_dir: PathBuf,
    /// Name of the cluster; members of another are refused.
    pub cluster_id: String,
    pub timing: RaftTiming,
    /// Entries after which a snapshot is taken and the log before it removed.
    pub snapshot_after_entries: u64,
    /// Bytes of one log file.
    pub segment_bytes: u64,
    /// Called at the first failed write or sync; the default logs what to do and aborts the process, because what is on
    /// disk is unknown from then on.
    pub on_disk_failure: DiskFailureHook,
}

impl fmt::Debug for RaftOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftOptions").field("name", &self.name).field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl RaftOptions {
    /// Options with their defaults.
    pub fn new(name: &str, listen: Listen, members: Vec<Member>, data_dir: PathBuf, cluster_id: &str) -> Self {
        Self {
            name: name.to_owned(),
            listen,
            members,
            data_dir,
            cluster_id: cluster_id.to_owned(),
            timing: RaftTiming::default(),
            snapshot_after_entries: 10_000,
            segment_bytes: 16 << 20,
            on_disk_failure: Arc::new(abort),
        }
    }
}

/// Raft's timeouts. A crashed leader process is seen at once; these are for one that is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaftTiming {
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// A follower stands in an election at the earliest after so much silence.
    pub election_min: Duration,
    /// And at the latest after so much.
    pub election_max: Duration,
}

impl Default for RaftTiming {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(1000),
        }
    }
}

impl RaftTiming {
    /// For so long after a heartbeat followers elect nobody else, and for so long the leader acts without another quorum of
    /// answers: it stops before others may start (E5). The rest of the election timeout is raft's random part.
    pub fn lease(&self) -> Duration {
        self.election_max / 2
    }

    /// The shortest random part.
    pub(crate) fn random_min(&self) -> Duration {
        self.election_min.saturating_sub(self.lease()).max(self.lease() / 2)
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        let invalid = |text: &str| Err(StartError::Invalid(text.to_owned()));
        if self.heartbeat < Duration::from_millis(5) {
            return invalid("the heartbeat interval is below 5 ms");
        }
        if self.election_min > self.election_max {
            return invalid("the shortest election timeout is above the longest");
        }
        if self.heartbeat * 5 > self.election_max {
            return invalid("the longest election timeout is below five heartbeat intervals");
        }
        Ok(())
    }
}

/// A member could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The options contradict each other; a retry can't help.
    #[error("HA-RAFT-OPTIONS: {0}")]
    Invalid(String),
    /// The peer service could not listen; a retry can help once the address is free.
    #[error("HA-RAFT-LISTEN: can't listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    /// Another process has the directory; a retry can help once it has ended.
    #[error("HA-RAFT-LOCKED: {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The log, the vote, a snapshot or the identity can't be read. If it is damaged and a quorum of the other members is
    /// well, empty the whole directory: the member then joins again and gets everything from them.
    #[error(
        "HA-RAFT-STORAGE: {0}. If the other members are well, stop this one, move its whole directory away and start it again: it gets everything from them"
    )]
    Storage(#[from] LogError),
    /// The directory belongs to another member.
    #[error("HA-RAFT-IDENTITY: {0}")]
    Identity(String),
    /// A thread or a runtime could not be started.
    #[error("HA-RAFT-RESOURCES: {0}")]
    Resources(io::Error),
}

/// What is on disk is unknown after a failed sync: going on could lose what was promised.
fn abort(error: &str) {
    tracing::error!(
        error,
        "HA-RAFT-DISK: writing coordination state failed; this process ends so that another member can lead. Check the disk and its free space, then start it again"
    );
    std::process::abort();
}
