//! `weir ha`: shows and changes leadership, and the coordination system behind it.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use weir_protocol::rest::{DrillResult, DrillUnderWay, DrillsResponse, HaResponse, LeaderHistoryEntry};
use weir_protocol::utc;
use weir_world::{err_line, out_line};

use super::exit_code::Failure;
use super::output::table;
use super::{ClusterArguments, ConfigArguments, Format, ha_accept, ha_check, ha_migrate};
use crate::coordination;

#[derive(Debug, Subcommand)]
pub(super) enum HaCommand {
    /// Check whether the configured coordination system is fit to be relied on. A running cluster is not affected.
    ///
    /// For etcd and ZooKeeper, the check elects leaders and writes under a cluster id of its own: the configured one, followed by
    /// `-check`. For raft, it runs three members on this machine, with their logs beside high-availability.raft.dir, and connects
    /// to the configured members. Exit code 0: fit, perhaps with reservations; 1: not fit; 2: the configuration is invalid.
    Check {
        #[command(flatten)]
        config: ConfigArguments,
        /// How to print what was found.
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Move the state of a stopped cluster to another coordination system. The files of jobs stay where they are.
    ///
    /// First stop the JobManagers of both configurations. TaskManagers and their tasks may keep running. If the source or the
    /// destination is a raft group, run `weir ha member` on its other hosts, so that it has a quorum. If the migration is
    /// interrupted, run it again. Afterwards start the JobManagers with the new configuration; with the old one they refuse to
    /// lead.
    ///
    /// Exit code 0: all state is at the destination; 1: the migration was interrupted or a store failed; 2: the configurations
    /// can't be used, the destination is not free, or the state is not at the source; 5: it could not lead at one end within
    /// --timeout.
    Migrate(ha_migrate::MigrateArguments),
    /// Let leaders act on a coordination store that is older than the files, after a restore from a backup.
    ///
    /// A JobManager that finds such a store ends with HA-STORE-RESTORED, HA-STORE-OTHER or HA-STORE-EMPTY. First try to put the
    /// right store back. Accept only if it is lost: jobs that have ended since the backup run again. TaskManagers follow the next
    /// leader, whose epoch is above every former one.
    ///
    /// Exit code 0: accepted, or there was nothing to accept; 1: file storage failed; 2: not accepted, because --yes is missing
    /// or the configuration is invalid.
    AcceptRestore(ha_accept::AcceptArguments),
    /// Run only the raft member of a JobManager, until Ctrl-C. A group whose JobManagers are stopped then has a quorum for
    /// `weir ha migrate`.
    Member {
        #[command(flatten)]
        config: ConfigArguments,
    },
    /// Show who leads, how closely the other members follow, and how many more may fail.
    ///
    /// The leader answers. If no leader answers within 5 s, any other JobManager does; the output then says so, because a standby
    /// can't know how many more may fail.
    Status {
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Show the newest leaderships, and the results of the newest drills.
    History {
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Add a JobManager to the raft group.
    ///
    /// Start the JobManager first, with an empty high-availability.raft.dir and with its own name among
    /// high-availability.raft.members.
    AddMember {
        /// Name of the JobManager and address of its raft peer service.
        #[arg(value_name = "NAME@HOST:PORT")]
        member: String,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Remove a JobManager from the raft group permanently.
    RemoveMember {
        /// Name of the JobManager.
        name: String,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Transfer leadership to another JobManager in order, and wait until it leads.
    TransferLeader {
        /// Name of the JobManager that is to lead. If left out, the one that follows most closely.
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
            HaCommand::AcceptRestore(arguments) => ha_accept::run(&arguments).await,
            HaCommand::Member { config } => ha_migrate::member(&config).await,
            HaCommand::Status { cluster } => {
                let client = cluster.client()?;
                let status = match client.ha_group(cluster.timeout().min(LEADER_PATIENCE)).await {
                    Ok(status) => status,
                    Err(error) => {
                        err_line!("weir: no leader answers, so a standby is asked: {error}");
                        client.ha_status(cluster.timeout()).await?
                    }
                };
                cluster.output.print(&status, status_text)
            }
            HaCommand::History { cluster } => {
                let client = cluster.client()?;
                let status = client.ha_status(cluster.timeout()).await?;
                // Only a leader knows the drills. Leaderships are shown without a leader, too.
                let drills = client.drills(cluster.timeout().min(DRILLS_PATIENCE)).await.unwrap_or_else(|error| {
                    err_line!("weir: no drills are shown: {error}");
                    DrillsResponse::default()
                });
                let history =
                    History { leaderships: status.leader_history, drill_under_way: drills.under_way, drills: drills.results };
                cluster.output.print(&history, history_text)
            }
            HaCommand::AddMember { member, cluster } => {
                let member = coordination::member(&member).map_err(Failure::usage)?;
                let status = cluster.client()?.ha_add_member(&member.name, &member.address, cluster.timeout()).await?;
                cluster.output.print(&status, status_text)
            }
            HaCommand::RemoveMember { name, cluster } => {
                let status = cluster.client()?.ha_remove_member(&name, cluster.timeout()).await?;
                cluster.output.print(&status, status_text)
            }
            HaCommand::TransferLeader { to, cluster } => {
                let answer = cluster.client()?.ha_transfer(to.as_deref(), cluster.timeout()).await?;
                let leader = answer.leader.unwrap_or_else(|| "another JobManager".to_owned());
                out_line!("{leader} leads");
                Ok(())
            }
        }
    })
}

/// How long the status waits for the leader's answer.
const LEADER_PATIENCE: Duration = Duration::from_secs(5);

/// How long the history waits for a leader's answer about drills.
const DRILLS_PATIENCE: Duration = Duration::from_secs(5);

/// What `weir ha history` prints.
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
        |entry: &LeaderHistoryEntry| vec![entry.epoch.to_string(), entry.name.clone(), utc::text(entry.granted_at_ms)];
    let leaderships: Vec<_> = history.leaderships.iter().map(leadership).collect();
    let mut text = table(&["epoch", "leader", "granted"], &leaderships);
    if let Some(drill) = &history.drill_under_way {
        text += &format!("\n\ndrill {} has been running since {}", drill.drill, utc::text(drill.began_at_ms));
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
    let headings = ["began", "drill", "victims", "verdict", "detection", "outage", "recovery", "lost"];
    text += &format!("\n\n{}", table(&headings, &history.drills.iter().map(drill).collect::<Vec<_>>()));
    text
}

fn status_text(status: &HaResponse) -> String {
    let leader = status.leader.as_ref().map_or("no JobManager", |leader| leader.name.as_str());
    let is_leaders = leader == status.answered_by;
    let mut lines = Vec::new();
    if !is_leaders {
        let (standby, at) = (&status.answered_by, utc::text(status.now_ms));
        lines.push(format!("THE LEADER DID NOT ANSWER: this is only what standby {standby} believed at {at}"));
    }
    if status.provider == "raft" && !status.members.iter().any(|member| member.name == status.answered_by) {
        lines.push(format!("{} IS NO MEMBER of the group: it was removed, or was not added yet", status.answered_by));
    }
    lines.push(format!("{leader} leads, epoch {} ({}; answered by {})", status.epoch, status.provider, status.answered_by));
    lines.push(match (status.has_quorum, is_leaders) {
        (false, _) => "NO QUORUM: no JobManager can lead until enough members of the coordination system answer".to_owned(),
        (true, true) => {
            format!("there is a quorum; further members that may fail before the group stops: {}", status.failures_tolerated)
        }
        (true, false) => "only the leader knows how many further members may fail before the group stops".to_owned(),
    });
    if let Some(since_ms) = status.store_away_since_ms {
        let since = utc::text(since_ms);
        lines.push(format!("THE COORDINATION STORE HAS NOT ANSWERED since {since}: jobs keep running, new requests are refused"));
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

#[cfg(test)]
mod tests {
    use weir_protocol::LeaderEpoch;
    use weir_protocol::link::LeaderAddress;
    use weir_protocol::rest::HaMemberInfo;

    use super::*;

    fn status(answered_by: &str, has_quorum: bool) -> HaResponse {
        HaResponse {
            answered_by: answered_by.to_owned(),
            now_ms: 1_735_689_600_000,
            provider: "etcd".to_owned(),
            leader: Some(LeaderAddress {
                epoch: LeaderEpoch(7),
                name: "jm-1".to_owned(),
                rpc_address: String::new(),
                rest_address: String::new(),
            }),
            epoch: LeaderEpoch(7),
            has_quorum,
            store_away_since_ms: None,
            failures_tolerated: 2,
            members: Vec::new(),
            leader_history: Vec::new(),
        }
    }

    #[test]
    fn only_the_leader_says_how_many_members_may_fail_and_only_with_a_quorum() {
        let of_leader = status_text(&status("jm-1", true));
        assert!(of_leader.contains("may fail before the group stops: 2") && !of_leader.contains("DID NOT ANSWER"), "{of_leader}");
        let of_standby = status_text(&status("jm-2", true));
        assert!(of_standby.contains("standby jm-2 believed at 2025-01-01T00:00:00Z"), "{of_standby}");
        assert!(!of_standby.contains("stops: 2"), "{of_standby}");
        for without in [status_text(&status("jm-1", false)), status_text(&status("jm-2", false))] {
            assert!(without.contains("NO QUORUM") && !without.contains("stops: 2"), "{without}");
        }
    }

    #[test]
    fn a_process_that_is_no_member_of_the_raft_group_says_so() {
        let member = |name: &str| HaMemberInfo { name: name.to_owned(), voter: true, ..HaMemberInfo::default() };
        let answer = |members| HaResponse { provider: "raft".to_owned(), members, ..status("jm-2", true) };
        let removed = status_text(&answer(vec![member("jm-1")]));
        assert!(removed.contains("jm-2 IS NO MEMBER of the group"), "{removed}");
        let of_member = status_text(&answer(vec![member("jm-1"), member("jm-2")]));
        assert!(!of_member.contains("IS NO MEMBER"), "{of_member}");
    }

    #[test]
    fn the_history_shows_times_that_people_can_read() {
        let entry = LeaderHistoryEntry { epoch: LeaderEpoch(7), name: "jm-1".to_owned(), granted_at_ms: 1_735_689_600_000 };
        let history = History { leaderships: vec![entry], drill_under_way: None, drills: Vec::new() };
        let text = history_text(&history);
        assert!(text.contains("2025-01-01T00:00:00Z") && !text.contains("1735689600000"), "{text}");
        let json = serde_json::to_value(&history).unwrap();
        assert_eq!(json["leaderships"][0]["granted_at_ms"], 1_735_689_600_000_u64);
    }
}
