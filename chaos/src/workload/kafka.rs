//! The counting job over a stream: one job writes the numbered rows to a topic, exactly-once, and the judged job counts them from
//! there into another topic. Kafka's own consumer reads what is committed of it.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use weir_protocol::JobId;

use super::{CountingJob, START_MS, script};

/// The name of the judged job.
pub(super) const KEY: &str = "kafka";
/// The name of the job that fills the topic which the judged job reads.
pub const FEED: &str = "feed";
/// Partitions of the topic that is read, and writers of it. Event times rise in each of them.
pub const WRITERS: u32 = 2;
/// Rows that only end the windows of the others: some for each writer.
const FURTHER_ROWS: u64 = 10 * WRITERS as u64;
/// The topic that is read.
const READINGS: &str = "readings";
/// The topic of the results.
pub const RESULTS: &str = "counts";
/// The topics, and how many partitions each has.
pub const TOPICS: [(&str, u32); 2] = [(READINGS, WRITERS), (RESULTS, 3)];

/// Counts numbered rows from one topic into another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaJob {
    /// What the two jobs do together. The parallelism is that of the job that counts.
    pub counting: CountingJob,
    /// Kafka aborts transactions that are open for longer than this.
    pub transaction_timeout_ms: u64,
}

impl KafkaJob {
    /// How many results there must be.
    pub fn results(&self) -> usize {
        self.counting.expected().len()
    }

    /// The script of both jobs.
    fn script(&self, brokers: &str) -> String {
        let CountingJob { rows, rows_per_second, keys, window_ms, parallelism, checkpoint_interval_ms } = self.counting;
        let timeout = self.transaction_timeout_ms;
        // Windows end when later rows come. Those further rows are in a window that never ends.
        let all = rows + FURTHER_ROWS;
        let last = all - 1;
        let table = |topic: &str, format: &str| {
            format!(
                "'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}', 'format' = '{format}',
  'scan.startup.mode' = 'earliest-offset', 'sink.delivery-guarantee' = 'exactly-once',
  'properties.transaction.timeout.ms' = '{timeout}'"
            )
        };
        format!(
            "SET 'execution.checkpointing.interval' = '{checkpoint_interval_ms} ms';
SET 'execution.checkpointing.timeout' = '5 s';
SET 'execution.checkpointing.tolerable-failed-checkpoints' = '1000';
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '10000';
SET 'restart-strategy.fixed-delay.delay' = '50 ms';
CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '{rows_per_second}',
  'number-of-rows' = '{all}', 'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '{last}');
CREATE TABLE {READINGS} (id BIGINT, happened BIGINT, ts AS TO_TIMESTAMP_LTZ(happened, 3), WATERMARK FOR ts AS ts) WITH ({},
  'sink.partitioner' = 'fixed');
CREATE TABLE {RESULTS} (happened BIGINT, k BIGINT, n BIGINT, total BIGINT, newest BIGINT) WITH ({});
SET 'pipeline.name' = '{FEED}';
SET 'parallelism.default' = '{WRITERS}';
INSERT INTO {READINGS} SELECT id, {START_MS} + id + id / {rows} * {window_ms} FROM numbers;
SET 'pipeline.name' = '{KEY}';
SET 'parallelism.default' = '{parallelism}';
INSERT INTO {RESULTS}
  SELECT MIN(happened) - MOD(MIN(happened), {window_ms}), MOD(id, {keys}), COUNT(*), SUM(id), MAX(id)
  FROM TABLE(TUMBLE(TABLE {READINGS}, DESCRIPTOR(ts), INTERVAL '{}.{:03}' SECOND))
  GROUP BY window_start, window_end, MOD(id, {keys});
",
            table(READINGS, "json"),
            table(RESULTS, "csv"),
            window_ms / 1_000,
            window_ms % 1_000
        )
    }

    /// Submits both jobs, as a user does. Returns the one that fills the topic and the one that counts.
    pub fn submit(&self, binary: &Path, addresses: &[String], directory: &Path, brokers: &str) -> io::Result<[JobId; 2]> {
        let jobs = script::submit(binary, addresses, directory, &self.script(brokers))?;
        jobs.try_into().map_err(|jobs| io::Error::other(format!("weir sql named other jobs than two: {jobs:?}")))
    }
}
