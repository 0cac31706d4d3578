//! The settings of a client, from properties with the names of Kafka's Java client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::sasl::{Credentials, Mechanism};
use super::tls::Tls;

/// How to reach brokers.
#[derive(Debug, Clone)]
pub(crate) struct ClientSettings {
    /// `host:port` of the brokers to ask first.
    pub(crate) bootstrap: Vec<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) metadata_max_age: Duration,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) sasl: Option<Credentials>,
}

/// A property that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the property {name:?}: {reason}")]
pub(crate) struct PropertyError {
    name: String,
    reason: String,
}

impl PropertyError {
    pub(crate) fn new(name: &str, reason: impl std::fmt::Display) -> Self {
        Self { name: name.to_owned(), reason: reason.to_string() }
    }
}

/// The properties that a user gave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Takes the properties that are among `used` or that every client has. Those that only Java's threads and buffers know are
    /// ignored. Error: another property, which may be a misspelt one.
    pub(crate) fn new(given: BTreeMap<String, String>, used: &[&str]) -> Result<Self, PropertyError> {
        let known = |name: &str| used.contains(&name) || USED.contains(&name);
        for name in given.keys().filter(|name| !known(name)) {
            if IGNORED.contains(&name.as_str()) {
                tracing::debug!(property = name, "a property has no effect, because it is about Java's client");
                continue;
            }
            let all: Vec<&str> = used.iter().chain(USED).copied().collect();
            let near = weir_protocol::job_graph::catalog::closest(name, all.iter().copied());
            let advice = near.map_or_else(|| format!("known are {}", all.join(", ")), |near| format!("did you mean {near:?}?"));
            return Err(PropertyError::new(name, format!("there is no such property; {advice}")));
        }
        Ok(Self(given))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim())
    }

    /// A number among `range`.
    pub(crate) fn number(&self, name: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> Result<u64, PropertyError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| PropertyError::new(name, format!("{text:?} is no number from {} to {}", range.start(), range.end())))
    }

    pub(crate) fn millis(&self, name: &str, default: u64) -> Result<Duration, PropertyError> {
        self.number(name, default, 1..=i32::MAX as u64).map(Duration::from_millis)
    }

    /// One of some words.
    pub(crate) fn choice(&self, name: &str, words: &[&'static str]) -> Result<&'static str, PropertyError> {
        let Some(text) = self.get(name) else { return Ok(words[0]) };
        let found = words.iter().find(|word| **word == text);
        found.copied().ok_or_else(|| PropertyError::new(name, format!("{text:?} is none of {}", words.join(", "))))
    }
}

/// What every client uses.
const USED: &[&str] = &[
    "metadata.max.age.ms",
    "request.timeout.ms",
    "sasl.jaas.config",
    "sasl.mechanism",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.type",
];

/// What other clients have, and what makes no difference to rows here.
const IGNORED: &[&str] = &[
    "allow.auto.create.topics",
    "auto.commit.interval.ms",
    "buffer.memory",
    "client.dns.lookup",
    "client.id",
    "connections.max.idle.ms",
    "default.api.timeout.ms",
    "enable.auto.commit",
    "enable.idempotence",
    "enable.metrics.push",
    "fetch.max.wait.ms",
    "heartbeat.interval.ms",
    "key.deserializer",
    "key.serializer",
    "max.block.ms",
    "max.in.flight.requests.per.connection",
    "max.poll.interval.ms",
    "max.poll.records",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "receive.buffer.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "register.consumer.metrics",
    "retries",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "send.buffer.bytes",
    "session.timeout.ms",
    "socket.connection.setup.timeout.max.ms",
    "value.deserializer",
    "value.serializer",
];

impl ClientSettings {
    /// Errors: an address that is not `host:port`, and properties that can't be used.
    pub(crate) fn new(bootstrap_servers: &str, properties: &Properties) -> Result<Self, PropertyError> {
        let bootstrap: Vec<_> =
            bootstrap_servers.split(',').map(str::trim).filter(|address| !address.is_empty()).map(str::to_owned).collect();
        let is_address = |address: &String| {
            address
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        if bootstrap.is_empty() || !bootstrap.iter().all(is_address) {
            let reason = format!("{bootstrap_servers:?} is no list of host:port, separated by commas");
            return Err(PropertyError::new("bootstrap.servers", reason));
        }
        let protocol = properties.choice("security.protocol", &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])?;
        Ok(Self {
            bootstrap,
            connect_timeout: properties.millis("socket.connection.setup.timeout.ms", 10_000)?,
            request_timeout: properties.millis("request.timeout.ms", 30_000)?,
            metadata_max_age: properties.millis("metadata.max.age.ms", 300_000)?,
            tls: protocol.ends_with("SSL").then(|| Arc::new(Tls::new(properties.clone()))),
            sasl: protocol.starts_with("SASL").then(|| credentials(properties)).transpose()?,
        })
    }
}

fn credentials(properties: &Properties) -> Result<Credentials, PropertyError> {
    let name = properties.get("sasl.mechanism").unwrap_or("GSSAPI");
    let mechanism = Mechanism::from_name(name).ok_or_else(|| {
        PropertyError::new("sasl.mechanism", format!("{name:?} is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"))
    })?;
    let config = properties.get("sasl.jaas.config").unwrap_or_default();
    let value = |name: &str| {
        let missing = || PropertyError::new("sasl.jaas.config", format!("there is no {name}=\"...\" in it"));
        jaas_option(config, name).ok_or_else(missing)
    };
    Ok(Credentials { mechanism, user: value("username")?, password: value("password")? })
}

/// The value of an option in Java's form: `SomeLoginModule required username="u" password="p";`. A backslash quotes a character.
fn jaas_option(config: &str, name: &str) -> Option<String> {
    let mut rest = config;
    while let Some(at) = rest.find(name) {
        let is_word = rest[..at].chars().next_back().is_none_or(|before| before.is_whitespace());
        rest = &rest[at + name.len()..];
        let Some(quoted) = rest.trim_start().strip_prefix('=').filter(|_| is_word) else { continue };
        let mut value = String::new();
        let mut characters = quoted.trim_start().strip_prefix('"')?.chars();
        loop {
            match characters.next()? {
                '"' => return Some(value),
                '\\' => value.push(characters.next()?),
                other => value.push(other),
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(given: &[(&str, &str)]) -> Result<Properties, PropertyError> {
        Properties::new(given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(), &["group.id"])
    }

    #[test]
    fn a_misspelt_property_is_refused_and_one_of_java_is_not() {
        assert!(properties(&[("group.id", "g"), ("max.poll.records", "5")]).is_ok());
        let error = properties(&[("security.protocl", "SSL")]).unwrap_err().to_string();
        assert!(error.contains("security.protocol"), "{error}");
    }

    #[test]
    fn addresses_are_checked() {
        let none = Properties::default();
        assert_eq!(ClientSettings::new("a:1, b:2 ,", &none).unwrap().bootstrap, ["a:1", "b:2"]);
        for bad in ["", "a", "a:", ":1", "a:0", "a:99999", "http://a"] {
            assert!(ClientSettings::new(bad, &none).is_err(), "{bad}");
        }
    }

    #[test]
    fn users_and_passwords_are_read_from_the_form_of_java() {
        let config = "org.apache.kafka.common.security.plain.PlainLoginModule required user_username=\"x\" username=\"me\" password = \"a\\\"b;c\";";
        assert_eq!(jaas_option(config, "username").as_deref(), Some("me"));
        assert_eq!(jaas_option(config, "password").as_deref(), Some("a\"b;c"));
        assert_eq!(jaas_option(config, "token"), None);
        assert_eq!(jaas_option("username=\"open", "username"), None);
        let sasl = |mechanism| {
            let given = properties(&[
                ("security.protocol", "SASL_PLAINTEXT"),
                ("sasl.mechanism", mechanism),
                ("sasl.jaas.config", config),
            ]);
            ClientSettings::new("a:1", &given.unwrap())
        };
        assert_eq!(sasl("PLAIN").unwrap().sasl.unwrap().user, "me");
        assert!(sasl("GSSAPI").is_err());
    }
}
