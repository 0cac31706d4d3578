//! One connection to one broker. It carries one request at a time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersionsResponse;
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::ClientError;
use super::sasl;
use super::settings::ClientSettings;
use super::tls;

/// Longest answer that is read. A fetch may bring up to `fetch.max.bytes`, and one batch more.
const MAX_ANSWER: usize = 512 << 20;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An authenticated connection. After an error of a request, drop it: an answer may still be on the way.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    address: String,
    versions: Box<ApiVersionsResponse>,
    correlation: i32,
    request_timeout: Duration,
}

impl Connection {
    /// Connects to `host:port`, asks for the broker's versions and authenticates.
    pub(crate) async fn open(settings: &ClientSettings, address: &str) -> Result<Self, ClientError> {
        let timeout = settings.connect_timeout;
        let late = |_| ClientError::Timeout { address: address.to_owned(), request: "a connection", seconds: timeout.as_secs() };
        tokio::time::timeout(timeout, Self::open_patiently(settings, address)).await.map_err(late)?
    }

    /// Goes on with a connection that is open, or opens one.
    pub(crate) async fn reuse(open: Option<Self>, settings: &ClientSettings, address: &str) -> Result<Self, ClientError> {
        match open {
            Some(connection) => Ok(connection),
            None => Self::open(settings, address).await,
        }
    }

    async fn open_patiently(settings: &ClientSettings, address: &str) -> Result<Self, ClientError> {
        let failed = |error: std::io::Error| broken(address, &error);
        let stream = weir_world::net::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let stream: Box<dyn Stream> = match &settings.tls {
            Some(tls) => Box::new(tls::wrap(tls, stream, address).await?),
            None => Box::new(stream),
        };
        let mut connection = Self {
            stream,
            address: address.to_owned(),
            versions: Box::default(),
            correlation: 0,
            request_timeout: settings.request_timeout,
        };
        connection.versions = Box::new(connection.ask_versions().await?);
        if let Some(credentials) = &settings.sasl {
            sasl::authenticate(&mut connection, credentials).await?;
        }
        Ok(connection)
    }

    /// Version 3 tells the finalized features. A broker that does not know it answers in version 0, with an error.
    async fn ask_versions(&mut self) -> Result<ApiVersionsResponse, ClientError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("weir"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let answer = self.exchange(3, &request, self.request_timeout).await?;
        // The error code comes first in all versions.
        if answer.starts_with(&[0, 0]) {
            return decode::<ApiVersionsRequest>(&self.address, answer, 3);
        }
        Err(self.protocol("it is older than Kafka 2.4, or not Kafka".to_owned()))
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn protocol(&self, reason: String) -> ClientError {
        ClientError::Protocol { address: self.address.clone(), reason }
    }

    /// The newest version of a request that both sides know, among `from..=to`.
    pub(crate) fn version<R: Request>(&self, from: i16, to: i16) -> Result<i16, ClientError> {
        let offered = self.versions.api_keys.iter().find(|api| api.api_key == R::KEY);
        let found = offered
            .map(|api| to.min(api.max_version))
            .filter(|version| *version >= from && offered.is_some_and(|api| *version >= api.min_version));
        found.ok_or_else(|| {
            self.protocol(format!("the broker does not know {} in a version from {from} to {to}; is it too old?", name::<R>()))
        })
    }

    /// The level of a finalized feature of the cluster; 0 if it is off.
    pub(crate) fn feature(&self, name: &str) -> i16 {
        let found = self.versions.finalized_features.iter().find(|feature| feature.name.as_str() == name);
        found.map_or(0, |feature| feature.max_version_level)
    }

    /// Sends a request in the newest version among `from..=to` and reads its answer.
    pub(crate) async fn call<R: Request>(&mut self, (from, to): (i16, i16), request: &R) -> Result<R::Response, ClientError> {
        self.call_within((from, to), request, self.request_timeout).await
    }

    /// Like [`Self::call`], for requests that the broker may hold back for longer.
    pub(crate) async fn call_within<R: Request>(
        &mut self,
        (from, to): (i16, i16),
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response, ClientError> {
        let version = self.version::<R>(from, to)?;
        let answer = self.exchange(version, request, timeout).await?;
        decode::<R>(&self.address, answer, version)
    }

    async fn exchange<R: Request>(&mut self, version: i16, request: &R, timeout: Duration) -> Result<Bytes, ClientError> {
        self.correlation = self.correlation.wrapping_add(1);
        let frame = encode(version, self.correlation, request).map_err(|reason| self.protocol(reason))?;
        let answer = tokio::time::timeout(timeout, self.transfer(&frame)).await.map_err(|_| ClientError::Timeout {
            address: self.address.clone(),
            request: name::<R>(),
            seconds: timeout.as_secs(),
        })?;
        let mut answer = answer?;
        // What follows the header of an answer to ApiVersions is always in the old form.
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version));
        let header = header.map_err(|error| self.protocol(error.to_string()))?;
        if header.correlation_id != self.correlation {
            return Err(self.protocol("the answer belongs to another request".to_owned()));
        }
        Ok(answer)
    }

    async fn transfer(&mut self, frame: &[u8]) -> Result<Bytes, ClientError> {
        let failed = |error: std::io::Error| broken(&self.address, &error);
        self.stream.write_all(frame).await.map_err(failed)?;
        self.stream.flush().await.map_err(failed)?;
        let length = self.stream.read_u32().await.map_err(failed)? as usize;
        if length > MAX_ANSWER {
            return Err(self
                .protocol(format!("an answer has {length} bytes; is this a Kafka listener, with the right security.protocol?")));
        }
        let mut answer = BytesMut::with_capacity(length);
        while answer.len() < length {
            let missing = length - answer.len();
            let read = (&mut self.stream).take(missing as u64).read_buf(&mut answer).await.map_err(failed)?;
            if read == 0 {
                return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(answer.freeze())
    }
}

/// The name of a request, without the word Request.
fn name<R>() -> &'static str {
    let path = std::any::type_name::<R>();
    let name = path.rsplit("::").next().unwrap_or(path);
    name.strip_suffix("Request").unwrap_or(name)
}

fn encode<R: Request>(version: i16, correlation: i32, request: &R) -> Result<BytesMut, String> {
    let mut frame = BytesMut::new();
    frame.extend_from_slice(&[0; 4]);
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str("weir")));
    header.encode(&mut frame, R::header_version(version)).map_err(|error| error.to_string())?;
    request.encode(&mut frame, version).map_err(|error| error.to_string())?;
    let length = u32::try_from(frame.len() - 4).map_err(|_| "a request has more than 4 GiB".to_owned())?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

fn decode<R: Request>(address: &str, mut answer: Bytes, version: i16) -> Result<R::Response, ClientError> {
    R::Response::decode(&mut answer, version).map_err(|error| ClientError::Protocol {
        address: address.to_owned(),
        reason: format!("the answer to {} can't be read: {error}", name::<R>()),
    })
}

fn broken(address: &str, error: &std::io::Error) -> ClientError {
    let reason = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the broker closed the connection".to_owned(),
        _ => error.to_string(),
    };
    ClientError::Connection { address: address.to_owned(), reason }
}
