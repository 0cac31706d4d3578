//! The ports of the JobManagers. A cluster that starts again on its directory takes the same ports, because the raft log contains
//! the addresses of the members.

use std::fmt::Write;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use weir_servers::ReservedPort;

use crate::{Coordination, LocalClusterOptions, StartError};

/// The file of the ports, in the cluster's directory: one line for each JobManager.
const FILE: &str = "ports";
/// How long to wait for a port of an earlier run. If that run was killed, its processes end a few seconds later.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at a port.
const PACE: Duration = Duration::from_millis(50);

/// The ports of one JobManager.
#[derive(Debug)]
pub(super) struct JobManagerPorts {
    pub(super) raft: ReservedPort,
    pub(super) rpc: ReservedPort,
    pub(super) rest: u16,
    _rest_mark: Option<ReservedPort>,
}

/// Takes the ports of all JobManagers: those of the cluster's earlier run if there was one, otherwise free ones, which are written
/// down for the next run.
pub(super) fn take(options: &LocalClusterOptions) -> Result<Vec<JobManagerPorts>, StartError> {
    std::fs::create_dir_all(&options.directory)?;
    let names = options.jobmanager_names();
    let file = options.directory.join(FILE);
    let (raft, rpc): (Vec<_>, Vec<_>) = match read(&file)? {
        Some(known) => {
            if known.len() != names.len() {
                return Err(StartError::Members { directory: options.directory.clone(), known: known.len(), asked: names.len() });
            }
            let again =
                |name: &String, (raft, rpc): (u16, u16)| Ok((take_again(options, name, raft)?, take_again(options, name, rpc)?));
            let ports =
                names.iter().zip(known).map(|(name, ports)| again(name, ports)).collect::<Result<Vec<_>, StartError>>()?;
            ports.into_iter().unzip()
        }
        None => {
            refuse_strange_logs(options)?;
            let ports =
                names.iter().map(|_| Ok((ReservedPort::take()?, ReservedPort::take()?))).collect::<io::Result<Vec<_>>>()?;
            ports.into_iter().unzip()
        }
    };
    let mut taken = Vec::with_capacity(names.len());
    for (index, ((name, raft), rpc)) in names.iter().zip(raft).zip(rpc).enumerate() {
        let (rest, mark) = rest_port(options, name, index)?;
        taken.push(JobManagerPorts { raft, rpc, rest, _rest_mark: mark });
    }
    write(&file, &names, &taken)?;
    Ok(taken)
}

fn rest_port(options: &LocalClusterOptions, name: &str, index: usize) -> Result<(u16, Option<ReservedPort>), StartError> {
    let Some(first) = options.rest_port else {
        let port = ReservedPort::take()?;
        return Ok((port.number(), Some(port)));
    };
    let port = u16::try_from(index).ok().and_then(|index| first.checked_add(index));
    let port = port.ok_or(StartError::PortRange { first, jobmanagers: options.jobmanagers })?;
    let host = options.hosts.get(name).cloned().unwrap_or_default().address;
    // Another cluster's JobManager would answer there, and this cluster's JobManager could not start.
    let listened = until(|| TcpListener::bind((host, port)).map(drop));
    listened.map_err(|source| StartError::RestPort { name: name.to_owned(), port, source })?;
    Ok((port, None))
}

fn take_again(options: &LocalClusterOptions, name: &str, port: u16) -> Result<ReservedPort, StartError> {
    let taken = until(|| ReservedPort::take_again(port));
    taken.map_err(|source| StartError::PortInUse { name: name.to_owned(), directory: options.directory.clone(), port, source })
}

/// Repeats an attempt at a port for a while if the port is in use.
fn until<T>(attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => std::thread::sleep(PACE),
            outcome => return outcome,
        }
    }
}

/// Refuses raft logs without a file of ports: their members would wait for each other at unknown addresses.
fn refuse_strange_logs(options: &LocalClusterOptions) -> Result<(), StartError> {
    if options.coordination != Coordination::Raft {
        return Ok(());
    }
    for name in options.jobmanager_names() {
        let log = options.raft_directory(&name);
        if std::fs::read_dir(&log).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(StartError::PortsUnknown { log, file: options.directory.join(FILE) });
        }
    }
    Ok(())
}

/// The raft and RPC port of each JobManager; `None` if the file does not exist.
fn read(file: &Path) -> Result<Option<Vec<(u16, u16)>>, StartError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StartError::PortsFile { file: file.to_owned(), reason: source.to_string() }),
    };
    let ports = text.lines().map(|line| {
        let port = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key)?.parse().ok());
        let unreadable = || StartError::PortsFile { file: file.to_owned(), reason: format!("{line:?} does not name two ports") };
        port("raft=").zip(port("rpc=")).ok_or_else(unreadable)
    });
    ports.collect::<Result<Vec<_>, _>>().map(Some)
}

/// Writes the file as a whole, so that a crash leaves no part of it.
fn write(file: &Path, names: &[String], ports: &[JobManagerPorts]) -> io::Result<()> {
    let mut text = String::new();
    for (name, ports) in names.iter().zip(ports) {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name} raft={} rpc={}", ports.raft.number(), ports.rpc.number());
    }
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, file)
}
