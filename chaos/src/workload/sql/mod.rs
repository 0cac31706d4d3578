//! A job whose correct output is what its SQL script means: windows, and aggregates that change.
//!
//! `weir sql` plans and submits the script. The judge plans it once more, and evaluates the plan over the generated rows by
//! definition (`sql/reference`). Beside the script, a client reads the rows of a query.

mod judge;
mod query;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_protocol::JobId;

use super::script;

pub use query::Query;

/// The tables that the script writes, each into a directory of its own. Those that change have a key: their first column.
const TABLES: [(&str, bool); 3] = [("per_window", false), ("per_product", true), ("per_remainder", true)];

/// The name of the job.
pub(super) const KEY: &str = "sql";

/// The committed rows of a table: for each subtask of the sink, by its number, its lines in the order in which they were written. The
/// rows of the query are those that its client has printed.
pub type CommittedTable = BTreeMap<String, Vec<String>>;

/// Runs a script of three INSERTs over generated rows. There is one row per millisecond of event time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlJob {
    pub rows: u64,
    /// At most 1000, so that event times are one millisecond apart.
    pub rows_per_second: u64,
    pub parallelism: u32,
    /// Time between checkpoints in milliseconds.
    pub checkpoint_interval_ms: u64,
}

impl SqlJob {
    /// The generated table.
    fn orders(&self) -> String {
        let Self { rows, rows_per_second, .. } = self;
        let last = rows.saturating_sub(1);
        format!(
            "CREATE TABLE orders (
  id BIGINT NOT NULL,
  ts TIMESTAMP(3) NOT NULL,
  product AS MOD(id, 13),
  buyer AS CASE WHEN MOD(id, 11) = 0 THEN NULL ELSE MOD(id * 7919, 101) END,
  WATERMARK FOR ts AS ts
) WITH ('connector' = 'datagen', 'rows-per-second' = '{rows_per_second}', 'number-of-rows' = '{rows}',
        'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '{last}');"
        )
    }

    /// The script, which writes below the directory `output`.
    pub fn script(&self, output: &Path) -> String {
        let step_ms = 1_000 / self.rows_per_second.max(1);
        let Self { parallelism, checkpoint_interval_ms, .. } = self;
        let files = |table: &str, more: &str| {
            let path = output.join(table);
            format!("WITH ('connector' = 'filesystem', 'format' = 'csv', 'path' = '{}'{more})", path.display())
        };
        let changes = ", 'sink.changelog.kind-column' = 'kind'";
        let (per_window, per_product, per_remainder) =
            (files("per_window", ""), files("per_product", changes), files("per_remainder", changes));
        let orders = self.orders();
        format!(
            "-- Rows are {step_ms} ms apart.
SET 'pipeline.name' = '{KEY}';
SET 'parallelism.default' = '{parallelism}';
SET 'execution.checkpointing.interval' = '{checkpoint_interval_ms} ms';
SET 'execution.checkpointing.timeout' = '10 s';
SET 'execution.checkpointing.tolerable-failed-checkpoints' = '1000';
SET 'execution.checkpointing.num-retained' = '3';
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '10000';
SET 'restart-strategy.fixed-delay.delay' = '50 ms';

{orders}

CREATE TABLE per_window (window_start STRING, window_end STRING, product BIGINT, orders BIGINT, ids BIGINT, buyers BIGINT)
{per_window};
CREATE TABLE per_product (product BIGINT, orders BIGINT, buyers BIGINT, ids BIGINT, last_buyer BIGINT)
{per_product};
CREATE TABLE per_remainder (remainder BIGINT, products BIGINT, orders BIGINT, fewest BIGINT)
{per_remainder};

EXECUTE STATEMENT SET BEGIN
INSERT INTO per_window
  SELECT CAST(window_start AS STRING), CAST(window_end AS STRING), product, COUNT(*), SUM(id), COUNT(DISTINCT buyer)
  FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '0.250' SECOND, INTERVAL '1' SECOND))
  GROUP BY window_start, window_end, product;
INSERT INTO per_product
  SELECT product, COUNT(*), COUNT(DISTINCT buyer), SUM(id), MAX(buyer) FROM orders GROUP BY product;
-- Products wander from group to group: rows are taken back from an aggregate, and groups come and go.
INSERT INTO per_remainder
  SELECT MOD(orders, 5), COUNT(*), SUM(orders), MIN(orders)
  FROM (SELECT product, COUNT(*) AS orders FROM orders GROUP BY product)
  GROUP BY MOD(orders, 5);
END;
"
        )
    }

    /// Submits the script, as a user does. Returns its one job.
    pub fn submit(&self, binary: &Path, addresses: &[String], directory: &Path, output: &Path) -> io::Result<JobId> {
        Ok(script::submit(binary, addresses, directory, &self.script(output))?[0])
    }
}

/// The committed rows of every table below a directory.
pub fn committed_tables(output: &Path) -> io::Result<BTreeMap<String, CommittedTable>> {
    let table = |(name, _): (&str, bool)| Ok((name.to_owned(), committed_table(&output.join(name))?));
    TABLES.into_iter().map(table).collect()
}

fn committed_table(directory: &Path) -> io::Result<CommittedTable> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(CommittedTable::new()),
        entries => entries?,
    };
    let mut parts: Vec<(Vec<u64>, PathBuf)> = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(part) = name.strip_prefix("part-") {
            // Subtask, checkpoint, epoch, attempt and number: files in this order are in the order of their rows.
            parts.push((part.split('-').take(5).map_while(|number| number.parse().ok()).collect(), path));
        }
    }
    parts.sort();
    let mut table = CommittedTable::new();
    for (order, path) in parts {
        let subtask = order.first().copied().filter(|_| order.len() == 5);
        let subtask = subtask.ok_or_else(|| io::Error::other(format!("{}: a strange name of a part", path.display())))?;
        table.entry(subtask.to_string()).or_default().extend(std::fs::read_to_string(&path)?.lines().map(str::to_owned));
    }
    Ok(table)
}
