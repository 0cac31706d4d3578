//! Apicurio, a schema registry that speaks Confluent's REST protocol. It keeps schemas in memory.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::http;
use crate::installed::apicurio_jar;
use crate::port::ReservedPort;
use crate::process::{ServerProcess, StartError, on_free_ports};

/// Where Confluent's protocol is spoken.
const PATH: &str = "/apis/ccompat/v7";
/// Small and quick to start: the second compiler would take processor time from the tests.
const JAVA: [&str; 4] = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];

/// A registry that listens on loopback. It ends when the value is dropped.
#[derive(Debug)]
pub struct SchemaRegistry {
    port: ReservedPort,
    /// The port for TLS.
    secure_port: ReservedPort,
    /// The process ends when it is dropped together with the registry.
    _process: ServerProcess,
}

impl SchemaRegistry {
    /// Starts an empty registry, whose output goes to a file in `directory`, and waits until it serves.
    pub fn start(directory: &Path) -> Result<Self, StartError> {
        on_free_ports(|_| Self::attempt(directory, &[]))
    }

    /// The same, but it also serves TLS, at [`SchemaRegistry::secure_url`], with this certificate and its key (files in PEM form).
    pub fn start_with_tls(directory: &Path, certificate: &Path, key: &Path) -> Result<Self, StartError> {
        let properties = [("certificate.files", certificate), ("certificate.key-files", key)];
        on_free_ports(|_| Self::attempt(directory, &properties))
    }

    fn attempt(directory: &Path, tls: &[(&str, &Path)]) -> Result<Self, StartError> {
        let reserve = || ReservedPort::take().map_err(|error| StartError::io(Path::new("java"), &error));
        let (reserved, secure_port) = (reserve()?, reserve()?);
        let port = reserved.number();
        let mut command = Command::new("java");
        command.args(JAVA).arg("-Dquarkus.http.host=127.0.0.1").arg(format!("-Dquarkus.http.port={port}"));
        command.arg(format!("-Dquarkus.http.ssl-port={}", secure_port.number()));
        command.args(tls.iter().map(|(name, file)| format!("-Dquarkus.http.ssl.{name}={}", file.display())));
        command.arg("-jar").arg(apicurio_jar()).current_dir(directory);
        let mut process = ServerProcess::spawn(&mut command, &directory.join("schema-registry.log"))?;
        process.await_ready(|| http::status(port, "GET", &format!("{PATH}/subjects"), "") == Some(200))?;
        Ok(Self { port: reserved, secure_port, _process: process })
    }

    /// The address that the registry listens on.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port.number()))
    }

    /// The address for clients, with its path.
    pub fn url(&self) -> String {
        Self::url_at(self.address())
    }

    /// The same for clients that reach it elsewhere, such as at a [`Proxy`](crate::Proxy).
    pub fn url_at(address: SocketAddr) -> String {
        format!("http://{address}{PATH}")
    }

    /// The address for clients that use TLS, with its path.
    pub fn secure_url(&self) -> String {
        format!("https://127.0.0.1:{}{PATH}", self.secure_port.number())
    }

    /// Registers a schema under a subject, as a producer would, and returns its number.
    ///
    /// # Panics
    /// If it is not accepted.
    pub fn register(&self, subject: &str, schema: &str) -> u32 {
        let body = format!("{{\"schema\":{}}}", quoted(schema));
        let (port, path) = (self.port.number(), format!("{PATH}/subjects/{subject}/versions"));
        let answer = http::ask_json(port, "POST", &path, &body).unwrap_or_default();
        let id = answer.rsplit_once("\"id\":").map(|(_, rest)| rest.trim_end_matches(|c: char| !c.is_ascii_digit()));
        let id = id.and_then(|digits| digits.parse().ok());
        id.unwrap_or_else(|| panic!("the schema is not accepted: {answer}"))
    }

    /// The newest schema of a subject, as the registry answers: JSON with `subject`, `version`, `id` and `schema`.
    pub fn latest(&self, subject: &str) -> Option<String> {
        let path = format!("{PATH}/subjects/{subject}/versions/latest");
        let answer = http::ask(self.port.number(), "GET", &path, "")?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }
}

/// A text in JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
