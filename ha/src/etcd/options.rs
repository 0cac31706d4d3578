//! The options of a member, and their checks.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::Uri;

/// The options of an [`EtcdProvider`](super::EtcdProvider).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdOptions {
    /// The nodes of the etcd cluster, as `http://host:port` or `https://host:port`. If one fails, the next is used.
    pub endpoints: Vec<String>,
    /// Prefix of all keys, shared by any number of clusters.
    pub root: String,
    /// Name of the cluster. Clusters with other names under the same root are independent.
    pub cluster_id: String,
    /// A crashed leader is replaced this long after its last renewal, plus 0.5 s. 1 to 3600 whole seconds, 3 by default.
    /// etcd raises it to 1.5 times its election timeout (2 s with etcd's default settings).
    pub lease_ttl: Duration,
    /// A leader that can't reach etcd for this long is revoked. At least `lease_ttl`; 10 minutes by default.
    pub outage_tolerance: Duration,
    /// The user, if etcd demands authentication.
    pub credentials: Option<Credentials>,
    /// Required for `https` endpoints.
    pub tls: Option<Tls>,
}

/// A user of etcd, with permission to read and write everything under the root.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authorities that may have signed etcd's certificate.
    pub ca: PathBuf,
    /// This client's certificate chain and its key, if etcd demands them.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl EtcdOptions {
    /// The default options for these endpoints and this cluster.
    pub fn new(endpoints: Vec<String>, cluster_id: &str) -> Self {
        Self {
            endpoints,
            root: "/weir".to_owned(),
            cluster_id: cluster_id.to_owned(),
            lease_ttl: Duration::from_secs(3),
            outage_tolerance: Duration::from_secs(600),
            credentials: None,
            tls: None,
        }
    }

    /// The endpoints as URLs. Fails if there is none or one is not valid.
    pub(crate) fn urls(&self) -> Result<Vec<String>, StartError> {
        if self.endpoints.is_empty() {
            return invalid("no etcd endpoint is given");
        }
        self.endpoints.iter().map(|endpoint| url(endpoint, self.tls.is_some())).collect()
    }

    /// The lease in seconds. Fails if the times are out of range.
    pub(crate) fn lease_seconds(&self) -> Result<i64, StartError> {
        let seconds = self.lease_ttl.as_secs();
        if self.lease_ttl.subsec_nanos() != 0 || !(1..=3_600).contains(&seconds) {
            return invalid("the lease must be 1 to 3600 whole seconds");
        }
        if self.outage_tolerance < self.lease_ttl {
            return invalid("the outage tolerance must not be shorter than the lease");
        }
        Ok(seconds.cast_signed())
    }

    /// The options for the client library. Reads the TLS files.
    pub(crate) fn connect_options(&self) -> Result<ConnectOptions, StartError> {
        let mut options = ConnectOptions::new();
        if let Some(Credentials { user, password }) = &self.credentials {
            if user.is_empty() {
                return invalid("the user name must not be empty if a password is given");
            }
            options = options.with_user(user, password);
        }
        if let Some(tls) = &self.tls {
            options = options.with_tls(tls.load()?);
        }
        Ok(options)
    }
}

fn invalid<T>(text: &str) -> Result<T, StartError> {
    Err(StartError::Invalid(text.to_owned()))
}

fn url(endpoint: &str, tls: bool) -> Result<String, StartError> {
    let refuse = |reason: &str| Err(StartError::Invalid(format!("{endpoint:?} is not an etcd endpoint: {reason}")));
    let scheme = if tls { "https" } else { "http" };
    let text = if endpoint.contains("://") { endpoint.to_owned() } else { format!("{scheme}://{endpoint}") };
    let uri: Uri = match text.parse() {
        Ok(uri) => uri,
        Err(error) => return refuse(&format!("{error}; expected {scheme}://host:port")),
    };
    match uri.scheme_str() {
        Some("http") if tls => return refuse("TLS is configured, so it must begin with https://"),
        Some("https") if !tls => return refuse("https needs the certificate of a certificate authority (tls.ca)"),
        Some("http" | "https") => {}
        _ => return refuse("it must begin with http:// or https://"),
    }
    let (Some(host), Some(port)) = (uri.host().filter(|host| !host.is_empty()), uri.port_u16()) else {
        return refuse(&format!("expected {scheme}://host:port"));
    };
    if uri.path() != "/" || uri.query().is_some() {
        return refuse("nothing may follow the port");
    }
    Ok(format!("{scheme}://{host}:{port}"))
}

impl Tls {
    /// Reads the files and checks that they fit together.
    fn load(&self) -> Result<TlsOptions, StartError> {
        install_crypto();
        let ca = read(&self.ca)?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca, &ca)? {
            roots.add(certificate).map_err(|error| tls(&self.ca, error))?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots);
        let mut options = TlsOptions::new().ca_certificate(Certificate::from_pem(&ca));
        if let Some((certificate_path, key_path)) = &self.identity {
            let (certificate, key) = (read(certificate_path)?, read(key_path)?);
            let chain = certificates(certificate_path, &certificate)?;
            let private = PrivateKeyDer::from_pem_slice(&key).map_err(|error| tls(key_path, error))?;
            config.with_client_auth_cert(chain, private).map_err(|error| tls(key_path, error))?;
            options = options.identity(Identity::from_pem(&certificate, &key));
        }
        Ok(options)
    }
}

/// The dependencies include two providers of cryptography, and rustls does not choose between two by itself.
fn install_crypto() {
    // This fails if the process has already chosen one; then nothing is to be done.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    std::fs::read(path).map_err(|error| tls(path, error))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(tls(path, "the file contains no PEM certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(tls(path, error)),
    }
}

fn tls(path: &Path, reason: impl fmt::Display) -> StartError {
    StartError::Tls { path: path.to_owned(), reason: reason.to_string() }
}

/// Why a member could not be started. An etcd that can't be reached is no such reason: the member retries.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// The options are not valid; a retry can't help.
    #[error("HA-ETCD-OPTIONS: {0}")]
    Invalid(String),
    /// A file for TLS can't be used.
    #[error("HA-ETCD-TLS: {}: {reason}", .path.display())]
    Tls { path: PathBuf, reason: String },
    /// etcd answers, but the two sides do not agree on TLS. `reason` says what was rejected.
    #[error("HA-ETCD-HANDSHAKE: {endpoint}: {reason}")]
    Handshake { endpoint: String, reason: String },
    /// etcd answers, but refuses the user, the password, or access to the root path. `reason` is etcd's answer.
    #[error("HA-ETCD-DENIED: {endpoint}: {reason}")]
    Denied { endpoint: String, reason: String },
    /// A thread or a runtime could not be started.
    #[error("HA-ETCD-RESOURCES: {0}")]
    Resources(Arc<io::Error>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(endpoints: &[&str], with_tls: bool) -> Result<Vec<String>, StartError> {
        let mut options = EtcdOptions::new(endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect(), "c");
        options.tls = with_tls.then(|| Tls { ca: "/nowhere".into(), identity: None });
        options.urls()
    }

    #[test]
    fn invalid_endpoints_are_refused() {
        for endpoint in
            ["", "http://", "host", "ftp://h:1", "http://h", "http://h:1/path", "h:port", "http://h:99999", "https://h:1"]
        {
            assert!(matches!(urls(&[endpoint], false), Err(StartError::Invalid(_))), "{endpoint:?}");
        }
        assert!(urls(&[], false).is_err() && urls(&["http://h:1"], true).is_err());
        assert_eq!(urls(&["h:1", "http://[::1]:2/"], false).expect("are legal"), ["http://h:1", "http://[::1]:2"]);
        assert_eq!(urls(&["h:1", "https://i:2"], true).expect("are legal"), ["https://h:1", "https://i:2"]);
    }

    #[test]
    fn leases_are_whole_seconds_and_not_longer_than_the_outage_tolerance() {
        let mut options = EtcdOptions::new(vec!["h:1".into()], "c");
        assert_eq!(options.lease_seconds().expect("is legal"), 3);
        options.outage_tolerance = Duration::from_secs(2);
        assert!(options.lease_seconds().is_err());
        for wrong in [Duration::ZERO, Duration::from_millis(1_500), Duration::from_secs(86_400)] {
            options.lease_ttl = wrong;
            assert!(options.lease_seconds().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn missing_and_invalid_files_are_named_in_the_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("writes");
            path
        };
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for ca in [directory.path().join("missing"), file("empty", ""), file("text", "no PEM"), file("broken", broken)] {
            let mut options = EtcdOptions::new(vec!["https://h:1".into()], "c");
            options.tls = Some(Tls { ca: ca.clone(), identity: None });
            match options.connect_options() {
                Err(StartError::Tls { path, .. }) => assert_eq!(path, ca),
                other => panic!("{ca:?}: {:?}", other.map(|_| ())),
            }
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials { user: "weir".into(), password: "hush".into() };
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}
