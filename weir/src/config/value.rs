//! The types of option values, and how each type is read from text.

use std::fmt;
use std::time::Duration;

use weir_protocol::quantity;

/// A type of option values.
pub trait OptionValue: Sized {
    /// Whether values are hidden when a configuration is shown.
    const IS_SECRET: bool = false;

    /// Reads a value. `text` is `None` if the option is not set and has no default. The error says what was expected.
    fn read(text: Option<&str>) -> Result<Self, String>;
}

/// A number of bytes, written as e.g. `64 mb` or as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemorySize(pub u64);

/// A text that is shown as asterisks.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

fn set(text: Option<&str>) -> Result<&str, String> {
    text.ok_or_else(|| "it has no value".to_owned())
}

impl OptionValue for Duration {
    fn read(text: Option<&str>) -> Result<Self, String> {
        quantity::parse_duration(set(text)?)
    }
}

impl OptionValue for MemorySize {
    fn read(text: Option<&str>) -> Result<Self, String> {
        quantity::parse_size(set(text)?).map(Self)
    }
}

macro_rules! whole_numbers {
    ($($type:ty),*) => {
        $(impl OptionValue for $type {
            fn read(text: Option<&str>) -> Result<Self, String> {
                let text = set(text)?;
                text.parse().map_err(|_| format!("{text:?} is not a whole number from 0 to {}", <$type>::MAX))
            }
        })*
    };
}

whole_numbers!(u16, u32, usize);

/// Ports to try in order, written as `6130`, `6130-6149` or a list of these. 0 stands for any free port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRange(pub Vec<u16>);

impl OptionValue for PortRange {
    fn read(text: Option<&str>) -> Result<Self, String> {
        let text = set(text)?;
        let refused = || format!("{text:?} is not a port, a range such as 6130-6149, or a list of these");
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| refused());
        let mut ports = Vec::new();
        for part in text.split(',') {
            match part.split_once('-') {
                Some((first, last)) => {
                    let (first, last) = (port(first)?, port(last)?);
                    if first == 0 || first > last {
                        return Err(refused());
                    }
                    ports.extend(first..=last);
                }
                None => ports.push(port(part)?),
            }
        }
        Ok(Self(ports))
    }
}

impl OptionValue for f64 {
    fn read(text: Option<&str>) -> Result<Self, String> {
        let text = set(text)?;
        let number = text.parse::<Self>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| format!("{text:?} is not a number"))
    }
}

impl OptionValue for bool {
    fn read(text: Option<&str>) -> Result<Self, String> {
        let text = set(text)?;
        text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
    }
}

impl OptionValue for String {
    fn read(text: Option<&str>) -> Result<Self, String> {
        set(text).map(str::to_owned)
    }
}

impl OptionValue for Secret {
    const IS_SECRET: bool = true;

    fn read(text: Option<&str>) -> Result<Self, String> {
        set(text).map(|text| Self(text.to_owned()))
    }
}

/// A list: in YAML, or as text with the separators `,` or `;`. If it is not set, it is empty.
impl OptionValue for Vec<String> {
    fn read(text: Option<&str>) -> Result<Self, String> {
        let items = text.unwrap_or_default().split([',', ';']).map(str::trim);
        Ok(items.filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }
}

impl<T: OptionValue> OptionValue for Option<T> {
    const IS_SECRET: bool = T::IS_SECRET;

    fn read(text: Option<&str>) -> Result<Self, String> {
        text.map(|text| T::read(Some(text))).transpose()
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        ///
        /// A configuration names the variant with one word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// The word for this value in a configuration.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl OptionValue for $name {
            fn read(text: Option<&str>) -> Result<Self, String> {
                match set(text)? {
                    $($word => Ok(Self::$variant),)*
                    other => Err(format!("{other:?} is not one of {}", [$($word),*].join(", "))),
                }
            }
        }
    };
}

words! {
    /// The coordination system that elects the leader.
    HaType {
        /// There is only one JobManager, and nothing survives its end.
        None = "none",
        /// The JobManagers form a raft group.
        Raft = "raft",
        Etcd = "etcd",
        ZooKeeper = "zookeeper",
    }
}

words! {
    /// The form of a line of the log.
    LogFormat {
        Text = "text",
        /// One JSON object in each line, for programs.
        Json = "json",
    }
}

words! {
    /// Whether the checkpoints of a canceled job are deleted. Flink has two words for deletion, which mean the same here.
    CheckpointRetention {
        DeleteOnCancellation = "DELETE_ON_CANCELLATION",
        NoExternalizedCheckpoints = "NO_EXTERNALIZED_CHECKPOINTS",
        RetainOnCancellation = "RETAIN_ON_CANCELLATION",
    }
}

words! {
    /// Who may read and write the cluster's znodes in ZooKeeper.
    ZooKeeperAcl {
        /// Every client may.
        Open = "open",
        /// Only the user that created them may.
        Creator = "creator",
    }
}

words! {
    /// When a job is restarted after a failure.
    RestartStrategyType {
        ExponentialDelay = "exponential-delay",
        FailureRate = "failure-rate",
        FixedDelay = "fixed-delay",
        None = "none",
    }
}
