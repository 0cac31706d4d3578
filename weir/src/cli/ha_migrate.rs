//! `weir ha migrate`: from one coordination system to another, and `weir ha member`, which helps a stopped raft group to it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use weir_ha::migration::{self, End, Migrated, MigrationError, Progress};
use weir_ha::{Candidate, HaProvider, LeadershipEvent};

use super::exit_code::{Code, Failure};
use super::{ConfigArguments, Format, role};
use crate::config::Config;
use crate::coordination;
use weir_protocol::quantity;

/// Where jobs' files are: both configurations must say the same.
const PLACES_OF_FILES: [&str; 2] = ["high-availability.storageDir", "execution.checkpointing.dir"];

/// A member that leads gives others so long to be ready for it.
const PASS_ON_AFTER: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub(super) struct MigrateArguments {
    /// The configuration of the cluster as it was: of one of its JobManagers, whose place in a raft group is taken meanwhile.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The configuration of the cluster as it is to be.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Sets one option on top of both files, e.g. `jobmanager.name=jm-1`; may be repeated.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Give up a migration that did not come to its end: empty the destination, and let the source be led again.
    #[arg(long)]
    abandon: bool,
    /// How long to wait until nobody else leads, at each end.
    #[arg(long, default_value = "60s", value_parser = quantity::parse_duration, value_name = "DURATION")]
    timeout: Duration,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

/// Moves the state, or gives up moving it.
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
        None => return Err(Failure::error("interrupted: run it again to go on, or with --abandon to give it up")),
        Some(outcome) => outcome.map_err(failure)?,
    };
    match migrated {
        Some(migrated) => arguments.output.print(&migrated, |migrated| said(migrated, &destination.name)),
        None => {
            println!("given up: {} may be led again", source.name);
            Ok(())
        }
    }
}

fn said(migrated: &Migrated, destination: &str) -> String {
    let Migrated { keys, already, epoch } = migrated;
    let done = if *already { "had been moved before" } else { "moved" };
    format!(
        "{keys} keys {done} to {destination}; its next leader's epoch is above {epoch}\nNow start the JobManagers with the new configuration."
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
        Progress::AwaitsLeadership(end) => eprintln!("{end}: waiting until nobody else leads"),
        Progress::Leads(end, epoch) => eprintln!("{end}: leading, under epoch {epoch}"),
        Progress::Copied(done, all) => eprintln!("{done} of {all} changes made"),
        Progress::Verified(keys) => eprintln!("{keys} keys compared"),
    }
}

/// Whether state that moves from one to the other still finds its files.
fn check(from: &Config, to: &Config) -> Result<(), Failure> {
    for config in [from, to] {
        if config.text("high-availability.type") == "none" {
            return Err(Failure::usage(
                "high-availability.type is none: there is nothing that could be moved from there, or to there",
            ));
        }
    }
    for key in PLACES_OF_FILES {
        let (before, after) = (from.get(key), to.get(key));
        if before != after {
            let shown = |value: Option<&str>| value.unwrap_or("(unset)").to_owned();
            return Err(Failure::usage(format!(
                "{key} is {} in one configuration and {} in the other: files are not moved, so it must be the same",
                shown(before),
                shown(after)
            )));
        }
    }
    if coordination::name(from) == coordination::name(to) {
        return Err(Failure::usage(format!("both configurations mean {}", coordination::name(from))));
    }
    Ok(())
}

fn open(config: &Config) -> Result<End, Failure> {
    Ok(End { ha: coordination::start(config)?, name: coordination::name(config) })
}

/// A member of the raft group and nothing else, until it is asked to stop. It stands in elections, for without it nobody whose
/// log is complete may do so, and passes leadership on.
pub(super) async fn member(arguments: &ConfigArguments) -> Result<(), Failure> {
    let config = arguments.load()?;
    if config.text("high-availability.type") != "raft" {
        return Err(Failure::usage("high-availability.type is not raft: its members are servers of their own"));
    }
    let member = coordination::start(&config)?;
    eprintln!("{} is a member of {}; Ctrl-C stops it", config.text("jobmanager.name"), coordination::name(&config));
    let own = config.text("jobmanager.name");
    let members = config.list("high-availability.raft.members");
    let names = members.iter().map(|text| Ok(coordination::member(text)?.name)).collect::<Result<Vec<_>, Failure>>()?;
    tokio::select! {
        stopped = role::asked_to_stop() => stopped?,
        () = pass_on(&*member, &own, &names) => {}
    }
    member.shutdown().await;
    Ok(())
}

/// Whenever it leads, lets the others lead, one after the other: one of them is the migration, which keeps it.
async fn pass_on(member: &dyn HaProvider, own: &str, names: &[String]) {
    let candidate = Candidate { name: own.to_owned(), rpc_address: String::new(), rest_address: String::new() };
    let mut election = member.campaign(candidate);
    // From the next one in the list on, so that it goes all the way round.
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
                    // Whoever does not run can't lead: then the one after it is asked.
                    drop(member.transfer_leadership(Some(name)).await);
                }
            }
        }
    }
}
