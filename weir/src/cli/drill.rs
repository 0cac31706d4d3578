//! `weir drill`: break a live cluster on purpose, and measure what it costs.

use std::time::Duration;

use clap::{Args, Subcommand};
use weir_protocol::drill::MAX_FAULT_MS;
use weir_protocol::rest::DrillObjectives;

use super::exit_code::{Code, Failure};
use super::{ClusterArguments, Format, role};
use weir_drill::command_template::CommandTemplate;
use weir_drill::outage::OutageCommands;
use weir_drill::run::{DrillError, DrillOptions, Exercise};
use weir_drill::{Drill, report};
use weir_protocol::quantity;

#[derive(Debug, Subcommand)]
pub(super) enum DrillCommand {
    /// List the drills there are.
    List,
    /// Carry out a drill on a live cluster: check that it can be borne, break something, measure, judge.
    ///
    /// Processes are reached through their agents (drill.agent.enabled: true) or by --command; outages are brought about through
    /// everybody's agent or by --break-command and --mend-command. While the drill runs restarts of
    /// tasks don't count against any job's restart strategy. Exit code 0: passed; 1: an objective was missed; 6: refused, nothing
    /// was touched. See docs/drills.md.
    Run(Box<RunArguments>),
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Which; `weir drill list` says what each does.
    #[arg(value_enum)]
    name: Drill,
    #[command(flatten)]
    cluster: ClusterArguments,
    /// Print what would be done, to whom, and every precondition with what was found; touch nothing.
    #[arg(long)]
    dry_run: bool,
    /// Longest recovery: from the fault (or the end of an outage) until a leader answers and every task of every job that ran is
    /// RUNNING again.
    /// Left out: it must recover before --deadline.
    #[arg(long, value_parser = quantity::parse_duration)]
    rto: Option<Duration>,
    /// Most records lost: covered by a checkpoint that a job had completed before the fault, and gone after recovery. Records that
    /// are read again from a checkpoint are not lost, and are not compared.
    #[arg(long, default_value_t = 0, value_name = "RECORDS")]
    rpo: u64,
    /// The TaskManager to kill, by its name; one that runs tasks if left out.
    #[arg(long, value_name = "NAME")]
    victim: Option<String>,
    /// How long a process is frozen.
    #[arg(long, default_value = "10 s", value_parser = fault_time)]
    pause: Duration,
    /// How long an outage lasts (store-outage, checkpoint-storage-outage).
    #[arg(long, default_value = "10 s", value_parser = fault_time)]
    duration: Duration,
    /// How long a fault is watched at most; an outage from its end.
    #[arg(long, default_value = "2 min", value_parser = quantity::parse_duration)]
    deadline: Duration,
    /// Somebody starts again what has ended: counts as redundancy where there are no slots to spare.
    #[arg(long)]
    supervised: bool,
    /// Neither wait for what was killed to come back, nor judge that it has.
    #[arg(long)]
    no_return: bool,
    /// How to reach a process instead of through its agent, e.g. 'ssh {host} sudo systemctl {action} weir-{role}'.
    /// {action}: kill, terminate, pause, resume or start; {signal}: KILL, TERM, STOP, CONT; and {host} {name} {role} {pid}.
    #[arg(long, value_name = "TEMPLATE")]
    command: Option<CommandTemplate>,
    /// How to start again what was ended, if no supervisor does; the same placeholders.
    #[arg(long, value_name = "TEMPLATE")]
    restart_command: Option<CommandTemplate>,
    /// How to bring an outage about instead of through everybody's agent: a command of yours, run by sh on this machine, which stops
    /// the store, unmounts the storage, or cuts the way to it, e.g. 'ssh etcd-1 sudo systemctl stop etcd'. Together with --mend-command.
    #[arg(long, value_name = "COMMAND", requires = "mend_command")]
    break_command: Option<String>,
    /// How to mend that: run after --duration, on Ctrl-C, and by a watchdog a minute after --duration if this process is killed. It
    /// may be run more than once.
    #[arg(long, value_name = "COMMAND", requires = "break_command")]
    mend_command: Option<String>,
}

fn fault_time(text: &str) -> Result<Duration, String> {
    let time = quantity::parse_duration(text)?;
    let fits = (1..=u128::from(MAX_FAULT_MS)).contains(&time.as_millis());
    if fits { Ok(time) } else { Err(format!("a fault lasts 1 ms to {} s", MAX_FAULT_MS / 1_000)) }
}

/// Runs a drill verb.
pub(super) fn run(command: DrillCommand) -> Result<(), Failure> {
    match command {
        DrillCommand::List => {
            for drill in Drill::ALL {
                println!("{}\n    {}", drill.name(), drill.sentence());
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
        Format::Text => |line| println!("{line}"),
        Format::Json => |line| eprintln!("{line}"),
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
            addresses: self.cluster.jobmanagers.clone(),
            patience: self.cluster.timeout,
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
            DrillError::Interrupted(state) => Self::error(format!("DRILL-INTERRUPTED: the drill was broken off; {state}")),
        }
    }
}
