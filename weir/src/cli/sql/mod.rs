//! `weir sql`: runs SQL statements from a script, or from the keyboard.

mod answer;
mod editor;
mod help;
mod history;
mod interrupt;
mod query;
mod render;
mod screen;
mod script;
mod secrets;
mod shell;
mod waiting;

use std::convert::Infallible;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use weir_client::sql_client::{SqlClient, Submission};
use weir_world::{err_line, out_line};

use super::ConnectionArguments;
use super::exit_code::Failure;
use crate::assembly;
use crate::config::user_directories;
use render::ResultFormat;
use screen::Screen;
use script::Script;

/// Run SQL statements: from a script, from the command line, or from the keyboard.
///
/// The dialect is Flink SQL. Statements are planned here; INSERT and EXECUTE STATEMENT SET submit jobs, which go on when this command
/// has ended. Tables and views last as long as the command: begin scripts with their CREATE statements, or keep these in a file for
/// --init. With --catalog cluster they are the cluster's, and stay. Without -f and -e the shell starts. If standard input is no
/// terminal, it is the script.
///
/// Statements run one by one, until the first that fails. A script can wait for the end of its jobs:
/// SET 'table.dml-sync' = 'true';
///
/// Exit code 0: every statement has succeeded; 1: a statement or an awaited job has failed; 2: the command line is wrong; 4: no
/// JobManager answers as the leader. Only statements about jobs need a cluster, with --catalog cluster also those that use tables;
/// `weir local` starts one on this machine.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SqlArguments {
    /// Script to run. `-` reads standard input.
    #[arg(long, short, value_name = "FILE", conflicts_with = "execute")]
    file: Option<PathBuf>,
    /// Statements to run, separated by semicolons.
    #[arg(long, short, value_name = "STATEMENTS")]
    execute: Option<String>,
    /// Script to run first, such as CREATE TABLE and SET statements.
    #[arg(long, short, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Where databases, tables and views are. Temporary tables and views and options are always the command's own.
    #[arg(long, env = "WEIR_SQL_CATALOG", value_enum, default_value_t = CatalogHome::Session)]
    catalog: CatalogHome,
    /// How to print results.
    #[arg(long, short = 'o', visible_alias = "output", value_enum, default_value_t = ResultFormat::Table)]
    format: ResultFormat,
    /// Set an option of the session, as `SET 'KEY' = 'VALUE'` does. May be repeated.
    #[arg(long = "set", short = 'D', value_name = "KEY=VALUE", value_parser = key_and_value)]
    settings: Vec<(String, String)>,
    /// File in which the shell keeps what was entered, except for passwords and other secrets. Only you may read it. An empty name:
    /// none. If left out: weir/sql_history in XDG_STATE_HOME, or else in ~/.local/state.
    #[arg(long, env = "WEIR_SQL_HISTORY", value_name = "FILE", value_parser = path_or_nothing)]
    history: Option<PathBuf>,
    /// Print no colours. Output that does not go to a terminal never has any.
    #[arg(long, env = "NO_COLOR", num_args = 0..=1, default_missing_value = "true", hide_env_values = true, hide_possible_values = true)]
    no_color: Option<String>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Where databases, tables and views are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CatalogHome {
    /// In this command; they end with it
    Session,
    /// In the cluster; they are those of its SQL gateway
    Cluster,
}

const EXAMPLES: &str = "Examples:
  weir local                                            a cluster on this machine, in another terminal
  weir sql                                              the shell; help; lists what it understands
  weir sql -f docs/sql/examples/flights.sql             a script
  weir sql -e \"SHOW JOBS\" -o csv                        one statement, for programs
  weir sql --init tables.sql -e \"EXPLAIN INSERT INTO hourly SELECT …\"
  weir sql --catalog cluster -e \"SHOW TABLES\"           the tables of dbt, JDBC and Flink's SQL client

docs/sql/tutorial.md is a first tour of ten minutes.";

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// Runs `weir sql`.
pub(super) fn run(arguments: SqlArguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let colors = arguments.no_color.as_deref().is_none_or(str::is_empty);
    let screen = Screen::new(arguments.format, colors);
    let cluster = arguments.connection.client()?;
    let mut client = SqlClient::new(cluster, arguments.connection.timeout()).check_graphs(assembly::check_graph);
    if arguments.catalog == CatalogHome::Cluster {
        client = client.use_cluster_catalog();
    }
    for (key, value) in &arguments.settings {
        client.set(key, value).map_err(|error| Failure::usage(format!("--set {key}: {}", error.render(""))))?;
    }
    let mut submitted = Vec::new();
    if let Some(file) = &arguments.init {
        let script = Script::read(file)?;
        runtime.block_on(script::run(&mut client, &script, &screen, &mut submitted))?;
    }
    match script_of(&arguments)? {
        Some(script) => {
            let outcome = runtime.block_on(script::run(&mut client, &script, &screen, &mut submitted));
            summarize(&submitted, &screen, outcome.is_err());
            outcome
        }
        None => shell::run(&mut client, &runtime, &screen, history_file(arguments.history.as_deref()).as_deref()),
    }
}

/// The script that the command line names, if it names one.
fn script_of(arguments: &SqlArguments) -> Result<Option<Script>, Failure> {
    if let Some(text) = &arguments.execute {
        return Ok(Some(Script { name: "--execute".to_owned(), text: text.clone() }));
    }
    match &arguments.file {
        Some(file) => Script::read(file).map(Some),
        None if std::io::stdin().is_terminal() => Ok(None),
        None => Script::read(Path::new("-")).map(Some),
    }
}

/// Takes an empty text too, which clap's own reading of paths refuses.
fn path_or_nothing(text: &str) -> Result<PathBuf, Infallible> {
    Ok(PathBuf::from(text))
}

fn history_file(argument: Option<&Path>) -> Option<PathBuf> {
    match argument {
        Some(file) => Some(file.to_owned()).filter(|file| !file.as_os_str().is_empty()),
        None => user_directories::state().map(|directory| directory.join("sql_history")),
    }
}

/// Says at the end what was submitted. After a failure, these jobs go on.
fn summarize(submitted: &[Submission], screen: &Screen, failed: bool) {
    let jobs: Vec<_> = submitted.iter().map(|submission| format!("  {}  {}", submission.job_id, submission.name)).collect();
    let jobs = jobs.join("\n");
    match submitted.len() {
        0 => {}
        _ if failed => err_line!("weir: submitted before the failure:\n{jobs}"),
        // It was said just above.
        1 => {}
        count if screen.is_for_people() => out_line!("Submitted {count} jobs:\n{jobs}"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        sql: SqlArguments,
    }

    fn parsed(arguments: &[&str]) -> Result<SqlArguments, clap::Error> {
        Command::try_parse_from([&["sql"], arguments].concat()).map(|command| command.sql)
    }

    #[test]
    fn options_of_the_session_are_keys_with_values() {
        let arguments = parsed(&["-D", "parallelism.default=2", "--set", "pipeline.name = a=b"]).unwrap();
        let expected = [("parallelism.default", "2"), ("pipeline.name", " a=b")];
        assert_eq!(arguments.settings, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert!(parsed(&["-D", "parallelism.default"]).is_err());
        assert!(parsed(&["-D", "=2"]).is_err());
    }

    #[test]
    fn a_script_comes_from_one_place() {
        assert!(parsed(&["-f", "a.sql", "-e", "SHOW TABLES"]).is_err());
        assert!(parsed(&["-f", "a.sql", "--init", "b.sql", "-o", "json"]).is_ok());
    }

    #[test]
    fn a_catalogue_is_the_commands_own_unless_the_clusters_is_asked_for() {
        assert_eq!(parsed(&["--catalog", "cluster"]).unwrap().catalog, CatalogHome::Cluster);
        assert_eq!(parsed(&["--catalog", "session"]).unwrap().catalog, CatalogHome::Session);
        assert!(parsed(&["--catalog", "hive"]).is_err());
    }

    #[test]
    fn an_empty_name_means_no_history() {
        assert_eq!(history_file(Some(Path::new(""))), None);
        assert_eq!(history_file(Some(Path::new("h"))), Some(PathBuf::from("h")));
    }
}
