//! Runs simulations and searches, each in a process of its own.

use std::io::{self, Read};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_world::{out_line, output};

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Whether the run passed.
    pub(crate) good: bool,
    /// The output of the run. If the run failed, the last lines of its error output follow.
    pub(crate) text: String,
    /// Processor time of the run, in seconds.
    pub(crate) cpu_s: f64,
}

/// Runs this program with these arguments in a process of its own.
pub(crate) fn child(arguments: &[String]) -> io::Result<Ended> {
    let mut command = Command::new(std::env::current_exe()?);
    let command = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn()?;
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
    std::thread::scope(|scope| {
        let errors = &mut errors;
        let reading = scope.spawn(move || stderr.map_or(Ok(0), |mut stderr| stderr.read_to_end(errors)));
        let read = stdout.map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut out));
        read.and(reading.join().unwrap_or(Ok(0)))
    })?;
    // /proc still has the processor time of a process that has ended, until it is waited for.
    let cpu_s = cpu_s(process.id()).unwrap_or(0.0);
    let status = process.wait()?;
    let mut text = String::from_utf8_lossy(&out).trim_end().to_owned();
    if !status.success() {
        let errors = String::from_utf8_lossy(&errors).into_owned();
        let last: Vec<_> = errors.lines().rev().take(12).collect();
        text.extend(last.into_iter().rev().map(|line| format!("\n  {line}")));
    }
    Ok(Ended { good: status.success(), text: if text.is_empty() { status.to_string() } else { text }, cpu_s })
}

/// Returns the processor time of a process so far, in seconds: fields 14 and 15 of /proc/PID/stat, in ticks of 10 ms.
fn cpu_s(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the process is in parentheses, and may itself contain spaces and parentheses.
    let (_, after) = stat.rsplit_once(')')?;
    let ticks = after.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().ok());
    ticks.sum::<Option<u64>>().map(|ticks| ticks as f64 / 100.0)
}

/// Many runs, each described by its arguments.
pub(crate) struct Sweep {
    pub(crate) runs: Vec<Vec<String>>,
    /// Whether to make each run twice and compare the traces.
    pub(crate) twice: bool,
}

/// Number of failures after which no further run starts.
const FAILURES: usize = 5;

impl Sweep {
    /// Makes all runs, `jobs` at a time, and prints the result of each.
    pub(crate) fn run(&self, jobs: usize) -> ExitCode {
        let (next, failures) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..jobs.max(1) {
                scope.spawn(|| {
                    while failures.load(Ordering::Relaxed) < FAILURES && !output::reader_is_gone() {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(arguments) = self.runs.get(index) else { return };
                        let (good, text) = self.run_one(index, arguments);
                        failures.fetch_add(usize::from(!good), Ordering::Relaxed);
                        out_line!("{text}");
                    }
                });
            }
        });
        let (failures, ran) = (failures.into_inner(), next.into_inner().min(self.runs.len()));
        out_line!("{ran} of {} runs made, {failures} failed", self.runs.len());
        if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Makes a run, and returns whether it passed and what to print about it.
    fn run_one(&self, index: usize, arguments: &[String]) -> (bool, String) {
        let said = arguments.join(" ");
        if self.twice {
            return compare(index, arguments).unwrap_or_else(|error| (false, format!("{said}: can't run: {error}")));
        }
        match child(arguments) {
            Err(error) => (false, format!("{said}: can't run: {error}")),
            Ok(Ended { good: true, text, .. }) => (true, text),
            Ok(Ended { text, .. }) => (false, format!("{text}\n  replay: weir-sim {said} --trace=trace.log")),
        }
    }
}

/// Makes a run twice and compares the outputs and the traces.
fn compare(index: usize, arguments: &[String]) -> io::Result<(bool, String)> {
    let place = |copy: &str| std::env::temp_dir().join(format!("weir-sim-{}-{index}-{copy}.log", std::process::id()));
    let traced = |copy: &str| child(&[arguments, &[format!("--trace={}", place(copy).display())]].concat());
    let (Ended { good, text, .. }, again) = (traced("a")?, traced("b")?);
    let same = (good, &text) == (again.good, &again.text) && std::fs::read(place("a"))? == std::fs::read(place("b"))?;
    if !same {
        let said = arguments.join(" ");
        return Ok((false, format!("{said}: not deterministic: diff {} {}", place("a").display(), place("b").display())));
    }
    for copy in ["a", "b"] {
        // If this fails, a temporary file is left behind and nothing else is wrong.
        let _ = std::fs::remove_file(place(copy));
    }
    Ok((good, text))
}
