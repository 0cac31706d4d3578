//! All options. Each is a typed constant with a key, a default and a description. The key is Flink's if the meaning is the same.

use std::marker::PhantomData;
use std::time::Duration;

use super::value::{
    CheckpointRetention, HaType, LogFormat, MemorySize, OptionValue, PortRange, RestartStrategyType, Secret, ZooKeeperAcl,
};

/// An option whose values are of type `T`. Without a default, `T` is an `Option` or a `Vec`.
#[derive(Debug)]
pub struct ConfigOption<T> {
    /// The dotted key, as in `config.yaml`.
    pub key: &'static str,
    /// The text that a user would write for the default.
    pub default: Option<&'static str>,
    /// What the option does, and the unit of its value; for people.
    pub sentence: &'static str,
    value: PhantomData<fn() -> T>,
}

/// The parts of an option that do not depend on the type of its values.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// The dotted key, as in `config.yaml`.
    pub key: &'static str,
    /// The text that a user would write for the default.
    pub default: Option<&'static str>,
    /// What the option does, and the unit of its value; for people.
    pub sentence: &'static str,
    /// Whether the value is hidden when a configuration is shown.
    pub is_secret: bool,
    /// Checks a text as a value; `None` means that the option is not set. The error says what is wrong.
    pub check: fn(Option<&str>) -> Result<(), String>,
}

impl<T: OptionValue> ConfigOption<T> {
    /// What `weir config` and the check of a configuration file need to know about the option.
    pub const fn describe(&self) -> Description {
        let Self { key, default, sentence, .. } = *self;
        Description { key, default, sentence, is_secret: T::IS_SECRET, check: check::<T> }
    }
}

fn check<T: OptionValue>(text: Option<&str>) -> Result<(), String> {
    T::read(text).map(drop)
}

macro_rules! options {
    ($($name:ident: $type:ty = $key:literal $(, default $default:literal)?; $sentence:literal,)*) => {
        $(
            #[doc = $sentence]
            ///
            /// Read its value with [`Config::get`](super::Config::get).
            pub const $name: ConfigOption<$type> = ConfigOption {
                key: $key,
                default: options!(@default $($default)?),
                sentence: $sentence,
                value: PhantomData,
            };
        )*

        /// Every option, sorted by key.
        pub const OPTIONS: &[Description] = &[$($name.describe()),*];
    };
    (@default $default:literal) => { Some($default) };
    (@default) => { None };
}

options! {
    DRILL_AGENT_ENABLED: bool = "drill.agent.enabled", default "false";
        "Whether `weir drill` may order this process to kill, stop or freeze itself, or to cut itself off from the coordination store or checkpoint storage for a while, over its HTTP port and without authentication. See docs/drills.md.",
    CHECKPOINTING_DATA_INLINE_THRESHOLD: MemorySize = "execution.checkpointing.data-inline-threshold", default "20 kb";
        "A task's new state of up to this size travels in its acknowledgement and is kept in the checkpoint's metadata; larger state gets a file of its own. At most 1 mb. For TaskManagers.",
    CHECKPOINTING_DIR: Option<String> = "execution.checkpointing.dir";
        "Where checkpoints go: a path, file:///… or s3://bucket/prefix. Every process must reach it.",
    CHECKPOINTING_EXTERNALIZED_CHECKPOINT_RETENTION: CheckpointRetention = "execution.checkpointing.externalized-checkpoint-retention", default "NO_EXTERNALIZED_CHECKPOINTS";
        "Whether a canceled job's checkpoints are kept. For job graphs that don't say.",
    CHECKPOINTING_INTERVAL: Duration = "execution.checkpointing.interval", default "0 s";
        "Time between checkpoints; 0 = none. For job graphs that don't say.",
    CHECKPOINTING_MAX_CONCURRENT_CHECKPOINTS: u32 = "execution.checkpointing.max-concurrent-checkpoints", default "1";
        "How many checkpoints of a job may be in flight. For job graphs that don't say.",
    CHECKPOINTING_MIN_PAUSE: Duration = "execution.checkpointing.min-pause", default "0 s";
        "Least time between the end of a checkpoint and the start of the next. For job graphs that don't say.",
    CHECKPOINTING_NUM_RETAINED: u32 = "execution.checkpointing.num-retained", default "1";
        "How many completed checkpoints of a job are kept. For job graphs that don't say.",
    CHECKPOINTING_SAVEPOINT_DIR: Option<String> = "execution.checkpointing.savepoint-dir";
        "Where savepoints go if the user names no directory; `savepoints` beside the checkpoints if unset.",
    CHECKPOINTING_TIMEOUT: Duration = "execution.checkpointing.timeout", default "10 min";
        "A checkpoint that is not complete by then is aborted. For job graphs that don't say.",
    CHECKPOINTING_TOLERABLE_FAILED_CHECKPOINTS: u32 = "execution.checkpointing.tolerable-failed-checkpoints", default "0";
        "How many checkpoints may fail in a row before the job restarts. For job graphs that don't say.",
    HEARTBEAT_INTERVAL: Duration = "heartbeat.interval", default "500 ms";
        "Time between heartbeats of JobManager and TaskManagers.",
    HEARTBEAT_TIMEOUT: Duration = "heartbeat.timeout", default "3 s";
        "A TaskManager or JobManager that is silent this long counts as lost. A broken connection is noticed at once.",
    HA_CLUSTER_ID: String = "high-availability.cluster-id", default "/default";
        "Name of the cluster; several clusters may share one store.",
    HA_ETCD_ENDPOINTS: Vec<String> = "high-availability.etcd.endpoints";
        "Nodes of etcd, each as http://host:port or https://host:port. If one fails, the next is used.",
    HA_ETCD_LEASE_TTL: Duration = "high-availability.etcd.lease-ttl", default "3 s";
        "A crashed leader is replaced this long after its last renewal, plus 0.5 s. Whole seconds; etcd raises it to 1.5 times its election timeout (2 s as shipped).",
    HA_ETCD_PASSWORD: Option<Secret> = "high-availability.etcd.password";
        "Password of the etcd user.",
    HA_ETCD_PATH_ROOT: String = "high-availability.etcd.path.root", default "/weir";
        "Prefix of all keys in etcd; below it come the cluster ids.",
    HA_ETCD_TLS_CA: Option<String> = "high-availability.etcd.tls.ca";
        "PEM file of the authorities that may have signed etcd's certificate; turns TLS on.",
    HA_ETCD_TLS_CERTIFICATE: Option<String> = "high-availability.etcd.tls.certificate";
        "PEM file of this process's certificate, if etcd demands one.",
    HA_ETCD_TLS_KEY: Option<String> = "high-availability.etcd.tls.key";
        "PEM file of that certificate's key.",
    HA_ETCD_USERNAME: Option<String> = "high-availability.etcd.username";
        "User of etcd, if it demands one; may read and write everything under the root path.",
    HA_OUTAGE_TOLERANCE: Duration = "high-availability.outage-tolerance", default "10 min";
        "A leader that can't reach etcd or ZooKeeper for this long stops leading. Until then jobs run on.",
    HA_RAFT_BIND_HOST: String = "high-availability.raft.bind-host", default "127.0.0.1";
        "Address that the raft peer service listens on.",
    HA_RAFT_DIR: Option<String> = "high-availability.raft.dir";
        "Local directory of this JobManager's raft log and snapshots. No other JobManager may use it.",
    HA_RAFT_ELECTION_TIMEOUT_MAX: Duration = "high-availability.raft.election-timeout.max", default "1 s";
        "Longest silence of the leader before an election.",
    HA_RAFT_ELECTION_TIMEOUT_MIN: Duration = "high-availability.raft.election-timeout.min", default "500 ms";
        "Shortest silence of the leader before an election. A crashed leader process is noticed at once by its closed connections.",
    HA_RAFT_HEARTBEAT_INTERVAL: Duration = "high-availability.raft.heartbeat-interval", default "100 ms";
        "Time between heartbeats of the raft leader.",
    HA_RAFT_MEMBERS: Vec<String> = "high-availability.raft.members";
        "All JobManagers of the group, each as name@host:port of its raft peer service.",
    HA_RAFT_SEGMENT_SIZE: MemorySize = "high-availability.raft.segment-size", default "16 mb";
        "Size of one file of the raft log.",
    HA_STORAGE_DIR: Option<String> = "high-availability.storageDir";
        "Where job graphs go: a path, file:///… or s3://bucket/prefix. Every JobManager must reach it.",
    HA_TYPE: HaType = "high-availability.type", default "none";
        "Who elects the leader: raft (embedded), etcd, zookeeper, or none (one JobManager, nothing survives it).",
    HA_ZOOKEEPER_CLIENT_ACL: ZooKeeperAcl = "high-availability.zookeeper.client.acl", default "open";
        "Who may read and write what is kept in ZooKeeper: everybody (open), or the same user only (creator).",
    HA_ZOOKEEPER_CLIENT_CONNECTION_TIMEOUT: Option<Duration> = "high-availability.zookeeper.client.connection-timeout";
        "If a ZooKeeper server is silent this long, the JobManager connects to another. At most three fifths of the session timeout; two fifths of it if unset.",
    HA_ZOOKEEPER_CLIENT_MAX_REQUEST_SIZE: MemorySize = "high-availability.zookeeper.client.max-request-size", default "1048575";
        "Largest request that the ZooKeeper servers accept: their jute.maxbuffer.",
    HA_ZOOKEEPER_CLIENT_SASL_PASSWORD: Option<Secret> = "high-availability.zookeeper.client.sasl.password";
        "Password of this JobManager in ZooKeeper.",
    HA_ZOOKEEPER_CLIENT_SASL_USERNAME: Option<String> = "high-availability.zookeeper.client.sasl.username";
        "User name of this JobManager in ZooKeeper (DIGEST-MD5).",
    HA_ZOOKEEPER_CLIENT_SESSION_TIMEOUT: Duration = "high-availability.zookeeper.client.session-timeout", default "10 s";
        "ZooKeeper declares a JobManager dead after this long without a heartbeat, within what the servers allow.",
    HA_ZOOKEEPER_CLIENT_TLS_CA: Option<String> = "high-availability.zookeeper.client.tls.ca";
        "PEM file of the authorities that sign the ZooKeeper servers' certificates; turns TLS on.",
    HA_ZOOKEEPER_CLIENT_TLS_CERTIFICATE: Option<String> = "high-availability.zookeeper.client.tls.certificate";
        "PEM file of this JobManager's certificate for ZooKeeper.",
    HA_ZOOKEEPER_CLIENT_TLS_KEY: Option<String> = "high-availability.zookeeper.client.tls.key";
        "PEM file of the key of that certificate.",
    HA_ZOOKEEPER_PATH_ROOT: String = "high-availability.zookeeper.path.root", default "/weir";
        "Path in ZooKeeper under which everything lies. A stock flink command line that is configured with the same path finds the leader.",
    HA_ZOOKEEPER_QUORUM: Option<String> = "high-availability.zookeeper.quorum";
        "ZooKeeper servers as host:port,host:port, optionally with a path after the last.",
    JOBMANAGER_BIND_HOST: String = "jobmanager.bind-host", default "127.0.0.1";
        "Address that the JobManager's service for TaskManagers listens on.",
    JOBMANAGER_NAME: String = "jobmanager.name", default "jm-1";
        "This JobManager's name; one of high-availability.raft.members.",
    JOBMANAGER_RPC_ADDRESS: String = "jobmanager.rpc.address", default "127.0.0.1";
        "Host name under which TaskManagers, clients and other JobManagers reach this JobManager.",
    JOBMANAGER_RPC_ADDRESSES: Vec<String> = "jobmanager.rpc.addresses";
        "For TaskManagers: host:port of every JobManager's service; jobmanager.rpc.address and port if unset.",
    JOBMANAGER_RPC_PORT: u16 = "jobmanager.rpc.port", default "6123";
        "Port of the JobManager's service for TaskManagers.",
    JOBSTORE_EXPIRATION_TIME: Duration = "jobstore.expiration-time", default "1 d";
        "How long an ended job is remembered: its state, and its client token.",
    JOBSTORE_MAX_CAPACITY: usize = "jobstore.max-capacity", default "10000";
        "How many ended jobs are remembered; beyond that the oldest are forgotten.",
    LOG_FORMAT: LogFormat = "log.format", default "text";
        "Form of the log on standard error: text for people, or json, with one object in each line.",
    REST_ALLOWED_HOSTS: Vec<String> = "rest.allowed-hosts";
        "Further host names under which the HTTP ports of JobManagers and TaskManagers may be addressed, e.g. of a proxy; .example.org stands for every name below it, * for every name. IP addresses, localhost and the advertised name are always allowed.",
    REST_ALLOWED_ORIGINS: Vec<String> = "rest.allowed-origins";
        "Origins, such as https://console.example.org, of web pages of other sites that may read and change the cluster over REST.",
    REST_BIND_ADDRESS: String = "rest.bind-address", default "127.0.0.1";
        "Address that the REST service listens on.",
    REST_PORT: u16 = "rest.port", default "8081";
        "Port of the REST service.",
    RESTART_STRATEGY_EXPONENTIAL_DELAY_BACKOFF_MULTIPLIER: f64 = "restart-strategy.exponential-delay.backoff-multiplier", default "1.5";
        "Factor from one wait to the next.",
    RESTART_STRATEGY_EXPONENTIAL_DELAY_INITIAL_BACKOFF: Duration = "restart-strategy.exponential-delay.initial-backoff", default "1 s";
        "The first wait before a restart.",
    RESTART_STRATEGY_EXPONENTIAL_DELAY_JITTER_FACTOR: f64 = "restart-strategy.exponential-delay.jitter-factor", default "0.1";
        "Each wait is lengthened or shortened at random by up to this fraction.",
    RESTART_STRATEGY_EXPONENTIAL_DELAY_MAX_BACKOFF: Duration = "restart-strategy.exponential-delay.max-backoff", default "1 min";
        "The longest wait.",
    RESTART_STRATEGY_EXPONENTIAL_DELAY_RESET_BACKOFF_THRESHOLD: Duration = "restart-strategy.exponential-delay.reset-backoff-threshold", default "1 h";
        "After running this long without a failure a job starts again with the first wait.",
    RESTART_STRATEGY_FAILURE_RATE_DELAY: Duration = "restart-strategy.failure-rate.delay", default "1 s";
        "Wait before each restart.",
    RESTART_STRATEGY_FAILURE_RATE_FAILURE_RATE_INTERVAL: Duration = "restart-strategy.failure-rate.failure-rate-interval", default "1 min";
        "The interval over which failures are counted.",
    RESTART_STRATEGY_FAILURE_RATE_MAX_FAILURES_PER_INTERVAL: u32 = "restart-strategy.failure-rate.max-failures-per-interval", default "1";
        "Failures allowed in one interval.",
    RESTART_STRATEGY_FIXED_DELAY_ATTEMPTS: u32 = "restart-strategy.fixed-delay.attempts", default "1";
        "How many restarts over the life of a job.",
    RESTART_STRATEGY_FIXED_DELAY_DELAY: Duration = "restart-strategy.fixed-delay.delay", default "1 s";
        "Wait before each restart.",
    RESTART_STRATEGY_TYPE: RestartStrategyType = "restart-strategy.type", default "exponential-delay";
        "When a job is restarted after a failure. For job graphs that don't say.",
    S3_ACCESS_KEY: Option<String> = "s3.access-key";
        "Access key of the S3 service.",
    S3_ENDPOINT: Option<String> = "s3.endpoint";
        "URL of the S3 service, if it is not AWS.",
    S3_PATH_STYLE_ACCESS: bool = "s3.path.style.access", default "false";
        "Whether the bucket is named in the path instead of the host.",
    S3_REGION: String = "s3.region", default "us-east-1";
        "Region of the S3 service.",
    S3_SECRET_KEY: Option<Secret> = "s3.secret-key";
        "Secret key of the S3 service.",
    SLOT_REQUEST_TIMEOUT: Duration = "slot.request.timeout", default "5 min";
        "A job that waits longer than this for slots fails over.",
    SQL_RESULTS_DIR: Option<String> = "sql.results.dir";
        "Where the rows of queries are until clients have read them: a path or file:///… that all processes share. `query-results` beside the checkpoints if unset.",
    SQL_RESULTS_IDLE_TIMEOUT: Duration = "sql.results.idle-timeout", default "10 min";
        "A query whose rows no client asks for during this time is closed.",
    TASK_CANCELLATION_INTERVAL: Duration = "task.cancellation.interval", default "30 s";
        "Time between two orders to cancel the same task.",
    TASK_CANCELLATION_TIMEOUT: Duration = "task.cancellation.timeout", default "3 min";
        "A TaskManager whose tasks have not stopped this long after they were canceled is disconnected.",
    TASKMANAGER_BIND_HOST: String = "taskmanager.bind-host", default "127.0.0.1";
        "Address that the services of the TaskManager listen on; 0.0.0.0 for all addresses of the machine.",
    TASKMANAGER_DATA_PORT: PortRange = "taskmanager.data.port", default "6130-6149";
        "Port of the TaskManager's data service: the first free one of a range or list; 0 = any free one.",
    TASKMANAGER_HOST: Option<String> = "taskmanager.host";
        "Host name under which other TaskManagers and JobManagers reach this TaskManager; taskmanager.bind-host if unset.",
    TASKMANAGER_HTTP_PORT: PortRange = "taskmanager.http.port", default "9250-9269";
        "Port of the TaskManager's metrics page: the first free one of a range or list; 0 = any free one.",
    TASKMANAGER_MEMORY_PROCESS_SIZE: MemorySize = "taskmanager.memory.process.size", default "1728 mb";
        "Memory budget of the TaskManager.",
    TASKMANAGER_SLOTS: u32 = "taskmanager.numberOfTaskSlots", default "1";
        "Number of slots: threads that run tasks.",
    TASKMANAGER_RESOURCE_ID: Option<String> = "taskmanager.resource-id";
        "Name of this TaskManager, which must be unique; its host and data port if unset. Each start appends a random suffix.",
    WEB_CHECKPOINTS_HISTORY: usize = "web.checkpoints.history", default "10";
        "Number of checkpoints kept for display.",
    WEB_EXCEPTION_HISTORY_SIZE: usize = "web.exception-history-size", default "16";
        "Number of failures of a job that are kept for display.",
}

/// Prefixes of Flink's keys that only concern a JVM. Such keys are accepted and ignored, with a notice.
pub const JVM_ONLY: &[&str] =
    &["env.java.", "jobmanager.memory.", "taskmanager.memory.jvm-", "taskmanager.memory.framework.", "classloader."];

/// Returns the option with this key, if there is one.
pub fn find(key: &str) -> Option<&'static Description> {
    OPTIONS.iter().find(|option| option.key == key)
}
