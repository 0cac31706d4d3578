//! One run: a cluster, a client and a nemesis, all from one seed. The run first judges safety under faults, then heals the
//! cluster and judges liveness, and finally judges all rows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use weir_protocol::job_status::JobStatus;
use weir_verdict::fact::Fact;
use weir_verdict::invariants::{ExactlyOnce, Invariant, Violation, Watch, Whole};
use weir_verdict::random::Random;
use weir_world::flaw::{Flaw, plant};
use weir_world::simulation;

use crate::client::{Client, Known, PlannedJob};
use crate::cluster::{Cluster, GUEST, job_managers, task_managers};
use crate::nemesis::fault::{Fault, Who};
use crate::nemesis::{FAST, Guide, Nemesis};
use crate::pipeline::files::{Directories, FILES_AT_START};
use crate::pipeline::{Ledger, PARALLELISM, row_at};
use crate::scenario::Scenario;
use crate::world::World;
use crate::world::network::CLIENT;

/// Simulated milliseconds after healing within which the cluster must recover.
const RECOVERY_BOUND_MS: u64 = 60_000;
/// Simulated milliseconds within which all jobs must end after that, and then within which all checkpoint files must be deleted.
const END_BOUND_MS: u64 = 60_000;
/// Number of JobManagers that may fail when all are up and vote.
const FAILURES_TOLERATED: u64 = 1;
/// Simulated milliseconds until a new machine replaces a lost one, in a plan.
const NEW_MACHINE_MS: u64 = 300;

/// Everything that determines a run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Seed of everything that is random.
    pub seed: u64,
    /// Simulated seconds with faults.
    pub seconds: u64,
    pub faults: Faults,
    /// Whether disks report syncs that they did not make. This is a planted bug, which runs must find.
    pub lying_disks: bool,
    /// A bug planted in the product, which runs must find.
    pub flaw: Option<Flaw>,
}

/// The faults that a run injects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    /// Faults that the nemesis draws at random.
    Random,
    None,
    /// The faults of a scenario.
    Scenario(&'static Scenario),
    /// The process that makes the n-th fenced write dies at it.
    DeathAtWrite {
        /// Number of the write, from 0.
        write: u64,
        /// Whether the write takes effect first.
        after: bool,
    },
    /// The first JobManager loses its power in the middle of the n-th change of its disk, counted from 0.
    PowerLossAtChange(u64),
}

/// The result of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Broken invariants, in the order in which they were found. Empty if the run passed.
    pub violations: Vec<Violation>,
    /// Counts of the injected faults and of what happened, by name.
    pub footprint: BTreeMap<String, u64>,
    pub simulated_ms: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.footprint.iter().map(|(name, count)| format!("{name} {count}")).collect();
        write!(f, "{} simulated s; {}", self.simulated_ms / 1000, parts.join(", "))?;
        self.violations.iter().try_for_each(|violation| write!(f, "\n  VIOLATION {violation}"))
    }
}

/// Panics in this process that have not been judged yet.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Records every panic, even one that the product catches, because a real JobManager would have ended by it.
fn watch_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
    }));
}

/// Makes the run that `options` describe in `world`, which must be new and have the seed of the options. Panics if it is called
/// twice in a process, because the simulated world stays installed.
pub fn run(options: Options, world: World) -> Outcome {
    assert!(simulation::install(Arc::new(world.clone())), "one run per process");
    watch_panics();
    Run::new(options, world).run()
}

struct Run {
    options: Options,
    cluster: Cluster,
    client: Client,
    nemesis: Nemesis,
    watch: Watch,
    rows: ExactlyOnce,
    outcome: Outcome,
}

fn plan(options: Options) -> Vec<PlannedJob> {
    let random = Random::new(options.seed, "plan");
    let end = options.seconds * 1000;
    let job = |number: u64| {
        let submit_at_ms = random.between(500, end / 3);
        let bounded = number == 0;
        let files = bounded && matches!(options.faults, Faults::Scenario(scenario) if scenario.files);
        let rows = if bounded { random.between(200, 1_200) as i64 } else { 0 };
        PlannedJob {
            name: format!("job-{number}"),
            rows: if files { rows * i64::from(PARALLELISM) / FILES_AT_START } else { rows },
            files,
            submit_at_ms,
            cancel_at_ms: (number == 1).then(|| random.between(submit_at_ms + 500, end.max(submit_at_ms + 1_000))),
            savepoints_at_ms: (0..random.between(0, 3)).map(|_| random.between(submit_at_ms, end)).collect(),
            checkpoint_interval_ms: random.between(200, 1_500),
            pause_ms: random.between(20, 120),
        }
    };
    (0..4).map(job).collect()
}

impl Run {
    fn new(options: Options, world: World) -> Self {
        let mut cluster = Cluster::new(options.seed, world.clone());
        if matches!(options.faults, Faults::Scenario(_)) {
            cluster.keep_state_inline();
        }
        let client = Client::new(plan(options), world, cluster.observations.clone());
        let guide = if let Faults::Scenario(scenario) = options.faults { Guide::Scenario(scenario, 0) } else { Guide::Chance };
        let nemesis = Nemesis::new(options.seed, cluster.clone(), guide);
        let (watch, rows) = (Watch::new(row_at), ExactlyOnce::new(row_at));
        Self { options, cluster, client, nemesis, watch, rows, outcome: Outcome::default() }
    }

    fn run(mut self) -> Outcome {
        let mut sim = self.build();
        let end = self.options.seconds * 1000;
        match self.options.faults {
            Faults::Random | Faults::Scenario(_) | Faults::None => {}
            Faults::DeathAtWrite { write, after } => self.cluster.observations.die_at_write(write, after),
            Faults::PowerLossAtChange(change) => self.cluster.world.disks.lose_power_after(&job_managers()[0], change),
        }
        if self.options.lying_disks {
            self.cluster.world.disks.lie();
        }
        if let Some(flaw) = self.options.flaw {
            plant(flaw);
        }
        let (calm, rare) = match self.options.faults {
            Faults::Random => (false, true),
            Faults::Scenario(scenario) => (false, scenario.rare),
            _ => (true, false),
        };
        self.cluster.world.let_rare_things_happen(rare);
        let safe = if calm { self.play_plan(&mut sim, end) } else { self.until(&mut sim, end, false, |_| false) };
        if safe.is_ok() {
            // A planned death may come as late as at the end of the jobs.
            if !calm {
                self.cluster.world.let_rare_things_happen(false);
                self.nemesis.heal(&mut sim);
            }
            self.live(&mut sim);
        }
        self.sum_up();
        self.check_footprint();
        self.outcome
    }

    /// Runs the plan without random faults. In the middle it replaces a machine, so that the members of the raft group change,
    /// too.
    fn play_plan(&mut self, sim: &mut turmoil::Sim<'_>, end_ms: u64) -> Result<bool, ()> {
        self.until(sim, end_ms / 2, true, |_| false)?;
        self.nemesis.inject(sim, Fault::EmptyDisk(Who::JobManager(2)), end_ms / 2 + NEW_MACHINE_MS);
        self.until(sim, end_ms, true, |_| false)
    }

    /// Fails the run if its faults left no trace: then they did not take effect.
    fn check_footprint(&mut self) {
        let count = |name: &str| self.outcome.footprint.get(name).copied().unwrap_or(0);
        let told: Vec<_> = match self.options.faults {
            Faults::Random | Faults::None => Vec::new(),
            Faults::DeathAtWrite { .. } | Faults::PowerLossAtChange(_) => {
                // The nemesis has not counted a process that died in the last step of the run.
                let doomed = self.cluster.observations.doomed_hosts().len() as u64;
                let deaths = count("died by itself") + count("died of power") + doomed;
                (deaths == 0).then(|| "no process died: the point was not reached".to_owned()).into_iter().collect()
            }
            Faults::Scenario(scenario) => {
                let few = scenario.least.iter().filter(|(name, least)| count(name) < *least);
                let many = scenario.most.iter().filter(|(name, most)| count(name) > *most);
                let told = |(name, bound): &(&str, u64), what: &str| format!("{name} {}, {what} {bound} expected", count(name));
                few.map(|entry| told(entry, "at least")).chain(many.map(|entry| told(entry, "at most"))).collect()
            }
        };
        for what in told {
            self.broken("footprint", what);
        }
    }

    fn build(&self) -> turmoil::Sim<'static> {
        let mut sim = turmoil::Builder::new()
            .epoch(UNIX_EPOCH)
            .rng_seed(self.options.seed)
            .simulation_duration(Duration::from_secs(86_400))
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(FAST)
            .tcp_capacity(4096)
            .enable_random_order()
            .build();
        for host in job_managers() {
            let (cluster, name) = (self.cluster.clone(), host.clone());
            sim.host(host, move || cluster.clone().run_job_manager(name.clone()));
        }
        for host in task_managers() {
            let (cluster, name) = (self.cluster.clone(), host.clone());
            sim.host(host, move || cluster.clone().run_task_manager(name.clone()));
        }
        let guest = self.cluster.clone();
        sim.host(GUEST, move || guest.clone().run_guest());
        let client = self.client.clone();
        sim.host(CLIENT, move || client.clone().run());
        sim
    }

    /// Steps until `end_ms`, or until `done` holds, and returns whether it holds. Fails as soon as an invariant is broken.
    fn until(&mut self, sim: &mut turmoil::Sim<'_>, end_ms: u64, calm: bool, done: impl Fn(&Known) -> bool) -> Result<bool, ()> {
        loop {
            let now = sim.elapsed();
            self.cluster.world.set_elapsed(now);
            if now.as_millis() as u64 >= end_ms {
                return Ok(false);
            }
            self.nemesis.act(sim, calm);
            if let Err(error) = sim.step() {
                self.broken("process", error.to_string());
            }
            self.judge();
            if !self.outcome.violations.is_empty() {
                return Err(());
            }
            if now.as_millis() % 50 == 0 && done(&self.client.known()) {
                return Ok(true);
            }
        }
    }

    fn broken(&mut self, id: &str, what: String) {
        tracing::error!(id, what, "violation");
        self.outcome.violations.push(Violation { id: id.to_owned(), what });
    }

    /// Judges the facts that were noted since the last step.
    fn judge(&mut self) {
        let mut facts = self.cluster.observations.drain();
        let (news, contradictions) = {
            let mut ledger = Ledger::get();
            (ledger.news(), ledger.contradictions())
        };
        for (id, what) in self.cluster.observations.drain_wrongs() {
            self.broken(id, what);
        }
        for what in contradictions {
            self.broken("T1", what);
        }
        for what in std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner)) {
            self.broken("P1", what);
        }
        facts.extend(news.into_iter().map(|(job, rows)| Fact::RowsCommitted { job, rows }));
        for fact in facts {
            tracing::debug!(?fact, "fact");
            // The watch judges the same fact and reports its violations.
            let _ = self.rows.observe(&fact);
            for violation in self.watch.observe(&fact) {
                self.broken(&violation.id, violation.what);
            }
        }
    }

    /// After healing, waits until the cluster has recovered, ends the jobs, and judges all rows.
    fn live(&mut self, sim: &mut turmoil::Sim<'_>) {
        let healed_at = self.cluster.world.elapsed_ms();
        let before = self.client.known();
        let expected = move |known: &Known| missing(known, &before, healed_at);
        let recovered = self.until(sim, healed_at + RECOVERY_BOUND_MS, true, |known| expected(known).is_none());
        match recovered {
            Ok(true) => self.outcome.footprint.insert("recovery ms".into(), self.cluster.world.elapsed_ms() - healed_at),
            Ok(false) => {
                let known = self.client.known();
                let what = expected(&known).unwrap_or_default();
                return self.broken("I23", format!("{} s after healing: {what}; {known:?}", RECOVERY_BOUND_MS / 1000));
            }
            Err(()) => return,
        };
        self.end(sim);
    }

    fn end(&mut self, sim: &mut turmoil::Sim<'_>) {
        let unbounded: Vec<_> = self.client.plan().iter().filter(|job| job.rows == 0).map(|job| job.name.clone()).collect();
        for name in &unbounded {
            self.client.cancel(name);
        }
        let ended = |known: &Known| known.jobs.values().all(|job| job.status.is_some_and(JobStatus::is_globally_terminal));
        let deadline = self.cluster.world.elapsed_ms() + END_BOUND_MS;
        match self.until(sim, deadline, true, ended) {
            Ok(true) => {}
            Ok(false) => return self.broken("I23", format!("not all jobs ended in time: {:?}", self.client.known().jobs)),
            Err(()) => return,
        }
        self.no_file_is_left(sim);
        for job in self.client.plan().to_vec() {
            let status = self.client.known().jobs.get(&job.name).and_then(|known| known.status);
            let finished = status == Some(JobStatus::Finished);
            if (job.rows > 0 && job.cancel_at_ms.is_none()) != finished {
                self.broken("R2", format!("{} is {status:?} at the end", job.name));
            }
            let sources = if job.files { FILES_AT_START } else { i64::from(PARALLELISM) };
            let whole = finished.then_some(Whole { sources: 0..sources, rows: job.rows });
            match self.rows.judge(&job.name, whole) {
                Ok(_) => {}
                Err(what) => self.broken("X1", what),
            }
        }
    }

    /// Checks that jobs that have ended and keep no checkpoints leave no checkpoint files behind (C8).
    fn no_file_is_left(&mut self, sim: &mut turmoil::Sim<'_>) {
        let store = self.cluster.store.clone();
        let left = move || store.checkpoint_files();
        let deadline = self.cluster.world.elapsed_ms() + END_BOUND_MS;
        let none = left.clone();
        if self.until(sim, deadline, true, move |_| none().is_empty()) == Ok(false) {
            let left = left();
            self.broken("C8", format!("{} checkpoint files are left; the first is {:?}", left.len(), left.first()));
        }
    }

    fn sum_up(&mut self) {
        let known = self.client.known();
        let observations = &self.cluster.observations;
        let store = self.cluster.store.footprint();
        let (listings, lists_taken) = Directories::get().counts();
        let disks: Vec<_> = job_managers().iter().map(|host| self.cluster.world.disks.footprint(host)).collect();
        let footprint = &mut self.outcome.footprint;
        footprint.extend(self.nemesis.injected().counts.iter().map(|(fault, count)| ((*fault).to_owned(), *count)));
        let rare = self.cluster.world.rare_counts();
        footprint.extend(rare.iter().map(|(here, count)| (format!("rare {here}"), *count)));
        footprint.extend(self.watch.facts().iter().map(|(fact, count)| ((*fact).to_owned(), *count)));
        for (name, count) in [
            ("rows", self.rows.rows()),
            ("tasks started", Ledger::get().starts()),
            ("listings", listings),
            ("lists taken", lists_taken),
            ("log lines of one process", self.cluster.world.network.most_log_lines()),
            ("connections of one process", self.cluster.world.network.most_connections()),
            ("all writes", observations.writes()),
            ("disk changes", self.cluster.world.disks.changes(&job_managers()[0])),
            ("epoch", known.epoch.0),
            ("leader changes", known.leader_changes),
            ("savepoints", known.savepoints.1),
            ("writes refused", observations.refused()),
            ("writes unknown", observations.unknown()),
            ("late files", store.late),
            ("state files", observations.state_files()),
            ("damaged disks found", observations.damaged_disks()),
            ("stores refused", observations.refused_stores()),
            ("bits flipped on links", self.cluster.world.network.flipped()),
            ("store refused", store.refused),
            ("store unknown", store.unknown),
            ("syncs", disks.iter().map(|disk| disk.syncs).sum()),
            ("disk refused", disks.iter().map(|disk| disk.refused).sum()),
            ("disk lost", disks.iter().map(|disk| disk.lost).sum()),
            ("files left", self.cluster.store.paths().len() as u64),
        ] {
            footprint.insert(name.to_owned(), count);
        }
        self.outcome.simulated_ms = self.cluster.world.elapsed_ms();
    }
}

/// Returns what has not yet recovered after healing.
fn missing(known: &Known, before: &Known, healed_at: u64) -> Option<String> {
    if known.looked_at_ms <= healed_at + 1_000 || known.leader.is_none() {
        return Some("there is no leader".to_owned());
    }
    if known.failures_tolerated != FAILURES_TOLERATED {
        return Some(format!("the raft group tolerates {} failures", known.failures_tolerated));
    }
    if known.task_managers != task_managers().len() as u64 {
        return Some(format!("{} TaskManagers are registered", known.task_managers));
    }
    known.jobs.iter().find_map(|(name, job)| {
        let Some(status) = job.status else { return Some(format!("{name} was not submitted or not seen")) };
        if status.is_globally_terminal() {
            return None;
        }
        let then = before.jobs.get(name).map_or(0, |job| job.checkpoint);
        let well = status == JobStatus::Running && job.running == 2 * u64::from(PARALLELISM) && job.checkpoint > then;
        (!well && !job.cancel)
            .then(|| format!("{name} is {status:?}, {} tasks run, checkpoint {} after {then}", job.running, job.checkpoint))
    })
}
