//! `weir drill`: injects a fault into a live cluster on purpose, and measures its effect.

use std::time::Duration;

use clap::{Args, Subcommand};
use weir_drill::command_template::CommandTemplate;
use weir_drill::outage::OutageCommands;
use weir_drill::run::{DrillError, DrillOptions, Exercise};
use weir_drill::{Drill, report};
use weir_protocol::drill::MAX_FAULT_MS;
use weir_protocol::quantity;
use weir_protocol::rest::DrillObjectives;
use weir_world::{err_line, out_line};

use super::exit_code::{Code, Failure};
use super::{ClusterArguments, Format, role};

#[derive(Debug, Subcommand)]
pub(super) enum DrillCommand {
    /// List the drills, and what each one does.
    List,
    /// Run a drill on a live cluster: check that the cluster will survive it, inject the fault, measure, judge.
    ///
    /// The drill reaches a process through its agent (drill.agent.enabled: true) or by --command. It causes an outage through the
    /// agents of all processes, or by --break-command and --mend-command; --jobmanager must then list every JobManager. While the
    /// drill runs, restarts of tasks don't count against any job's restart strategy. See docs/drills.md.
    ///
    /// Exit code 0: passed; 1: an objective was missed, or the drill was interrupted; 6: refused, nothing was changed.
    Run(Box<RunArguments>),
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Name of the drill; `weir drill list` says what each one does.
    #[arg(value_enum)]
    name: Drill,
    #[command(flatten)]
    cluster: ClusterArguments,
    /// Print the plan, its targets, and every precondition with what was found; change nothing. Exit code 6: the drill would be
    /// refused.
    #[arg(long)]
    dry_run: bool,
    /// Longest allowed recovery: from the fault, or the end of an outage, until a leader answers and every task of every job that
    /// ran is RUNNING again. If left out, the cluster must recover before --deadline.
    #[arg(long, value_parser = quantity::parse_duration)]
    rto: Option<Duration>,
    /// Most records that may be lost. A record is lost if it was in a checkpoint that completed before the fault, and is missing
    /// after recovery. Records that are read again from a checkpoint are not lost, and don't count.
    #[arg(long, default_value_t = 0, value_name = "RECORDS")]
    rpo: u64,
    /// Name of the TaskManager to kill (taskmanager-kill). If left out, one that runs tasks is selected.
    #[arg(long, value_name = "NAME")]
    victim: Option<String>,
    /// How long the leader is frozen (leader-pause); at most 5 min.
    #[arg(long, default_value = "10 s", value_parser = fault_time)]
    pause: Duration,
    /// How long an outage lasts (store-outage, checkpoint-storage-outage); at most 5 min.
    #[arg(long, default_value = "10 s", value_parser = fault_time)]
    duration: Duration,
    /// How long the effect of each fault is watched at most: from the fault, or from the end of an outage.
    #[arg(long, default_value = "2 min", value_parser = quantity::parse_duration)]
    deadline: Duration,
    /// A supervisor restarts ended processes. A drill on TaskManagers then needs no free slots on other TaskManagers.
    /// rolling-restart needs this or --restart-command.
    #[arg(long)]
    supervised: bool,
    /// Don't wait for the killed process to come back, and don't judge whether it does.
    #[arg(long)]
    no_return: bool,
    /// Command that reaches a process instead of its agent, e.g. 'ssh {host} sudo systemctl {action} weir-{role}'. {action} is
    /// kill, terminate, pause, resume or start; {signal} is KILL, TERM, STOP or CONT. {host}, {name}, {role} and {pid} are those of
    /// the process.
    #[arg(long, value_name = "TEMPLATE")]
    command: Option<CommandTemplate>,
    /// Command that restarts an ended process if no supervisor does, with the same placeholders as --command.
    #[arg(long, value_name = "TEMPLATE")]
    restart_command: Option<CommandTemplate>,
    /// Command that causes an outage instead of the agents, e.g. 'ssh etcd-1 sudo systemctl stop etcd'. sh runs it on this
    /// machine. It stops the store, unmounts the storage, or cuts the network to it. When it ends, within 30 s, the outage must
    /// have begun. Needs --mend-command.
    #[arg(long, value_name = "COMMAND", requires = "mend_command")]
    break_command: Option<String>,
    /// Command that ends the outage of --break-command. It runs after --duration and on Ctrl-C. If this process is killed, a
    /// watchdog runs it a minute after --duration. It may run more than once.
    #[arg(long, value_name = "COMMAND", requires = "break_command")]
    mend_command: Option<String>,
}

fn fault_time(text: &str) -> Result<Duration, String> {
    let time = quantity::parse_duration(text)?;
    let fits = (1..=u128::from(MAX_FAULT_MS)).contains(&time.as_millis());
    if fits { Ok(time) } else { Err(format!("a fault lasts 1 ms to {} s", MAX_FAULT_MS / 1_000)) }
}

/// Runs a verb of `weir drill`.
pub(super) fn run(command: DrillCommand) -> Result<(), Failure> {
    match command {
        DrillCommand::List => {
            for drill in Drill::ALL {
                out_line!("{}\n    {}", drill.name(), drill.sentence());
            }
            Ok(())
        }
        DrillCommand::Run(arguments) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(Box::pin(carry_out(&arguments)))
        }
    }
}

async fn carry_out(arguments: &RunArguments) -> Result<(), Failure> {
    let output = arguments.cluster.output;
    let say: fn(&str) = match output {
        Format::Text => |line| out_line!("{line}"),
        Format::Json => |line| err_line!("{line}"),
    };
    let mut exercise = Exercise::new(arguments.options(), say)?;
    if arguments.dry_run {
        let examination = exercise.examine().await?;
        output.print(&examination, report::examination)?;
        let refused = || Failure::with_code(Code::Refused, format!("DRILL-REFUSED: {}", report::refusals(&examination)));
        return if examination.allowed { Ok(()) } else { Err(refused()) };
    }
    let result = exercise.run(role::asked_to_stop()).await?;
    output.print(&result, report::result)?;
    if result.passed { Ok(()) } else { Err(Failure::error(format!("DRILL-MISSED: {}", result.missed.join("; ")))) }
}

impl RunArguments {
    fn options(&self) -> DrillOptions {
        let commands = self.break_command.clone().zip(self.mend_command.clone());
        DrillOptions {
            drill: self.name,
            addresses: self.cluster.connection.jobmanagers.clone(),
            patience: self.cluster.timeout(),
            objectives: DrillObjectives { rto_ms: self.rto.map(|rto| rto.as_millis() as u64), rpo_records: Some(self.rpo) },
            victim: self.victim.clone(),
            pause: self.pause,
            outage: self.duration,
            deadline: self.deadline,
            expected_back: !self.no_return,
            supervised: self.supervised,
            command: self.command.clone(),
            restart_command: self.restart_command.clone(),
            outage_commands: commands.map(|(break_command, mend_command)| OutageCommands { break_command, mend_command }),
        }
    }
}

impl From<DrillError> for Failure {
    fn from(error: DrillError) -> Self {
        match error {
            DrillError::Client(error) => error.into(),
            DrillError::Here(reason) => Self::error(reason),
            DrillError::Refused(examination) => {
                Self::with_code(Code::Refused, format!("DRILL-REFUSED: {}", report::refusals(&examination)))
            }
            DrillError::Interrupted(state) => Self::error(format!("DRILL-INTERRUPTED: the drill was interrupted: {state}")),
        }
    }
}
