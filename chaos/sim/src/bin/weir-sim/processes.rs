//! Runs in processes of their own.

use std::io::{self, Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Whether nothing broke.
    pub(crate) good: bool,
    /// What it said; if something broke, with the end of what it said about errors.
    pub(crate) text: String,
    /// Processor time it took, in seconds.
    pub(crate) cpu_s: f64,
}

/// Runs with these arguments in a process of its own.
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
    // Whoever has ended and was not waited for still says how long it took.
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

/// Processor time of a process so far: fields 14 and 15 of its line, in ticks of 10 ms.
fn cpu_s(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, after) = stat.rsplit_once(')')?;
    let ticks = after.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().ok());
    ticks.sum::<Option<u64>>().map(|ticks| ticks as f64 / 100.0)
}

/// Many runs, each described by its arguments.
pub(crate) struct Sweep {
    pub(crate) runs: Vec<Vec<String>>,
    /// Each is run twice, and all that happened compared.
    pub(crate) twice: bool,
}

/// After so many failures no further run is begun.
const FAILURES: usize = 5;

impl Sweep {
    /// Runs all, so many at a time, and says what came of each.
    pub(crate) fn run(&self, jobs: usize) -> ExitCode {
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
            Ok(Ended { good: true, text, .. }) => (true, text),
            Ok(Ended { text, .. }) => (false, format!("{text}\n  replay: weir-sim {said} --trace=trace.log")),
        }
    }
}

/// Runs twice and compares all that happened.
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
        // It is only in the way.
        let _ = std::fs::remove_file(place(copy));
    }
    Ok((good, text))
}
