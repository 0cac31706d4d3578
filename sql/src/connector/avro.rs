//! The formats of Avro: their options, and what connectors pass to the operators that read and write.

use serde_json::{Map, Value, json};

use super::format::Format;
use super::option::{ConnectorOption, only, refused, used};
use crate::OptionValue::{Choice, Flag, Text};
use crate::script::SqlError;

/// The options of format avro.
pub(super) const AVRO: &[ConnectorOption] = &[
    only("avro.encoding", Choice(&["binary", "json"]), "binary", "Messages are in Avro's binary form."),
    used(
        "avro.timestamp_mapping.legacy",
        Flag,
        "true",
        "Whether TIMESTAMP is timestamp-millis, and TIMESTAMP_LTZ has no form. Else TIMESTAMP is local-timestamp-millis or -micros, and \
         TIMESTAMP_LTZ is timestamp-millis or -micros.",
    ),
];

/// The options of a format whose schemas are in a registry.
macro_rules! registry_options {
    ($format:literal, $($schema:expr),+) => {
        &[
            used(concat!($format, ".url"), Text, "", "The address of the schema registry, as in http://host:8081. It can have a path."),
            used(concat!($format, ".schema-registry.url"), Text, "", "Another name of 'url'."),
            used(
                concat!($format, ".subject"),
                Text,
                "the topic and -value or -key",
                "Under which name a sink registers its schema.",
            ),
            used(concat!($format, ".schema-registry.subject"), Text, "", "Another name of 'subject'."),
            $($schema,)+
            used(
                concat!($format, ".basic-auth.credentials-source"),
                Choice(&["URL", "USER_INFO"]),
                "URL",
                "Where user and password for the registry are: in 'url', or in 'basic-auth.user-info'.",
            ),
            used(concat!($format, ".basic-auth.user-info"), Text, "none", "For USER_INFO, as in user:password."),
            used(
                concat!($format, ".bearer-auth.credentials-source"),
                Choice(&["STATIC_TOKEN"]),
                "none",
                "STATIC_TOKEN: the token for the registry is 'bearer-auth.token'.",
            ),
            used(concat!($format, ".bearer-auth.token"), Text, "none", "For STATIC_TOKEN."),
            used(
                concat!($format, ".ssl.truststore.location"),
                Text,
                "the system's",
                "A file with the certificates by which the registry is known, in PEM form.",
            ),
            refused(concat!($format, ".ssl.truststore.password"), "The file is in PEM form, which has no password."),
            used(
                concat!($format, ".ssl.keystore.location"),
                Text,
                "none",
                "A file with the certificate and key that are shown to the registry, in PEM form.",
            ),
            refused(concat!($format, ".ssl.keystore.password"), "The file is in PEM form, and its key must have no password."),
            refused(concat!($format, ".properties.*"), "Set the options that have names of their own."),
        ]
    };
}

/// The options of format avro-confluent.
pub(super) const AVRO_CONFLUENT: &[ConnectorOption] = registry_options!(
    "avro-confluent",
    used(
        "avro-confluent.schema",
        Text,
        "made from the columns",
        "The Avro schema in which a sink writes. A source takes the defaults of fields from it that messages lack.",
    ),
    used("avro-confluent.schema-registry.schema", Text, "", "Another name of 'schema'.")
);

/// The options of format debezium-avro-confluent.
pub(super) const DEBEZIUM_AVRO_CONFLUENT: &[ConnectorOption] =
    registry_options!("debezium-avro-confluent", refused("debezium-avro-confluent.schema", "The columns decide."));

impl Format<'_> {
    /// Whether it is one of the formats with a registry.
    fn has_registry(&self) -> bool {
        matches!(self.name.as_str(), "avro-confluent" | "debezium-avro-confluent")
    }

    /// The options of the operator, in both directions. Error: `SQL-OPTION`.
    pub(super) fn avro(&self, is_written: bool) -> Result<Map<String, Value>, SqlError> {
        let mut set = Map::new();
        if self.name == "avro" && self.text("avro.timestamp_mapping.legacy").is_some() {
            set.insert("legacy_timestamps".to_owned(), json!(self.flag("avro.timestamp_mapping.legacy")));
        }
        if !self.has_registry() {
            return Ok(set);
        }
        let of = |option: &str| self.text(&format!("{}.{option}", self.name));
        let either = |option: &str| of(option).or_else(|| of(&format!("schema-registry.{option}")));
        let full = |option: &str| format!("{}{}.{option}", self.prefix, self.name);
        let url = either("url").map(str::trim).filter(|url| !url.is_empty());
        let missing = || {
            let error = self.options.invalid(&full("url"), "is missing");
            error.hint(format!("give the address of the schema registry: '{}' = 'http://host:8081'", full("url")))
        };
        set.insert("url".to_owned(), json!(url.ok_or_else(missing)?));
        if is_written {
            let part = if self.prefix == "key." { "key" } else { "value" };
            let default = format!("{}-{part}", self.options.text("topic").unwrap_or_default().trim());
            set.insert("subject".to_owned(), json!(either("subject").unwrap_or(&default)));
        }
        let source = of("basic-auth.credentials-source").is_some_and(|source| source.trim().eq_ignore_ascii_case("USER_INFO"));
        let bearer = of("bearer-auth.credentials-source").is_some();
        for (option, name, is_used, needs) in [
            ("basic-auth.user-info", "basic_auth", source, "'basic-auth.credentials-source' = 'USER_INFO'"),
            ("bearer-auth.token", "bearer_token", bearer, "'bearer-auth.credentials-source' = 'STATIC_TOKEN'"),
        ] {
            match of(option) {
                Some(_) if !is_used => return Err(self.options.invalid(&full(option), &format!("needs {needs}"))),
                None if is_used => return Err(self.options.invalid(&full(option), "is missing")),
                Some(value) => drop(set.insert(name.to_owned(), json!(value))),
                None => {}
            }
        }
        let others = [
            ("schema", either("schema")),
            ("truststore", of("ssl.truststore.location")),
            ("keystore", of("ssl.keystore.location")),
        ];
        set.extend(others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))));
        Ok(set)
    }
}
