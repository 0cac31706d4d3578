//! `weir chaos`: replaces this process by the program `weir-chaos` in the same directory.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;

use super::exit_code::Failure;

#[derive(Debug, Args)]
pub(super) struct ChaosArguments {
    /// Arguments of `weir-chaos`: `run`, `check`, `list` or `smoke`, and their own arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Replaces this process by `weir-chaos`. Returns only if that fails.
pub(super) fn run(arguments: &ChaosArguments) -> Result<(), Failure> {
    let failed: Result<Infallible, Failure> = become_chaos(&arguments.arguments);
    failed.map(|never| match never {})
}

fn become_chaos(arguments: &[OsString]) -> Result<Infallible, Failure> {
    let program = std::env::current_exe()?.with_file_name("weir-chaos");
    if !program.is_file() {
        let message = format!(
            "`weir chaos` needs the program weir-chaos, but there is no {}. Build it from the same sources with `cargo build \
             --release --package weir-chaos`, and put target/release/weir-chaos into the directory of weir.",
            program.display()
        );
        return Err(Failure::error(message));
    }
    let mut command = Command::new(&program);
    // Without a verb, the user wants to know which verbs there are.
    if arguments.is_empty() {
        command.arg("--help")
    } else {
        command.args(arguments)
    };
    Err(Failure::error(format!("{} can't be run: {}", program.display(), command.exec())))
}
