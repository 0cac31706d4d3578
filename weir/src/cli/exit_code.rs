//! The end of a command: a message and a documented exit code.

use std::fmt;
use std::process::ExitCode;

use weir_world::{err_line, output};

use crate::assembly;
use crate::demo::DemoError;

/// The exit code of a failed command. The numbers are documented in `weir --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Any failure without a code of its own.
    Error = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// The named job, savepoint or member does not exist.
    NotFound = 3,
    /// No JobManager answers as the leader, or the coordination store is unavailable.
    NoLeader = 4,
    /// The awaited event did not happen in time.
    TimedOut = 5,
    /// The cluster would not survive the drill. Nothing was changed.
    Refused = 6,
}

/// The failure of a command: a message that says what happened and what to try, and the exit code.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    message: String,
    /// Whether the message was printed already.
    reported: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    /// A failure with [`Code::Error`].
    pub fn error(message: impl fmt::Display) -> Self {
        Self::with_code(Code::Error, message)
    }

    /// A failure with [`Code::Usage`].
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::with_code(Code::Usage, message)
    }

    /// A failure with the given exit code.
    pub fn with_code(code: Code, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string(), reported: false }
    }

    /// The same failure with another message.
    pub(super) fn saying(self, message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), ..self }
    }

    /// The same failure, whose message is not printed again.
    pub(super) fn already_reported(self) -> Self {
        Self { reported: true, ..self }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::error(error)
    }
}

impl From<assembly::StartError> for Failure {
    fn from(error: assembly::StartError) -> Self {
        match error {
            assembly::StartError::Config(_) | assembly::StartError::Address { .. } => Self::usage(error),
            _ => Self::error(error),
        }
    }
}

impl From<weir_local::StartError> for Failure {
    fn from(error: weir_local::StartError) -> Self {
        Self::error(error)
    }
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        Self::error(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::error(error)
    }
}

/// Prints the message of a failure to standard error. Returns the exit code of the process.
pub fn finish(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => output::finish("weir", ExitCode::SUCCESS),
        Err(failure) => {
            if !failure.reported {
                err_line!("weir: {failure}");
            }
            ExitCode::from(failure.code as u8)
        }
    }
}
