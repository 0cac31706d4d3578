//! Many short runs, one after the other, with every coordination that JobManagers can use.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use weir_local::Coordination;
use weir_world::{out_line, output};

use super::{RunOptions, Workload, run};
use crate::checkers::{Finding, Judged, Judgement, RunVerdict};
use crate::faults::{Hindrances, NEMESES, Need, Nemesis};

/// One short run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What the JobManagers coordinate through.
    pub coordination: Coordination,
    /// The kinds of faults to inject.
    pub nemeses: Vec<&'static Nemesis>,
    pub workload: Workload,
    /// For how long faults are planned.
    pub duration: Duration,
    /// The plan of faults follows from this seed.
    pub seed: u64,
}

/// This many of ten scenarios use raft. The others alternate between etcd and ZooKeeper, which take longer to start and to elect.
const RAFT_OF_TEN: usize = 6;
const COORDINATIONS: [Coordination; 3] = [Coordination::Raft, Coordination::Etcd, Coordination::ZooKeeper];
/// The kinds of faults that lead to a new leader fastest. They are part of every scenario.
const LEADERS: [&str; 3] = ["kill-leader", "kill-leader", "terminate-leader"];

/// If there are more kinds than scenarios, the first scenarios have two kinds and this much more time.
const SECOND_KIND_SECONDS: u64 = 8;

/// Some kinds fit only few scenarios, so there is room for this many more than there are.
const SPARE: usize = 4;

/// How long a fault usually lasts at most.
const USUAL_SECONDS: u64 = 5;

/// Makes `count` scenarios. Every possible kind of fault is used, and each scenario also kills leaders.
pub fn scenarios(count: usize, seed: u64, hindrances: &Hindrances) -> Vec<Scenario> {
    let is_special = |nemesis: &Nemesis| !LEADERS.contains(&nemesis.name);
    let kinds = NEMESES.iter().filter(|nemesis| is_special(nemesis)).count();
    let mut turns: BTreeMap<&str, usize> = BTreeMap::new();
    (0..count)
        .map(|number| {
            let coordination = match number % 10 {
                place if place < RAFT_OF_TEN => Coordination::Raft,
                place if place % 2 == 0 => Coordination::Etcd,
                _ => Coordination::ZooKeeper,
            };
            // Of eight scenarios, the SQL workload runs on every coordination: the third uses raft, the others etcd and ZooKeeper.
            let workload = match number % 10 {
                4 | 9 => Workload::Churn,
                2 | 6 | 7 => Workload::Sql,
                5 | 8 => Workload::Kafka,
                _ => Workload::Counting,
            };
            let hindrances = hindrances.clone().of_workload(workload);
            let possible = |nemesis: &Nemesis, on: Coordination| hindrances.hinders(nemesis.need, Some(on)).is_none();
            // Take the kinds that were used least. Among them, prefer those that fewer workloads or coordinations allow.
            let mut special: Vec<_> = NEMESES.iter().enumerate().filter(|(_, nemesis)| is_special(nemesis)).collect();
            special.retain(|(_, nemesis)| possible(nemesis, coordination));
            special.sort_by_key(|(place, nemesis)| {
                let places = COORDINATIONS.iter().filter(|on| possible(nemesis, **on)).count();
                let order = (*place as u64).wrapping_add(seed) % NEMESES.len() as u64;
                let turns = turns.get(nemesis.name).copied().unwrap_or(0);
                (turns, !matches!(nemesis.need, Need::Kafka | Need::KafkaNetwork), places, order)
            });
            let of_two = number < (kinds + SPARE).saturating_sub(count);
            let special: Vec<_> = special.into_iter().map(|(_, nemesis)| nemesis).take(1 + usize::from(of_two)).collect();
            special.iter().for_each(|nemesis| *turns.entry(nemesis.name).or_default() += 1);
            // The special kind comes first, because a plan always contains the first kind.
            let nemeses: Vec<_> = special.into_iter().chain(LEADERS.iter().filter_map(|name| Nemesis::named(name))).collect();
            // Leases and sessions last 2 s, which makes failovers slower than with raft.
            let duration = if coordination == Coordination::Raft { 7 } else { 9 } + if of_two { SECOND_KIND_SECONDS } else { 0 };
            // Room for the other kinds beside one that lasts long.
            let longer = |nemesis: &&Nemesis| (nemesis.lasts_ms.1 / 1_000).saturating_sub(USUAL_SECONDS);
            let duration = duration + nemeses.iter().map(longer).sum::<u64>();
            let duration = Duration::from_secs(duration);
            Scenario { coordination, nemeses, workload, duration, seed: seed.wrapping_mul(1_000) + number as u64 }
        })
        .collect()
}

/// The totals of all scenarios.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Scenarios that were run.
    pub runs: usize,
    /// Scenarios that did not pass.
    pub failed: usize,
    /// Scenarios that passed, but only after a retry.
    pub retried: usize,
    /// Leader changes in all of them.
    pub leader_changes: usize,
    /// Faults in all of them.
    pub faults: usize,
    /// Input rows of all judged jobs.
    pub rows: u64,
}

/// Runs the scenarios and prints a line for each. If a busy machine may explain the failure of a scenario, it is retried up to
/// `retries` times. Reports of failed tries stay under `reports`.
pub fn smoke(scenarios: &[Scenario], binary: &Path, reports: &Path, retries: usize, stop: &Arc<AtomicBool>) -> io::Result<Tally> {
    let mut tally = Tally::default();
    for (number, scenario) in (1..).zip(scenarios) {
        for attempt in 0..=retries {
            if stop.load(Ordering::Relaxed) || output::reader_is_gone() {
                return Ok(tally);
            }
            let report = reports.join(format!("scenario-{number}{}", ".retry".repeat(attempt)));
            let heading = format!("{number:>3}/{}", scenarios.len());
            let judged = run_one(&heading, scenario, binary, &report, stop)?;
            tally.leader_changes += judged.leader_changes;
            tally.faults += judged.faults;
            tally.rows += judged.rows;
            let passed = judged.verdict == RunVerdict::Passed;
            if passed || attempt == retries || !may_be_the_machine(&judged) {
                tally.runs += 1;
                tally.failed += usize::from(!passed);
                tally.retried += usize::from(passed && attempt > 0);
                break;
            }
            out_line!("       retrying: this can happen on a busy machine; if it happens often, it is a bug");
        }
    }
    Ok(tally)
}

/// Runs a scenario and prints its result behind `heading`. Deletes the report if the scenario passed.
fn run_one(heading: &str, scenario: &Scenario, binary: &Path, report: &Path, stop: &Arc<AtomicBool>) -> io::Result<Judged> {
    let options = RunOptions {
        binary: binary.to_owned(),
        workload: scenario.workload,
        nemeses: scenario.nemeses.clone(),
        duration: scenario.duration,
        seed: scenario.seed,
        coordination: scenario.coordination,
        rows_per_second: 5_000,
        report: report.to_owned(),
        namespaces: true,
        lying_disks: false,
        progress: |_| {},
        command: String::new(),
    };
    let options = RunOptions { command: options.repeated(), ..options };
    let started = Instant::now();
    let judged = run(&options, stop)?;
    out_line!(
        "{heading}  {:<12}  {:>5.1} s  {} faults, {} leader changes  {}",
        judged.verdict.as_str(),
        started.elapsed().as_secs_f64(),
        judged.faults,
        judged.leader_changes,
        options.repeated().trim_start_matches("weir chaos run ")
    );
    if judged.verdict == RunVerdict::Passed {
        std::fs::remove_dir_all(report)?;
        return Ok(judged);
    }
    for finding in broken(&judged) {
        out_line!("       {}: {:?}", finding.checker, finding.judgement);
    }
    judged.without_footprint.iter().for_each(|what| out_line!("       no footprint: {what}"));
    out_line!("       report: {}", report.display());
    Ok(judged)
}

fn broken(judged: &Judged) -> impl Iterator<Item = &Finding> {
    judged.findings.iter().filter(|finding| matches!(finding.judgement, Judgement::Broken { .. }))
}

/// Whether a slow machine may explain a failure: a fault without effect, a recovery that took too long, or a run that could not
/// start. A violation, such as a lost row or an epoch with two leaders, is never retried.
fn may_be_the_machine(judged: &Judged) -> bool {
    judged.verdict != RunVerdict::Interrupted && broken(judged).all(|finding| matches!(finding.checker, "recovery" | "run"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::checkers::{judge, sample};
    use crate::faults::Plan;
    use crate::history::What;

    #[test]
    fn a_violation_is_never_retried() {
        assert!(may_be_the_machine(&judge(&sample::without_footprint())));
        let doubled = sample::changed(|what| {
            if let What::Rows { lines } = what {
                lines.push(lines[0].clone());
            }
        });
        assert!(!may_be_the_machine(&judge(&doubled)));
    }

    #[test]
    fn thirty_scenarios_cover_every_coordination_every_workload_and_many_kinds() {
        let scenarios = scenarios(30, 1, &Hindrances::default());
        for coordination in COORDINATIONS {
            assert!(scenarios.iter().filter(|scenario| scenario.coordination == coordination).count() >= 6);
        }
        assert!(scenarios.iter().any(|scenario| scenario.workload == Workload::Churn));
        let of_sql = |on: &&Coordination| {
            scenarios.iter().take(8).any(|scenario| scenario.workload == Workload::Sql && scenario.coordination == **on)
        };
        assert!(COORDINATIONS.iter().all(|on| of_sql(&on)));
        let seeds: BTreeSet<_> = scenarios.iter().map(|scenario| scenario.seed).collect();
        assert_eq!(seeds.len(), 30);
    }

    #[test]
    fn every_kind_is_in_the_plans_of_thirty_scenarios() {
        for seed in 0..50 {
            let scenarios = scenarios(30, seed, &Hindrances::default());
            let plans = scenarios.iter().map(|scenario| Plan::draw(scenario.seed, &scenario.nemeses, scenario.duration));
            let planned: BTreeSet<_> = plans.flat_map(|plan| plan.steps).map(|step| step.nemesis.name).collect();
            let missing: Vec<_> = NEMESES.iter().map(|nemesis| nemesis.name).filter(|name| !planned.contains(name)).collect();
            assert!(missing.is_empty(), "seed {seed}: {missing:?}");
        }
    }
}
