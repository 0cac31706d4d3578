//! `weir ha`: who leads, who could, and who did.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use weir_client::ClusterClient;
use weir_protocol::rest::{DrillResult, DrillUnderWay, DrillsResponse, HaResponse, LeaderHistoryEntry};
use weir_protocol::utc;

use super::exit_code::Failure;
use super::output::table;
use super::{ClusterArguments, ConfigArguments, Format, ha_check, ha_migrate};
use crate::coordination;

#[derive(Debug, Subcommand)]
pub(super) enum HaCommand {
    /// Examine the configured coordination system: is it fit to be relied on? Touches nothing of a running cluster.
    Check {
        #[command(flatten)]
        config: ConfigArguments,
        /// How to print what was found.
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Move everything a stopped cluster has written down to another coordination system. Jobs' files stay where they are.
    ///
    /// Stop the JobManagers of both configurations first; TaskManagers may run on, and so do their tasks. Where an end is a raft
    /// group, run `weir ha member` on its other hosts, so that it has a quorum. Interrupted at any point, it can be run again. When
    /// it is done, start the JobManagers with the new configuration; with the old one they refuse to lead.
    Migrate(ha_migrate::MigrateArguments),
    /// Be a member of the raft group without being a JobManager, until Ctrl-C: so that a group whose JobManagers are stopped has
    /// a quorum for `weir ha migrate`.
    Member {
        #[command(flatten)]
        config: ConfigArguments,
    },
    /// Who leads, how far the others are, and how many may still fail.
    Status {
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// The newest leaderships, and how the newest drills ended.
    History {
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Let another JobManager into the raft group. Start it first, with an empty directory and itself among its members.
    AddMember {
        /// Its name and the address of its raft peer service.
        #[arg(value_name = "NAME@HOST:PORT")]
        member: String,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Remove a JobManager from the raft group for good.
    RemoveMember {
        /// Its name.
        name: String,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Hand leadership to another JobManager, in order.
    TransferLeader {
        /// Who is to lead; the most caught-up one if left out.
        to: Option<String>,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
}

/// Runs a verb on the coordination group.
pub(super) fn run(command: HaCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            HaCommand::Check { config, output } => ha_check::run(&config, output).await,
            HaCommand::Migrate(arguments) => ha_migrate::run(&arguments).await,
            HaCommand::Member { config } => ha_migrate::member(&config).await,
            HaCommand::Status { cluster } => {
                let status = client(&cluster)?.ha_status(cluster.timeout).await?;
                cluster.output.print(&status, status_text)
            }
            HaCommand::History { cluster } => {
                let client = client(&cluster)?;
                let status = client.ha_status(cluster.timeout).await?;
                // Only a leader knows of drills; leaderships are shown also while there is none.
                let drills = client.drills(cluster.timeout.min(DRILLS_PATIENCE)).await.unwrap_or_else(|error| {
                    eprintln!("weir: drills are left out: {error}");
                    DrillsResponse::default()
                });
                let history =
                    History { leaderships: status.leader_history, drill_under_way: drills.under_way, drills: drills.results };
                cluster.output.print(&history, history_text)
            }
            HaCommand::AddMember { member, cluster } => {
                let member = coordination::member(&member).map_err(Failure::usage)?;
                let status = client(&cluster)?.ha_add_member(&member.name, &member.address, cluster.timeout).await?;
                cluster.output.print(&status, status_text)
            }
            HaCommand::RemoveMember { name, cluster } => {
                let status = client(&cluster)?.ha_remove_member(&name, cluster.timeout).await?;
                cluster.output.print(&status, status_text)
            }
            HaCommand::TransferLeader { to, cluster } => {
                let answer = client(&cluster)?.ha_transfer(to.as_deref(), cluster.timeout).await?;
                let leader = answer.leader.unwrap_or_else(|| "another JobManager".to_owned());
                println!("{leader} leads");
                Ok(())
            }
        }
    })
}

/// How long the history waits for a leader to tell of drills.
const DRILLS_PATIENCE: Duration = Duration::from_secs(5);

/// What has been.
#[derive(Debug, Serialize)]
struct History {
    /// Newest first.
    leaderships: Vec<LeaderHistoryEntry>,
    drill_under_way: Option<DrillUnderWay>,
    /// Newest first.
    drills: Vec<DrillResult>,
}

fn history_text(history: &History) -> String {
    let leadership =
        |entry: &LeaderHistoryEntry| vec![entry.epoch.to_string(), entry.name.clone(), entry.granted_at_ms.to_string()];
    let leaderships: Vec<_> = history.leaderships.iter().map(leadership).collect();
    let mut text = table(&["epoch", "leader", "granted (ms since 1970)"], &leaderships);
    if let Some(drill) = &history.drill_under_way {
        text += &format!("\n\ndrill {} is under way since {}", drill.drill, utc::text(drill.began_at_ms));
    }
    if history.drills.is_empty() {
        return text;
    }
    let milliseconds = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), |value| format!("{value} ms"));
    let drill = |result: &DrillResult| {
        let measures = &result.measures;
        vec![
            utc::text(result.began_at_ms),
            result.drill.clone(),
            result.victims.join(", "),
            if result.passed { "passed" } else { "FAILED" }.to_owned(),
            milliseconds(measures.detection_ms),
            milliseconds(measures.control_plane_outage_ms),
            milliseconds(measures.recovery_ms),
            measures.records_lost.map_or_else(|| "?".to_owned(), |lost| lost.to_string()),
        ]
    };
    let headings = ["began", "drill", "of", "verdict", "detection", "outage", "recovery", "lost"];
    text += &format!("\n\n{}", table(&headings, &history.drills.iter().map(drill).collect::<Vec<_>>()));
    text
}

fn client(cluster: &ClusterArguments) -> Result<ClusterClient, Failure> {
    Ok(ClusterClient::new(cluster.jobmanagers.clone())?)
}

fn status_text(status: &HaResponse) -> String {
    let leader = status.leader.as_ref().map_or("nobody", |leader| leader.name.as_str());
    let mut lines = vec![
        format!("{leader} leads, epoch {} ({}; answered by {})", status.epoch, status.provider, status.answered_by),
        format!(
            "{}; {} more may fail before the group stops",
            if status.has_quorum { "a quorum is reached" } else { "NO QUORUM" },
            status.failures_tolerated
        ),
    ];
    if let Some(since_ms) = status.store_away_since_ms {
        let since = utc::text(since_ms);
        lines.push(format!("THE COORDINATION STORE HAS NOT ANSWERED since {since}: jobs run on, nothing new is taken"));
    }
    let rows: Vec<_> = status
        .members
        .iter()
        .map(|member| {
            let role = if member.leader {
                "leader"
            } else if member.voter {
                "voter"
            } else {
                "learner"
            };
            let reachable = member.reachable.map_or("?", |reachable| if reachable { "yes" } else { "NO" });
            let lag = member.lag_entries.map_or_else(|| "?".to_owned(), |lag| lag.to_string());
            vec![member.name.clone(), role.to_owned(), member.address.clone(), reachable.to_owned(), lag]
        })
        .collect();
    lines.push(table(&["member", "role", "address", "reachable", "entries behind"], &rows));
    lines.join("\n")
}
