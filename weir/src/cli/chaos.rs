//! `weir chaos`: hands over to the program `weir-chaos` beside this one.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;

use super::exit_code::Failure;

#[derive(Debug, Args)]
pub(super) struct ChaosArguments {
    /// What `weir-chaos` is to do: `run`, `check`, `list` or `smoke`, with its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Becomes `weir-chaos`; returns only if that is not possible.
pub(super) fn run(arguments: &ChaosArguments) -> Result<(), Failure> {
    let failed: Result<Infallible, Failure> = become_chaos(&arguments.arguments);
    failed.map(|never| match never {})
}

fn become_chaos(arguments: &[OsString]) -> Result<Infallible, Failure> {
    let program = std::env::current_exe()?.with_file_name("weir-chaos");
    if !program.is_file() {
        let message = format!(
            "`weir chaos run|check|list|smoke` is the program weir-chaos, and there is no {}. It is built from the same sources: \
             `cargo build --release --package weir-chaos`, then put target/release/weir-chaos beside weir.",
            program.display()
        );
        return Err(Failure::error(message));
    }
    let mut command = Command::new(&program);
    // Without a verb it says what there is.
    if arguments.is_empty() {
        command.arg("--help")
    } else {
        command.args(arguments)
    };
    Err(Failure::error(format!("{} can't be run: {}", program.display(), command.exec())))
}
