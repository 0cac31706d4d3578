//! The options of a member, and their checks.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zookeeper_client::{Acls, Client, Connector, Error, SaslOptions, TlsOptions};

use super::layout::Layout;

/// ZooKeeper's default limit on a request in bytes (`jute.maxbuffer`).
const JUTE_MAXBUFFER: usize = 0xf_ffff;
/// Maximum number of servers in a connect string.
const MAX_SERVERS: usize = 64;

/// The options of a [`ZooKeeperProvider`](super::ZooKeeperProvider).
#[derive(Clone)]
pub struct ZooKeeperOptions {
    /// Stable name of this member, e.g. `jm-1`.
    pub name: String,
    /// `host:port` of the servers, separated by commas. A path may follow the last server; all other paths are then below it.
    pub quorum: String,
    /// Path of all clusters, below the path in `quorum`.
    pub root: String,
    /// Path of the cluster below `root`.
    pub cluster_id: String,
    /// ZooKeeper ends the session of a member that is silent for this long. 100 ms to 1 h, 10 s by default. The servers may
    /// negotiate another value.
    pub session_timeout: Duration,
    /// If a server does not answer for this long, another server is tried. At least 20 ms and at most 3/5 of
    /// `session_timeout`, 4 s by default.
    pub connection_timeout: Duration,
    /// A leader that can't reach ZooKeeper for this long is revoked; until then it only pauses. At least `session_timeout`;
    /// 10 minutes by default.
    pub outage_tolerance: Duration,
    /// Maximum size of one request in bytes: the servers' `jute.maxbuffer`. Larger commits are refused. At least 4096,
    /// 1,048,575 by default.
    pub max_request_bytes: usize,
    /// Access to the znodes that this member creates.
    pub acl: Acl,
    /// The user, if ZooKeeper demands authentication.
    pub credentials: Option<Credentials>,
    /// If set, connections are encrypted.
    pub tls: Option<Tls>,
}

/// Access to the znodes that a member creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acl {
    /// Every client may read and write them.
    Open,
    /// Only clients with the same credentials may read and write them.
    Creator,
}

/// A user and password, for SASL with DIGEST-MD5.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

/// PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authorities that may have signed the servers' certificates.
    pub ca: PathBuf,
    /// This member's certificate chain and its key, if the servers demand them.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Why a member could not be started. A ZooKeeper that can't be reached is no such reason: the member retries.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The options are not valid; a retry can't help.
    #[error("HA-ZOOKEEPER-OPTIONS: {0}")]
    Invalid(String),
    /// A certificate or key can't be used.
    #[error("HA-ZOOKEEPER-TLS: {}: {reason}", .path.display())]
    Tls { path: PathBuf, reason: String },
    /// A thread or a runtime could not be started.
    #[error("HA-ZOOKEEPER-RESOURCES: {0}")]
    Resources(io::Error),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Debug for ZooKeeperOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperOptions").field("name", &self.name).field("quorum", &self.quorum).finish_non_exhaustive()
    }
}

impl ZooKeeperOptions {
    /// The default options for this member, these servers and this cluster.
    pub fn new(name: &str, quorum: &str, cluster_id: &str) -> Self {
        Self {
            name: name.to_owned(),
            quorum: quorum.to_owned(),
            root: "/weir".to_owned(),
            cluster_id: cluster_id.to_owned(),
            session_timeout: Duration::from_secs(10),
            connection_timeout: Duration::from_secs(4),
            outage_tolerance: Duration::from_secs(600),
            max_request_bytes: JUTE_MAXBUFFER,
            acl: Acl::Open,
            credentials: None,
            tls: None,
        }
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::new(&self.root, &self.cluster_id)
    }

    pub(super) fn acls(&self) -> Acls<'static> {
        match self.acl {
            Acl::Open => Acls::anyone_all(),
            Acl::Creator => Acls::creator_all(),
        }
    }

    /// Checks the options as far as that is possible without a server, and reads the TLS files.
    pub(super) fn check(&self) -> Result<Connection, StartError> {
        let invalid = |text: String| Err(StartError::Invalid(text));
        if self.name.is_empty() {
            return invalid("the member's name must not be empty".into());
        }
        check_quorum(&self.quorum).map_err(|reason| StartError::Invalid(format!("quorum {:?}: {reason}", self.quorum)))?;
        if self.cluster_id.trim_matches('/').is_empty() {
            return invalid("the cluster id must not be empty".into());
        }
        if self.session_timeout < Duration::from_millis(100) || self.session_timeout > Duration::from_secs(3_600) {
            return invalid(format!("the session timeout is {:?}; it must be from 100 ms to 1 h", self.session_timeout));
        }
        if self.connection_timeout < Duration::from_millis(20) || self.connection_timeout * 5 > self.session_timeout * 3 {
            return invalid(format!(
                "the connection timeout is {:?}; it must be at least 20 ms and at most 3/5 of the session timeout ({:?}), so \
                 that there is time for another server",
                self.connection_timeout, self.session_timeout
            ));
        }
        if self.outage_tolerance < self.session_timeout {
            return invalid(format!(
                "the outage tolerance ({:?}) must not be shorter than the session timeout ({:?})",
                self.outage_tolerance, self.session_timeout
            ));
        }
        if self.max_request_bytes < 4_096 {
            return invalid("the maximum request size must be at least 4096 bytes".into());
        }
        if self.acl == Acl::Creator && self.credentials.is_none() {
            return invalid("a user and a password are required if only the creator has access".into());
        }
        if self.credentials.as_ref().is_some_and(|credentials| credentials.user.is_empty()) {
            return invalid("the user name must not be empty".into());
        }
        let mut connector =
            Client::connector().with_session_timeout(self.session_timeout).with_connection_timeout(self.connection_timeout);
        if let Some(Credentials { user, password }) = &self.credentials {
            connector = connector.with_sasl(SaslOptions::digest_md5(user.clone(), password.clone()));
        }
        if let Some(tls) = &self.tls {
            connector = connector.with_tls(tls.load()?);
        }
        Ok(Connection { connector, quorum: patient(&self.quorum), encrypted: self.tls.is_some() })
    }
}

/// Checked options for a connection.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    connector: Connector,
    quorum: String,
    encrypted: bool,
}

impl Connection {
    /// Resumes the given session, or opens a new one. Takes at most the session timeout.
    pub(super) async fn connect(&self, session: Option<zookeeper_client::SessionInfo>) -> Result<Client, Error> {
        let connector = self.connector.clone();
        let connector = match session {
            Some(session) => connector.with_session(session),
            None => connector,
        };
        if self.encrypted { connector.secure_connect(&self.quorum).await } else { connector.connect(&self.quorum).await }
    }
}

/// A connect string that lists the same servers several times. The client waits longer after each round in which it has tried
/// all servers. With few servers it would soon try so rarely that a session expires although its server is back. Within one
/// round it waits at most one second.
fn patient(quorum: &str) -> String {
    const ROUND: usize = 20;
    let (servers, chroot) = quorum.split_at(quorum.find('/').unwrap_or(quorum.len()));
    let times = ROUND.div_ceil(servers.split(',').count());
    vec![servers; times].join(",") + chroot
}

/// Checks a connect string of the form `host:port,host:port/path`.
fn check_quorum(text: &str) -> Result<(), String> {
    let (servers, chroot) = text.split_at(text.find('/').unwrap_or(text.len()));
    if servers.split(',').count() > MAX_SERVERS {
        return Err(format!("more than {MAX_SERVERS} servers"));
    }
    for server in servers.split(',') {
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !host.starts_with('[') || host.ends_with(']') => (host, Some(port)),
            _ => (server, None),
        };
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c == '@') {
            return Err(format!("{server:?}: expected host:port"));
        }
        if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
            return Err(format!("{server:?}: expected a port from 1 to 65535 after the colon"));
        }
    }
    let legal = |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && !segment.contains(char::is_control);
    if !chroot.is_empty() && !chroot[1..].split('/').all(legal) {
        return Err(format!("the path {chroot:?} must have no empty part, no `.` or `..`, and no slash at the end"));
    }
    Ok(())
}

impl Tls {
    fn load(&self) -> Result<TlsOptions, StartError> {
        // Another dependency may include a second provider, and rustls does not choose between two by itself. This fails if the
        // process has already chosen one; then nothing is to be done.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let refused = |path: &Path, reason: String| StartError::Tls { path: path.to_owned(), reason };
        let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| refused(path, error.to_string()));
        let options = TlsOptions::new().with_pem_ca(&read(&self.ca)?).map_err(|error| refused(&self.ca, error.to_string()))?;
        match &self.identity {
            None => Ok(options),
            Some((certificate, key)) => options
                .with_pem_identity(&read(certificate)?, &read(key)?)
                .map_err(|error| refused(certificate, format!("with {}: {error}", key.display()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_strings_are_checked() {
        for good in ["h", "h:1", "a:1,b:2", "a:1,b:2/x", "h/x/y", "[::1]:2181", "127.0.0.1:2181"] {
            assert_eq!(check_quorum(good), Ok(()), "{good}");
        }
        for bad in ["", ",", "a:1,", "h:0", "h:x", ":1", "h:70000", "h/", "h//x", "h/x/", "h/..", "a b:1", "http://h:1"] {
            assert!(check_quorum(bad).is_err(), "{bad}");
        }
        assert!(check_quorum(&vec!["h:1"; MAX_SERVERS + 1].join(",")).is_err());
    }

    #[test]
    fn servers_are_listed_often_enough() {
        assert_eq!(patient("h:1/x"), format!("{}h:1/x", "h:1,".repeat(19)));
        assert_eq!(patient("a,b,c").split(',').count(), 21);
        assert_eq!(patient(&vec!["h"; 64].join(",")).split(',').count(), 64);
    }

    #[test]
    fn invalid_options_are_refused_with_a_code() {
        type Change = fn(&mut ZooKeeperOptions);
        let changes: [Change; 8] = [
            |options| options.name.clear(),
            |options| options.quorum = "h:port".into(),
            |options| options.cluster_id = "/".into(),
            |options| options.session_timeout = Duration::from_millis(1),
            |options| options.connection_timeout = options.session_timeout,
            |options| options.outage_tolerance = Duration::from_secs(1),
            |options| options.max_request_bytes = 1,
            |options| options.acl = Acl::Creator,
        ];
        assert!(ZooKeeperOptions::new("jm-1", "h:1", "/default").check().is_ok());
        for change in changes {
            let mut options = ZooKeeperOptions::new("jm-1", "h:1", "/default");
            change(&mut options);
            let error = options.check().expect_err("is refused").to_string();
            assert!(error.starts_with("HA-ZOOKEEPER-OPTIONS: "), "{error}");
        }
    }

    #[test]
    fn missing_and_invalid_certificates_are_refused_with_a_code() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("ca.pem");
        let mut options = ZooKeeperOptions::new("jm-1", "h:1", "/default");
        options.tls = Some(Tls { ca: file.clone(), identity: None });
        for content in [None, Some("no certificate")] {
            if let Some(content) = content {
                std::fs::write(&file, content).expect("writes");
            }
            let error = options.check().expect_err("is refused").to_string();
            assert!(error.starts_with("HA-ZOOKEEPER-TLS: ") && error.contains("ca.pem"), "{error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials { user: "u".into(), password: "hush".into() };
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}
