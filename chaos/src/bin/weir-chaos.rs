//! `weir chaos`: injects faults into a cluster of real processes on this machine, and judges the result.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand, ValueEnum};
use weir_chaos::checkers::{Judged, RunVerdict, judge};
use weir_chaos::faults::{Hindrances, NEMESES, Nemesis};
use weir_chaos::history::History;
use weir_chaos::report;
use weir_chaos::run::smoke::{scenarios, smoke};
use weir_chaos::run::{RunOptions, Workload, run};
use weir_local::Coordination;
use weir_protocol::quantity;
use weir_world::{err_line, out_line, output};

/// Injects planned faults into a cluster of real processes on this machine, and judges the result from outside.
#[derive(Parser)]
#[command(name = "weir chaos", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 passed, 1 not passed (a property did not hold, a fault had no effect, or the run was stopped), 2 usage error."
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a workload under faults, judge it and write a report. Ctrl-C heals all faults and still writes the report.
    Run(RunArguments),
    /// Judge the history in a report's directory again.
    Check {
        /// Directory of the report.
        directory: PathBuf,
    },
    /// List workloads and kinds of faults, and whether they are possible on this machine.
    List,
    /// Run many short scenarios on raft, etcd and ZooKeeper, with one line of output for each.
    Smoke {
        /// Number of scenarios.
        #[arg(long, default_value_t = 30)]
        scenarios: usize,
        /// All random choices follow from this seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Directory for the reports of scenarios that did not pass.
        #[arg(long, default_value = "weir-chaos-smoke", value_name = "DIRECTORY")]
        reports: PathBuf,
        /// The command does not pass if all scenarios together have fewer leader changes than this.
        #[arg(long, default_value_t = 0, value_name = "COUNT")]
        least_leader_changes: usize,
        /// How often to retry a scenario that a slow machine may have failed: a fault without effect, or a slow recovery.
        #[arg(long, default_value_t = 0, value_name = "COUNT")]
        retries: usize,
    },
}

#[derive(Args)]
struct RunArguments {
    /// What the cluster does.
    #[arg(long, value_enum, default_value_t)]
    workload: Workload,
    /// Kinds of faults (see `weir chaos list`), or `all`. Kinds that are not possible here are reported and skipped.
    #[arg(long, value_delimiter = ',', default_value = "kill-leader", value_name = "KIND,…")]
    nemesis: Vec<String>,
    /// For how long faults are injected. The start and the end of the run take additional time.
    #[arg(long, default_value = "60 s", value_parser = quantity::parse_duration)]
    duration: Duration,
    /// The plan of faults follows from this seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the JobManagers coordinate through.
    #[arg(long, value_enum, default_value_t)]
    ha: Coordination,
    /// Rows per second of the job whose output is known.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(5..=1_000_000))]
    rate: u64,
    /// Directory for history.jsonl, report.json and report.html.
    #[arg(long, default_value = "weir-chaos-report", value_name = "DIRECTORY")]
    report: PathBuf,
    /// Use no network namespaces: all processes run on loopback, and network faults are skipped.
    #[arg(long)]
    no_namespaces: bool,
    /// The disks under raft logs only pretend to sync. With lose-power-majority, such a run must fail, or the fault tests
    /// nothing.
    #[arg(long)]
    lying_disks: bool,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Run(arguments) => run_one(arguments),
        Verb::Check { directory } => check(&directory),
        Verb::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Verb::Smoke { scenarios: count, seed, reports, least_leader_changes, retries } => {
            smoke_all(count, seed, &reports, least_leader_changes, retries)
        }
    };
    let code = outcome.unwrap_or_else(|error| {
        err_line!("weir chaos: {error}");
        ExitCode::FAILURE
    });
    output::finish("weir chaos", code)
}

fn binary() -> io::Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("weir");
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(io::Error::other(format!("there is no {}: build the package weir", binary.display())))
    }
}

/// A flag that is set when the user wants the program to stop.
fn stop_on_signal() -> io::Result<Arc<AtomicBool>> {
    let stop: Arc<AtomicBool> = Arc::default();
    let seen = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut terminated = {
        let _inside = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminated.recv() => {}
                }
                seen.store(true, Ordering::Relaxed);
            }
        });
    })?;
    Ok(stop)
}

fn run_one(arguments: RunArguments) -> io::Result<ExitCode> {
    let mut nemeses = Vec::new();
    for name in &arguments.nemesis {
        match Nemesis::named(name) {
            Some(nemesis) => nemeses.push(nemesis),
            None if name == "all" => nemeses = NEMESES.iter().collect(),
            None => {
                err_line!("weir chaos: there is no kind of fault {name:?}; see `weir chaos list`");
                return Ok(ExitCode::from(2));
            }
        }
    }
    let options = RunOptions {
        binary: binary()?,
        workload: arguments.workload,
        nemeses,
        duration: arguments.duration,
        seed: arguments.seed,
        coordination: arguments.ha,
        rows_per_second: arguments.rate,
        report: arguments.report,
        namespaces: !arguments.no_namespaces,
        lying_disks: arguments.lying_disks,
        progress: |line| out_line!("{line}"),
        command: String::new(),
    };
    let options = RunOptions { command: options.repeated(), ..options };
    let stop = stop_on_signal()?;
    out_line!("{}", options.command);
    let judged = run(&options, &stop)?;
    out_line!("\n{}", report::text(&judged));
    out_line!("report: {}", options.report.join(report::PAGE_FILE).display());
    Ok(code(&judged))
}

fn code(judged: &Judged) -> ExitCode {
    if judged.verdict == RunVerdict::Passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check(directory: &std::path::Path) -> io::Result<ExitCode> {
    let history = History::read(directory)?;
    let judged = judge(&history);
    out_line!("{}", report::text(&judged));
    Ok(code(&judged))
}

fn list() {
    out_line!("workloads");
    for workload in Workload::value_variants() {
        out_line!("  {:<22} {}", workload.name(), workload.sentence());
    }
    out_line!("\nkinds of faults (--nemesis)");
    let hindrances = Hindrances::of_this_machine();
    for nemesis in &NEMESES {
        out_line!("  {:<22} {}", nemesis.name, nemesis.sentence);
        if let Some(why) = hindrances.hinders(nemesis.need, None) {
            out_line!("  {:<22} NOT HERE: {why}", "");
        }
    }
    out_line!(
        "\nstore-* need --ha etcd or --ha zookeeper; bridge, lose-power-leader, lose-power-majority, sync-error, slow-disk and flip-bit \
         need --ha raft; *-broker, *-brokers, kill-coordinator and outlast-transactions need --workload kafka."
    );
}

fn smoke_all(
    count: usize,
    seed: u64,
    reports: &std::path::Path,
    least_leader_changes: usize,
    retries: usize,
) -> io::Result<ExitCode> {
    let stop = stop_on_signal()?;
    let scenarios = scenarios(count, seed, &Hindrances::of_this_machine());
    let started = Instant::now();
    let tally = smoke(&scenarios, &binary()?, reports, retries, &stop)?;
    out_line!(
        "{} of {count} scenarios in {:.0} s: {} faults, {} leader changes, {} rows; {} did not pass",
        tally.runs,
        started.elapsed().as_secs_f64(),
        tally.faults,
        tally.leader_changes,
        tally.rows,
        tally.failed
    );
    if tally.retried > 0 {
        out_line!("{} of them FLAKY: they passed only after a retry", tally.retried);
    }
    let few = tally.leader_changes < least_leader_changes;
    if few {
        out_line!("at least {least_leader_changes} leader changes were expected");
    }
    Ok(if tally.failed == 0 && tally.runs == count && !few { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
