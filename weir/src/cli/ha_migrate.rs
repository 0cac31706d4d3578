//! `weir ha migrate` moves a cluster's state to another coordination system. `weir ha member` gives a stopped raft group the
//! quorum that the migration needs.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use weir_ha::migration::{self, End, Migrated, MigrationError, Progress};
use weir_ha::{Candidate, HaProvider, LeadershipEvent};
use weir_protocol::quantity;
use weir_world::{err_line, out_line};

use super::exit_code::{Code, Failure};
use super::{ConfigArguments, Format, role};
use crate::config::Config;
use crate::config::option::{self, ConfigOption};
use crate::config::value::HaType;
use crate::coordination;

/// The options that say where jobs' files are. Both configurations must have the same values.
const PLACES_OF_FILES: [&ConfigOption<Option<String>>; 2] = [&option::HA_STORAGE_DIR, &option::CHECKPOINTING_DIR];

/// How long a member leads before it transfers leadership. Until then, others can get ready to lead.
const PASS_ON_AFTER: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub(super) struct MigrateArguments {
    /// Old configuration file of one JobManager. On raft, the migration takes the place of this JobManager in the group.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// New configuration file of one JobManager. On raft, the migration takes the place of this JobManager in the group.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Set one option, e.g. `jobmanager.name=jm-1`; it wins over both files. May be repeated.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Abandon a migration whose state has not all arrived: empty the destination, and let JobManagers lead at the source again.
    #[arg(long)]
    abandon: bool,
    /// How long to wait at each end until the migration leads there.
    #[arg(long, default_value = "60s", value_parser = quantity::parse_duration, value_name = "DURATION")]
    timeout: Duration,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

/// Migrates the state, or abandons an earlier migration.
pub(super) async fn run(arguments: &MigrateArguments) -> Result<(), Failure> {
    let load = |file: &PathBuf| Config::load(Some(file), &arguments.settings).map_err(Failure::usage);
    let (from, to) = (load(&arguments.from)?, load(&arguments.to)?);
    check(&from, &to)?;
    let source = open(&from)?;
    let destination = match open(&to) {
        Ok(destination) => destination,
        Err(failure) => {
            source.ha.shutdown().await;
            return Err(failure);
        }
    };
    let migrating = async {
        if arguments.abandon {
            migration::abandon(&source, &destination, arguments.timeout, &report).await.map(|()| None)
        } else {
            migration::migrate(&source, &destination, arguments.timeout, &report).await.map(Some)
        }
    };
    let outcome = tokio::select! {
        outcome = Box::pin(migrating) => Some(outcome),
        stopped = role::asked_to_stop() => {
            stopped?;
            None
        }
    };
    destination.ha.shutdown().await;
    source.ha.shutdown().await;
    let migrated = match outcome {
        None => return Err(Failure::error("interrupted: run the migration again, or abandon it with --abandon")),
        Some(outcome) => outcome.map_err(failure)?,
    };
    match migrated {
        Some(migrated) => arguments.output.print(&migrated, |migrated| said(migrated, &destination.name)),
        None => {
            out_line!("abandoned: a JobManager may lead again at {}", source.name);
            Ok(())
        }
    }
}

fn said(migrated: &Migrated, destination: &str) -> String {
    let Migrated { keys, already, epoch } = migrated;
    let done = if *already { "had been moved before" } else { "moved" };
    format!(
        "{keys} keys {done} to {destination}; the epoch of the next leader there is above {epoch}\nNow start the JobManagers with the new configuration."
    )
}

fn failure(error: MigrationError) -> Failure {
    let code = match error {
        MigrationError::NotLed { .. } => Code::TimedOut,
        MigrationError::Occupied { .. } | MigrationError::Elsewhere { .. } => Code::Usage,
        _ => Code::Error,
    };
    Failure::with_code(code, error)
}

fn report(progress: Progress) {
    match progress {
        Progress::AwaitsLeadership(end) => err_line!("{end}: waiting until no other process leads"),
        Progress::Leads(end, epoch) => err_line!("{end}: leading, under epoch {epoch}"),
        Progress::Copied(done, all) => err_line!("{done} of {all} keys changed"),
        Progress::Verified(keys) => err_line!("{keys} keys compared"),
    }
}

/// Refuses configurations between which state can't move: one has no store, they name the same store, or their files are in
/// different places.
fn check(from: &Config, to: &Config) -> Result<(), Failure> {
    for config in [from, to] {
        if config.get(&option::HA_TYPE) == HaType::None {
            return Err(Failure::usage(
                "high-availability.type is none in one configuration: such a cluster has no store from which or to which state can move",
            ));
        }
    }
    for place in PLACES_OF_FILES {
        let (before, after) = (from.text(place), to.text(place));
        if before != after {
            return Err(Failure::usage(format!(
                "{} is {before} in one configuration and {after} in the other: it must be the same, because files are not moved",
                place.key
            )));
        }
    }
    if coordination::name(from) == coordination::name(to) {
        return Err(Failure::usage(format!("both configurations name the same store: {}", coordination::name(from))));
    }
    Ok(())
}

fn open(config: &Config) -> Result<End, Failure> {
    Ok(End { ha: coordination::start(config)?, name: coordination::name(config) })
}

/// Runs a member of the raft group, without a JobManager, until it is asked to stop. The member takes part in elections, because
/// it may be the only one with a complete log. If it is elected, it transfers leadership.
pub(super) async fn member(arguments: &ConfigArguments) -> Result<(), Failure> {
    let config = arguments.load()?;
    if config.get(&option::HA_TYPE) != HaType::Raft {
        return Err(Failure::usage("high-availability.type is not raft: only a raft group needs members to be run"));
    }
    let member = coordination::start(&config)?;
    err_line!("{} runs as a member of {}; Ctrl-C stops it", config.get(&option::JOBMANAGER_NAME), coordination::name(&config));
    let own = config.get(&option::JOBMANAGER_NAME);
    let members = config.get(&option::HA_RAFT_MEMBERS);
    let names = members.iter().map(|text| Ok(coordination::member(text)?.name)).collect::<Result<Vec<_>, Failure>>()?;
    tokio::select! {
        stopped = role::asked_to_stop() => stopped?,
        () = pass_on(&*member, &own, &names) => {}
    }
    member.shutdown().await;
    Ok(())
}

/// Whenever this member leads, transfers leadership to the other members in turn. One of them is the migration, which keeps it.
async fn pass_on(member: &dyn HaProvider, own: &str, names: &[String]) {
    let candidate = Candidate { name: own.to_owned(), rpc_address: String::new(), rest_address: String::new() };
    let mut election = member.campaign(candidate);
    // Each member starts with the one that follows it in the list, so leadership reaches every member.
    let behind = names.iter().position(|name| name == own).map_or(0, |at| at + 1);
    let mut others = names.iter().cycle().skip(behind).filter(|name| *name != own);
    let mut leads = false;
    loop {
        tokio::select! {
            event = election.next() => match event {
                Some(event) => leads = matches!(event, LeadershipEvent::Granted(_)),
                None => return,
            },
            () = tokio::time::sleep(PASS_ON_AFTER), if leads => {
                if let Some(name) = others.next() {
                    // A member that does not run can't lead. Then the transfer fails, and the next one is tried.
                    drop(member.transfer_leadership(Some(name)).await);
                }
            }
        }
    }
}
