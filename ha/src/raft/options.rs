//! The options with which a member is started.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::log::{DiskFailureHook, LogError};
use super::types::Member;

/// The address or socket on which the peer service listens.
#[derive(Debug)]
pub enum Listen {
    Address(String),
    /// A socket that is bound already, e.g. to a port that the system chose.
    Listener(TcpListener),
}

/// The options with which a member is started.
pub struct RaftOptions {
    /// Stable name of this member, e.g. `jm-1`.
    pub name: String,
    pub listen: Listen,
    /// The members that found the group, including this one. For a member that joins later: the members that it can ask for
    /// admission.
    pub members: Vec<Member>,
    /// The directory of this member: log, snapshots, vote, identity. Only one process may use it.
    pub data_dir: PathBuf,
    /// Name of the cluster. Members of another cluster are refused.
    pub cluster_id: String,
    pub timing: RaftTiming,
    /// After this many entries, a snapshot is taken and the log before it is removed.
    pub snapshot_after_entries: u64,
    /// The same holds after entries of this many bytes, or of as many as the store has if it is larger. One entry may have more
    /// than a megabyte.
    pub snapshot_after_bytes: u64,
    /// Bytes of one log file.
    pub segment_bytes: u64,
    /// Called at the first failed write or sync. After that, the contents of the disk are unknown. So the default logs what to do
    /// and aborts the process.
    pub on_disk_failure: DiskFailureHook,
}

impl fmt::Debug for RaftOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftOptions").field("name", &self.name).field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl RaftOptions {
    /// Options with default values for everything else.
    pub fn new(name: &str, listen: Listen, members: Vec<Member>, data_dir: PathBuf, cluster_id: &str) -> Self {
        Self {
            name: name.to_owned(),
            listen,
            members,
            data_dir,
            cluster_id: cluster_id.to_owned(),
            timing: RaftTiming::default(),
            snapshot_after_entries: 10_000,
            snapshot_after_bytes: 64 << 20,
            segment_bytes: 16 << 20,
            on_disk_failure: Arc::new(abort),
        }
    }
}

/// Refuses a name or an address that occurs twice. The group would be founded without one of the two members, or two members would
/// send their messages to one process.
pub(crate) fn check_members(members: &[Member]) -> Result<(), StartError> {
    let invalid = |text: String| Err(StartError::Invalid(format!("the members of the group: {text}")));
    for (number, member) in members.iter().enumerate() {
        let Member { name, address } = member;
        for earlier in &members[..number] {
            if earlier.name == *name {
                return invalid(format!("the name {name:?} occurs twice: give every member a name of its own"));
            }
            if earlier.address == *address {
                let other = &earlier.name;
                return invalid(format!("{other:?} and {name:?} have the same address {address}: give each its own"));
            }
        }
    }
    Ok(())
}

/// Raft's timeouts, for a leader that does not answer. The crash of a leader's process is detected at once, without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaftTiming {
    /// The interval between two heartbeats.
    pub heartbeat: Duration,
    /// The shortest time without a message from the leader after which a follower stands in an election.
    pub election_min: Duration,
    /// The longest such time.
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
    /// For this long after a heartbeat, followers elect no other leader. The leader acts for the same time without a new quorum
    /// of answers, so it stops before another can start (E5). The rest of the election timeout is raft's random part.
    pub fn lease(&self) -> Duration {
        self.election_max / 2
    }

    /// The shortest random part of the election timeout.
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

/// Why a member could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The options contradict each other. A retry can't help.
    #[error("HA-RAFT-OPTIONS: {0}")]
    Invalid(String),
    /// The peer service could not listen. A retry can help once the address is free.
    #[error("HA-RAFT-LISTEN: can't listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    /// Another process uses the directory. A retry can help once that process has ended.
    #[error("HA-RAFT-LOCKED: {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The log, the vote, a snapshot or the identity can't be read. If it is damaged and a quorum works without this member,
    /// empty the whole directory. The member then joins again and gets everything from the others.
    #[error(
        "HA-RAFT-STORAGE: {0}. If a majority of the members works without this one, stop it, move its whole directory away and start it again: it gets everything from the others"
    )]
    Storage(#[from] LogError),
    /// The directory belongs to another member.
    #[error("HA-RAFT-IDENTITY: {0}")]
    Identity(String),
    /// A thread or a runtime could not be started.
    #[error("HA-RAFT-RESOURCES: {0}")]
    Resources(io::Error),
}

/// After a failed sync, the contents of the disk are unknown. A process that continued could lose acknowledged entries.
fn abort(error: &str) {
    tracing::error!(
        error,
        "HA-RAFT-DISK: writing coordination state failed; this process ends so that another member can lead. Check the disk and its free space, then start it again"
    );
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::super::RaftProvider;
    use super::*;

    fn start(members: &[(&str, &str)]) -> Result<RaftProvider, StartError> {
        let member = |(name, address): &(&str, &str)| Member { name: (*name).into(), address: (*address).into() };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let members = members.iter().map(member).collect();
        let listen = Listen::Address("127.0.0.1:0".into());
        RaftProvider::start(RaftOptions::new("a", listen, members, directory.path().to_owned(), "test"))
    }

    #[test]
    fn a_name_or_an_address_that_occurs_twice_is_refused() {
        let refused = |members: &[(&str, &str)], what: &str| {
            let error = start(members).expect_err("starts").to_string();
            assert!(error.starts_with("HA-RAFT-OPTIONS: ") && error.contains(what), "{error}");
        };
        refused(&[("a", "h:1"), ("b", "h:2"), ("a", "h:3")], "the name \"a\" occurs twice");
        refused(&[("a", "h:1"), ("b", "h:2"), ("c", "h:1")], "\"a\" and \"c\" have the same address h:1");
        refused(&[("a", "h:1"), ("a", "h:1")], "the name \"a\" occurs twice");
    }
}
