//! Searches the specification within other bounds than the tests: `specification EPOCHS ATTEMPTS CHECKPOINTS ROWS DEATHS`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints as a small program would")]

use std::process::ExitCode;

use stateright::report::WriteReporter;
use stateright::{Checker, Model};
use weir_sim::specification::Specification;

fn main() -> ExitCode {
    let given: Result<Vec<u8>, _> = std::env::args().skip(1).map(|text| text.parse()).collect();
    let bounds = match given.as_deref() {
        Ok([]) => Specification::default(),
        Ok(&[epochs, attempts, checkpoints, rows, deaths]) => {
            Specification { epochs, attempts, checkpoints, rows, deaths, flaw: None }
        }
        _ => {
            eprintln!("usage: specification [EPOCHS ATTEMPTS CHECKPOINTS ROWS DEATHS], five small numbers or none");
            return ExitCode::from(2);
        }
    };
    println!("{bounds:?}");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = bounds.checker().threads(threads).spawn_bfs();
    checker.join_and_report(&mut WriteReporter::new(&mut std::io::stdout())).assert_properties();
    ExitCode::SUCCESS
}
