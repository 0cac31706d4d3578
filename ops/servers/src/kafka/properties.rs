//! The configuration of a node.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// The lines of node `number`'s `server.properties`. Clients reach it at `host`. `ports` has the ports of each node: for clients, for controllers, and for an
/// additional listener. `more` comes last, and so replaces what has the same key.
pub(super) fn of(number: usize, host: IpAddr, ports: &[[u16; 3]], data: &Path, more: &[String]) -> Vec<String> {
    let [broker, controller, secure] = ports[number];
    let voters: Vec<_> =
        ports.iter().enumerate().map(|(number, [_, controller, _])| format!("{number}@127.0.0.1:{controller}")).collect();
    let mut lines = vec![
        format!("node.id={number}"),
        format!("controller.quorum.voters={}", voters.join(",")),
        format!("listeners=BROKER://{},CONTROLLER://127.0.0.1:{controller}", SocketAddr::new(host, broker)),
        format!("log.dirs={}", data.display()),
    ];
    lines.extend(FIXED.map(str::to_owned));
    lines.extend(replication(ports.len()));
    let ports = [("{port}", broker), ("{controller_port}", controller), ("{secure_port}", secure)];
    let fill = |line: &String| ports.iter().fold(line.clone(), |line, (name, port)| line.replace(name, &port.to_string()));
    lines.extend(more.iter().map(fill));
    lines
}

const FIXED: [&str; 15] = [
    "process.roles=broker,controller",
    "listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name=BROKER",
    "controller.listener.names=CONTROLLER",
    // A mistyped topic must fail a test.
    "auto.create.topics.enable=false",
    // Fewer files and threads than in production.
    "offsets.topic.num.partitions=4",
    "transaction.state.log.num.partitions=4",
    "num.network.threads=2",
    "num.io.threads=4",
    // Its default, 128 MB of heap, would be half of ours.
    "log.cleaner.dedupe.buffer.size=4194304",
    // So that others lead a killed node's partitions after 3 s, and not 9. A single node that was killed waits that long too.
    "broker.heartbeat.interval.ms=500",
    "broker.session.timeout.ms=3000",
    "group.initial.rebalance.delay.ms=0",
    // The longest timeout that a client may ask for: an hour, and not a quarter of one.
    "transaction.max.timeout.ms=3600000",
    // Timed-out transactions are looked for every second, and not every ten.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
];

/// Three copies of everything if there are nodes for it; then a write needs two.
fn replication(nodes: usize) -> Vec<String> {
    let (copies, written) = if nodes < 3 { (1, 1) } else { (3, 2) };
    let copies_of = |key: &str| format!("{key}={copies}");
    let written_of = |key: &str| format!("{key}={written}");
    vec![
        copies_of("default.replication.factor"),
        written_of("min.insync.replicas"),
        copies_of("offsets.topic.replication.factor"),
        copies_of("transaction.state.log.replication.factor"),
        written_of("transaction.state.log.min.isr"),
        copies_of("share.coordinator.state.topic.replication.factor"),
        written_of("share.coordinator.state.topic.min.isr"),
    ]
}

/// A random id, in Kafka's form: 16 bytes in URL-safe base64. A node of another test, if it ever met this one, is then refused.
pub(super) fn new_cluster_id() -> String {
    // 22 characters carry 132 bits; the last four must be zero, as they are in "Q".
    format!("{:016x}-weirQ", RandomState::new().hash_one(0))
}
