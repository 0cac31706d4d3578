//! Where a process of a local cluster runs.

use std::net::{IpAddr, Ipv4Addr};

/// A host of one's own on this machine: an address, and how to start something there. By default plain loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What its services listen on, and under which others reach them.
    pub address: IpAddr,
    /// The command that starts a process there and replaces itself by it, e.g. `nsenter --net=...`; empty for none.
    pub launcher: Vec<String>,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
}

impl Default for Host {
    fn default() -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), launcher: Vec::new(), environment: Vec::new() }
    }
}

impl Host {
    /// What a JobManager there must be told.
    pub(super) fn jobmanager_settings(&self) -> Vec<String> {
        let keys = ["jobmanager.bind-host", "jobmanager.rpc.address", "rest.bind-address", "high-availability.raft.bind-host"];
        keys.map(|key| format!("{key}={}", self.address)).to_vec()
    }

    /// What a TaskManager there must be told.
    pub(super) fn taskmanager_settings(&self) -> Vec<String> {
        vec![format!("taskmanager.bind-host={}", self.address)]
    }
}
