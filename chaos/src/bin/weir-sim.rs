//! Runs simulations: `weir-sim run --seed N`, `weir-sim seeds --from A --count N`.

// The only unsafe functions of the project: see `getrandom` and `clock_gettime` below.
#![expect(unsafe_code, reason = "the C library's sources of randomness and time are replaced")]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::{Parser, Subcommand};
use nix::libc;
use weir_chaos::sim::random::mix;
use weir_chaos::sim::{Faults, Options, run};

static ENTROPY: AtomicU64 = AtomicU64::new(0);

/// What the C library's function of this name does, from the seed: std seeds its hash maps with it, tokio the order in which
/// `select!` looks at its branches, and every generator of random numbers itself. The linker prefers this one.
///
/// # Safety
/// As the original's: `buffer` is valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    for offset in 0..length {
        let bits = mix(ENTROPY.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed));
        // SAFETY: the caller says that so many bytes may be written.
        unsafe { buffer.add(offset).write(bits as u8) };
    }
    length as isize
}

/// Whether this process is a simulation: then the real time has no say in it.
static SIMULATED: AtomicBool = AtomicBool::new(false);

/// What the C library's function of this name does. In a simulation every clock stands still: whoever asks past the seam gets
/// the same answer in every run. (tokio's clock is paused, and moves by itself.)
///
/// # Safety
/// As the original's: `time` is valid for a write.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    if !SIMULATED.load(Ordering::Relaxed) {
        // SAFETY: the arguments are passed on as they came.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) } as libc::c_int;
    }
    // SAFETY: the caller says that it may be written.
    unsafe { time.write(libc::timespec { tv_sec: 1_700_000_000, tv_nsec: 0 }) };
    0
}

#[derive(Parser)]
#[command(about = "Simulates whole clusters, deterministically")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs one seed and says what came of it; exit code 1 if an invariant broke.
    Run {
        /// Everything random follows from it.
        #[arg(long)]
        seed: u64,
        /// Simulated seconds with faults.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Writes everything that happened there.
        #[arg(long)]
        trace: Option<PathBuf>,
        /// Breaks nothing.
        #[arg(long)]
        calm: bool,
        /// Plants a bug: disks say that they have synced and have not.
        #[arg(long)]
        lying_disks: bool,
        /// Breaks nothing but this: whoever makes the so-manieth fenced write dies before it.
        #[arg(long, conflicts_with = "calm")]
        die_before: Option<u64>,
        /// Breaks nothing but this: whoever makes the so-manieth fenced write dies when it has taken effect.
        #[arg(long, conflicts_with_all = ["calm", "die_before"])]
        die_after: Option<u64>,
        /// Breaks nothing but this: jm-1 loses its power in the middle of the so-manieth change of its disk.
        #[arg(long, conflicts_with_all = ["calm", "die_before", "die_after"])]
        dark_at: Option<u64>,
    },
    /// Runs one plan once for every point at which a process can die: each fenced write, before and after, and each change
    /// of a disk. Exit code 1 if an invariant broke in one.
    Points {
        /// The plan follows from it.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Simulated seconds of the plan.
        #[arg(long, default_value_t = 12)]
        seconds: u64,
        /// How many at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Takes only every so-manieth point.
        #[arg(long, default_value_t = 1)]
        every: usize,
    },
    /// Runs many seeds, each in a process of its own; exit code 1 if an invariant broke in one.
    Seeds {
        /// The first.
        #[arg(long)]
        from: u64,
        /// How many.
        #[arg(long)]
        count: u64,
        /// Simulated seconds with faults, each.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// How many at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Runs each twice and compares all that happened.
        #[arg(long)]
        twice: bool,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Run { seed, seconds, trace, calm, lying_disks, die_before, die_after, dark_at } => {
            let death = |write, after| Faults::DeathAtWrite { write, after };
            let planned = die_before.map(|write| death(write, false)).or(die_after.map(|write| death(write, true)));
            let planned = planned.or(dark_at.map(Faults::PowerLossAtChange));
            let faults = planned.unwrap_or(if calm { Faults::None } else { Faults::Random });
            run_one(Options { seed, seconds, faults, lying_disks }, trace)
        }
        Verb::Seeds { from, count, seconds, jobs, twice } => {
            let each = |seed: u64| [format!("--seed={seed}"), format!("--seconds={seconds}")].to_vec();
            Sweep { runs: (from..from + count).map(each).collect(), twice }.run(jobs)
        }
        Verb::Points { seed, seconds, jobs, every } => points(seed, seconds, jobs, every),
    }
}

fn run_one(options: Options, trace: Option<PathBuf>) -> ExitCode {
    ENTROPY.store(mix(options.seed), Ordering::Relaxed);
    SIMULATED.store(true, Ordering::Relaxed);
    let place: Box<dyn Write + Send> = match &trace {
        None => Box::new(io::sink()),
        Some(path) => match std::fs::File::create(path) {
            Ok(file) => Box::new(io::BufWriter::new(file)),
            Err(error) => {
                eprintln!("can't write {}: {error}", path.display());
                return ExitCode::from(2);
            }
        },
    };
    // Whether or not anybody reads it: what is random in the process depends on what was drawn before.
    let place = std::sync::Arc::new(Mutex::new(place));
    {
        let place = place.clone();
        let filter = "debug,turmoil=warn,h2=info,hyper=info,hyper_util=info,tower=info,tonic=info,openraft=info";
        // Without times: the real ones differ from run to run.
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .without_time()
            .with_ansi(false)
            .with_writer(move || Shared(place.clone()))
            .init();
    }
    let outcome = run(options);
    if let Err(error) = place.lock().unwrap_or_else(PoisonError::into_inner).flush() {
        eprintln!("the trace is not whole: {error}");
    }
    println!("seed {}: {outcome}", options.seed);
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Where the trace goes.
struct Shared(std::sync::Arc<Mutex<Box<dyn Write + Send>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// One run for every point.
fn points(seed: u64, seconds: u64, jobs: usize, every: usize) -> ExitCode {
    let plan = [format!("--seed={seed}"), format!("--seconds={seconds}")];
    let calm = child(&[&plan[..], &["--calm".to_owned()]].concat());
    let Ok((true, text)) = calm else {
        println!("the plan itself fails: {calm:?}");
        return ExitCode::FAILURE;
    };
    let count = |name: &str| -> u64 {
        let found = text.split([',', ';']).find_map(|part| part.trim().strip_prefix(name)?.trim().parse().ok());
        found.unwrap_or(0)
    };
    // What is written while the jobs end is beyond the planned time, and counts as well.
    let (writes, changes) = (count("all writes "), count("disk changes "));
    println!("{text}\n{writes} writes, {changes} changes of a disk");
    let at = |option: &str, point: u64| [&plan[..], &[format!("--{option}={point}")]].concat();
    let deaths = (0..writes).flat_map(|write| [at("die-before", write), at("die-after", write)]);
    let runs = deaths.chain((0..changes).map(|change| at("dark-at", change))).step_by(every.max(1)).collect();
    Sweep { runs, twice: false }.run(jobs)
}

/// Runs with these arguments in a process of its own: whether it went well, and what it said.
fn child(arguments: &[String]) -> io::Result<(bool, String)> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg("run").args(arguments).stdin(Stdio::null()).output()?;
    let mut text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let last: Vec<_> = errors.lines().rev().take(12).collect();
        text.extend(last.into_iter().rev().map(|line| format!("\n  {line}")));
    }
    Ok((output.status.success(), if text.is_empty() { output.status.to_string() } else { text }))
}

/// Many runs, each described by its arguments.
struct Sweep {
    runs: Vec<Vec<String>>,
    twice: bool,
}

/// After so many failures no further run is begun.
const FAILURES: usize = 5;

impl Sweep {
    fn run(&self, jobs: usize) -> ExitCode {
        let (next, failures) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let output = Mutex::new(io::stdout());
        std::thread::scope(|scope| {
            for _ in 0..jobs.max(1) {
                scope.spawn(|| {
                    while failures.load(Ordering::Relaxed) < FAILURES {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(arguments) = self.runs.get(index) else { return };
                        let (good, text) = self.run_one(index, arguments);
                        failures.fetch_add(usize::from(!good), Ordering::Relaxed);
                        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
                        // Whoever closed the pipe does not want to hear it.
                        let _ = writeln!(output, "{text}");
                    }
                });
            }
        });
        let (failures, ran) = (failures.into_inner(), next.into_inner().min(self.runs.len()));
        println!("{ran} of {} runs made, {failures} failed", self.runs.len());
        if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Whether a run went well, and what to say about it.
    fn run_one(&self, index: usize, arguments: &[String]) -> (bool, String) {
        let said = arguments.join(" ");
        if self.twice {
            return compare(index, arguments).unwrap_or_else(|error| (false, format!("{said}: can't run: {error}")));
        }
        match child(arguments) {
            Err(error) => (false, format!("{said}: can't run: {error}")),
            Ok((true, text)) => (true, text),
            Ok((false, text)) => (false, format!("{text}\n  replay: weir-sim run {said} --trace=trace.log")),
        }
    }
}

/// Runs twice and compares all that happened.
fn compare(index: usize, arguments: &[String]) -> io::Result<(bool, String)> {
    let place = |copy: &str| std::env::temp_dir().join(format!("weir-sim-{}-{index}-{copy}.log", std::process::id()));
    let traced = |copy: &str| child(&[arguments, &[format!("--trace={}", place(copy).display())]].concat());
    let ((good, text), again) = (traced("a")?, traced("b")?);
    let same = (good, &text) == (again.0, &again.1) && std::fs::read(place("a"))? == std::fs::read(place("b"))?;
    if !same {
        let said = arguments.join(" ");
        return Ok((false, format!("{said}: not deterministic: diff {} {}", place("a").display(), place("b").display())));
    }
    for copy in ["a", "b"] {
        // It is only in the way.
        let _ = std::fs::remove_file(place(copy));
    }
    Ok((good, text))
}
