//! One `config.yaml`, nested or dotted, and `-D key=value` on top.

mod job_settings;
pub mod option;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use weir_protocol::quantity;

use option::{ConfigOption, JVM_ONLY, Kind, OPTIONS};

/// A configuration file larger than this is refused.
const FILE_LIMIT: u64 = 1 << 20;
/// Bytes of a task's state that may travel in an acknowledgement; Flink's limit.
const LARGEST_INLINE_STATE: u64 = 1 << 20;

/// The settings of one process: checked, with defaults filled in.
#[derive(Debug, Clone, Default)]
pub struct Config {
    set: BTreeMap<&'static str, String>,
    notices: Vec<String>,
}

/// A configuration that can't be used, and what to try.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("CONFIG-FILE: can't read {path}: {reason}")]
    File {
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The file is not YAML of the expected shape.
    #[error("CONFIG-SYNTAX: {path}: {reason}")]
    Syntax {
        path: String,
        /// Where and what.
        reason: String,
    },
    /// No such option.
    #[error("CONFIG-UNKNOWN-KEY: there is no option {key:?}{suggestion}")]
    UnknownKey {
        key: String,
        /// `; did you mean …?`, or empty.
        suggestion: String,
    },
    /// The value does not fit the option.
    #[error("CONFIG-VALUE: {key}: {reason}")]
    Value {
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// Options contradict each other.
    #[error("CONFIG-CONTRADICTION: {0}")]
    Contradiction(String),
}

impl Config {
    /// Reads `file` (if given), then applies `overrides` of the form `key=value`, then checks the whole.
    pub fn load(file: Option<&Path>, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if let Some(path) = file {
            config.read_file(path)?;
        }
        for pair in overrides {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| ConfigError::Value { key: pair.clone(), reason: "expected -D key=value".to_owned() })?;
            config.put(key.trim(), value.trim().to_owned())?;
        }
        config.check()?;
        Ok(config)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let shown = path.display().to_string();
        let file_error = |reason: String| ConfigError::File { path: shown.clone(), reason };
        let size = std::fs::metadata(path).map_err(|error| file_error(error.to_string()))?.len();
        if size > FILE_LIMIT {
            return Err(file_error(format!("{size} bytes, the limit is {FILE_LIMIT}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| file_error(error.to_string()))?;
        let syntax = |reason: String| ConfigError::Syntax { path: shown.clone(), reason };
        let tree: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).map_err(|error| syntax(error.to_string()))?;
        let mut leaves = Vec::new();
        flatten("", &tree, &mut leaves).map_err(syntax)?;
        leaves.into_iter().try_for_each(|(key, value)| self.put(&key, value))
    }

    fn put(&mut self, key: &str, value: String) -> Result<(), ConfigError> {
        let Some(option) = option::find(key) else {
            if JVM_ONLY.iter().any(|prefix| key.starts_with(prefix)) {
                self.notices.push(format!("{key} only concerns a JVM: ignored"));
                return Ok(());
            }
            return Err(ConfigError::UnknownKey { key: key.to_owned(), suggestion: suggestion(key) });
        };
        check_value(option, &value).map_err(|reason| ConfigError::Value { key: key.to_owned(), reason })?;
        self.set.insert(option.key, value);
        Ok(())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let less = |small: &'static str, large: &'static str| {
            if self.duration(small) < self.duration(large) {
                return Ok(());
            }
            let (low, high) = (self.text(small), self.text(large));
            Err(ConfigError::Contradiction(format!("{small} ({low}) must be less than {large} ({high})")))
        };
        less("heartbeat.interval", "heartbeat.timeout")?;
        less("high-availability.raft.heartbeat-interval", "high-availability.raft.election-timeout.min")?;
        less("high-availability.raft.election-timeout.min", "high-availability.raft.election-timeout.max")?;
        for key in ["taskmanager.numberOfTaskSlots", "web.checkpoints.history"] {
            if self.integer(key) == 0 {
                return Err(ConfigError::Contradiction(format!("{key} must be at least 1")));
            }
        }
        let threshold = "execution.checkpointing.data-inline-threshold";
        if self.size(threshold) > LARGEST_INLINE_STATE {
            return Err(ConfigError::Contradiction(format!("{threshold} ({}) must be at most 1 mb", self.text(threshold))));
        }
        self.check_job_settings()
    }

    /// Demands that these options are set, naming who needs them.
    pub fn require(&self, needed_by: &str, keys: &[&'static str]) -> Result<(), ConfigError> {
        match keys.iter().find(|key| self.get(key).is_none()) {
            None => Ok(()),
            Some(key) => {
                let sentence = option::find(key).map_or("", |option| option.sentence);
                Err(ConfigError::Contradiction(format!(
                    "{needed_by} needs {key} ({sentence}); set it in config.yaml or with -D {key}=…"
                )))
            }
        }
    }

    /// The value of an option, or its default.
    pub fn get(&self, key: &'static str) -> Option<&str> {
        self.set.get(key).map(String::as_str).or_else(|| option::find(key).and_then(|option| option.default))
    }

    /// A text; empty if unset.
    pub fn text(&self, key: &'static str) -> String {
        self.get(key).unwrap_or_default().to_owned()
    }

    /// A list; empty if unset.
    pub fn list(&self, key: &'static str) -> Vec<String> {
        self.text(key).split([',', ';']).map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// A duration. Values were checked when they were set.
    pub fn duration(&self, key: &'static str) -> Duration {
        quantity::parse_duration(&self.text(key)).unwrap_or_default()
    }

    /// A duration in milliseconds.
    pub fn milliseconds(&self, key: &'static str) -> u64 {
        self.duration(key).as_millis() as u64
    }

    /// A size in bytes.
    pub fn size(&self, key: &'static str) -> u64 {
        quantity::parse_size(&self.text(key)).unwrap_or_default()
    }

    /// A whole number.
    pub fn integer(&self, key: &'static str) -> u64 {
        self.text(key).parse().unwrap_or_default()
    }

    /// A number.
    pub fn number(&self, key: &'static str) -> f64 {
        self.text(key).parse().unwrap_or_default()
    }

    /// A switch.
    pub fn boolean(&self, key: &'static str) -> bool {
        self.text(key) == "true"
    }

    /// What was ignored, for the log.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Every option that has a value, for display; secrets are hidden.
    pub fn shown(&self) -> BTreeMap<String, String> {
        let is_secret = |key: &str| key.ends_with("secret-key") || key.ends_with("password");
        let show = |key: &'static str, value: &str| if is_secret(key) { "******".to_owned() } else { value.to_owned() };
        OPTIONS.iter().filter_map(|option| Some((option.key.to_owned(), show(option.key, self.get(option.key)?)))).collect()
    }
}

fn check_value(option: &ConfigOption, text: &str) -> Result<(), String> {
    match option.kind {
        Kind::Duration => quantity::parse_duration(text).map(drop),
        Kind::Size => quantity::parse_size(text).map(drop),
        Kind::Integer => text.parse::<u64>().map(drop).map_err(|_| format!("{text:?} is not a whole number")),
        Kind::Number => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(()),
            _ => Err(format!("{text:?} is not a number")),
        },
        Kind::Boolean if text == "true" || text == "false" => Ok(()),
        Kind::Boolean => Err(format!("{text:?} is neither true nor false")),
        Kind::OneOf(words) if words.contains(&text) => Ok(()),
        Kind::OneOf(words) => Err(format!("{text:?} is not one of {}", words.join(", "))),
        Kind::Text | Kind::List => Ok(()),
    }
}

fn suggestion(key: &str) -> String {
    let closest = OPTIONS.iter().map(|option| (strsim::levenshtein(key, option.key), option.key)).min();
    match closest {
        Some((distance, known)) if distance <= known.len() / 3 => format!("; did you mean {known:?}?"),
        _ => "; `weir config` lists all options".to_owned(),
    }
}

fn flatten(prefix: &str, tree: &serde_yaml_ng::Value, leaves: &mut Vec<(String, String)>) -> Result<(), String> {
    use serde_yaml_ng::Value;
    let scalar = |value: &Value| match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        _ => None,
    };
    match tree {
        Value::Null if prefix.is_empty() => Ok(()),
        Value::Null => Err(format!("{prefix} has no value")),
        Value::Mapping(entries) => entries.iter().try_for_each(|(key, value)| {
            let key = scalar(key).ok_or_else(|| format!("under {prefix:?}: a key is not a text"))?;
            let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            flatten(&path, value, leaves)
        }),
        _ if prefix.is_empty() => Err("expected `key: value` lines".to_owned()),
        Value::Sequence(items) => {
            let items: Option<Vec<_>> = items.iter().map(scalar).collect();
            let items = items.ok_or_else(|| format!("{prefix}: expected a list of plain values"))?;
            leaves.push((prefix.to_owned(), items.join(",")));
            Ok(())
        }
        value => {
            leaves.push((prefix.to_owned(), scalar(value).ok_or_else(|| format!("{prefix}: not a plain value"))?));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
