//! SQL scripts, run by `weir sql`, as users run theirs.

use std::io;
use std::path::Path;
use std::process::Command;

use weir_protocol::JobId;

/// Submits the jobs of a script. Returns them in the order of their statements.
pub(super) fn submit(binary: &Path, addresses: &[String], directory: &Path, script: &str) -> io::Result<Vec<JobId>> {
    let file = directory.join("workload.sql");
    std::fs::write(&file, script)?;
    let ran = weir_sql(binary, addresses, &file).output()?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let mut jobs: Vec<JobId> =
        said.split(|c: char| !c.is_ascii_alphanumeric()).filter_map(|word| word.parse::<JobId>().ok()).collect();
    jobs.dedup();
    if !ran.status.success() || jobs.is_empty() {
        return Err(io::Error::other(format!("weir sql: {}\n{said}{}", ran.status, String::from_utf8_lossy(&ran.stderr))));
    }
    Ok(jobs)
}

/// `weir sql` with a script. It prints rows as CSV.
pub(super) fn weir_sql(binary: &Path, addresses: &[String], script: &Path) -> Command {
    let mut command = Command::new(binary);
    command.args(["sql", "-o", "csv", "--timeout", "60 s", "-m", &addresses.join(","), "-f"]).arg(script);
    command
}
