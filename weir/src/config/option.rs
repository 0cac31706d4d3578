//! The options there are: key, kind, default and a sentence each. Flink's key names wherever the meaning is the same.

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `10 s`, `500 ms`, `1 min`, `PT10S`.
    Duration,
    /// `64 mb`, `1 gb`, a plain number of bytes.
    Size,
    /// A whole number.
    Integer,
    Number,
    /// `true` or `false`.
    Boolean,
    Text,
    /// Texts, as a YAML list or separated by `,` or `;`.
    List,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// One option.
#[derive(Debug)]
pub struct ConfigOption {
    /// Its dotted key.
    pub key: &'static str,
    /// What its value must look like.
    pub kind: Kind,
    /// Its default; `None` = unset.
    pub default: Option<&'static str>,
    /// What it does.
    pub sentence: &'static str,
}

const fn option(key: &'static str, kind: Kind, default: Option<&'static str>, sentence: &'static str) -> ConfigOption {
    ConfigOption { key, kind, default, sentence }
}

use Kind::{Boolean, Duration, Integer, List, Number, OneOf, Size, Text};

/// Every option, by key.
#[rustfmt::skip]
pub const OPTIONS: &[ConfigOption] = &[
    option("drill.agent.enabled", Boolean, Some("false"), "Whether `weir drill` may order this process to kill, stop or freeze itself, or to keep away from the coordination store or checkpoint storage for a while, over its HTTP port and without authentication. See docs/drills.md."),
    option("execution.checkpointing.data-inline-threshold", Size, Some("20 kb"), "A task's new state of up to this size travels in its acknowledgement and is kept in the checkpoint's metadata; more of it goes to a file of its own. At most 1 mb. For TaskManagers."),
    option("execution.checkpointing.dir", Text, None, "Where checkpoints go: a path, file:///… or s3://bucket/prefix, reached by every process."),
    option("execution.checkpointing.externalized-checkpoint-retention", OneOf(&["DELETE_ON_CANCELLATION", "NO_EXTERNALIZED_CHECKPOINTS", "RETAIN_ON_CANCELLATION"]), Some("NO_EXTERNALIZED_CHECKPOINTS"), "Whether a cancelled job's checkpoints are kept. This and what follows up to timeout is for job graphs that don't say."),
    option("execution.checkpointing.interval", Duration, Some("0 s"), "Time between checkpoints; 0 = none."),
    option("execution.checkpointing.max-concurrent-checkpoints", Integer, Some("1"), "How many checkpoints of a job may be under way."),
    option("execution.checkpointing.min-pause", Duration, Some("0 s"), "Least time between the end of a checkpoint and the start of the next."),
    option("execution.checkpointing.num-retained", Integer, Some("1"), "How many completed checkpoints of a job are kept."),
    option("execution.checkpointing.savepoint-dir", Text, None, "Where savepoints go whose user names no place; `savepoints` beside the checkpoints if unset."),
    option("execution.checkpointing.timeout", Duration, Some("10 min"), "A checkpoint not complete by then is given up."),
    option("execution.checkpointing.tolerable-failed-checkpoints", Integer, Some("0"), "How many checkpoints may fail in a row before the job restarts."),
    option("heartbeat.interval", Duration, Some("500 ms"), "Time between heartbeats of JobManager and TaskManagers."),
    option("heartbeat.timeout", Duration, Some("3 s"), "Silence after which the other side is taken for gone. A broken connection is noticed at once."),
    option("high-availability.cluster-id", Text, Some("/default"), "Name of the cluster; several clusters may share one store."),
    option("high-availability.etcd.endpoints", List, None, "Nodes of etcd, each as http://host:port or https://host:port; one that fails is left for the next."),
    option("high-availability.etcd.lease-ttl", Duration, Some("3 s"), "A leader that is gone without a word is replaced after so long, and half a second. Whole seconds; etcd raises it to 1.5 times its election timeout (2 s as shipped)."),
    option("high-availability.etcd.password", Text, None, "Password of the etcd user."),
    option("high-availability.etcd.path.root", Text, Some("/weir"), "Prefix of all keys in etcd; below it come the cluster ids."),
    option("high-availability.etcd.tls.ca", Text, None, "PEM file of the authorities that may have signed etcd's certificate; turns TLS on."),
    option("high-availability.etcd.tls.certificate", Text, None, "PEM file of this process's certificate, if etcd demands one."),
    option("high-availability.etcd.tls.key", Text, None, "PEM file of that certificate's key."),
    option("high-availability.etcd.username", Text, None, "User of etcd, if it demands one; may read and write everything under the root path."),
    option("high-availability.outage-tolerance", Duration, Some("10 min"), "A leader that can't reach the coordination service (etcd, ZooKeeper) for so long stops leading. Until then jobs run on."),
    option("high-availability.raft.bind-host", Text, Some("127.0.0.1"), "Address the raft peer service listens on."),
    option("high-availability.raft.dir", Text, None, "Local directory of this JobManager's raft log and snapshots. Not to be shared."),
    option("high-availability.raft.election-timeout.max", Duration, Some("1 s"), "Longest silence of the leader before an election."),
    option("high-availability.raft.election-timeout.min", Duration, Some("500 ms"), "Shortest silence of the leader before an election. A crashed leader process is noticed at once by its closed connections."),
    option("high-availability.raft.heartbeat-interval", Duration, Some("100 ms"), "Time between heartbeats of the raft leader."),
    option("high-availability.raft.members", List, None, "All JobManagers of the group, each as name@host:port of its raft peer service."),
    option("high-availability.raft.segment-size", Size, Some("16 mb"), "Size of one file of the raft log; the next one is made ahead of time."),
    option("high-availability.storageDir", Text, None, "Where job graphs go: a path, file:///… or s3://bucket/prefix, reached by every JobManager."),
    option("high-availability.type", OneOf(&["none", "raft", "etcd", "zookeeper"]), Some("none"), "Who elects the leader: raft (embedded), etcd, zookeeper, or none (one JobManager, nothing survives it)."),
    option("high-availability.zookeeper.client.acl", OneOf(&["open", "creator"]), Some("open"), "Who may read and write what is kept in ZooKeeper: everybody, or the same user only."),
    option("high-availability.zookeeper.client.connection-timeout", Duration, None, "Silence of a ZooKeeper server after which another is tried; at most three fifths of the session timeout; two fifths of the session timeout if unset."),
    option("high-availability.zookeeper.client.max-request-size", Size, Some("1048575"), "Largest request that the ZooKeeper servers take: their jute.maxbuffer."),
    option("high-availability.zookeeper.client.sasl.password", Text, None, "Password of this JobManager in ZooKeeper."),
    option("high-availability.zookeeper.client.sasl.username", Text, None, "User that this JobManager is in ZooKeeper (DIGEST-MD5)."),
    option("high-availability.zookeeper.client.session-timeout", Duration, Some("10 s"), "Silence of a JobManager after which ZooKeeper takes it for gone, within what the servers allow."),
    option("high-availability.zookeeper.client.tls.ca", Text, None, "PEM file of the authorities that sign the ZooKeeper servers' certificates; connections are encrypted if it is set."),
    option("high-availability.zookeeper.client.tls.certificate", Text, None, "PEM file of this JobManager's certificate for ZooKeeper."),
    option("high-availability.zookeeper.client.tls.key", Text, None, "PEM file of the key of that certificate."),
    option("high-availability.zookeeper.path.root", Text, Some("/weir"), "Path in ZooKeeper that everything lies below; a stock flink command line finds the leader if it has the same."),
    option("high-availability.zookeeper.quorum", Text, None, "ZooKeeper servers as host:port,host:port, perhaps with a path after the last."),
    option("jobmanager.bind-host", Text, Some("127.0.0.1"), "Address the JobManager's service for TaskManagers listens on."),
    option("jobmanager.name", Text, Some("jm-1"), "This JobManager's name; one of high-availability.raft.members."),
    option("jobmanager.rpc.address", Text, Some("127.0.0.1"), "Host name under which TaskManagers, clients and other JobManagers reach this JobManager."),
    option("jobmanager.rpc.addresses", List, None, "For TaskManagers: host:port of every JobManager's service; jobmanager.rpc.address and port if unset."),
    option("jobmanager.rpc.port", Integer, Some("6123"), "Port of the JobManager's service for TaskManagers."),
    option("rest.bind-address", Text, Some("127.0.0.1"), "Address the REST service listens on."),
    option("rest.port", Integer, Some("8081"), "Port of the REST service."),
    option("restart-strategy.exponential-delay.backoff-multiplier", Number, Some("1.5"), "Factor from one wait to the next."),
    option("restart-strategy.exponential-delay.initial-backoff", Duration, Some("1 s"), "The first wait before a restart."),
    option("restart-strategy.exponential-delay.jitter-factor", Number, Some("0.1"), "Each wait is varied by up to this fraction, either way."),
    option("restart-strategy.exponential-delay.max-backoff", Duration, Some("1 min"), "The longest wait."),
    option("restart-strategy.exponential-delay.reset-backoff-threshold", Duration, Some("1 h"), "Running this long without failure resets the wait."),
    option("restart-strategy.failure-rate.delay", Duration, Some("1 s"), "Wait before each restart."),
    option("restart-strategy.failure-rate.failure-rate-interval", Duration, Some("1 min"), "The interval over which failures are counted."),
    option("restart-strategy.failure-rate.max-failures-per-interval", Integer, Some("1"), "Failures allowed in one interval."),
    option("restart-strategy.fixed-delay.attempts", Integer, Some("1"), "How many restarts over the life of a job."),
    option("restart-strategy.fixed-delay.delay", Duration, Some("1 s"), "Wait before each restart."),
    option("restart-strategy.type", OneOf(&["exponential-delay", "failure-rate", "fixed-delay", "none"]), Some("exponential-delay"), "When a job is restarted after a failure, for job graphs that don't say."),
    option("s3.access-key", Text, None, "Access key of the S3 service."),
    option("s3.endpoint", Text, None, "URL of the S3 service, if it is not AWS."),
    option("s3.path.style.access", Boolean, Some("false"), "Whether the bucket is named in the path instead of the host."),
    option("s3.region", Text, Some("us-east-1"), "Region of the S3 service."),
    option("s3.secret-key", Text, None, "Secret key of the S3 service."),
    option("slot.request.timeout", Duration, Some("5 min"), "How long a job waits for slots before it counts as failed."),
    option("taskmanager.bind-host", Text, Some("127.0.0.1"), "Address the TaskManager's services listen on, and under which other TaskManagers reach it."),
    option("taskmanager.data.port", Integer, Some("0"), "Port of the TaskManager's data service; 0 = a free one."),
    option("taskmanager.http.port", Integer, Some("0"), "Port of the TaskManager's metrics page; 0 = a free one."),
    option("taskmanager.memory.process.size", Size, Some("1728 mb"), "Memory budget of the TaskManager."),
    option("taskmanager.numberOfTaskSlots", Integer, Some("1"), "Number of slots: threads that run tasks."),
    option("taskmanager.resource-id", Text, None, "Name of this TaskManager; drawn at random if unset."),
    option("web.checkpoints.history", Integer, Some("10"), "Number of checkpoints kept for display."),
];

/// Keys of Flink that only mean something to a JVM: accepted and ignored, with a notice.
pub const JVM_ONLY: &[&str] =
    &["env.java.", "jobmanager.memory.", "taskmanager.memory.jvm-", "taskmanager.memory.framework.", "classloader."];

/// The option with this key.
pub fn find(key: &str) -> Option<&'static ConfigOption> {
    OPTIONS.iter().find(|option| option.key == key)
}
