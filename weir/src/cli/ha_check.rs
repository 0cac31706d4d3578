//! `weir ha check`: checks whether the configured coordination system is fit to be relied on.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_ha::fitness::{Finding, FindingResult, examine};

use super::exit_code::Failure;
use super::output::table;
use super::{ConfigArguments, Format};
use crate::config::Config;
use crate::config::option;
use crate::config::value::HaType;
use crate::coordination;

/// How long a raft member may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// Runs the examination and prints its findings. Fails if a finding is bad.
pub(super) async fn run(arguments: &ConfigArguments, output: Format) -> Result<(), Failure> {
    let config = arguments.load()?;
    let kind = config.get(&option::HA_TYPE);
    let findings = match kind {
        HaType::None => return Err(Failure::usage("high-availability.type is none: there is nothing to check")),
        HaType::Raft => check_raft(&config).await?,
        HaType::Etcd | HaType::ZooKeeper => check_store(arguments, &config).await?,
    };
    output.print(&findings, |findings| {
        let rows: Vec<_> = findings.iter().map(row).collect();
        format!("{}\n\n{}", table(&["examined", "result", "details"], &rows), verdict(findings, kind.word()))
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
        format!("This {kind} is fit, with the reservations above. Slow commits delay every checkpoint and submission.")
    } else {
        format!("This {kind} is fit.")
    }
}

/// Examines etcd or ZooKeeper under a cluster id of its own, so that no running cluster is affected.
async fn check_store(arguments: &ConfigArguments, config: &Config) -> Result<Vec<Finding>, Failure> {
    let cluster = config.get(&option::HA_CLUSTER_ID);
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

/// Examines a trial group on the disk of the configured directory, and tries to connect to the configured members.
async fn check_raft(config: &Config) -> Result<Vec<Finding>, Failure> {
    let configured = config.require_list("weir ha check", &option::HA_RAFT_MEMBERS).map_err(Failure::usage)?;
    let directory = config.require("weir ha check", &option::HA_RAFT_DIR).map_err(Failure::usage)?;
    let directory = TrialDirectory::beside(Path::new(&directory))?;
    let members = coordination::raft_on_trial(config, &directory.0)?;
    let mut findings = examine(&members[0], &members[1]).await;
    for member in &members {
        member.kill().await;
    }
    for text in configured {
        let member = coordination::member(&text)?;
        if member.name != config.get(&option::JOBMANAGER_NAME) {
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
    // The member may not have been started yet, so the group may still be fit.
    let (result, text) = match connected {
        Ok(_) => (FindingResult::Good, format!("{member} answers")),
        Err(error) => (FindingResult::Poor, format!("{member} can't be reached: {error}")),
    };
    Finding { what: "a member", result, text }
}

/// A new directory beside another one, on the same disk. It is removed when the value is dropped.
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
