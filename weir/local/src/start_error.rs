//! The reasons why a local cluster does not start.

use std::io;
use std::path::PathBuf;

/// Why a local cluster could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another program uses a port that the raft log contains.
    #[error(
        "LOCAL-PORT: {name} of the cluster in {} needs its port {port} again, but can't listen on it: {source}. If another `weir \
         local` runs on this directory, stop it. Otherwise stop the program that uses the port, or take another --dir.",
        directory.display()
    )]
    PortInUse { name: String, directory: PathBuf, port: u16, source: io::Error },
    /// Another program, perhaps another cluster, uses a REST port.
    #[error(
        "LOCAL-PORT: {name} can't listen on the REST port {port}: {source}. Perhaps another cluster uses it: stop that one, or take \
         another --rest-port."
    )]
    RestPort { name: String, port: u16, source: io::Error },
    /// There are not enough REST ports from the first one on.
    #[error("LOCAL-PORT: there are no {jobmanagers} ports from {first} on: take a lower --rest-port")]
    PortRange { first: u16, jobmanagers: u32 },
    /// The directory belongs to a cluster with another number of JobManagers.
    #[error(
        "LOCAL-MEMBERS: the cluster in {} has {known} JobManagers, not {asked}: start it with --jobmanagers {known}, or take another \
         --dir",
        directory.display()
    )]
    Members { directory: PathBuf, known: usize, asked: usize },
    /// There is a raft log, but not the ports of its members.
    #[error(
        "LOCAL-PORTS-FILE: there is a raft log in {}, but the file of its members' ports, {}, is missing, so they can't find each \
         other: bring the file back, or take another --dir",
        log.display(), file.display()
    )]
    PortsUnknown { log: PathBuf, file: PathBuf },
    /// The file of ports can't be read.
    #[error("LOCAL-PORTS-FILE: {} can't be read: {reason}; correct it, or take another --dir", file.display())]
    PortsFile { file: PathBuf, reason: String },
    /// The cluster's directory can't be created.
    #[error("LOCAL-DIRECTORY: can't create {}: {source}; take another --dir", directory.display())]
    Directory { directory: PathBuf, source: io::Error },
    /// An operation on files or processes failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
