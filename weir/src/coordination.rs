//! From a configuration to a coordination provider.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_ha::HaServices;
use weir_ha::etcd::{Credentials, EtcdOptions, EtcdProvider, Tls};
use weir_ha::memory::MemoryStore;
use weir_ha::raft::{Listen, Member, RaftOptions, RaftProvider, RaftTiming};
use weir_ha::zookeeper::{self, ZooKeeperOptions, ZooKeeperProvider};

use crate::config::{Config, ConfigError};
use crate::start_error::StartError;

/// Starts what `high-availability.type` names.
pub(crate) fn start(config: &Config) -> Result<HaServices, StartError> {
    let name = config.text("jobmanager.name");
    match config.text("high-availability.type").as_str() {
        "raft" => start_raft(config, &name),
        "etcd" => start_etcd(config),
        "zookeeper" => start_zookeeper(config, &name),
        _ => Ok(Arc::new(MemoryStore::new().member(&name))),
    }
}

/// What people call the coordination system of this configuration; the same for every JobManager of the cluster.
pub(crate) fn name(config: &Config) -> String {
    let cluster = config.text("high-availability.cluster-id");
    let servers = |key| {
        let mut servers = config.list(key);
        servers.sort();
        servers.join(",")
    };
    match config.text("high-availability.type").as_str() {
        "raft" => format!("the raft group {cluster} of {}", servers("high-availability.raft.members")),
        "etcd" => {
            let (root, servers) = (config.text("high-availability.etcd.path.root"), servers("high-availability.etcd.endpoints"));
            format!("{root}/{cluster} in etcd at {servers}")
        }
        "zookeeper" => {
            let (root, servers) =
                (config.text("high-availability.zookeeper.path.root"), servers("high-availability.zookeeper.quorum"));
            format!("{root}/{cluster} in ZooKeeper at {servers}")
        }
        _ => "the memory of one process".to_owned(),
    }
}

fn start_etcd(config: &Config) -> Result<HaServices, StartError> {
    config.require("high-availability.type: etcd", &["high-availability.etcd.endpoints"])?;
    let path = |key| config.get(key).map(PathBuf::from);
    let mut options =
        EtcdOptions::new(config.list("high-availability.etcd.endpoints"), &config.text("high-availability.cluster-id"));
    options.root = config.text("high-availability.etcd.path.root");
    options.lease_ttl = config.duration("high-availability.etcd.lease-ttl");
    options.outage_tolerance = config.duration("high-availability.outage-tolerance");
    let (user, password) = ("high-availability.etcd.username", "high-availability.etcd.password");
    if config.get(user).is_some() || config.get(password).is_some() {
        config.require("access to etcd", &[user, password])?;
        options.credentials = Some(Credentials { user: config.text(user), password: config.text(password) });
    }
    let (certificate, key) = ("high-availability.etcd.tls.certificate", "high-availability.etcd.tls.key");
    let identity = path(certificate).zip(path(key));
    if path(certificate).is_some() || path(key).is_some() {
        config.require("TLS to etcd", &["high-availability.etcd.tls.ca", certificate, key])?;
    }
    options.tls = path("high-availability.etcd.tls.ca").map(|ca| Tls { ca, identity });
    Ok(Arc::new(EtcdProvider::start(&options)?))
}

fn start_zookeeper(config: &Config, name: &str) -> Result<HaServices, StartError> {
    config.require("high-availability.type: zookeeper", &["high-availability.zookeeper.quorum"])?;
    let path = |key| config.get(key).map(PathBuf::from);
    let quorum = config.text("high-availability.zookeeper.quorum");
    let mut options = ZooKeeperOptions::new(name, &quorum, &config.text("high-availability.cluster-id"));
    options.root = config.text("high-availability.zookeeper.path.root");
    options.session_timeout = config.duration("high-availability.zookeeper.client.session-timeout");
    let connection_timeout = "high-availability.zookeeper.client.connection-timeout";
    options.connection_timeout = match config.get(connection_timeout) {
        Some(_) => config.duration(connection_timeout),
        None => options.session_timeout * 2 / 5,
    };
    options.outage_tolerance = config.duration("high-availability.outage-tolerance");
    options.max_request_bytes = config.size("high-availability.zookeeper.client.max-request-size") as usize;
    if config.text("high-availability.zookeeper.client.acl") == "creator" {
        options.acl = zookeeper::Acl::Creator;
    }
    let (user, password) =
        ("high-availability.zookeeper.client.sasl.username", "high-availability.zookeeper.client.sasl.password");
    if config.get(user).is_some() || config.get(password).is_some() {
        config.require("access to ZooKeeper", &[user, password])?;
        options.credentials = Some(zookeeper::Credentials { user: config.text(user), password: config.text(password) });
    }
    let (certificate, key) = ("high-availability.zookeeper.client.tls.certificate", "high-availability.zookeeper.client.tls.key");
    let identity = path(certificate).zip(path(key));
    if path(certificate).is_some() || path(key).is_some() {
        config.require("TLS to ZooKeeper", &["high-availability.zookeeper.client.tls.ca", certificate, key])?;
    }
    options.tls = path("high-availability.zookeeper.client.tls.ca").map(|ca| zookeeper::Tls { ca, identity });
    Ok(Arc::new(ZooKeeperProvider::start(&options)?))
}

fn start_raft(config: &Config, name: &str) -> Result<HaServices, StartError> {
    config.require("high-availability.type: raft", &["high-availability.raft.members", "high-availability.raft.dir"])?;
    let members = config.list("high-availability.raft.members").iter().map(|text| member(text)).collect::<Result<Vec<_>, _>>()?;
    let own = members.iter().find(|member| member.name == name).ok_or_else(|| {
        let known: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        let known = known.join(", ");
        ConfigError::Contradiction(format!("jobmanager.name {name:?} is not among high-availability.raft.members: {known}"))
    })?;
    let port = own.address.rsplit_once(':').map_or("0", |(_, port)| port);
    let listen = Listen::Address(format!("{}:{port}", config.text("high-availability.raft.bind-host")));
    let directory = PathBuf::from(config.text("high-availability.raft.dir"));
    let mut options = RaftOptions::new(name, listen, members.clone(), directory, &config.text("high-availability.cluster-id"));
    options.segment_bytes = config.size("high-availability.raft.segment-size");
    options.timing = raft_timing(config);
    Ok(Arc::new(RaftProvider::start(options)?))
}

fn raft_timing(config: &Config) -> RaftTiming {
    RaftTiming {
        heartbeat: config.duration("high-availability.raft.heartbeat-interval"),
        election_min: config.duration("high-availability.raft.election-timeout.min"),
        election_max: config.duration("high-availability.raft.election-timeout.max"),
    }
}

/// A raft group of three in this process, on loopback, with its logs in `directory`: what the disk there is good for.
pub(crate) fn raft_on_trial(config: &Config, directory: &Path) -> Result<Vec<RaftProvider>, StartError> {
    let bind = || TcpListener::bind("127.0.0.1:0").and_then(|listener| Ok((listener.local_addr()?.to_string(), listener)));
    let listeners = (0..3).map(|_| bind()).collect::<io::Result<Vec<_>>>()?;
    let named = |(number, (address, _)): (usize, &(String, TcpListener))| Member {
        name: format!("check-{}", number + 1),
        address: address.clone(),
    };
    let members: Vec<Member> = listeners.iter().enumerate().map(named).collect();
    let start = |(member, (_, listener)): (&Member, (String, TcpListener))| {
        let listen = Listen::Listener(listener);
        let mut options = RaftOptions::new(&member.name, listen, members.clone(), directory.join(&member.name), "check");
        options.timing = raft_timing(config);
        Ok(RaftProvider::start(options)?)
    };
    members.iter().zip(listeners).map(start).collect()
}

/// A member of the raft group from `name@host:port`.
pub(crate) fn member(text: &str) -> Result<Member, StartError> {
    let refuse = |reason: &str| StartError::Address {
        key: "high-availability.raft.members",
        text: text.to_owned(),
        reason: reason.to_owned(),
    };
    let (name, address) = text.split_once('@').ok_or_else(|| refuse("expected name@host:port"))?;
    let (host, port) = address.rsplit_once(':').ok_or_else(|| refuse("expected name@host:port"))?;
    if name.is_empty() || host.is_empty() || port.parse::<u16>().is_err() {
        return Err(refuse("expected name@host:port"));
    }
    Ok(Member { name: name.to_owned(), address: address.to_owned() })
}
