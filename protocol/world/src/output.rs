//! What a command prints: results to standard output, progress and errors to standard error.
//!
//! `println!` panics if the reader of a pipe has gone, as in `weir config | head -1`. The macros [`out_line!`](crate::out_line) and
//! [`err_line!`](crate::err_line) never panic: once the reader has gone, they print nothing more. The command itself continues,
//! because a drill must still end its outage, and a job must still be waited for. A command that only prints looks at
//! [`reader_is_gone`] and ends.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

/// The first error of a write to standard output. Nothing is written after it.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to standard output, like `println!`, but without a panic if that fails.
#[macro_export]
macro_rules! out_line {
    ($($text:tt)*) => { $crate::output::to_stdout(format_args!($($text)*)) };
}

/// Prints a line to standard error, like `eprintln!`, but without a panic if that fails.
#[macro_export]
macro_rules! err_line {
    ($($text:tt)*) => { $crate::output::to_stderr(format_args!($($text)*)) };
}

/// Writes a line to standard output. [`out_line!`](crate::out_line) calls it.
pub fn to_stdout(line: fmt::Arguments<'_>) {
    if FAILED.get().is_some() {
        return;
    }
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_fmt(line).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush()) {
        // Another thread may have failed first. Its error is as good.
        drop(FAILED.set(error));
    }
}

/// Writes a line to standard error. [`err_line!`](crate::err_line) calls it.
pub fn to_stderr(line: fmt::Arguments<'_>) {
    // There is no place left where a failure could be reported.
    drop(writeln!(io::stderr(), "{line}"));
}

/// Whether the reader of standard output has gone, so that further output is useless.
pub fn reader_is_gone() -> bool {
    FAILED.get().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Returns the exit code of a command that would end with `code`. If its output is incomplete for another reason than a reader
/// that has gone, such as a full disk, prints the reason to standard error and returns failure.
pub fn finish(command: &str, code: ExitCode) -> ExitCode {
    match FAILED.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            err_line!("{command}: the output is incomplete: can't write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => code,
    }
}
