//! The `weir` binary as a library. Authors of operators link it into a binary of their own; tests with real processes start
//! clusters with it.

use weir_dataflow::registry::OperatorRegistry;

pub mod assembly;
pub mod cli;
pub mod config;
mod coordination;
pub mod demo;
pub mod logging;
mod raft_directory;
mod start_error;
mod storage_check;

/// Runs the command line of this process with operators of the caller's own, and returns its exit code. `register` adds their kinds,
/// whose names begin with `x.`, to those that Weir has: see docs/own-operators.md.
pub fn run(register: fn(&mut OperatorRegistry)) -> std::process::ExitCode {
    assembly::register_own(register);
    cli::main()
}
