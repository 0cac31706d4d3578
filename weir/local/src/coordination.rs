//! What a local cluster coordinates through: its own raft group, or servers started for it alone.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use clap::ValueEnum;
use weir_servers::{EtcdCluster, Fault, Proxy, ZooKeeperEnsemble};

use crate::LocalClusterOptions;

/// Nodes of etcd or ZooKeeper: as many as survive the loss of one.
const NODES: usize = 3;
/// The etcd that is started: whatever the search path finds.
const ETCD: &str = "etcd";

/// Which coordination system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Coordination {
    /// The JobManagers themselves.
    #[default]
    Raft,
    /// Three nodes of etcd; the `etcd` program must be installed.
    Etcd,
    /// Three ZooKeeper servers; Java and Debian's `zookeeper` package must be installed.
    #[value(name = "zookeeper")]
    ZooKeeper,
}

/// The servers of one local cluster, and the way to them; they end with the value. Their data does not outlive them: the next
/// start makes new ones.
#[derive(Debug)]
pub(super) struct CoordinationServers {
    servers: Servers,
    /// One before each server, if the way to them is to be interruptible.
    proxies: Vec<Proxy>,
}

#[derive(Debug)]
enum Servers {
    /// None are needed.
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
                EtcdCluster::start(Path::new(ETCD), NODES, &directory.join("etcd")).map(Servers::Etcd).map_err(failed)?
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

    /// What a JobManager must be told, `key=value`.
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

    /// From now on this happens on the way to every server.
    pub(super) fn interrupt(&self, fault: Fault) {
        self.proxies.iter().for_each(|proxy| proxy.set(fault));
    }

    /// Bytes of answers that the proxies have held back.
    pub(super) fn held_answers(&self) -> u64 {
        self.proxies.iter().map(Proxy::held_answers).sum()
    }

    /// Ends every server as a power cut does.
    pub(super) fn kill(&mut self) {
        for number in 0..NODES {
            match &mut self.servers {
                Servers::None => {}
                Servers::Etcd(etcd) => etcd.kill(number),
                Servers::ZooKeeper(ensemble) => ensemble.kill(number),
            }
        }
    }

    /// Starts every server again on its data, and waits until they serve.
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
