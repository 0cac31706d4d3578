//! The agent in a JobManager or TaskManager: signals to itself. There is one only where `drill.agent.enabled` is set.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use weir_protocol::drill::{Fault, FaultAccepted, FaultInjector};

/// Between the answer to an order and its fault, so that the answer gets out.
const DELAY_MS: u64 = 20;

/// Faults of this process as a whole.
#[derive(Debug, Default)]
pub(crate) struct ProcessFaults;

impl FaultInjector for ProcessFaults {
    /// A child does it: who is stopped can't wake itself. It has a process group of its own, so that a Ctrl-C for the group leaves
    /// nobody frozen.
    fn inject(&self, fault: Fault) -> Result<FaultAccepted, String> {
        let script = script(fault, std::process::id());
        let child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let mut child = child.map_err(|error| format!("can't start sh: {error}"))?;
        // Reaped by a thread that ends with it.
        let reaper = move || drop(child.wait());
        std::thread::Builder::new().name("drill-fault".to_owned()).spawn(reaper).map_err(|error| error.to_string())?;
        Ok(FaultAccepted { begins_in_ms: DELAY_MS, lasts_ms: fault.lasts_ms() })
    }
}

fn script(fault: Fault, pid: u32) -> String {
    let delay = seconds(DELAY_MS);
    match fault {
        Fault::Kill => format!("sleep {delay}; kill -KILL {pid}"),
        Fault::Terminate => format!("sleep {delay}; kill -TERM {pid}"),
        Fault::Pause { for_ms } => {
            format!("sleep {delay}; kill -STOP {pid}; sleep {}; kill -CONT {pid}", seconds(for_ms))
        }
    }
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
    }
}
