//! The way to a process that is to be broken: its own agent, or a command of the operator's.

use std::time::{Duration, Instant};

use weir_client::ClusterClient;
use weir_protocol::drill::{FaultAccepted, FaultRequest};

use crate::command_template::{self, CommandTemplate};
use crate::outage::{self, Breaking, OutageCommands};
use crate::probe::ProcessClient;
use crate::step::{Disruption, Step};
use crate::victim::{Action, Victim};

/// An agent that has not answered by then was not reached.
const PATIENCE: Duration = Duration::from_secs(5);

/// How processes are reached.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    pub(super) http: ProcessClient,
    /// Instead of agents.
    pub(super) command: Option<CommandTemplate>,
    /// Instead of agents, for outages.
    pub(super) outage_commands: Option<OutageCommands>,
}

/// A fault has been brought about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Injected {
    /// The moment from which everything is measured. With a command: when it was started, as nobody knows when it bit.
    pub(super) at: Instant,
    /// When it mends itself; `None` if it ended the process, or if it must be mended.
    pub(super) mends_in: Option<Duration>,
}

impl Reach {
    /// Brings a fault about. A transfer is only asked for: it is answered when another leads. `breaking`: the command that brings an
    /// outage about, if there is one.
    pub(super) async fn inject(
        &self,
        step: &Step,
        patience: Duration,
        breaking: Option<&mut Breaking>,
    ) -> Result<Injected, String> {
        if let Some(breaking) = breaking {
            let at = Instant::now();
            breaking.ended().await?;
            return Ok(Injected { at, mends_in: None });
        }
        let Some(fault) = step.disruption.fault() else {
            let leader = ClusterClient::new(vec![step.victim.address.clone()]).map_err(|error| error.to_string())?;
            let at = Instant::now();
            leader.ha_transfer(None, patience).await.map_err(|error| error.to_string())?;
            return Ok(Injected { at, mends_in: None });
        };
        if let (Some(command), Some(action)) = (&self.command, step.disruption.action()) {
            let at = Instant::now();
            run_command(command, action, &step.victim).await?;
            return Ok(Injected { at, mends_in: None });
        }
        if step.disruption.outage().is_some() {
            let (at, mends_in) = outage::order(&self.http, step, fault).await?;
            return Ok(Injected { at, mends_in: Some(mends_in) });
        }
        let order = FaultRequest { process: step.victim.process.clone(), fault };
        let accepted: FaultAccepted = self.http.post(&step.victim.address, "/weir/v1/drill/fault", &order, PATIENCE).await?;
        let at = Instant::now() + Duration::from_millis(accepted.begins_in_ms);
        Ok(Injected { at, mends_in: accepted.lasts_ms.map(Duration::from_millis) })
    }

    /// Whether the drill itself has to end this fault.
    pub(super) fn must_mend(&self, disruption: Disruption) -> bool {
        match disruption.outage() {
            Some(_) => self.outage_commands.is_some(),
            None => matches!(disruption, Disruption::Pause { .. }) && self.command.is_some(),
        }
    }

    /// Lets a process go on that a command has frozen, or gives back what an outage has taken away.
    pub(super) async fn mend(&self, step: &Step, breaking: Option<&mut Breaking>) -> Result<(), String> {
        match (step.disruption.outage(), breaking, &self.outage_commands, &self.command) {
            (Some(_), Some(breaking), Some(commands), _) => breaking.mend(commands).await,
            (Some(_), ..) => outage::order_mend(&self.http, step).await,
            (None, _, _, Some(command)) => run_command(command, Action::Resume, &step.victim).await,
            (None, ..) => Ok(()),
        }
    }
}

/// Runs an operator's command for one process.
pub(super) async fn run_command(template: &CommandTemplate, action: Action, victim: &Victim) -> Result<(), String> {
    let command = template.fill(action, victim)?;
    weir_world::blocking(move || command_template::run(&command)).await.map_err(|error| error.to_string())?
}
