//! An outage is brought about in every process by its agent, or by a command of the operator's; and it is mended, whatever becomes
//! of this process.

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

/// An agent that has not answered by then was not reached.
const PATIENCE: Duration = Duration::from_secs(5);
/// The watchdog waits so much longer than the outage is to last: by then the drill has mended it, or is gone.
const WATCHDOG_MARGIN: Duration = Duration::from_secs(60);

/// How the operator takes something away and gives it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutageCommands {
    /// Run by `sh -c` when the outage begins; it has ended when this has.
    pub break_command: String,
    /// The same when it ends. May be run more than once.
    pub mend_command: String,
}

/// A break command on its way or done, and who mends if we can't.
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

    /// Waits for the command's end. Once it has been waited for it is not waited for again.
    pub(super) async fn ended(&mut self) -> Result<(), String> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let ended = running.await.map_err(|error| error.to_string());
        self.running = None;
        ended?
    }

    /// Mends, once the break command is certainly over. The watchdog stays if that fails.
    pub(super) async fn mend(&mut self, commands: &OutageCommands) -> Result<(), String> {
        // How it ended does not matter any more.
        let _ = self.ended().await;
        let command = commands.mend_command.clone();
        weir_world::blocking(move || command_template::run(&command)).await.map_err(|error| error.to_string())??;
        self.watchdog.dismiss();
        Ok(())
    }
}

/// A process of its own that mends after a time, also if this one is killed meanwhile.
#[derive(Debug)]
struct Watchdog(Child);

impl Watchdog {
    fn start(mend_command: &str, after: Duration) -> std::io::Result<Self> {
        let child = Command::new("sh")
            .args(["-c", "sleep \"$0\"; eval \"$1\"", &after.as_secs().to_string(), mend_command])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Neither Ctrl-C nor the end of a terminal's session reaches it.
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }

    fn dismiss(&mut self) {
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        drop(self.0.wait());
    }
}

/// Orders everybody's agent at the same moment. When it has begun for all, and for how long it lasts then; if somebody refuses, it is
/// mended for the others.
pub(super) async fn order(http: &ProcessClient, step: &Step, fault: Fault) -> Result<(Instant, Duration), String> {
    let at = Instant::now();
    let refused = order_all(http, step, fault).await.into_iter().next();
    let lasts = Duration::from_millis(fault.lasts_ms().unwrap_or(0));
    match refused {
        // The last one's time began no later than now.
        None => Ok((at, at.elapsed() + lasts)),
        Some(why) => {
            let mended = order_mend(http, step).await;
            Err(mended.err().map_or(why.clone(), |left| format!("{why}; {left}")))
        }
    }
}

/// Ends an outage before its time.
pub(super) async fn order_mend(http: &ProcessClient, step: &Step) -> Result<(), String> {
    let failed = order_all(http, step, Fault::Mend).await;
    if failed.is_empty() { Ok(()) } else { Err(format!("not mended at once: {}", failed.join(", "))) }
}

/// What went wrong, with whom.
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
    fn the_watchdog_mends_by_itself_and_not_once_it_was_dismissed() {
        let directory = tempfile::tempdir().unwrap();
        let (mended, kept) = (directory.path().join("it's mended"), directory.path().join("kept"));
        let mut left = Watchdog::start(&format!("touch \"{}\"", mended.display()), Duration::ZERO).unwrap();
        assert!(left.0.wait().unwrap().success() && mended.is_file());
        let mut dismissed = Watchdog::start(&format!("touch {}", kept.display()), Duration::from_secs(600)).unwrap();
        dismissed.dismiss();
        assert!(!dismissed.0.wait().unwrap().success() && !kept.exists());
    }

    #[tokio::test]
    async fn what_was_broken_is_mended_after_the_break_command_has_ended() {
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
