//! A step of a drill: what it breaks, and how.

use serde::Serialize;
use weir_protocol::drill::Fault;

use crate::victim::{Action, Role, Victim};

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Disruption {
    /// Its leadership is handed to another.
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
    /// As a fault for an agent, if it is one.
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

    /// As the action of a command, if it is one.
    pub(super) fn action(self) -> Option<Action> {
        match self {
            Self::TransferLeadership | Self::StoreOutage { .. } | Self::CheckpointStorageOutage { .. } => None,
            Self::Kill => Some(Action::Kill),
            Self::Terminate => Some(Action::Terminate),
            Self::Pause { .. } => Some(Action::Pause),
        }
    }

    /// Whether the process ends of it.
    pub(super) fn ends_the_process(self) -> bool {
        matches!(self, Self::Kill | Self::Terminate)
    }

    /// What is taken away and for how many milliseconds, if that is what it does.
    pub(super) fn outage(self) -> Option<(&'static str, u64)> {
        match self {
            Self::StoreOutage { for_ms } => Some(("the coordination store", for_ms)),
            Self::CheckpointStorageOutage { for_ms } => Some(("checkpoint storage", for_ms)),
            _ => None,
        }
    }
}

/// Who is hit, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    pub(super) disruption: Disruption,
    pub(super) victim: Victim,
    /// Whether the victim leads.
    pub(super) leads: bool,
    /// Who is hit at the same moment: of an outage everybody else whom it concerns.
    pub(super) others: Vec<Victim>,
}

impl Step {
    pub(super) fn of_one(disruption: Disruption, victim: Victim, leads: bool) -> Self {
        Self { disruption, victim, leads, others: Vec::new() }
    }

    /// Everybody who is hit.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Victim> {
        std::iter::once(&self.victim).chain(&self.others)
    }

    /// What is broken, for people: a process, or what is out of reach.
    pub(super) fn target(&self) -> &str {
        self.disruption.outage().map_or(self.victim.name.as_str(), |(what, _)| what)
    }

    /// For people: `kill jm-1 (the leading JobManager, 127.0.0.1:8081)`.
    pub(super) fn text(&self) -> String {
        let Victim { name, address, .. } = &self.victim;
        let what = match (self.victim.role, self.leads) {
            (Role::JobManager, true) => "the leading JobManager",
            (Role::JobManager, false) => "a standing-by JobManager",
            (Role::TaskManager, _) => "a TaskManager",
        };
        match self.disruption {
            Disruption::TransferLeadership => format!("hand leadership from {name} ({what}, {address}) to another"),
            Disruption::Kill => format!("kill {name} ({what}, {address})"),
            Disruption::Terminate => format!("stop {name} in order ({what}, {address})"),
            Disruption::Pause { for_ms } => format!("freeze {name} for {for_ms} ms ({what}, {address})"),
            Disruption::StoreOutage { for_ms } => {
                format!("take the coordination store away from every JobManager for {for_ms} ms")
            }
            Disruption::CheckpointStorageOutage { for_ms } => {
                format!("take checkpoint storage away from every JobManager and TaskManager for {for_ms} ms")
            }
        }
    }
}
