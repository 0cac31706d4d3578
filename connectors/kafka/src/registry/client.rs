//! The requests to a registry.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;
use weir_connectors::formats::avro::{RegistryOptions, SchemaAnswer, SchemaId};
use weir_connectors::options;
use weir_dataflow::operator::OperatorError;
use weir_world::Backoff;

use crate::client::{Properties, is_tls_refusal, tls_configuration};

const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// Longest answer that is read. Schemas have some kilobytes.
const MAX_ANSWER: usize = 4 << 20;
/// Most of a registry's own words that a message repeats.
const SHOWN_CHARS: usize = 300;

/// The registry's code for a number that no schema has.
const SCHEMA_NOT_FOUND: i64 = 40403;

/// A registry, by its address.
pub(super) struct Registry {
    kind: &'static str,
    url: Url,
    options: RegistryOptions,
    /// How long it is asked again if it can't be reached, before the operator fails.
    patience: Duration,
    /// Made with the first request, because the files of certificates are on the machines of TaskManagers.
    http: OnceLock<Result<reqwest::Client, String>>,
}

/// Why a request failed.
enum Failure {
    /// It may succeed later.
    Away(String),
    /// It will not, until someone changes something.
    Refused(String),
    NotFound,
}

#[derive(Deserialize)]
struct SchemaBody {
    schema: String,
    /// Absent for Avro.
    #[serde(default, rename = "schemaType")]
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Registered {
    id: SchemaId,
}

#[derive(Deserialize)]
struct ErrorBody {
    error_code: i64,
    #[serde(default)]
    message: String,
}

impl Registry {
    /// Error: `CONN-OPTION` if the address is none.
    pub(super) fn new(kind: &'static str, options: &RegistryOptions) -> Result<Arc<Self>, OperatorError> {
        let url = Url::parse(options.url.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let none = || options::invalid(kind, "the registry's url must be like http://host:8081, and can have a path");
        Ok(Arc::new(Self {
            kind,
            url: url.ok_or_else(none)?,
            options: options.clone(),
            patience: PATIENCE,
            http: OnceLock::new(),
        }))
    }

    /// The address without a password.
    fn shown(&self) -> String {
        let mut url = self.url.clone();
        // A URL with a host can have neither.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        url.to_string()
    }

    /// The schema with this number. Errors: `KAFKA-REGISTRY`, `KAFKA-REGISTRY-REFUSED`.
    pub(super) async fn schema(&self, id: SchemaId) -> Result<SchemaAnswer, OperatorError> {
        let what = format!("the schema {id}");
        let url = self.place(&["schemas", "ids", &id.to_string()]);
        let Some(found) = self.ask::<SchemaBody>(&what, |http| http.get(url.clone())).await? else {
            return Ok(SchemaAnswer::Unusable(format!("the registry {} has no schema {id}", self.shown())));
        };
        Ok(match found.schema_type.as_deref() {
            None | Some("AVRO") if found.references.is_empty() => SchemaAnswer::Known(found.schema.into()),
            None | Some("AVRO") => SchemaAnswer::Unusable(format!("the schema {id} refers to others, which is not supported")),
            Some(other) => SchemaAnswer::Unusable(format!("the schema {id} is not Avro, but {other}")),
        })
    }

    /// Registers a schema and returns its number; if the subject has it already, that is its number. Errors: as of [`Self::schema`].
    pub(super) async fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, OperatorError> {
        let what = format!("the registration of a schema under the subject {subject:?}");
        let url = self.place(&["subjects", subject, "versions"]);
        let body = json!({ "schema": schema });
        let answer = self.ask::<Registered>(&what, |http| http.post(url.clone()).json(&body)).await?;
        let none = || self.refused(&what, "there is no such place: check the path of the url");
        answer.map(|registered| registered.id).ok_or_else(none)
    }

    fn place(&self, below: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(below);
        }
        url
    }

    fn refused(&self, what: &str, reason: &str) -> OperatorError {
        OperatorError::fatal("KAFKA-REGISTRY-REFUSED", format!("{}: {what}: {}: {reason}", self.kind, self.shown()))
    }

    /// Asks until there is an answer, for a while. `None`: the registry says that there is no such thing.
    async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        request: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Option<T>, OperatorError> {
        let http = self.http.get_or_init(|| self.client()).as_ref().map_err(|reason| self.refused(what, reason))?;
        let (deadline, mut backoff) = (Instant::now() + self.patience, RETRY);
        loop {
            let reason = match self.try_once(request(http)).await {
                Ok(answer) => return Ok(Some(answer)),
                Err(Failure::NotFound) => return Ok(None),
                Err(Failure::Refused(reason)) => return Err(self.refused(what, &reason)),
                Err(Failure::Away(reason)) => reason,
            };
            let delay = backoff.next_delay();
            if Instant::now() + delay > deadline {
                let message = format!("{}: {what}: the registry {} gives no answer: {reason}", self.kind, self.shown());
                return Err(OperatorError::retryable("KAFKA-REGISTRY", message));
            }
            tokio::time::sleep(delay).await;
        }
    }

    async fn try_once<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let request = request.header("accept", "application/vnd.schemaregistry.v1+json, application/json");
        let request = match (&self.options.basic_auth, &self.options.bearer_token) {
            (Some(user_info), _) => {
                let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
                request.basic_auth(user, Some(password))
            }
            (None, Some(token)) => request.bearer_auth(token),
            (None, None) => request,
        };
        let away = |error: reqwest::Error| Failure::Away(causes(&error.without_url()));
        let mut answer = request.send().await.map_err(|error| match is_refused_by_tls(&error) {
            true => Failure::Refused(causes(&error.without_url())),
            false => away(error),
        })?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(away)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Failure::Refused(format!("the answer has more than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| Failure::Refused(format!("the answer is not understood: {error}")));
        }
        Err(refusal(status, &body))
    }

    fn client(&self) -> Result<reqwest::Client, String> {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT);
        let builder = match self.url.scheme() {
            "https" => {
                let mut ssl = BTreeMap::new();
                for (store, file) in [("truststore", &self.options.truststore), ("keystore", &self.options.keystore)] {
                    if let Some(file) = file {
                        ssl.insert(format!("ssl.{store}.location"), file.clone());
                        ssl.insert(format!("ssl.{store}.type"), "PEM".to_owned());
                    }
                }
                let properties = Properties::new(ssl, &[]).map_err(|error| error.to_string())?;
                let configuration = tls_configuration(&properties).map_err(|error| error.to_string())?;
                builder.use_preconfigured_tls((*configuration).clone())
            }
            // Loading the system's certificates takes time.
            _ => builder.tls_built_in_root_certs(false),
        };
        builder.build().map_err(|error| causes(&error))
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let error = serde_json::from_slice::<ErrorBody>(body).ok();
    let text = error.as_ref().map_or_else(|| String::from_utf8_lossy(body).into_owned(), |error| error.message.clone());
    let shown: String = text.trim().chars().take(SHOWN_CHARS).collect();
    let reason = format!("{status}: {shown}");
    if error.is_some_and(|error| error.error_code == SCHEMA_NOT_FOUND) {
        return Failure::NotFound;
    }
    let is_away = status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    if is_away { Failure::Away(reason) } else { Failure::Refused(reason) }
}

/// Whether TLS failed because one of the two ends does not trust or understand the other.
fn is_refused_by_tls(error: &reqwest::Error) -> bool {
    sources(error).filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(is_tls_refusal)
}

/// The text of an error and its causes. reqwest's own text omits the causes.
fn causes(error: &reqwest::Error) -> String {
    sources(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn sources(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use weir_servers::{SchemaRegistry, free_port};

    use super::*;
    use crate::client::io_runtime;

    fn registry(url: String) -> Result<Arc<Registry>, OperatorError> {
        Registry::new("source.kafka", &RegistryOptions { url, ..RegistryOptions::default() })
    }

    fn wait<T>(answer: impl Future<Output = T>) -> T {
        io_runtime().unwrap().block_on(answer)
    }

    #[test]
    fn an_address_is_one_of_http() {
        for url in ["", "host:8081", "ftp://host", "http://"] {
            assert_eq!(registry(url.to_owned()).err().map(|error| error.code), Some("CONN-OPTION"), "{url}");
        }
        let registry = registry("http://me:secret@host:1/a/b/".to_owned()).unwrap();
        assert_eq!(registry.shown(), "http://host:1/a/b/");
        assert_eq!(registry.place(&["subjects", "x/y ü", "versions"]).path(), "/a/b/subjects/x%2Fy%20%C3%BC/versions");
    }

    #[test]
    fn a_registry_that_is_down_is_named_with_what_was_asked() {
        let url = format!("http://me:secret@127.0.0.1:{}/path", free_port().unwrap());
        let mut registry = registry(url).unwrap();
        Arc::get_mut(&mut registry).unwrap().patience = Duration::from_millis(300);
        let error = wait(registry.schema(42)).unwrap_err();
        assert!(error.code == "KAFKA-REGISTRY" && error.retryable, "{error:?}");
        assert!(error.message.contains("the schema 42") && error.message.contains("http://127.0.0.1:"), "{error:?}");
        assert!(!error.message.contains("secret"), "{error:?}");
        let error = wait(registry.register("s", "\"string\"")).unwrap_err();
        assert!(error.code == "KAFKA-REGISTRY" && error.message.contains("subject \"s\""), "{error:?}");
    }

    /// What a registry hears if it is asked with these options. It refuses.
    fn heard(options: RegistryOptions) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let listening = std::thread::spawn(move || {
            let (mut stream, mut heard) = (listener.accept().unwrap().0, String::new());
            while !heard.ends_with("\r\n\r\n") {
                let mut piece = [0; 1_000];
                let count = stream.read(&mut piece).unwrap();
                assert!(count > 0, "the request has an end");
                heard += std::str::from_utf8(&piece[..count]).unwrap();
            }
            stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 4\r\n\r\nwho?").unwrap();
            heard
        });
        let error = wait(Registry::new("source.kafka", &RegistryOptions { url, ..options }).unwrap().schema(1)).unwrap_err();
        assert!(
            error.code == "KAFKA-REGISTRY-REFUSED" && error.message.contains("401") && error.message.contains("who?"),
            "{error:?}"
        );
        assert!(!error.message.contains("secret"), "{error:?}");
        listening.join().unwrap().to_lowercase()
    }

    #[test]
    fn a_login_goes_with_every_request_and_one_that_is_wrong_is_not_tried_again() {
        let none = RegistryOptions::default();
        assert!(!heard(none.clone()).contains("authorization"));
        let heard_user = heard(RegistryOptions { basic_auth: Some("me:secret".to_owned()), ..none.clone() });
        // base64 of me:secret, as RFC 7617 has it, in lower case.
        assert!(heard_user.contains("authorization: basic bwu6c2vjcmv0\r\n"), "{heard_user}");
        let heard_token = heard(RegistryOptions { bearer_token: Some("secret-token".to_owned()), ..none });
        assert!(heard_token.contains("authorization: bearer secret-token\r\n"), "{heard_token}");
    }

    #[test]
    fn what_a_registry_refuses_is_not_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let server = SchemaRegistry::start(directory.path()).unwrap();
        let ours = registry(server.url()).unwrap();
        let id = wait(ours.register("a", "{\"type\":\"int\"}")).unwrap();
        assert!(matches!(wait(ours.schema(id)).unwrap(), SchemaAnswer::Known(text) if text.contains("int")));
        assert!(
            matches!(wait(ours.schema(2_000_000_000)).unwrap(), SchemaAnswer::Unusable(reason) if reason.contains("no schema 2000000000"))
        );
        let error = wait(ours.register("a", "no schema")).unwrap_err();
        assert!(error.code == "KAFKA-REGISTRY-REFUSED" && !error.retryable && error.message.contains("422"), "{error:?}");
        let elsewhere = registry(server.url().replace("ccompat", "nowhere")).unwrap();
        for error in [wait(elsewhere.schema(id)).unwrap_err(), wait(elsewhere.register("a", "\"int\"")).unwrap_err()] {
            assert!(error.code == "KAFKA-REGISTRY-REFUSED" && error.message.contains("404"), "{error:?}");
        }
    }
}
