//! Faults of drills: a process injects them into itself on order. All processes apply the same rules to such an order.
//!
//! The agent is part of every JobManager and TaskManager. A switch enables it; by default it is off. It knows a closed list of
//! faults. A fault that does not end the process ends by itself after a time that the order names.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest duration of a fault, in milliseconds.
pub const MAX_FAULT_MS: u64 = 300_000;

/// A fault that a process can be ordered to inject into itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fault {
    /// End at once, as if the machine had died (SIGKILL).
    Kill,
    /// Stop in order (SIGTERM).
    Terminate,
    /// Freeze (SIGSTOP) and wake up again.
    Pause {
        /// Duration in milliseconds.
        for_ms: u64,
    },
    /// Lose the coordination store for a time, as if its cable were pulled. JobManagers only.
    StoreOutage {
        /// Duration in milliseconds.
        for_ms: u64,
    },
    /// Fail to write and read checkpoints for a time.
    CheckpointStorageOutage {
        /// Duration in milliseconds.
        for_ms: u64,
    },
    /// Not a fault: it ends an outage at once, before its time is up. A frozen process can't receive it.
    Mend,
}

impl Fault {
    /// Duration in milliseconds. `None` if the fault ends the process or breaks nothing.
    pub fn lasts_ms(self) -> Option<u64> {
        match self {
            Self::Kill | Self::Terminate | Self::Mend => None,
            Self::Pause { for_ms } | Self::StoreOutage { for_ms } | Self::CheckpointStorageOutage { for_ms } => Some(for_ms),
        }
    }
}

/// Body of `POST /weir/v1/drill/fault`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRequest {
    /// The process to break: a JobManager's name or a TaskManager's id. Every other process refuses.
    pub process: String,
    pub fault: Fault,
}

/// Answer to a fault order. It is sent before the fault begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultAccepted {
    /// Milliseconds from this answer to the beginning of the fault.
    pub begins_in_ms: u64,
    /// Duration in milliseconds. `None` if the fault ends the process or breaks nothing.
    pub lasts_ms: Option<u64>,
}

/// Answer to `GET /weir/v1/drill/agent`: the answering process, and whether it accepts faults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgentInfo {
    /// A JobManager's name or a TaskManager's id.
    pub process: String,
    /// Process id on its machine.
    pub pid: u32,
    /// Whether `drill.agent.enabled` is set.
    pub enabled: bool,
}

/// Carries out faults in this process.
pub trait FaultInjector: Send + Sync + 'static {
    /// Schedules a fault that begins soon and ends by itself. Returns before the fault begins. `Err` says, for people, why the
    /// fault can't be injected.
    fn inject(&self, fault: Fault) -> Result<FaultAccepted, String>;
}

/// A shared handle to a fault injector.
pub type FaultInjectorRef = Arc<dyn FaultInjector>;

/// The reason why a process refused a fault. It has done nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultRefused {
    /// `drill.agent.enabled` is not set.
    #[error(
        "DRILL-AGENT-OFF: {process} accepts no faults: set drill.agent.enabled: true in its configuration and restart it, or break \
         it with a command template"
    )]
    AgentOff { process: String },
    /// The order is for another process.
    #[error("DRILL-PROCESS: this is {process}, and the fault is for {wanted}")]
    OtherProcess {
        process: String,
        /// The process that the order is for.
        wanted: String,
    },
    /// The duration is out of range.
    #[error("DRILL-FAULT: a fault lasts 1 to {MAX_FAULT_MS} ms, not {for_ms}")]
    Duration {
        /// The ordered duration in milliseconds.
        for_ms: u64,
    },
    /// The process can't inject the fault. The text says why.
    #[error("DRILL-FAULT: {0}")]
    Failed(String),
}

impl FaultRefused {
    /// The HTTP status of this refusal.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::AgentOff { .. } => 403,
            Self::Duration { .. } => 400,
            Self::OtherProcess { .. } | Self::Failed(_) => 409,
        }
    }
}

/// Accepts or refuses fault orders on behalf of this process.
#[derive(Clone)]
pub struct DrillAgent {
    process: String,
    faults: Option<FaultInjectorRef>,
}

impl std::fmt::Debug for DrillAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DrillAgent").field("process", &self.process).field("enabled", &self.faults.is_some()).finish()
    }
}

impl DrillAgent {
    /// The agent of the process called `process`. Without an injector it is off.
    pub fn new(process: impl Into<String>, faults: Option<FaultInjectorRef>) -> Self {
        Self { process: process.into(), faults }
    }

    /// The name and id of this process, and whether it accepts faults.
    pub fn info(&self) -> AgentInfo {
        AgentInfo { process: self.process.clone(), pid: std::process::id(), enabled: self.faults.is_some() }
    }

    /// Injects the ordered fault, or returns why it refuses to.
    pub fn carry_out(&self, order: &FaultRequest) -> Result<FaultAccepted, FaultRefused> {
        let Some(faults) = &self.faults else { return Err(FaultRefused::AgentOff { process: self.process.clone() }) };
        if order.process != self.process {
            return Err(FaultRefused::OtherProcess { process: self.process.clone(), wanted: order.process.clone() });
        }
        if let Some(for_ms) = order.fault.lasts_ms().filter(|for_ms| !(1..=MAX_FAULT_MS).contains(for_ms)) {
            return Err(FaultRefused::Duration { for_ms });
        }
        tracing::warn!(fault = ?order.fault, "a drill orders this process to fail");
        faults.inject(order.fault).map_err(FaultRefused::Failed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Noted(Mutex<Vec<Fault>>);

    impl FaultInjector for Noted {
        fn inject(&self, fault: Fault) -> Result<FaultAccepted, String> {
            self.0.lock().unwrap().push(fault);
            Ok(FaultAccepted { begins_in_ms: 0, lasts_ms: fault.lasts_ms() })
        }
    }

    fn order(process: &str, fault: Fault) -> FaultRequest {
        FaultRequest { process: process.to_owned(), fault }
    }

    #[test]
    fn an_agent_that_is_off_refuses_every_order() {
        let agent = DrillAgent::new("jm-1", None);
        assert!(!agent.info().enabled);
        for name in ["jm-1", "jm-2"] {
            let refused = agent.carry_out(&order(name, Fault::Kill)).unwrap_err();
            assert!(refused.to_string().starts_with("DRILL-AGENT-OFF: jm-1"), "{refused}");
        }
    }

    #[test]
    fn a_fault_for_another_process_or_of_a_duration_out_of_range_is_refused() {
        let noted = Arc::new(Noted::default());
        let agent = DrillAgent::new("jm-1", Some(noted.clone()));
        assert!(agent.info().enabled);
        assert!(matches!(agent.carry_out(&order("jm-2", Fault::Kill)), Err(FaultRefused::OtherProcess { .. })));
        for for_ms in [0, MAX_FAULT_MS + 1, u64::MAX] {
            for fault in [Fault::Pause { for_ms }, Fault::StoreOutage { for_ms }, Fault::CheckpointStorageOutage { for_ms }] {
                assert_eq!(agent.carry_out(&order("jm-1", fault)), Err(FaultRefused::Duration { for_ms }));
            }
        }
        assert!(noted.0.lock().unwrap().is_empty());
        let accepted = agent.carry_out(&order("jm-1", Fault::Pause { for_ms: 7 })).unwrap();
        assert_eq!(accepted.lasts_ms, Some(7));
        assert_eq!(*noted.0.lock().unwrap(), [Fault::Pause { for_ms: 7 }]);
    }

    #[test]
    fn faults_have_a_stable_form() {
        let pause = serde_json::to_value(order("jm-1", Fault::Pause { for_ms: 5 })).unwrap();
        assert_eq!(pause, serde_json::json!({"process": "jm-1", "fault": {"kind": "pause", "for_ms": 5}}));
        let outage = serde_json::to_value([Fault::CheckpointStorageOutage { for_ms: 5 }, Fault::Mend]).unwrap();
        assert_eq!(outage, serde_json::json!([{"kind": "checkpoint-storage-outage", "for_ms": 5}, {"kind": "mend"}]));
        assert!(serde_json::from_str::<FaultRequest>(r#"{"process": "a", "fault": {"kind": "explode"}}"#).is_err());
    }
}
