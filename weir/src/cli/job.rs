//! `weir job`: submits, shows, waits for, stops and cancels jobs.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use weir_client::{ClientError, ClusterClient};
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_graph::catalog::CATALOG;
use weir_protocol::job_status::JobStatus;
use weir_protocol::quantity;
use weir_protocol::rest::JobDescription;
use weir_world::{err_line, out_line};

use super::ClusterArguments;
use super::exit_code::{Code, Failure};
use super::narration::Narrator;
use super::output::{duration_text, table};
use crate::assembly;

/// A job graph file larger than this is refused.
const GRAPH_FILE_LIMIT: u64 = 16 << 20;

/// Time limit of `weir job submit --wait`: in effect, none.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

#[derive(Debug, Subcommand)]
pub(super) enum JobCommand {
    /// Submit a job graph (JSON; see docs/job-graph.md), and print the job's id once the job is durable.
    Submit {
        /// File of the job graph, at most 16 MiB. `-` reads standard input.
        file: PathBuf,
        /// Also wait until the job has ended. Exit code 0 only if it FINISHED.
        #[arg(long)]
        wait: bool,
        /// Client token: a text of your own. A repeated submission of the same graph with the same token creates no second job.
        #[arg(long)]
        token: Option<String>,
        /// Drop the state of vertices and operators that the graph no longer has, if the job starts from a savepoint or checkpoint
        /// (`restore_from` in its job graph). Without this, such a savepoint is refused.
        #[arg(long, short = 'n', visible_alias = "allowNonRestoredState")]
        allow_non_restored_state: bool,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// List all jobs, running and ended.
    List {
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Show one job: its state, checkpoints, restarts, tasks and newest failures.
    Describe {
        /// The job's id.
        job: JobId,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Cancel a job. Its checkpoints are deleted, unless the job or the cluster is configured to retain them.
    ///
    /// The command does not wait for the job's end; `weir job wait` does.
    Cancel {
        /// The job's id.
        job: JobId,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Stop a job with a savepoint, and print where it is. A new job can continue from it (`restore_from` in its job graph).
    Stop {
        /// The job's id.
        job: JobId,
        /// Directory of the savepoint. If left out, the cluster's own (execution.checkpointing.savepoint-dir).
        #[arg(long, value_name = "DIRECTORY")]
        savepoint_dir: Option<String>,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Wait until a job has ended. Exit code 0 only if it FINISHED.
    ///
    /// Exit code 1: it ended otherwise; 5: it had not ended within --until.
    Wait {
        /// The job's id.
        job: JobId,
        /// How long to wait for the job's end.
        #[arg(long, default_value = "365 d", value_parser = quantity::parse_duration)]
        until: Duration,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// List the operators that a job graph can contain, with their options.
    Operators,
}

/// Runs a job verb.
pub(super) fn run(command: JobCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            JobCommand::Submit { file, wait, token, allow_non_restored_state, cluster } => {
                let mut graph = read_graph(&file)?;
                graph.allow_non_restored_state |= allow_non_restored_state;
                submit(&file, graph, wait, token, &cluster).await
            }
            JobCommand::List { cluster } => list(&cluster).await,
            JobCommand::Describe { job, cluster } => {
                let description = cluster.client()?.describe(job, cluster.timeout()).await?;
                cluster.output.print(&description, describe_text)
            }
            JobCommand::Cancel { job, cluster } => {
                cluster.client()?.cancel(job, cluster.timeout()).await?;
                out_line!("canceling {job}");
                Ok(())
            }
            JobCommand::Stop { job, savepoint_dir, cluster } => stop(job, savepoint_dir, &cluster).await,
            JobCommand::Wait { job, until, cluster } => wait_for(&cluster.client()?, job, until, &cluster).await,
            JobCommand::Operators => {
                operators();
                Ok(())
            }
        }
    })
}

async fn submit(
    file: &Path,
    graph: JobGraph,
    wait: bool,
    token: Option<String>,
    cluster: &ClusterArguments,
) -> Result<(), Failure> {
    assembly::check_graph(&graph)
        .map_err(|problems| Failure::error(format!("{} can't run:\n  {}", file.display(), problems.join("\n  "))))?;
    // All attempts use one token: if an attempt was accepted but its answer is lost, the next one creates no second job.
    let token = token.unwrap_or_else(|| format!("{:032x}", weir_world::random_id()));
    let client = cluster.client()?;
    let answer = client.submit(&graph, Some(&token), cluster.timeout()).await?;
    cluster.output.print(&answer, |answer| answer.job_id.to_string())?;
    if wait { wait_for(&client, answer.job_id, FOREVER, cluster).await } else { Ok(()) }
}

fn read_graph(file: &Path) -> Result<JobGraph, Failure> {
    let mut text = String::new();
    let mut read = |source: &mut dyn Read| source.take(GRAPH_FILE_LIMIT + 1).read_to_string(&mut text);
    let outcome = if file.as_os_str() == "-" {
        read(&mut std::io::stdin())
    } else {
        std::fs::File::open(file).and_then(|mut opened| read(&mut opened))
    };
    outcome.map_err(|error| Failure::error(format!("can't read {}: {error}", file.display())))?;
    if text.len() as u64 > GRAPH_FILE_LIMIT {
        return Err(Failure::error(format!("{} is larger than {GRAPH_FILE_LIMIT} bytes", file.display())));
    }
    JobGraph::from_json(&text).map_err(|error| Failure::error(format!("{}: {error}", file.display())))
}

async fn list(cluster: &ClusterArguments) -> Result<(), Failure> {
    let overview = cluster.client()?.list(cluster.timeout()).await?;
    cluster.output.print(&overview, |overview| {
        let rows: Vec<_> = overview
            .jobs
            .iter()
            .map(|job| {
                let count = |what: &str| job.tasks.get(what).copied().unwrap_or_default();
                let running = format!("{}/{}", count("running"), count("total"));
                vec![
                    job.jid.to_string(),
                    job.state.as_str().to_owned(),
                    running,
                    duration_text(job.duration.max(0) as u64),
                    job.name.clone(),
                ]
            })
            .collect();
        table(&["job", "state", "running", "age", "name"], &rows)
    })
}

async fn stop(job: JobId, directory: Option<String>, cluster: &ClusterArguments) -> Result<(), Failure> {
    let location = cluster.client()?.stop(job, directory.as_deref(), false, cluster.timeout()).await?;
    out_line!("stopped; savepoint: {location}");
    Ok(())
}

async fn wait_for(client: &ClusterClient, job: JobId, until: Duration, cluster: &ClusterArguments) -> Result<(), Failure> {
    let mut narrator = Narrator::default();
    let say = |job: &JobDescription| narrator.see(job).iter().for_each(|line| err_line!("weir: {line}"));
    let end = client.wait_with(job, until, say).await?;
    cluster.output.print(&end, |end| format!("{} {}", end.job_id, end.status.as_str()))?;
    if end.status == JobStatus::Finished {
        return Ok(());
    }
    let reason = end.reason.map_or_else(String::new, |reason| format!(": {reason}"));
    Err(Failure::error(format!("the job is {}{reason}", end.status.as_str())))
}

fn describe_text(job: &JobDescription) -> String {
    let mut lines = vec![format!("{}  {}  {}", job.job_id, job.status.as_str(), job.name)];
    lines.extend(job.reason.iter().map(|reason| format!("reason: {reason}")));
    let counts = &job.checkpoints.counts;
    let newest = job.checkpoints.latest_completed.as_ref().map_or_else(String::new, |newest| {
        let facts = newest.facts();
        format!("; newest {} took {}", facts.id, duration_text(facts.end_to_end_duration.max(0) as u64))
    });
    lines.push(format!("checkpoints: {} completed, {} failed{newest}", counts.completed, counts.failed));
    lines.push(format!("restarts under this leader (epoch {}): {}", job.epoch, job.restarts));
    let mut rows = Vec::new();
    for vertex in &job.vertices {
        for subtask in &vertex.subtasks {
            let host = subtask.task_manager.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
            let (read, written) = subtask.metrics.map_or((0, 0), |metrics| (metrics.records_in, metrics.records_out));
            rows.push(vec![
                format!("{} {}/{}", vertex.name, subtask.subtask + 1, vertex.parallelism),
                subtask.state.as_str().to_owned(),
                host,
                read.to_string(),
                written.to_string(),
            ]);
        }
    }
    lines.push(table(&["task", "state", "on", "rows in", "rows out"], &rows));
    lines.extend(job.exceptions.iter().take(3).map(|failure| format!("failure: {} {}", failure.code, failure.message)));
    lines.join("\n")
}

fn operators() {
    for operator in CATALOG {
        out_line!("{}\n    {}", operator.kind, operator.doc);
        for option in operator.options {
            let needed = if option.required { " (required)" } else { "" };
            out_line!("      {}{needed}: {}", option.name, option.doc);
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::NotFound { .. } => Code::NotFound,
            ClientError::NoLeader { .. } | ClientError::Unreachable { .. } | ClientError::StoreAway { .. } => Code::NoLeader,
            ClientError::TimedOut { .. } => Code::TimedOut,
            _ => Code::Error,
        };
        Self::with_code(code, error)
    }
}
