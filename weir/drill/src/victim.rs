//! A process that a drill breaks, and what can be done to it.

use serde::Serialize;

/// The role of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    JobManager,
    TaskManager,
}

impl Role {
    /// Its name as a command of `weir`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::JobManager => "jobmanager",
            Self::TaskManager => "taskmanager",
        }
    }
}

/// A process that a drill breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Victim {
    pub(crate) role: Role,
    /// A JobManager's name, or a TaskManager's resource id.
    pub(crate) name: String,
    /// A JobManager's name, or a TaskManager's id, which is different for each incarnation.
    pub(crate) process: String,
    /// `host:port` of its HTTP service.
    pub(crate) address: String,
    /// Its process id on its machine, if it reports it.
    pub(crate) pid: Option<u32>,
    /// Whether its agent accepts faults.
    pub(crate) agent_enabled: bool,
}

/// What a command does to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Kill,
    Terminate,
    Pause,
    Resume,
    Start,
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Terminate => "terminate",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Start => "start",
        }
    }

    /// The signal for the action; empty for `start`.
    pub(crate) fn signal(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Terminate => "TERM",
            Self::Pause => "STOP",
            Self::Resume => "CONT",
            Self::Start => "",
        }
    }
}
