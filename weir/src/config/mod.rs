//! The configuration: `config.yaml` with nested or dotted keys, and `-D key=value`, which wins over the file.

mod job_settings;
pub mod option;
pub mod user_directories;
pub mod value;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use option::{ConfigOption, Description, JVM_ONLY, OPTIONS};
use value::{MemorySize, OptionValue};

/// The largest accepted configuration file, in bytes.
const FILE_LIMIT: u64 = 1 << 20;
/// The highest accepted `execution.checkpointing.data-inline-threshold`. Flink has the same limit.
const LARGEST_INLINE_STATE: MemorySize = MemorySize(1 << 20);

/// The checked settings of one process. Options that are not set have their defaults.
#[derive(Debug, Clone, Default)]
pub struct Config {
    set: BTreeMap<&'static str, String>,
    notices: Vec<String>,
}

/// The reason why a configuration can't be used, and what to try.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("CONFIG-FILE: can't read {path}: {reason}")]
    File { path: String, reason: String },
    /// The file is not YAML of the expected shape.
    #[error("CONFIG-SYNTAX: {path}: {reason}")]
    Syntax {
        path: String,
        /// The place in the file, and what is wrong there.
        reason: String,
    },
    /// There is no option with this key.
    #[error("CONFIG-UNKNOWN-KEY: there is no option {key:?}{suggestion}")]
    UnknownKey {
        key: String,
        /// `; did you mean …?`, or empty.
        suggestion: String,
    },
    /// The value does not fit the option.
    #[error("CONFIG-VALUE: {key}: {reason}")]
    Value { key: String, reason: String },
    /// Options contradict each other.
    #[error("CONFIG-CONTRADICTION: {0}")]
    Contradiction(String),
}

impl Config {
    /// Reads `file`, if it is given, and then `overrides`, which have the form `key=value`. Checks the result as a whole.
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
            if option::find(key.trim()).is_some_and(|option| option.is_secret) {
                config.notices.push(format!(
                    "{} was set with -D, so every user of this machine can read it in the list of processes: set it in a \
                     configuration file of mode 0600 (--config)",
                    key.trim()
                ));
            }
        }
        config.check()?;
        Ok(config)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let shown = path.display().to_string();
        let file_error = |reason: String| ConfigError::File { path: shown.clone(), reason };
        let metadata = std::fs::metadata(path).map_err(|error| file_error(error.to_string()))?;
        let size = metadata.len();
        if size > FILE_LIMIT {
            return Err(file_error(format!("it has {size} bytes, the limit is {FILE_LIMIT}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| file_error(error.to_string()))?;
        let syntax = |reason: String| ConfigError::Syntax { path: shown.clone(), reason };
        let tree: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).map_err(|error| syntax(error.to_string()))?;
        let mut leaves = Vec::new();
        flatten("", &tree, &mut leaves).map_err(syntax)?;
        let secret = leaves.iter().find(|(key, _)| option::find(key).is_some_and(|option| option.is_secret));
        if let Some((key, _)) = secret
            && metadata.mode() & 0o077 != 0
        {
            self.notices.push(format!("{shown} contains {key} and other users may read it: chmod 600 {shown}"));
        }
        leaves.into_iter().try_for_each(|(key, value)| self.put(&key, value))
    }

    fn put(&mut self, key: &str, value: String) -> Result<(), ConfigError> {
        let Some(option) = option::find(key) else {
            if JVM_ONLY.iter().any(|prefix| key.starts_with(prefix)) {
                self.notices.push(format!("{key} is ignored: it only concerns a JVM"));
                return Ok(());
            }
            return Err(ConfigError::UnknownKey { key: key.to_owned(), suggestion: suggestion(key) });
        };
        (option.check)(Some(&value)).map_err(|reason| ConfigError::Value { key: key.to_owned(), reason })?;
        self.set.insert(option.key, value);
        Ok(())
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.less(&option::HEARTBEAT_INTERVAL, &option::HEARTBEAT_TIMEOUT)?;
        self.less(&option::HA_RAFT_HEARTBEAT_INTERVAL, &option::HA_RAFT_ELECTION_TIMEOUT_MIN)?;
        self.less(&option::HA_RAFT_ELECTION_TIMEOUT_MIN, &option::HA_RAFT_ELECTION_TIMEOUT_MAX)?;
        let at_least_one = [
            (option::TASKMANAGER_SLOTS.key, self.get(&option::TASKMANAGER_SLOTS) as usize),
            (option::WEB_CHECKPOINTS_HISTORY.key, self.get(&option::WEB_CHECKPOINTS_HISTORY)),
            (option::WEB_EXCEPTION_HISTORY_SIZE.key, self.get(&option::WEB_EXCEPTION_HISTORY_SIZE)),
        ];
        if let Some((key, _)) = at_least_one.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Contradiction(format!("{key} must be at least 1")));
        }
        let threshold = &option::CHECKPOINTING_DATA_INLINE_THRESHOLD;
        if self.get(threshold) > LARGEST_INLINE_STATE {
            let (key, text) = (threshold.key, self.text(threshold));
            return Err(ConfigError::Contradiction(format!("{key} ({text}) must be at most 1 mb")));
        }
        let bind_host = &option::TASKMANAGER_BIND_HOST;
        if self.get(bind_host).parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
            && self.get(&option::TASKMANAGER_HOST).is_none()
        {
            let (bind_host, value, host) = (bind_host.key, self.text(bind_host), option::TASKMANAGER_HOST.key);
            let reason =
                format!("{bind_host} is {value}, which is no address for others: set {host} to the name of this machine");
            return Err(ConfigError::Contradiction(reason));
        }
        self.check_job_settings()
    }

    fn less(&self, small: &ConfigOption<Duration>, large: &ConfigOption<Duration>) -> Result<(), ConfigError> {
        if self.get(small) < self.get(large) {
            return Ok(());
        }
        let (low, high) = (self.text(small), self.text(large));
        Err(ConfigError::Contradiction(format!("{} ({low}) must be less than {} ({high})", small.key, large.key)))
    }

    /// The value of an option; its default if it is not set.
    pub fn get<T: OptionValue>(&self, option: &ConfigOption<T>) -> T {
        let text = self.set.get(option.key).map(String::as_str).or(option.default);
        // This can't fail: `put` checks every value, and a test checks every default.
        T::read(text).unwrap_or_else(|reason| unreachable!("{}: {reason}", option.key))
    }

    /// The value of a duration option in milliseconds.
    pub fn milliseconds(&self, option: &ConfigOption<Duration>) -> u64 {
        self.get(option).as_millis() as u64
    }

    /// The value of an option without a default that must be set. The error says that `needed_by` needs it.
    pub fn require<T: OptionValue>(&self, needed_by: &str, option: &ConfigOption<Option<T>>) -> Result<T, ConfigError> {
        self.get(option).ok_or_else(|| missing(needed_by, &option.describe()))
    }

    /// The items of a list that must not be empty. The error says that `needed_by` needs it.
    pub fn require_list(&self, needed_by: &str, option: &ConfigOption<Vec<String>>) -> Result<Vec<String>, ConfigError> {
        let items = self.get(option);
        if items.is_empty() { Err(missing(needed_by, &option.describe())) } else { Ok(items) }
    }

    /// The value as the user or the default writes it, for messages. It does not hide secrets.
    pub fn text<T>(&self, option: &ConfigOption<T>) -> String {
        self.set.get(option.key).map(String::as_str).or(option.default).unwrap_or("(unset)").to_owned()
    }

    /// Every option that is set, as `key=value`, to configure another process in the same way. It does not hide secrets.
    pub fn settings(&self) -> Vec<String> {
        self.set.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// One message for the log about each setting that was ignored, and about each secret that others can read.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Every option that has a value, for display, by key. Secrets are hidden.
    pub fn shown(&self) -> BTreeMap<String, String> {
        let shown = |option: &Description| {
            let value = self.set.get(option.key).map(String::as_str).or(option.default)?;
            Some((option.key.to_owned(), if option.is_secret { "******" } else { value }.to_owned()))
        };
        OPTIONS.iter().filter_map(shown).collect()
    }
}

fn missing(needed_by: &str, option: &Description) -> ConfigError {
    let Description { key, sentence, .. } = option;
    ConfigError::Contradiction(format!("{needed_by} needs {key}: set it in config.yaml, or with -D {key}=VALUE. {sentence}"))
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
