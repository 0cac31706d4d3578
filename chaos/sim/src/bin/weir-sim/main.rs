//! Runs simulations and searches, for example `weir-sim run --seed N`, `weir-sim seeds --from A --count N`, `weir-sim search`.

// The only unsafe functions of the project: see `getrandom` and `clock_gettime` below.
#![expect(unsafe_code, reason = "the C library's sources of randomness and time are replaced")]

mod flaws;
mod processes;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::{Parser, Subcommand};
use nix::libc;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use weir_sim::scenario::{SCENARIOS, Scenario, scenario};
use weir_sim::search::{CORES, Searched, search_core};
use weir_sim::world::World;
use weir_sim::world::network::LogLines;
use weir_sim::{Faults, Options, run};
use weir_verdict::random::mix;
use weir_world::flaw::{Flaw, plant};
use weir_world::{err_line, out_line, output};

use processes::{Ended, Sweep, child};

static ENTROPY: AtomicU64 = AtomicU64::new(0);

/// Replaces the C library's function of this name, and returns bytes that depend only on the seed. From them std seeds its hash
/// maps, tokio the order in which `select!` polls its branches, and every random number generator itself. The linker prefers this
/// function to the original.
///
/// # Safety
/// As for the original, `buffer` must be valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    for offset in 0..length {
        let bits = mix(ENTROPY.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed));
        // SAFETY: the caller guarantees that `length` bytes may be written.
        unsafe { buffer.add(offset).write(bits as u8) };
    }
    length as isize
}

/// Whether this process is a simulation, in which the real time must have no effect.
static SIMULATED: AtomicBool = AtomicBool::new(false);

/// Replaces the C library's function of this name. In a simulation every clock stands still, so code that bypasses the simulated
/// world gets the same time in every run. (tokio's clock is paused, and tokio advances it.)
///
/// # Safety
/// As for the original, `time` must be valid for a write.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    if !SIMULATED.load(Ordering::Relaxed) {
        // SAFETY: the arguments are passed on unchanged.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) } as libc::c_int;
    }
    // SAFETY: the caller guarantees that `time` may be written.
    unsafe { time.write(libc::timespec { tv_sec: 1_700_000_000, tv_nsec: 0 }) };
    0
}

#[derive(Parser)]
#[command(about = "Simulates whole clusters deterministically, and searches the pure cores that they consist of")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs one seed and prints the result; exit code 1 if an invariant broke.
    Run {
        /// Seed of everything that is random.
        #[arg(long, required_unless_present = "scenario")]
        seed: Option<u64>,
        /// Simulated seconds with faults.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Writes a trace of everything that happened to this file.
        #[arg(long)]
        trace: Option<PathBuf>,
        /// Plays a named sequence of faults, with its own seed unless `--seed` is given: see `weir-sim scenarios --list`.
        #[arg(long, value_parser = named, conflicts_with_all = ["seconds", "calm"])]
        scenario: Option<&'static Scenario>,
        /// Injects no faults.
        #[arg(long)]
        calm: bool,
        /// Plants a bug: disks report syncs that they did not make.
        #[arg(long)]
        lying_disks: bool,
        /// Plants a bug in the product's own code: see `weir-sim flaws`.
        #[arg(long, value_parser = flaw)]
        flaw: Option<Flaw>,
        /// Injects only this fault: the process that makes the n-th fenced write (from 0) dies before it.
        #[arg(long, conflicts_with = "calm")]
        die_before: Option<u64>,
        /// Injects only this fault: the process that makes the n-th fenced write (from 0) dies after it took effect.
        #[arg(long, conflicts_with_all = ["calm", "die_before"])]
        die_after: Option<u64>,
        /// Injects only this fault: jm-1 loses its power in the middle of the n-th change of its disk (from 0).
        #[arg(long, conflicts_with_all = ["calm", "die_before", "die_after"])]
        dark_at: Option<u64>,
    },
    /// Runs one plan once for every point at which a process can die: each fenced write, before and after, and each change
    /// of a disk. Exit code 1 if an invariant broke in one.
    Points {
        /// Seed of the plan.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Simulated seconds of the plan.
        #[arg(long, default_value_t = 12)]
        seconds: u64,
        /// Number of runs at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Runs only every n-th point.
        #[arg(long, default_value_t = 1)]
        every: usize,
    },
    /// Plays named sequences of faults, which reproduce failures of other systems. Exit code 1 if an invariant broke in one, or
    /// if the faults of one did not take effect.
    Scenarios {
        /// Plays only this scenario; may be repeated.
        #[arg(long, value_parser = named)]
        only: Vec<&'static Scenario>,
        /// Lists the scenarios and plays none.
        #[arg(long)]
        list: bool,
        /// Number of runs at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
    },
    /// Tries every order of events, within bounds, against the pure cores. Exit code 1 if an invariant broke.
    Search {
        /// Searches only this core; may be repeated.
        #[arg(long, value_parser = CORES)]
        only: Vec<String>,
        /// Steps to add to the usual depth, which takes seconds. Each step takes three to six times as long.
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        deeper: i32,
        /// Number of cores at a time.
        #[arg(long, default_value_t = 1)]
        jobs: usize,
        /// Plants a bug in the product's own code: see `weir-sim flaws`.
        #[arg(long, value_parser = flaw)]
        flaw: Option<Flaw>,
    },
    /// Plants one bug after the other in the product's own code, then searches and runs seeds until an invariant breaks. Prints
    /// what found each bug. Exit code 1 if a bug was not found.
    Flaws {
        /// The first seed for each bug.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// Maximum number of seeds for each bug.
        #[arg(long, default_value_t = 40)]
        count: u64,
        /// Simulated seconds with faults in each run.
        #[arg(long, default_value_t = 40)]
        seconds: u64,
        /// Number of runs at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Plants only this bug; may be repeated.
        #[arg(long, value_parser = flaw)]
        only: Vec<Flaw>,
    },
    /// Runs many seeds, each in a process of its own; exit code 1 if an invariant broke in one of them.
    Seeds {
        /// The first seed.
        #[arg(long)]
        from: u64,
        /// Number of seeds.
        #[arg(long)]
        count: u64,
        /// Simulated seconds with faults in each run.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Number of runs at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Runs each seed twice and compares the traces.
        #[arg(long)]
        twice: bool,
    },
}

fn main() -> ExitCode {
    output::finish("weir-sim", run_verb())
}

fn run_verb() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Run { seed, trace, scenario: Some(scenario), lying_disks, flaw, .. } => {
            let (seed, faults) = (seed.unwrap_or(scenario.seed), Faults::Scenario(scenario));
            run_one(Options { seed, seconds: scenario.seconds, faults, lying_disks, flaw }, trace)
        }
        Verb::Run { seed, seconds, trace, calm, lying_disks, flaw, die_before, die_after, dark_at, scenario: None } => {
            let death = |write, after| Faults::DeathAtWrite { write, after };
            let planned = die_before.map(|write| death(write, false)).or(die_after.map(|write| death(write, true)));
            let planned = planned.or(dark_at.map(Faults::PowerLossAtChange));
            let faults = planned.unwrap_or(if calm { Faults::None } else { Faults::Random });
            let seed = seed.unwrap_or_default();
            run_one(Options { seed, seconds, faults, lying_disks, flaw }, trace)
        }
        Verb::Seeds { from, count, seconds, jobs, twice } => {
            let each = |seed: u64| ["run".to_owned(), format!("--seed={seed}"), format!("--seconds={seconds}")].to_vec();
            Sweep { runs: (from..from + count).map(each).collect(), twice }.run(jobs)
        }
        Verb::Points { seed, seconds, jobs, every } => points(seed, seconds, jobs, every),
        Verb::Scenarios { only, list, jobs } => scenarios(&only, list, jobs),
        Verb::Search { only, deeper, jobs, flaw } => search(&only, deeper, jobs, flaw),
        Verb::Flaws { from, count, seconds, jobs, only } => {
            let flaws = if only.is_empty() { Flaw::ALL.to_vec() } else { only };
            flaws::find_all(&flaws, &(from..from + count), seconds, jobs)
        }
    }
}

fn search(only: &[String], deeper: i32, jobs: usize, flaw: Option<Flaw>) -> ExitCode {
    if let Some(flaw) = flaw {
        plant(flaw);
    }
    // The report of a panic is printed with the steps that led to it, so the hook prints nothing.
    std::panic::set_hook(Box::new(|_| {}));
    let asked: Vec<_> = CORES.into_iter().filter(|core| only.is_empty() || only.iter().any(|name| name == core)).collect();
    let (next, broken, total) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while broken.load(Ordering::Relaxed) == 0
                    && !output::reader_is_gone()
                    && let Some(core) = asked.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let started = Instant::now();
                    match search_core(core, deeper) {
                        Ok(Searched { transitions, states, depth, starts }) => {
                            total.fetch_add(transitions, Ordering::Relaxed);
                            let seconds = started.elapsed().as_secs_f64();
                            out_line!(
                                "{core}: {transitions} transitions, {states} states, {depth} steps from {starts} starts, {seconds:.1} s"
                            );
                        }
                        Err(what) => {
                            broken.fetch_add(1, Ordering::Relaxed);
                            out_line!("{core}: VIOLATION {what}");
                        }
                    }
                }
            });
        }
    });
    let broken = broken.into_inner();
    out_line!("{} transitions in all, {broken} violations", total.into_inner());
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Finds a scenario by its name.
fn named(name: &str) -> Result<&'static Scenario, String> {
    scenario(name).ok_or_else(|| "there is no such scenario: see weir-sim scenarios --list".to_owned())
}

fn scenarios(only: &[&'static Scenario], list: bool, jobs: usize) -> ExitCode {
    if list {
        SCENARIOS.iter().for_each(|scenario| out_line!("{}\n    {}", scenario.name, scenario.from));
        return ExitCode::SUCCESS;
    }
    let asked = SCENARIOS.iter().filter(|scenario| only.is_empty() || only.contains(scenario));
    let runs = asked.map(|scenario| vec!["run".to_owned(), format!("--scenario={}", scenario.name)]).collect();
    Sweep { runs, twice: false }.run(jobs)
}

/// Finds a planted bug by its name.
fn flaw(name: &str) -> Result<Flaw, String> {
    let names = || Flaw::ALL.iter().map(|flaw| flaw.name()).collect::<Vec<_>>().join(", ");
    let found = Flaw::ALL.iter().find(|flaw| flaw.name() == name);
    found.copied().ok_or_else(|| format!("there is no such flaw; there are: {}", names()))
}

fn run_one(options: Options, trace: Option<PathBuf>) -> ExitCode {
    ENTROPY.store(mix(options.seed), Ordering::Relaxed);
    SIMULATED.store(true, Ordering::Relaxed);
    let place: Box<dyn Write + Send> = match &trace {
        None => Box::new(io::sink()),
        Some(path) => match std::fs::File::create(path) {
            Ok(file) => Box::new(io::BufWriter::new(file)),
            Err(error) => {
                err_line!("can't write {}: {error}", path.display());
                return ExitCode::from(2);
            }
        },
    };
    // The trace is formatted even if it is not written to a file, because the process's random numbers depend on all earlier
    // draws.
    let place = std::sync::Arc::new(Mutex::new(place));
    let world = World::new(options.seed);
    {
        let place = place.clone();
        let filter = "debug,turmoil=warn,h2=info,hyper=info,hyper_util=info,tower=info,tonic=info,openraft=info";
        // The trace has no times, because real times differ from run to run.
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .without_time()
            .with_ansi(false)
            .with_writer(move || Shared(place.clone()))
            .finish()
            .with(LogLines(world.network.clone()))
            .init();
    }
    let outcome = run(options, world);
    if let Err(error) = place.lock().unwrap_or_else(PoisonError::into_inner).flush() {
        err_line!("the trace is incomplete: {error}");
    }
    match options.faults {
        Faults::Scenario(scenario) => out_line!("{}: {outcome}", scenario.name),
        _ => out_line!("seed {}: {outcome}", options.seed),
    }
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The destination of the trace.
struct Shared(std::sync::Arc<Mutex<Box<dyn Write + Send>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// Makes a run for every point at which a process can die.
fn points(seed: u64, seconds: u64, jobs: usize, every: usize) -> ExitCode {
    let plan = ["run".to_owned(), format!("--seed={seed}"), format!("--seconds={seconds}")];
    let calm = child(&[&plan[..], &["--calm".to_owned()]].concat());
    let Ok(Ended { good: true, text, .. }) = calm else {
        out_line!("the plan itself fails: {calm:?}");
        return ExitCode::FAILURE;
    };
    let count = |name: &str| -> u64 {
        let found = text.split([',', ';']).find_map(|part| part.trim().strip_prefix(name)?.trim().parse().ok());
        found.unwrap_or(0)
    };
    // Writes count even if jobs make them after the planned time, while they end.
    let (writes, changes) = (count("all writes "), count("disk changes "));
    out_line!("{text}\n{writes} writes, {changes} changes of a disk");
    let at = |option: &str, point: u64| [&plan[..], &[format!("--{option}={point}")]].concat();
    let deaths = (0..writes).flat_map(|write| [at("die-before", write), at("die-after", write)]);
    let runs = deaths.chain((0..changes).map(|change| at("dark-at", change))).step_by(every.max(1)).collect();
    Sweep { runs, twice: false }.run(jobs)
}
