//! The command line: one binary for every role and every client verb.

mod chaos;
mod drill;
pub mod exit_code;
mod ha;
mod ha_check;
mod ha_migrate;
mod job;
mod output;
mod role;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use exit_code::Failure;
pub use output::Format;
use weir_local::Coordination;
use weir_protocol::quantity;

/// Weir: stream processing that outlives its machines.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 no leader or unreachable, 5 timed out, 6 refused.")]
pub struct Cli {
    /// What to log, e.g. `info`, `weir_ha=debug,info`.
    #[arg(long, global = true, env = "WEIR_LOG", value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a JobManager: coordinates jobs; several stand by for each other.
    #[command(name = "jobmanager")]
    JobManager(RoleArguments),
    /// Run a TaskManager: offers slots and does the work.
    #[command(name = "taskmanager")]
    TaskManager(RoleArguments),
    /// Run a whole cluster on this machine, each role a process of its own, until Ctrl-C.
    Local(LocalArguments),
    /// Submit, watch and end jobs.
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Who leads, who could, and who did.
    #[command(subcommand)]
    Ha(ha::HaCommand),
    /// Break a live cluster on purpose, measure what it costs, and judge it.
    #[command(subcommand)]
    Drill(drill::DrillCommand),
    /// Run a real job on real data, kill the leader and a TaskManager in the middle, and check every row.
    Demo(DemoArguments),
    /// Break a cluster of real processes on this machine in a planned way, and judge what comes of it (runs `weir-chaos`).
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Chaos(chaos::ChaosArguments),
    /// List every configuration option, or check a configuration file.
    Config(ConfigArguments),
}

/// Where a process's settings come from.
#[derive(Debug, Args)]
struct ConfigArguments {
    /// The configuration file.
    #[arg(long, short, env = "WEIR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one option on top of the file; may be repeated.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl ConfigArguments {
    fn load(&self) -> Result<Config, Failure> {
        self.load_with(&[])
    }

    /// The same with settings on top of the user's.
    fn load_with(&self, settings: &[String]) -> Result<Config, Failure> {
        let settings = [self.settings.as_slice(), settings].concat();
        Config::load(self.config.as_deref(), &settings).map_err(|error| Failure::usage(error.to_string()))
    }
}

#[derive(Debug, Args)]
struct RoleArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Stop when standard input closes: the parent process is gone.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

#[derive(Debug, Args)]
struct LocalArguments {
    /// Number of JobManagers; more than one form a raft group.
    #[arg(long, default_value_t = 3)]
    jobmanagers: u32,
    /// Number of TaskManagers.
    #[arg(long, default_value_t = 2)]
    taskmanagers: u32,
    /// Slots of each TaskManager.
    #[arg(long, default_value_t = 2)]
    slots: u32,
    /// REST port of the first JobManager; the others take the next ones.
    #[arg(long, default_value_t = 8081)]
    rest_port: u16,
    /// Everything the cluster writes goes here; it goes on from what it finds.
    #[arg(long, default_value = "weir-local", value_name = "DIRECTORY")]
    dir: PathBuf,
    /// Sets one option for every process; may be repeated.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Start a process again that has ended by itself.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    supervise: bool,
}

#[derive(Debug, Args)]
struct DemoArguments {
    /// What the JobManagers coordinate through: their own raft group, or three nodes of etcd or ZooKeeper started for the demo.
    #[arg(long, value_enum, default_value_t)]
    ha: Coordination,
    /// Rows per second; the default makes the year last about half a minute.
    #[arg(long, default_value_t = 12_000)]
    rate: u64,
    /// Where to work; a temporary directory, removed at the end, if left out.
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
    /// Where to write the report.
    #[arg(long, default_value = "demo-report.json", value_name = "FILE")]
    report: PathBuf,
    /// Sets one option for every process; may be repeated.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// How client verbs find the cluster.
#[derive(Debug, Args)]
struct ClusterArguments {
    /// REST addresses of JobManagers; any one is enough, more survive more.
    #[arg(
        long = "jobmanager",
        short = 'm',
        visible_alias = "target",
        env = "WEIR_JOBMANAGER",
        value_delimiter = ',',
        default_value = "127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083",
        value_name = "HOST:PORT,…"
    )]
    jobmanagers: Vec<String>,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// How long to keep trying, e.g. while there is no leader.
    #[arg(long, default_value = "30 s", value_parser = quantity::parse_duration)]
    timeout: Duration,
}

/// Parses the arguments and runs what they say. The process's exit code.
pub fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::JobManager(arguments) => role::job_manager(&arguments, cli.log.as_deref()),
        Command::TaskManager(arguments) => role::task_manager(&arguments, cli.log.as_deref()),
        Command::Local(arguments) => role::local(&arguments),
        Command::Job(command) => job::run(command),
        Command::Ha(command) => ha::run(command),
        Command::Drill(command) => drill::run(command),
        Command::Demo(arguments) => crate::demo::run(&crate::demo::DemoOptions {
            rows_per_second: arguments.rate,
            coordination: arguments.ha,
            directory: arguments.dir,
            report: arguments.report,
            settings: arguments.settings,
        })
        .map_err(Failure::from),
        Command::Chaos(arguments) => chaos::run(&arguments),
        Command::Config(arguments) => config(&arguments),
    };
    exit_code::finish(outcome)
}

fn config(arguments: &ConfigArguments) -> Result<(), Failure> {
    let config = arguments.load()?;
    for option in crate::config::option::OPTIONS {
        let value = config.shown().get(option.key).cloned().unwrap_or_else(|| "(unset)".to_owned());
        println!("{} = {value}\n    {}", option.key, option.sentence);
    }
    for notice in config.notices() {
        eprintln!("note: {notice}");
    }
    Ok(())
}
