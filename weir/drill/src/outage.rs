//! An outage. The agents of all processes cause it, or a command of the operator does. It ends even if the process of the drill
//! dies.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::task::JoinHandle;
use weir_protocol::drill::{Fault, FaultAccepted, FaultRequest};

use crate::command_template;
use crate::probe::ProcessClient;
use crate::step::Step;
use crate::victim::Victim;

/// An agent that does not answer within this time counts as not reached.
const PATIENCE: Duration = Duration::from_secs(5);
/// The watchdog waits this much longer than the outage is to last. By then, the drill has ended the outage, or the drill has
/// died.
const WATCHDOG_MARGIN: Duration = Duration::from_secs(60);

/// The operator's commands that cause and end an outage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutageCommands {
    /// `sh -c` runs it when the outage begins. Once it has ended, the outage must be in effect.
    pub break_command: String,
    /// `sh -c` runs it when the outage is to end. It may be run more than once.
    pub mend_command: String,
}

/// A break command that is running or has ended, and the watchdog that ends the outage if the drill can't.
#[derive(Debug)]
pub(super) struct Breaking {
    running: Option<JoinHandle<Result<(), String>>>,
    watchdog: Watchdog,
}

impl Breaking {
    /// Starts the watchdog, and then the command.
    pub(super) fn start(commands: &OutageCommands, lasts: Duration) -> Result<Self, String> {
        let watchdog = Watchdog::start(&commands.mend_command, lasts + WATCHDOG_MARGIN)
            .map_err(|error| format!("DRILL-COMMAND: the watchdog can't be started: {error}"))?;
        let command = commands.break_command.clone();
        Ok(Self { running: Some(weir_world::blocking(move || command_template::run(&command))), watchdog })
    }

    /// Waits until the command has ended. Later calls return `Ok` at once.
    pub(super) async fn ended(&mut self) -> Result<(), String> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let ended = running.await.map_err(|error| error.to_string());
        self.running = None;
        ended?
    }

    /// Ends the outage after the break command has certainly ended. If this fails, the watchdog stays.
    pub(super) async fn mend(&mut self, commands: &OutageCommands) -> Result<(), String> {
        // The result of the break command does not matter any more.
        let _ = self.ended().await;
        let command = commands.mend_command.clone();
        weir_world::blocking(move || command_template::run(&command)).await.map_err(|error| error.to_string())??;
        self.watchdog.dismiss();
        Ok(())
    }
}

/// A separate process that ends the outage after a time, even if this process is killed meanwhile.
#[derive(Debug)]
struct Watchdog(Child);

impl Watchdog {
    fn start(mend_command: &str, after: Duration) -> std::io::Result<Self> {
        let child = Command::new("sh")
            .args(["-c", "sleep \"$0\"; eval \"$1\"", &after.as_secs().to_string(), mend_command])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Neither Ctrl-C nor the end of a terminal session reaches it.
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }

    fn dismiss(&mut self) {
        // The watchdog may have ended by itself.
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        drop(self.0.wait());
    }
}

/// Orders the fault from the agents of all victims at the same moment. Returns this moment, and the time from then until the
/// fault has ended everywhere. If one agent refuses, the fault is ended for the others.
pub(super) async fn order(http: &ProcessClient, step: &Step, fault: Fault) -> Result<(Instant, Duration), String> {
    let at = Instant::now();
    let refused = order_all(http, step, fault).await.into_iter().next();
    let lasts = Duration::from_millis(fault.lasts_ms().unwrap_or(0));
    match refused {
        // The fault of the last victim began no later than now.
        None => Ok((at, at.elapsed() + lasts)),
        Some(why) => {
            let mended = order_mend(http, step).await;
            Err(mended.err().map_or(why.clone(), |left| format!("{why}; {left}")))
        }
    }
}

/// Ends an outage early.
pub(super) async fn order_mend(http: &ProcessClient, step: &Step) -> Result<(), String> {
    let failed = order_all(http, step, Fault::Mend).await;
    if failed.is_empty() { Ok(()) } else { Err(format!("the outage did not end at once: {}", failed.join(", "))) }
}

/// The errors of all victims, with their names.
async fn order_all(http: &ProcessClient, step: &Step, fault: Fault) -> Vec<String> {
    let order = |victim: &Victim| {
        let (http, victim) = (http.clone(), victim.clone());
        weir_world::spawn("drill-order", async move { order_one(&http, &victim, fault).await })
    };
    let orders: Vec<_> = step.everybody().map(order).collect();
    let mut failed = Vec::new();
    for order in orders {
        failed.extend(order.await.map_err(|error| error.to_string()).and_then(|answer| answer).err());
    }
    failed
}

async fn order_one(http: &ProcessClient, victim: &Victim, fault: Fault) -> Result<FaultAccepted, String> {
    let order = FaultRequest { process: victim.process.clone(), fault };
    let answer = http.post(&victim.address, "/weir/v1/drill/fault", &order, PATIENCE).await;
    answer.map_err(|why| format!("{}: {why}", victim.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_ends_an_outage_by_itself_unless_it_was_dismissed() {
        let directory = tempfile::tempdir().unwrap();
        let (mended, kept) = (directory.path().join("it's mended"), directory.path().join("kept"));
        let mut left = Watchdog::start(&format!("touch \"{}\"", mended.display()), Duration::ZERO).unwrap();
        assert!(left.0.wait().unwrap().success() && mended.is_file());
        let mut dismissed = Watchdog::start(&format!("touch {}", kept.display()), Duration::from_secs(600)).unwrap();
        dismissed.dismiss();
        assert!(!dismissed.0.wait().unwrap().success() && !kept.exists());
    }

    #[tokio::test]
    async fn the_mend_command_runs_after_the_break_command_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log").display().to_string();
        let commands = OutageCommands {
            break_command: format!("sleep 0.2; echo broken >> {log}"),
            mend_command: format!("echo mended >> {log}"),
        };
        let mut breaking = Breaking::start(&commands, Duration::from_secs(1)).unwrap();
        breaking.mend(&commands).await.unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "broken\nmended\n");
        let failing = OutageCommands { break_command: "exit 3".to_owned(), ..commands };
        let mut breaking = Breaking::start(&failing, Duration::from_secs(1)).unwrap();
        assert!(breaking.ended().await.unwrap_err().contains("DRILL-COMMAND"));
        breaking.mend(&failing).await.unwrap();
    }
}
