//! The command line: one binary for every role and every client verb.

mod chaos;
mod drill;
pub mod exit_code;
mod ha;
mod ha_accept;
mod ha_check;
mod ha_migrate;
mod job;
mod narration;
mod output;
mod role;
mod sql;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use weir_client::ClusterClient;
use weir_local::Coordination;
use weir_protocol::quantity;
use weir_world::{err_line, out_line};

use crate::config::Config;
use exit_code::Failure;
pub use output::Format;

/// The version and the commit that this program was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("WEIR_COMMIT"), ")");

/// Weir: stream processing that outlives its machines.
#[derive(Debug, Parser)]
#[command(name = "weir", version = VERSION, about, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 success, 1 error, 2 wrong command line or configuration, 3 not found, 4 no leading JobManager or no \
                  coordination store answers, 5 timed out, 6 drill refused."
)]
pub struct Cli {
    /// What a JobManager or TaskManager logs to standard error, e.g. `weir_ha=debug,info`. Default: `info`, and only warnings of
    /// some libraries.
    #[arg(long, global = true, env = "WEIR_LOG", value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a JobManager, which coordinates jobs. Several JobManagers stand by for each other.
    ///
    /// It runs until SIGINT, SIGTERM or SIGHUP. Exit code 1: it can't start or continue, and the message says why; 2: the
    /// configuration is invalid.
    #[command(name = "jobmanager")]
    JobManager(RoleArguments),
    /// Run a TaskManager, which offers slots and runs tasks.
    ///
    /// It runs until SIGINT, SIGTERM or SIGHUP. Exit code 1: it can't start, and the message says why; 2: the configuration is
    /// invalid.
    #[command(name = "taskmanager")]
    TaskManager(RoleArguments),
    /// Run a whole cluster on this machine until Ctrl-C. Each JobManager and TaskManager is a separate process.
    Local(LocalArguments),
    /// Submit, show, wait for, stop and cancel jobs.
    #[command(subcommand)]
    Job(job::JobCommand),
    Sql(sql::SqlArguments),
    /// Show and transfer leadership; check, change and migrate the coordination system.
    #[command(subcommand)]
    Ha(ha::HaCommand),
    /// Inject a fault into a live cluster on purpose, measure its effect, and judge it.
    #[command(subcommand)]
    Drill(drill::DrillCommand),
    /// Run a real job on real data, kill the leader and a TaskManager while it runs, and check every row of the output.
    ///
    /// The demo starts 3 JobManagers and 2 TaskManagers on this machine. Exit code 0: every row is in the output exactly once;
    /// 1: rows are lost, duplicated or wrong, or the cluster did not recover in time.
    Demo(DemoArguments),
    /// Inject planned faults into a cluster of real processes on this machine, and judge the result (runs `weir-chaos`).
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Chaos(chaos::ChaosArguments),
    /// List every configuration option with its value, or check a configuration file.
    ///
    /// Exit code 0: the configuration is valid; 2: it is not, and the message says why.
    Config(ConfigArguments),
}

/// The sources of a process's settings.
#[derive(Debug, Args)]
struct ConfigArguments {
    /// The configuration file (YAML). If left out, every option has its default.
    #[arg(long, short, env = "WEIR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one option; it wins over the file. May be repeated. Every user of this machine can read it in the list of processes,
    /// so set secrets in the file.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl ConfigArguments {
    fn load(&self) -> Result<Config, Failure> {
        self.load_with(&[])
    }

    /// Loads and checks the settings of processes that this one starts. Prints what the user should know about them.
    fn load_for_others(&self) -> Result<Vec<String>, Failure> {
        let config = self.load()?;
        config.notices().iter().for_each(|notice| err_line!("weir: {notice}"));
        Ok(config.settings())
    }

    /// Loads the configuration. `settings` win over the user's.
    fn load_with(&self, settings: &[String]) -> Result<Config, Failure> {
        let settings = [self.settings.as_slice(), settings].concat();
        Config::load(self.config.as_deref(), &settings).map_err(|error| Failure::usage(error.to_string()))
    }
}

#[derive(Debug, Args)]
struct RoleArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Stop when standard input closes, because the parent process has ended.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

#[derive(Debug, Args)]
struct LocalArguments {
    /// Number of JobManagers. They form a raft group.
    #[arg(long, default_value_t = 3)]
    jobmanagers: u32,
    /// Number of TaskManagers.
    #[arg(long, default_value_t = 2)]
    taskmanagers: u32,
    /// Slots of each TaskManager.
    #[arg(long, default_value_t = 2)]
    slots: u32,
    /// REST port of the first JobManager. The others take the next ports.
    #[arg(long, default_value_t = 8081)]
    rest_port: u16,
    /// Directory of everything that the cluster writes. A cluster that has run there before continues with its jobs.
    #[arg(long, default_value = "weir-local", value_name = "DIRECTORY")]
    dir: PathBuf,
    /// The settings of every process.
    #[command(flatten)]
    config: ConfigArguments,
    /// Whether a process that ends by itself is restarted.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    supervise: bool,
}

#[derive(Debug, Args)]
struct DemoArguments {
    /// What the JobManagers coordinate through: their own raft group, or three nodes of etcd or ZooKeeper started for the demo.
    #[arg(long, value_enum, default_value_t)]
    ha: Coordination,
    /// Rows per second that the job reads. At the default, the data of the year last about half a minute.
    #[arg(long, default_value_t = 12_000)]
    rate: u64,
    /// Working directory. If left out, a temporary directory is used and removed at the end.
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
    /// File to write the report to (JSON).
    #[arg(long, default_value = "demo-report.json", value_name = "FILE")]
    report: PathBuf,
    /// The settings of every process.
    #[command(flatten)]
    config: ConfigArguments,
}

/// How client verbs reach the cluster.
#[derive(Debug, Args)]
struct ConnectionArguments {
    /// REST addresses of JobManagers. One is enough; with several, the command works while any of them answers.
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
    /// How long to retry while no leader answers, e.g. `500 ms`, `30 s` or `2 min`. If left out: 30 s, but only 10 s if nothing
    /// listens at any of the addresses.
    #[arg(long, value_parser = quantity::parse_duration)]
    timeout: Option<Duration>,
}

/// How client verbs reach the cluster and print its answer.
#[derive(Debug, Args)]
struct ClusterArguments {
    #[command(flatten)]
    connection: ConnectionArguments,
    /// How to print the answer.
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// How long a command retries by default while no leader answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it retries by default while nothing listens at any address. A cluster that is being started needs a few seconds.
const REFUSED_PATIENCE: Duration = Duration::from_secs(10);

impl ConnectionArguments {
    fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(PATIENCE)
    }

    /// A client that tells the user what it waits for.
    fn client(&self) -> Result<ClusterClient, Failure> {
        let client = ClusterClient::new(self.jobmanagers.clone())?.report_waiting(|line| err_line!("weir: {line}"));
        Ok(if self.timeout.is_none() { client.give_up_if_refused(REFUSED_PATIENCE) } else { client })
    }
}

impl ClusterArguments {
    fn timeout(&self) -> Duration {
        self.connection.timeout()
    }

    fn client(&self) -> Result<ClusterClient, Failure> {
        self.connection.client()
    }
}

/// Parses the arguments and runs the command. Returns the exit code of the process.
pub fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::JobManager(arguments) => role::job_manager(&arguments, cli.log.as_deref()),
        Command::TaskManager(arguments) => role::task_manager(&arguments, cli.log.as_deref()),
        Command::Local(arguments) => role::local(&arguments),
        Command::Job(command) => job::run(command),
        Command::Sql(arguments) => sql::run(arguments),
        Command::Ha(command) => ha::run(command),
        Command::Drill(command) => drill::run(command),
        Command::Demo(arguments) => demo(arguments),
        Command::Chaos(arguments) => chaos::run(&arguments),
        Command::Config(arguments) => config(&arguments),
    };
    exit_code::finish(outcome)
}

fn demo(arguments: DemoArguments) -> Result<(), Failure> {
    let settings = arguments.config.load_for_others()?;
    Ok(crate::demo::run(&crate::demo::DemoOptions {
        rows_per_second: arguments.rate,
        coordination: arguments.ha,
        directory: arguments.dir,
        report: arguments.report,
        settings,
    })?)
}

fn config(arguments: &ConfigArguments) -> Result<(), Failure> {
    let config = arguments.load()?;
    for option in crate::config::option::OPTIONS {
        let value = config.shown().get(option.key).cloned().unwrap_or_else(|| "(unset)".to_owned());
        out_line!("{} = {value}\n    {}", option.key, option.sentence);
    }
    for notice in config.notices() {
        err_line!("note: {notice}");
    }
    Ok(())
}
