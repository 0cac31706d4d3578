//! The drill agent in a JobManager or TaskManager. It sends signals to its own process, and can cut the process off from outside
//! services. It exists only if `drill.agent.enabled` is set.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use weir_ha::HaServices;
use weir_protocol::drill::{Fault, FaultAccepted, FaultInjector};
use weir_storage::StorageOutage;

use crate::switch::Switch;

/// Delay between the answer to an order and the fault, so that the answer is sent.
const DELAY_MS: u64 = 20;

/// The faults that an agent can inject into its own process.
#[derive(Debug)]
pub struct ProcessFaults {
    /// Cuts the process off from the coordination store; `None` if it has none.
    store: Option<Switch>,
    checkpoint_storage: Switch,
}

impl ProcessFaults {
    /// For a process with this coordination store, if it has one, and with this switch in its storage.
    pub fn new(store: Option<HaServices>, storage: StorageOutage) -> Self {
        // The provider returns whether it can be cut off. This call itself cuts nothing off.
        let store = store.filter(|store| store.set_isolated(false));
        Self {
            store: store.map(|store| Switch::new("the coordination store", move |on| _ = store.set_isolated(on))),
            checkpoint_storage: Switch::new("checkpoint storage", move |on| storage.set(on)),
        }
    }
}

impl FaultInjector for ProcessFaults {
    fn inject(&self, fault: Fault) -> Result<FaultAccepted, String> {
        let accepted = FaultAccepted { begins_in_ms: 0, lasts_ms: fault.lasts_ms() };
        match fault {
            Fault::Kill | Fault::Terminate | Fault::Pause { .. } => signal_itself(fault),
            Fault::StoreOutage { for_ms } => {
                let store = self.store.as_ref().ok_or("this process has no coordination store that it can be cut off from")?;
                store.turn_on(Duration::from_millis(for_ms)).map(|()| accepted)
            }
            Fault::CheckpointStorageOutage { for_ms } => {
                self.checkpoint_storage.turn_on(Duration::from_millis(for_ms)).map(|()| accepted)
            }
            Fault::Mend => {
                self.store.iter().chain([&self.checkpoint_storage]).for_each(Switch::turn_off);
                Ok(accepted)
            }
        }
    }
}

/// A child process sends the signals, because a stopped process can't wake itself. The child has its own process group, so that
/// Ctrl-C for the group can't leave the process stopped.
fn signal_itself(fault: Fault) -> Result<FaultAccepted, String> {
    let script = script(fault, std::process::id());
    let child = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let mut child = child.map_err(|error| format!("can't start sh: {error}"))?;
    // A thread reaps the child and ends with it.
    let reaper = move || drop(child.wait());
    std::thread::Builder::new().name("drill-fault".to_owned()).spawn(reaper).map_err(|error| error.to_string())?;
    Ok(FaultAccepted { begins_in_ms: DELAY_MS, lasts_ms: fault.lasts_ms() })
}

fn script(fault: Fault, pid: u32) -> String {
    let delay = seconds(DELAY_MS);
    let signal = match fault {
        Fault::Kill => "KILL",
        Fault::Pause { for_ms } => {
            return format!("sleep {delay}; kill -STOP {pid}; sleep {}; kill -CONT {pid}", seconds(for_ms));
        }
        _ => "TERM",
    };
    format!("sleep {delay}; kill -{signal} {pid}")
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1_000, milliseconds % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_by_itself() {
        assert_eq!(script(Fault::Pause { for_ms: 1_250 }, 7), "sleep 0.020; kill -STOP 7; sleep 1.250; kill -CONT 7");
        assert_eq!(script(Fault::Kill, 7), "sleep 0.020; kill -KILL 7");
        assert_eq!(script(Fault::Terminate, 7), "sleep 0.020; kill -TERM 7");
    }

    #[test]
    fn an_outage_of_checkpoint_storage_can_be_ended_and_an_outage_without_a_store_is_refused() {
        let storage = StorageOutage::of_everything();
        let faults = ProcessFaults::new(None, storage.clone());
        let outage = Fault::CheckpointStorageOutage { for_ms: 300_000 };
        assert_eq!(faults.inject(outage), Ok(FaultAccepted { begins_in_ms: 0, lasts_ms: Some(300_000) }));
        assert!(storage.is_under_way() && faults.inject(outage).is_err(), "only one outage at a time");
        faults.inject(Fault::Mend).unwrap();
        assert!(!storage.is_under_way());
        assert!(faults.inject(Fault::StoreOutage { for_ms: 1 }).is_err());
    }
}
