//! The options of SET.

use crate::OptionValue::{self, Choice, Duration, Flag, Integer, Memory, Number, Text, Zone};

/// An option that SET knows.
#[derive(Debug, Clone, Copy)]
pub struct SessionOption {
    /// Its name: Flink's, if Flink has it.
    pub name: &'static str,
    /// Other names of it, which Flink had earlier.
    pub aliases: &'static [&'static str],
    pub value: OptionValue,
    /// What holds without it, for people.
    pub default: &'static str,
    /// One sentence that says what it does.
    pub doc: &'static str,
    /// The only values that are taken, if there are others in Flink; all if empty.
    pub only: &'static [&'static str],
}

const fn option(name: &'static str, value: OptionValue, default: &'static str, doc: &'static str) -> SessionOption {
    SessionOption { name, aliases: &[], value, default, doc, only: &[] }
}

impl SessionOption {
    const fn or(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn only(mut self, only: &'static [&'static str]) -> Self {
        self.only = only;
        self
    }
}

const COUNT: OptionValue = Integer(1, i32::MAX as i64);
const COUNT_OR_ZERO: OptionValue = Integer(0, i32::MAX as i64);
const CLUSTER: &str = "as the cluster is configured";

/// All options, by name.
pub const OPTIONS: &[SessionOption] = &[
    option(
        "execution.checkpointing.externalized-checkpoint-retention",
        Choice(&["RETAIN_ON_CANCELLATION", "DELETE_ON_CANCELLATION", "NO_EXTERNALIZED_CHECKPOINTS"]),
        CLUSTER,
        "Whether the last checkpoints survive when the job is canceled.",
    ),
    option("execution.checkpointing.interval", Duration, CLUSTER, "Time between checkpoints; 0 means none.")
        .or(&["execution.checkpointing-interval"]),
    option("execution.checkpointing.max-concurrent-checkpoints", COUNT, CLUSTER, "Most checkpoints in progress at once."),
    option(
        "execution.checkpointing.min-pause",
        Duration,
        CLUSTER,
        "Shortest time between the end of a checkpoint and the start of the next.",
    ),
    option(
        "execution.checkpointing.mode",
        Choice(&["EXACTLY_ONCE", "AT_LEAST_ONCE"]),
        "EXACTLY_ONCE",
        "The guarantee of checkpoints.",
    )
    .or(&["execution.checkpointing.consistency-mode"])
    .only(&["EXACTLY_ONCE"]),
    option("execution.checkpointing.num-retained", COUNT, CLUSTER, "Number of completed checkpoints that are kept.")
        .or(&["state.checkpoints.num-retained"]),
    option("execution.checkpointing.timeout", Duration, CLUSTER, "A checkpoint that takes longer is aborted."),
    option(
        "execution.checkpointing.tolerable-failed-checkpoints",
        COUNT_OR_ZERO,
        CLUSTER,
        "Number of checkpoints that may fail in a row before the job restarts.",
    ),
    option("execution.checkpointing.unaligned.enabled", Flag, "false", "Whether barriers overtake rows.")
        .or(&["execution.checkpointing.unaligned"])
        .only(&["false"]),
    option("execution.runtime-mode", Choice(&["STREAMING", "BATCH", "AUTOMATIC"]), "STREAMING", "How queries run.")
        .only(&["STREAMING"]),
    option(
        "execution.state-recovery.claim-mode",
        Choice(&["NO_CLAIM", "CLAIM"]),
        "NO_CLAIM",
        "Whether the job owns the snapshot that it starts from.",
    )
    .or(&["execution.savepoint-restore-mode"])
    .only(&["NO_CLAIM"]),
    option(
        "execution.state-recovery.ignore-unclaimed-state",
        Flag,
        "false",
        "Whether state of the snapshot that no operator claims is dropped.",
    )
    .or(&["execution.savepoint.ignore-unclaimed-state"]),
    option("execution.state-recovery.path", Text, "none", "The savepoint or checkpoint that jobs start from.")
        .or(&["execution.savepoint.path"]),
    option("parallelism.default", COUNT, "1", "Number of parallel instances of each operator."),
    option(
        "pipeline.auto-watermark-interval",
        Duration,
        "200 ms",
        "How far event time must advance before the next watermark is sent.",
    ),
    option(
        "pipeline.max-parallelism",
        Integer(1, 32_768),
        "128",
        "Number of key groups, which bounds the parallelism for the life of the job.",
    ),
    option("pipeline.name", Text, "made from the sinks", "The name of the next jobs."),
    option(
        "restart-strategy.exponential-delay.backoff-multiplier",
        Number,
        "1.5",
        "Factor from one wait before a restart to the next.",
    ),
    option("restart-strategy.exponential-delay.initial-backoff", Duration, "1 s", "The first wait before a restart."),
    option("restart-strategy.exponential-delay.jitter-factor", Number, "0.1", "Fraction by which waits vary."),
    option("restart-strategy.exponential-delay.max-backoff", Duration, "1 min", "The longest wait before a restart."),
    option(
        "restart-strategy.exponential-delay.reset-backoff-threshold",
        Duration,
        "1 h",
        "After this long without failure, waits start over.",
    ),
    option("restart-strategy.failure-rate.delay", Duration, "1 s", "Wait before each restart."),
    option(
        "restart-strategy.failure-rate.failure-rate-interval",
        Duration,
        "1 min",
        "The interval in which failures are counted.",
    ),
    option("restart-strategy.failure-rate.max-failures-per-interval", COUNT, "1", "Failures allowed in an interval."),
    option("restart-strategy.fixed-delay.attempts", COUNT, "1", "Most restarts of a job."),
    option("restart-strategy.fixed-delay.delay", Duration, "1 s", "Wait before each restart."),
    option(
        "restart-strategy.type",
        Choice(&["none", "off", "disable", "fixed-delay", "failure-rate", "exponential-delay"]),
        CLUSTER,
        "When a job restarts after a failure.",
    )
    .or(&["restart-strategy"]),
    option("sql-client.display.max-column-width", COUNT, "30", "Widest column that the shell shows, in characters.")
        .or(&["sql-client.display.max_column_width", "table.display.max-column-width"]),
    option("sql-client.execution.max-table-result.rows", Integer(-1, i64::MAX), "1000000", "Most rows that the shell keeps."),
    option(
        "sql-client.execution.result-mode",
        Choice(&["TABLE", "CHANGELOG", "TABLEAU"]),
        "TABLE",
        "How the shell shows the rows of a query.",
    ),
    option("sql-client.verbose", Flag, "false", "Whether the shell shows all of an error."),
    option(
        "sql.select.checkpoint-interval",
        Duration,
        "500 ms",
        "Time between the checkpoints of a query whose rows come back. Rows appear with checkpoints.",
    ),
    option("table.dml-sync", Flag, "false", "Whether INSERT waits for the end of its job."),
    option("table.dynamic-table-options.enabled", Flag, "true", "Whether queries may give options of tables in hints.")
        .only(&["true"]),
    option(
        "table.exec.mini-batch.allow-latency",
        Duration,
        "0 ms",
        "Has no effect: changes are merged per batch, never held back.",
    ),
    option("table.exec.mini-batch.enabled", Flag, "false", "Has no effect: changes are merged per batch, never held back."),
    option(
        "table.exec.mini-batch.size",
        Integer(-1, i64::MAX),
        "-1",
        "Has no effect: changes are merged per batch, never held back.",
    ),
    option(
        "table.exec.sink.keyed-shuffle",
        Choice(&["NONE", "AUTO", "FORCE"]),
        "AUTO",
        "Whether rows are distributed by the key of the sink.",
    )
    .only(&["NONE", "AUTO"]),
    option(
        "table.exec.sink.not-null-enforcer",
        Choice(&["ERROR", "DROP"]),
        "ERROR",
        "What becomes of NULL in a NOT NULL column of a sink.",
    )
    .only(&["ERROR"]),
    option(
        "table.exec.sink.upsert-materialize",
        Choice(&["NONE", "AUTO", "FORCE"]),
        "AUTO",
        "Whether a sink's rows are put in order by key.",
    )
    .only(&["NONE", "AUTO"]),
    option(
        "table.exec.source.idle-timeout",
        Duration,
        "0 ms",
        "After this long without rows, a source no longer holds event time back; 0 means never.",
    ),
    option("table.exec.state.ttl", Duration, "0 ms", "How long state that no row has touched is kept; 0 means for ever."),
    option("table.local-time-zone", Zone, "UTC", "The time zone in which TIMESTAMP_LTZ is shown and read."),
    option(
        "table.optimizer.agg-phase-strategy",
        Choice(&["AUTO", "ONE_PHASE", "TWO_PHASE"]),
        "AUTO",
        "Whether rows of several subtasks are aggregated before they are distributed by key; AUTO does so where it is possible.",
    ),
    option("table.optimizer.multi-join.enabled", Flag, "false", "Whether chains of joins become one operator.").only(&["false"]),
    option(
        "table.optimizer.non-deterministic-update.strategy",
        Choice(&["TRY_RESOLVE", "IGNORE"]),
        "TRY_RESOLVE",
        "Whether functions that vary from call to call are refused where rows may be withdrawn.",
    )
    .only(&["TRY_RESOLVE"]),
    option("table.optimizer.reuse-sub-plan-enabled", Flag, "true", "Whether equal parts of a plan run once.").only(&["true"]),
    option("table.sql-dialect", Choice(&["default", "hive"]), "default", "The dialect of statements.").only(&["default"]),
    option("taskmanager.memory.managed.size", Memory, CLUSTER, "Managed memory, which Weir has not.").only(&["0"]),
];
