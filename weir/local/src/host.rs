//! Where a process of a local cluster runs.

use std::net::{IpAddr, Ipv4Addr};

/// A host on this machine: an address, and how to start a process there. By default, plain loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The address that its services listen on, and at which others reach them.
    pub address: IpAddr,
    /// The command that starts a process there and then replaces itself with it, e.g. `nsenter --net=...`. Empty if none is
    /// needed.
    pub launcher: Vec<String>,
    /// Additional environment variables of its processes.
    pub environment: Vec<(String, String)>,
}

impl Default for Host {
    fn default() -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), launcher: Vec::new(), environment: Vec::new() }
    }
}

impl Host {
    /// The settings of a JobManager on this host.
    pub(super) fn jobmanager_settings(&self) -> Vec<String> {
        let keys = ["jobmanager.bind-host", "jobmanager.rpc.address", "rest.bind-address", "high-availability.raft.bind-host"];
        keys.map(|key| format!("{key}={}", self.address)).to_vec()
    }

    /// The settings of a TaskManager on this host.
    pub(super) fn taskmanager_settings(&self) -> Vec<String> {
        vec![format!("taskmanager.bind-host={}", self.address)]
    }
}
