//! TLS to brokers, with certificates in PEM form.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weir_world::net::TcpStream;

use super::ClientError;
use super::settings::{Properties, PropertyError};

/// The client's side of TLS. It is made with the first connection, because the files of certificates are on the machines of
/// TaskManagers, and a graph is checked elsewhere too.
#[derive(Debug)]
pub(super) struct Tls {
    properties: Properties,
    made: OnceLock<Result<Arc<ClientConfig>, PropertyError>>,
}

impl Tls {
    pub(super) fn new(properties: Properties) -> Self {
        Self { properties, made: OnceLock::new() }
    }

    fn configuration(&self) -> Result<Arc<ClientConfig>, PropertyError> {
        self.made.get_or_init(|| configuration(&self.properties)).clone()
    }
}

/// The configuration, from the properties `ssl.*`.
///
/// Certificates are PEM, as Java clients take them with `ssl.truststore.type` and `ssl.keystore.type` = `PEM`: either a file
/// (`ssl.truststore.location`, `ssl.keystore.location`) or the text itself. Without a trust store the system's roots count.
pub(crate) fn configuration(properties: &Properties) -> Result<Arc<ClientConfig>, PropertyError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PropertyError::new("security.protocol", error))?;
    let builder = builder.with_root_certificates(trusted(properties)?);
    let Some(own) = pem(properties, "ssl.keystore", "certificate.chain")? else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let bad = |error: &dyn std::fmt::Display| PropertyError::new("ssl.keystore", error);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&own).collect::<Result<_, _>>().map_err(|error| bad(&error))?;
    let key = match properties.get("ssl.keystore.key") {
        Some(key) => PrivateKeyDer::from_pem_slice(key.as_bytes()),
        None => PrivateKeyDer::from_pem_slice(&own),
    };
    let key = key.map_err(|error| bad(&error))?;
    builder.with_client_auth_cert(chain, key).map(Arc::new).map_err(|error| bad(&error))
}

fn trusted(properties: &Properties) -> Result<RootCertStore, PropertyError> {
    let mut roots = RootCertStore::empty();
    let bad = |error: &dyn std::fmt::Display| PropertyError::new("ssl.truststore", error);
    match pem(properties, "ssl.truststore", "certificates")? {
        Some(given) => {
            for certificate in CertificateDer::pem_slice_iter(&given) {
                roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
            }
            if roots.is_empty() {
                return Err(bad(&"there is no certificate in it"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

/// The PEM text of a store: a file, or the value of a property.
fn pem(properties: &Properties, store: &str, text: &str) -> Result<Option<Vec<u8>>, PropertyError> {
    if let Some(text) = properties.get(&format!("{store}.{text}")) {
        return Ok(Some(text.as_bytes().to_vec()));
    }
    let location = format!("{store}.location");
    let Some(path) = properties.get(&location) else { return Ok(None) };
    let kind = format!("{store}.type");
    if properties.get(&kind) != Some("PEM") {
        return Err(PropertyError::new(&kind, "must be PEM; a Java key store can be converted with keytool and openssl"));
    }
    std::fs::read(path).map(Some).map_err(|error| PropertyError::new(&location, format!("{path}: {error}")))
}

/// Negotiates TLS on a new connection to `host:port`. The broker's certificate must be for that host.
pub(super) async fn wrap(tls: &Tls, stream: TcpStream, address: &str) -> Result<TlsStream<TcpStream>, ClientError> {
    let refused = |reason: String| ClientError::Authentication { address: address.to_owned(), reason };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(|error| refused(format!("{host:?} is no host name: {error}")))?;
    let configuration = tls.configuration().map_err(|error| refused(error.to_string()))?;
    let connected = TlsConnector::from(configuration).connect(name, stream).await;
    connected.map_err(|error| match is_tls_refusal(&error) {
        true => refused(format!("TLS: {error}")),
        false => ClientError::Connection { address: address.to_owned(), reason: format!("TLS: {error}") },
    })
}

/// Whether one of the two ends does not trust or understand the other. Trying again does not help.
pub(crate) fn is_tls_refusal(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    // HTTP clients put one error into another.
    inner.is::<rustls::Error>() || inner.downcast_ref::<io::Error>().is_some_and(is_tls_refusal)
}
