//! `weir ha check`: is the configured coordination system fit to be relied on?

use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_ha::fitness::{Finding, FindingResult, examine};

use super::exit_code::Failure;
use super::output::table;
use super::{ConfigArguments, Format};
use crate::config::Config;
use crate::coordination;

/// For a raft member to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// Examines, prints what was found, and fails if anything is bad.
pub(super) async fn run(arguments: &ConfigArguments, output: Format) -> Result<(), Failure> {
    let config = arguments.load()?;
    let kind = config.text("high-availability.type");
    let findings = match kind.as_str() {
        "none" => return Err(Failure::usage("high-availability.type is none: there is nothing to check")),
        "raft" => check_raft(&config).await?,
        _ => check_store(arguments, &config).await?,
    };
    output.print(&findings, |findings| {
        let rows: Vec<_> = findings.iter().map(row).collect();
        format!("{}\n\n{}", table(&["examined", "result", "details"], &rows), verdict(findings, &kind))
    })?;
    match findings.iter().find(|finding| finding.result == FindingResult::Bad) {
        None => Ok(()),
        Some(bad) => Err(Failure::error(format!("not fit to be relied on: {}: {}", bad.what, bad.text))),
    }
}

fn row(finding: &Finding) -> Vec<String> {
    let result = match finding.result {
        FindingResult::Good => "good",
        FindingResult::Poor => "POOR",
        FindingResult::Bad => "BAD",
    };
    vec![finding.what.to_owned(), result.to_owned(), finding.text.clone()]
}

fn verdict(findings: &[Finding], kind: &str) -> String {
    let worst = |result| findings.iter().any(|finding| finding.result == result);
    if worst(FindingResult::Bad) {
        format!("This {kind} is NOT FIT to be relied on.")
    } else if worst(FindingResult::Poor) {
        format!("This {kind} is fit, with the reservations above. Every checkpoint and submission waits for a commit.")
    } else {
        format!("This {kind} is fit.")
    }
}

/// Under a cluster id of its own, so that no cluster notices.
async fn check_store(arguments: &ConfigArguments, config: &Config) -> Result<Vec<Finding>, Failure> {
    let cluster = config.text("high-availability.cluster-id");
    let member = |name: &str| -> Result<_, Failure> {
        let own = [format!("high-availability.cluster-id={cluster}-check"), format!("jobmanager.name={name}")];
        Ok(coordination::start(&arguments.load_with(&own)?)?)
    };
    let (first, second) = (member("check-1")?, member("check-2")?);
    let findings = examine(&*first, &*second).await;
    first.shutdown().await;
    second.shutdown().await;
    Ok(findings)
}

/// A group of its own beside the configured directory, and whether the configured members can be reached from here.
async fn check_raft(config: &Config) -> Result<Vec<Finding>, Failure> {
    let needed = ["high-availability.raft.members", "high-availability.raft.dir"];
    config.require("weir ha check", &needed).map_err(Failure::usage)?;
    let directory = TrialDirectory::beside(Path::new(&config.text("high-availability.raft.dir")))?;
    let members = coordination::raft_on_trial(config, &directory.0)?;
    let mut findings = examine(&members[0], &members[1]).await;
    for member in &members {
        member.kill().await;
    }
    for text in config.list("high-availability.raft.members") {
        let member = coordination::member(&text)?;
        if member.name != config.text("jobmanager.name") {
            findings.push(reach(&member.to_string(), &member.address));
        }
    }
    Ok(findings)
}

fn reach(member: &str, address: &str) -> Finding {
    let connected = address.to_socket_addrs().and_then(|mut found| {
        let address = found.next().ok_or_else(|| std::io::Error::other("the name has no address"))?;
        TcpStream::connect_timeout(&address, CONNECT)
    });
    // Perhaps it has not been started yet: that says nothing against the group.
    let (result, text) = match connected {
        Ok(_) => (FindingResult::Good, format!("{member} answers")),
        Err(error) => (FindingResult::Poor, format!("{member} can't be reached: {error}")),
    };
    Finding { what: "a member", result, text }
}

/// A directory on the same disk that goes away with the value.
struct TrialDirectory(PathBuf);

impl TrialDirectory {
    fn beside(directory: &Path) -> std::io::Result<Self> {
        let name = format!("weir-ha-check-{:08x}", weir_world::random_id() as u32);
        let path = directory.parent().unwrap_or(Path::new(".")).join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TrialDirectory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
