//! Starts the coordination provider from a configuration.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_ha::HaServices;
use weir_ha::etcd::{Credentials, EtcdOptions, EtcdProvider, Tls};
use weir_ha::memory::MemoryStore;
use weir_ha::raft::{Listen, Member, RaftOptions, RaftProvider, RaftTiming};
use weir_ha::zookeeper::{self, ZooKeeperOptions, ZooKeeperProvider};

use crate::config::option::{self, ConfigOption};
use crate::config::value::{HaType, Secret, ZooKeeperAcl};
use crate::config::{Config, ConfigError};
use crate::raft_directory;
use crate::start_error::StartError;

/// Starts the provider that `high-availability.type` names.
pub(crate) fn start(config: &Config) -> Result<HaServices, StartError> {
    let name = config.get(&option::JOBMANAGER_NAME);
    match config.get(&option::HA_TYPE) {
        HaType::Raft => start_raft(config, &name),
        HaType::Etcd => start_etcd(config),
        HaType::ZooKeeper => start_zookeeper(config, &name),
        HaType::None => Ok(Arc::new(MemoryStore::new().member(&name))),
    }
}

/// The name of the coordination system in messages, the same for every JobManager of the cluster. A migration stores the name in
/// its marks and compares it later, so the form of the name must not change.
pub(crate) fn name(config: &Config) -> String {
    let cluster = config.get(&option::HA_CLUSTER_ID);
    let sorted = |mut servers: Vec<String>| {
        servers.sort();
        servers.join(",")
    };
    match config.get(&option::HA_TYPE) {
        HaType::Raft => format!("the raft group {cluster} of {}", sorted(config.get(&option::HA_RAFT_MEMBERS))),
        HaType::Etcd => {
            let (root, servers) = (config.get(&option::HA_ETCD_PATH_ROOT), sorted(config.get(&option::HA_ETCD_ENDPOINTS)));
            format!("{root}/{cluster} in etcd at {servers}")
        }
        HaType::ZooKeeper => {
            let quorum = config.get(&option::HA_ZOOKEEPER_QUORUM).unwrap_or_default();
            let servers = sorted(quorum.split(',').map(|server| server.trim().to_owned()).collect());
            format!("{}/{cluster} in ZooKeeper at {servers}", config.get(&option::HA_ZOOKEEPER_PATH_ROOT))
        }
        HaType::None => "the memory of one process".to_owned(),
    }
}

/// User and password. If one of them is set, both must be.
fn credentials(
    config: &Config,
    needed_by: &str,
    user: &ConfigOption<Option<String>>,
    password: &ConfigOption<Option<Secret>>,
) -> Result<Option<(String, String)>, ConfigError> {
    if config.get(user).is_none() && config.get(password).is_none() {
        return Ok(None);
    }
    Ok(Some((config.require(needed_by, user)?, config.require(needed_by, password)?.0)))
}

/// PEM files for TLS: certificates of the authorities, and this process's own certificate with its key.
struct TlsFiles {
    ca: PathBuf,
    identity: Option<(PathBuf, PathBuf)>,
}

/// The files for TLS, if any of the options is set. If the certificate or its key is set, all three must be.
fn tls(
    config: &Config,
    needed_by: &str,
    [ca, certificate, key]: [&ConfigOption<Option<String>>; 3],
) -> Result<Option<TlsFiles>, ConfigError> {
    let required = |option| config.require(needed_by, option).map(PathBuf::from);
    if config.get(certificate).is_some() || config.get(key).is_some() {
        return Ok(Some(TlsFiles { ca: required(ca)?, identity: Some((required(certificate)?, required(key)?)) }));
    }
    Ok(config.get(ca).map(|ca| TlsFiles { ca: PathBuf::from(ca), identity: None }))
}

fn start_etcd(config: &Config) -> Result<HaServices, StartError> {
    let endpoints = config.require_list("high-availability.type: etcd", &option::HA_ETCD_ENDPOINTS)?;
    let mut options = EtcdOptions::new(endpoints, &config.get(&option::HA_CLUSTER_ID));
    options.root = config.get(&option::HA_ETCD_PATH_ROOT);
    options.lease_ttl = config.get(&option::HA_ETCD_LEASE_TTL);
    options.outage_tolerance = config.get(&option::HA_OUTAGE_TOLERANCE);
    let access = credentials(config, "access to etcd", &option::HA_ETCD_USERNAME, &option::HA_ETCD_PASSWORD)?;
    options.credentials = access.map(|(user, password)| Credentials { user, password });
    let files = [&option::HA_ETCD_TLS_CA, &option::HA_ETCD_TLS_CERTIFICATE, &option::HA_ETCD_TLS_KEY];
    options.tls = tls(config, "TLS to etcd", files)?.map(|TlsFiles { ca, identity }| Tls { ca, identity });
    Ok(Arc::new(EtcdProvider::start(&options)?))
}

fn start_zookeeper(config: &Config, name: &str) -> Result<HaServices, StartError> {
    let quorum = config.require("high-availability.type: zookeeper", &option::HA_ZOOKEEPER_QUORUM)?;
    let mut options = ZooKeeperOptions::new(name, &quorum, &config.get(&option::HA_CLUSTER_ID));
    options.root = config.get(&option::HA_ZOOKEEPER_PATH_ROOT);
    options.session_timeout = config.get(&option::HA_ZOOKEEPER_CLIENT_SESSION_TIMEOUT);
    let connection_timeout = config.get(&option::HA_ZOOKEEPER_CLIENT_CONNECTION_TIMEOUT);
    options.connection_timeout = connection_timeout.unwrap_or(options.session_timeout * 2 / 5);
    options.outage_tolerance = config.get(&option::HA_OUTAGE_TOLERANCE);
    options.max_request_bytes = config.get(&option::HA_ZOOKEEPER_CLIENT_MAX_REQUEST_SIZE).0 as usize;
    if config.get(&option::HA_ZOOKEEPER_CLIENT_ACL) == ZooKeeperAcl::Creator {
        options.acl = zookeeper::Acl::Creator;
    }
    let (user, password) = (&option::HA_ZOOKEEPER_CLIENT_SASL_USERNAME, &option::HA_ZOOKEEPER_CLIENT_SASL_PASSWORD);
    let access = credentials(config, "access to ZooKeeper", user, password)?;
    options.credentials = access.map(|(user, password)| zookeeper::Credentials { user, password });
    let files =
        [&option::HA_ZOOKEEPER_CLIENT_TLS_CA, &option::HA_ZOOKEEPER_CLIENT_TLS_CERTIFICATE, &option::HA_ZOOKEEPER_CLIENT_TLS_KEY];
    options.tls = tls(config, "TLS to ZooKeeper", files)?.map(|TlsFiles { ca, identity }| zookeeper::Tls { ca, identity });
    Ok(Arc::new(ZooKeeperProvider::start(&options)?))
}

fn start_raft(config: &Config, name: &str) -> Result<HaServices, StartError> {
    let needed_by = "high-availability.type: raft";
    let members = config.require_list(needed_by, &option::HA_RAFT_MEMBERS)?;
    let members = members.iter().map(|text| member(text)).collect::<Result<Vec<_>, _>>()?;
    let own = members.iter().find(|member| member.name == name).ok_or_else(|| {
        let known: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        let known = known.join(", ");
        ConfigError::Contradiction(format!("jobmanager.name {name:?} is not among high-availability.raft.members: {known}"))
    })?;
    let port = own.address.rsplit_once(':').map_or("0", |(_, port)| port);
    let listen = Listen::Address(format!("{}:{port}", config.get(&option::HA_RAFT_BIND_HOST)));
    let directory = PathBuf::from(config.require(needed_by, &option::HA_RAFT_DIR)?);
    raft_directory::check(&directory)?;
    let mut options = RaftOptions::new(name, listen, members.clone(), directory, &config.get(&option::HA_CLUSTER_ID));
    options.segment_bytes = config.get(&option::HA_RAFT_SEGMENT_SIZE).0;
    options.timing = raft_timing(config);
    Ok(Arc::new(RaftProvider::start(options)?))
}

fn raft_timing(config: &Config) -> RaftTiming {
    RaftTiming {
        heartbeat: config.get(&option::HA_RAFT_HEARTBEAT_INTERVAL),
        election_min: config.get(&option::HA_RAFT_ELECTION_TIMEOUT_MIN),
        election_max: config.get(&option::HA_RAFT_ELECTION_TIMEOUT_MAX),
    }
}

/// Starts three members of a trial raft group in this process, on loopback. Their logs are in `directory`, so that the trial
/// also tests the disk there.
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

/// Parses a member of the raft group: `name@host:port`.
pub(crate) fn member(text: &str) -> Result<Member, StartError> {
    let refuse =
        |reason: &str| StartError::Address { key: option::HA_RAFT_MEMBERS.key, text: text.to_owned(), reason: reason.to_owned() };
    let (name, address) = text.split_once('@').ok_or_else(|| refuse("expected name@host:port"))?;
    let (host, port) = address.rsplit_once(':').ok_or_else(|| refuse("expected name@host:port"))?;
    if name.is_empty() || host.is_empty() || port.parse::<u16>().is_err() {
        return Err(refuse("expected name@host:port"));
    }
    Ok(Member { name: name.to_owned(), address: address.to_owned() })
}
