//! What a local cluster coordinates through: its own raft group, or servers started for it alone.

use std::io;
use std::path::Path;

use clap::ValueEnum;
use weir_servers::{EtcdCluster, ZooKeeperEnsemble};

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

/// The servers of one local cluster; they end with the value. Their data does not outlive them: the next start makes new ones.
#[derive(Debug)]
pub(super) enum CoordinationServers {
    /// None are needed.
    None,
    /// etcd.
    Etcd(EtcdCluster),
    /// ZooKeeper.
    ZooKeeper(ZooKeeperEnsemble),
}

impl CoordinationServers {
    /// Starts what `coordination` needs under `directory`.
    pub(super) fn start(coordination: Coordination, directory: &Path) -> io::Result<Self> {
        let failed = |error: weir_servers::StartError| io::Error::other(error.to_string());
        match coordination {
            Coordination::Raft => Ok(Self::None),
            Coordination::Etcd => {
                EtcdCluster::start(Path::new(ETCD), NODES, &directory.join("etcd")).map(Self::Etcd).map_err(failed)
            }
            Coordination::ZooKeeper => {
                ZooKeeperEnsemble::start(NODES, &directory.join("zookeeper")).map(Self::ZooKeeper).map_err(failed)
            }
        }
    }

    /// What a JobManager must be told, `key=value`.
    pub(super) fn settings(&self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::Etcd(etcd) => vec![
                "high-availability.type=etcd".to_owned(),
                format!("high-availability.etcd.endpoints={}", etcd.endpoints().join(";")),
            ],
            Self::ZooKeeper(ensemble) => vec![
                "high-availability.type=zookeeper".to_owned(),
                format!("high-availability.zookeeper.quorum={}", ensemble.connect_string()),
            ],
        }
    }

    /// Ends every server as a power cut does.
    pub(super) fn kill(&mut self) {
        for number in 0..NODES {
            match self {
                Self::None => {}
                Self::Etcd(etcd) => etcd.kill(number),
                Self::ZooKeeper(ensemble) => ensemble.kill(number),
            }
        }
    }

    /// Starts every server again on its data, and waits until they serve.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        let numbers: Vec<_> = (0..NODES).collect();
        let restarted = match self {
            Self::None => Ok(()),
            Self::Etcd(etcd) => etcd.restart_all(&numbers),
            Self::ZooKeeper(ensemble) => numbers
                .iter()
                .try_for_each(|number| ensemble.restart(*number))
                .and_then(|()| numbers.iter().try_for_each(|number| ensemble.await_serving(*number))),
        };
        restarted.map_err(|error| io::Error::other(error.to_string()))
    }
}
