//! JobManagers with few file descriptors, while clients open connections that say nothing.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use weir_client::ClientError;
use weir_protocol::job_graph::JobGraph;

use super::{Client, Group, LOOK, Ports, wait_until};

/// File descriptors of one JobManager.
const DESCRIPTORS: usize = 256;
/// Silent connections to each of its three ports. Together they are more than it has descriptors.
const CONNECTIONS: usize = 120;
/// How long the clients keep all of them open. A leader without a majority steps down after half of the election timeout.
const FLOOD: Duration = Duration::from_secs(12);
const ELECTION_TIMEOUTS: [(&str, &str); 2] = [("min", "8 s"), ("max", "16 s")];
/// The pause before connections that were closed are opened again.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether the other side has closed the connection.
fn is_closed(connection: &mut TcpStream) -> bool {
    let mut bytes = [0; 256];
    match connection.read(&mut bytes) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Keeps silent connections to this address open until `over`. Counts those that the other side closed.
fn flood(address: SocketAddr, closed: &AtomicUsize, over: &AtomicBool) {
    let mut connections = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let before = connections.len();
        connections.retain_mut(|connection| !is_closed(connection));
        closed.fetch_add(before - connections.len(), Ordering::Relaxed);
        while connections.len() < CONNECTIONS && !over.load(Ordering::Relaxed) {
            // If the other side has no descriptors left, the connection waits to be accepted.
            let Ok(connection) = TcpStream::connect_timeout(&address, LOOK) else { break };
            connection.set_nonblocking(true).expect("a socket");
            connections.push(connection);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Submits a job, which waits for a TaskManager. Whether it was accepted.
fn submits(client: &Client) -> bool {
    let source = json!({"kind": "source.datagen", "options": {"rows": 10, "fields": [{"name": "n", "type": "bigint", "kind": "sequence"}]}});
    let graph = json!({"version": 1, "name": "waits", "vertices": [
        {"id": "numbers", "parallelism": 1, "operators": [source, {"kind": "sink.blackhole"}]}]});
    let graph = JobGraph::from_json(&graph.to_string()).expect("a graph");
    let submitted = client.runtime.block_on(client.client.submit(&graph, None, LOOK));
    // No flood is a reason for this.
    assert!(!matches!(submitted, Err(ClientError::Refused { .. })), "{submitted:?}");
    submitted.is_ok()
}

#[test]
fn a_flood_of_silent_connections_changes_no_leader_and_shuts_no_client_out() {
    weir_world::descriptors::raise_limit().expect("descriptors for the clients");
    let place = tempfile::tempdir().expect("a directory");
    let timeouts = ELECTION_TIMEOUTS.map(|(which, time)| format!("high-availability.raft.election-timeout.{which}={time}"));
    let group = Group::start(place.path(), DESCRIPTORS, &timeouts);
    assert!(group.members.iter().all(|one| one.limit_of_descriptors() == DESCRIPTORS.to_string()));
    let each = group.clients();
    let all = Client::of(group.members.iter().map(|one| one.rest.clone()).collect());
    let granted = group.have_said("granted leadership");

    let addresses: Vec<_> = group.ports.iter().flat_map(Ports::addresses).collect();
    let closed: Vec<_> = addresses.iter().map(|_| AtomicUsize::new(0)).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (address, closed) in addresses.iter().zip(&closed) {
            let over = &over;
            scope.spawn(move || flood(*address, closed, over));
        }
        let flooded = || closed.iter().all(|closed| closed.load(Ordering::Relaxed) > 0);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until("every port closes silent connections", flooded);
            let started = Instant::now();
            while started.elapsed() < FLOOD {
                wait_until("a submission is accepted", || submits(&all));
                wait_until("every JobManager answers", || each.iter().all(Client::is_answered));
            }
        }));
        // Otherwise the floods would never end.
        over.store(true, Ordering::Relaxed);
        if let Err(failure) = result {
            std::panic::resume_unwind(failure);
        }
    });
    assert_eq!(group.have_said("granted leadership"), granted, "another JobManager leads");
    assert_eq!(group.have_said("leadership revoked"), 0);
    assert!(submits(&all) && each.iter().all(Client::is_answered));
}
