//! A step of a drill: what it breaks, and how.

use serde::Serialize;
use weir_protocol::drill::Fault;

use crate::victim::{Action, Role, Victim};

/// The fault of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Disruption {
    /// Leadership is transferred to another JobManager.
    TransferLeadership,
    Kill,
    Terminate,
    Pause {
        for_ms: u64,
    },
    /// No JobManager reaches the coordination store.
    StoreOutage {
        for_ms: u64,
    },
    /// No process writes or reads checkpoints.
    CheckpointStorageOutage {
        for_ms: u64,
    },
}

impl Disruption {
    /// The fault for an agent, if an agent can inject it.
    pub(super) fn fault(self) -> Option<Fault> {
        match self {
            Self::TransferLeadership => None,
            Self::Kill => Some(Fault::Kill),
            Self::Terminate => Some(Fault::Terminate),
            Self::Pause { for_ms } => Some(Fault::Pause { for_ms }),
            Self::StoreOutage { for_ms } => Some(Fault::StoreOutage { for_ms }),
            Self::CheckpointStorageOutage { for_ms } => Some(Fault::CheckpointStorageOutage { for_ms }),
        }
    }

    /// The action of a command, if a command can do it.
    pub(super) fn action(self) -> Option<Action> {
        match self {
            Self::TransferLeadership | Self::StoreOutage { .. } | Self::CheckpointStorageOutage { .. } => None,
            Self::Kill => Some(Action::Kill),
            Self::Terminate => Some(Action::Terminate),
            Self::Pause { .. } => Some(Action::Pause),
        }
    }

    /// Whether it ends the process.
    pub(super) fn ends_the_process(self) -> bool {
        matches!(self, Self::Kill | Self::Terminate)
    }

    /// What becomes unavailable and for how many milliseconds, if this is an outage.
    pub(super) fn outage(self) -> Option<(&'static str, u64)> {
        match self {
            Self::StoreOutage { for_ms } => Some(("the coordination store", for_ms)),
            Self::CheckpointStorageOutage { for_ms } => Some(("checkpoint storage", for_ms)),
            _ => None,
        }
    }
}

/// One fault and its victims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    pub(super) disruption: Disruption,
    pub(super) victim: Victim,
    /// Whether the victim leads.
    pub(super) leads: bool,
    /// The victims that are hit at the same moment: for an outage, all other processes that it concerns.
    pub(super) others: Vec<Victim>,
}

impl Step {
    pub(super) fn of_one(disruption: Disruption, victim: Victim, leads: bool) -> Self {
        Self { disruption, victim, leads, others: Vec::new() }
    }

    /// All processes that are hit.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Victim> {
        std::iter::once(&self.victim).chain(&self.others)
    }

    /// What is broken, for people: a process, or what becomes unavailable.
    pub(super) fn target(&self) -> &str {
        self.disruption.outage().map_or(self.victim.name.as_str(), |(what, _)| what)
    }

    /// Describes the step for people: `kill jm-1 (the leading JobManager, 127.0.0.1:8081)`.
    pub(super) fn text(&self) -> String {
        let Victim { name, address, .. } = &self.victim;
        let what = match (self.victim.role, self.leads) {
            (Role::JobManager, true) => "the leading JobManager",
            (Role::JobManager, false) => "a standby JobManager",
            (Role::TaskManager, _) => "a TaskManager",
        };
        match self.disruption {
            Disruption::TransferLeadership => {
                format!("transfer leadership from {name} ({what}, {address}) to another JobManager")
            }
            Disruption::Kill => format!("kill {name} ({what}, {address})"),
            Disruption::Terminate => format!("stop {name} in order ({what}, {address})"),
            Disruption::Pause { for_ms } => format!("pause {name} for {for_ms} ms ({what}, {address})"),
            Disruption::StoreOutage { for_ms } => {
                format!("make the coordination store unavailable to every JobManager for {for_ms} ms")
            }
            Disruption::CheckpointStorageOutage { for_ms } => {
                format!("make checkpoint storage unavailable to every JobManager and TaskManager for {for_ms} ms")
            }
        }
    }
}
