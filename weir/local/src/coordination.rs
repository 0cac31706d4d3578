//! What a local cluster coordinates through: its own raft group, or servers that are started only for it.

use std::io;
use std::net::SocketAddr;

use clap::ValueEnum;
use weir_servers::{EtcdCluster, Fault, Proxy, ZooKeeperEnsemble};

use crate::LocalClusterOptions;

/// Number of nodes of etcd or ZooKeeper: enough to survive the loss of one.
const NODES: usize = 3;

/// A coordination system for the JobManagers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Coordination {
    /// The JobManagers themselves.
    #[default]
    Raft,
    /// Three nodes of etcd: 3.7 if ops/test-servers.sh has installed it, otherwise the `etcd` program.
    Etcd,
    /// Three ZooKeeper servers: 3.9 if ops/test-servers.sh has installed it, otherwise Debian's `zookeeper` package.
    #[value(name = "zookeeper")]
    ZooKeeper,
}

/// The coordination servers of one local cluster, and the proxies before them. They end when the value is dropped, and their data
/// is not used again: the next start makes new servers.
#[derive(Debug)]
pub(super) struct CoordinationServers {
    servers: Servers,
    /// One proxy before each server, if connections to the servers can be interrupted.
    proxies: Vec<Proxy>,
}

#[derive(Debug)]
enum Servers {
    /// No servers are needed.
    None,
    Etcd(EtcdCluster),
    ZooKeeper(ZooKeeperEnsemble),
}

impl CoordinationServers {
    /// Starts what the coordination of these options needs.
    pub(super) fn start(options: &LocalClusterOptions) -> io::Result<Self> {
        let directory = &options.directory;
        let failed = |error: weir_servers::StartError| io::Error::other(error.to_string());
        let servers = match options.coordination {
            Coordination::Raft => Servers::None,
            Coordination::Etcd => {
                EtcdCluster::start(&weir_servers::etcd(), NODES, &directory.join("etcd")).map(Servers::Etcd).map_err(failed)?
            }
            Coordination::ZooKeeper => {
                ZooKeeperEnsemble::start(NODES, &directory.join("zookeeper")).map(Servers::ZooKeeper).map_err(failed)?
            }
        };
        let addresses = if options.interruptible { servers.client_addresses() } else { Vec::new() };
        let proxies =
            addresses.into_iter().map(|server| Proxy::start_on(options.proxy_address, server)).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { servers, proxies })
    }

    /// The settings that tell a JobManager about the servers, as `key=value`.
    pub(super) fn settings(&self) -> Vec<String> {
        let mut addresses: Vec<_> = self.proxies.iter().map(Proxy::address).collect();
        if addresses.is_empty() {
            addresses = self.servers.client_addresses();
        }
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        match &self.servers {
            Servers::None => Vec::new(),
            Servers::Etcd(_) => vec![
                "high-availability.type=etcd".to_owned(),
                format!("high-availability.etcd.endpoints={}", addresses.join(";")),
            ],
            Servers::ZooKeeper(_) => vec![
                "high-availability.type=zookeeper".to_owned(),
                format!("high-availability.zookeeper.quorum={}", addresses.join(",")),
            ],
        }
    }

    /// From now on, this fault happens on all connections to the servers.
    pub(super) fn interrupt(&self, fault: Fault) {
        self.proxies.iter().for_each(|proxy| proxy.set(fault));
    }

    /// Bytes of answers that the proxies have held back.
    pub(super) fn held_answers(&self) -> u64 {
        self.proxies.iter().map(Proxy::held_answers).sum()
    }

    /// Kills every server, as a power cut would.
    pub(super) fn kill(&mut self) {
        for number in 0..NODES {
            match &mut self.servers {
                Servers::None => {}
                Servers::Etcd(etcd) => etcd.kill(number),
                Servers::ZooKeeper(ensemble) => ensemble.kill(number),
            }
        }
    }

    /// Restarts every server on its data, and waits until all of them serve.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        let numbers: Vec<_> = (0..NODES).collect();
        let restarted = match &mut self.servers {
            Servers::None => Ok(()),
            Servers::Etcd(etcd) => etcd.restart_all(&numbers),
            Servers::ZooKeeper(ensemble) => numbers
                .iter()
                .try_for_each(|number| ensemble.restart(*number))
                .and_then(|()| numbers.iter().try_for_each(|number| ensemble.await_serving(*number))),
        };
        restarted.map_err(|error| io::Error::other(error.to_string()))
    }
}

impl Servers {
    fn client_addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::None => Vec::new(),
            Self::Etcd(etcd) => etcd.client_addresses(),
            Self::ZooKeeper(ensemble) => ensemble.client_addresses(),
        }
    }
}
