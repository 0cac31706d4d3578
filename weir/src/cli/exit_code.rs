//! How a command ends: a message and a documented code.

use std::fmt;
use std::process::ExitCode;

use crate::assembly;
use crate::demo::DemoError;

/// Why a command failed, as its exit code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Something went wrong.
    Error = 1,
    /// The command or its configuration can't be used as given.
    Usage = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// No JobManager answered, none leads, or the coordination store is away.
    NoLeader = 4,
    /// It did not happen in time.
    TimedOut = 5,
    /// The cluster can't bear it: nothing was touched.
    Refused = 6,
}

/// A command that failed: what happened, what to try, and the exit code.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    message: String,
}

impl Failure {
    /// Something went wrong.
    pub fn error(message: impl fmt::Display) -> Self {
        Self { code: Code::Error, message: message.to_string() }
    }

    /// The command or its configuration can't be used as given.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { code: Code::Usage, message: message.to_string() }
    }

    /// A failure with this code.
    pub fn with_code(code: Code, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
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

/// Prints what went wrong, if something did, and gives the exit code.
pub fn finish(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("weir: {}", failure.message);
            ExitCode::from(failure.code as u8)
        }
    }
}
