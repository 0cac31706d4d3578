//! `weir sql` as users run it.

mod avro;
mod catalog;
mod cluster;
mod flights;
mod gateway;
mod jobs;
mod kafka;
mod queries;
mod session;
mod shell;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `weir sql` with these arguments, without a terminal. The history of the user who runs the tests is left alone.
fn weir_sql(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.arg("sql").args(arguments).env("WEIR_SQL_HISTORY", "").env_remove("WEIR_JOBMANAGER").env_remove("WEIR_SQL_CATALOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The end of a run: its exit code, and what it printed.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn run(arguments: &[&str]) -> Run {
    weir_sql(arguments).output().expect("it runs").into()
}

/// Runs it with this standard input.
fn run_with(arguments: &[&str], input: &str) -> Run {
    let mut child = weir_sql(arguments).stdin(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends").into()
}

/// The lines of all files that a sink has made visible in a directory, in order of their text.
fn rows(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut rows = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_file() && !is_hidden {
            rows.extend(std::fs::read_to_string(&path).expect("a file").lines().map(str::to_owned));
        }
    }
    rows.sort();
    rows
}
