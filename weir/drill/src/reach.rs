//! How a process is reached that is to be broken: through its own agent, or by a command of the operator.

use std::time::{Duration, Instant};

use weir_client::ClusterClient;
use weir_protocol::drill::{FaultAccepted, FaultRequest};

use crate::command_template::{self, CommandTemplate};
use crate::outage::{self, Breaking, OutageCommands};
use crate::probe::ProcessClient;
use crate::step::{Disruption, Step};
use crate::victim::{Action, Victim};

/// An agent that does not answer within this time counts as not reached.
const PATIENCE: Duration = Duration::from_secs(5);

/// The ways to reach processes.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    pub(super) http: ProcessClient,
    /// Used instead of agents, for single processes.
    pub(super) command: Option<CommandTemplate>,
    /// Used instead of agents, for outages.
    pub(super) outage_commands: Option<OutageCommands>,
}

/// A fault that was injected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Injected {
    /// All times are measured from this moment. With a command, it is when the command was started, because the moment of the
    /// effect is unknown.
    pub(super) at: Instant,
    /// When the fault ends by itself; `None` if it ended the process, or if the drill must end it.
    pub(super) mends_in: Option<Duration>,
}

impl Reach {
    /// Injects a fault. A transfer is only requested, and the answer comes when another JobManager leads. `breaking` is the
    /// command that causes an outage, if there is one.
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

    /// Whether the drill itself must end this fault.
    pub(super) fn must_mend(&self, disruption: Disruption) -> bool {
        match disruption.outage() {
            Some(_) => self.outage_commands.is_some(),
            None => matches!(disruption, Disruption::Pause { .. }) && self.command.is_some(),
        }
    }

    /// Resumes a process that a command has paused, or ends an outage.
    pub(super) async fn mend(&self, step: &Step, breaking: Option<&mut Breaking>) -> Result<(), String> {
        match (step.disruption.outage(), breaking, &self.outage_commands, &self.command) {
            (Some(_), Some(breaking), Some(commands), _) => breaking.mend(commands).await,
            (Some(_), ..) => outage::order_mend(&self.http, step).await,
            (None, _, _, Some(command)) => run_command(command, Action::Resume, &step.victim).await,
            (None, ..) => Ok(()),
        }
    }
}

/// Runs a command of the operator for one process.
pub(super) async fn run_command(template: &CommandTemplate, action: Action, victim: &Victim) -> Result<(), String> {
    let command = template.fill(action, victim)?;
    weir_world::blocking(move || command_template::run(&command)).await.map_err(|error| error.to_string())?
}
