//! The options that are set in a session.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_protocol::job_graph::catalog::closest;
use weir_protocol::job_graph::{CheckpointConfig, RestartStrategyConfig};

use super::option::{OPTIONS, SessionOption};
use crate::option;
use crate::script::SqlError;

/// The options that were set, by name. Each value was checked when it was set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionOptions {
    set: BTreeMap<String, String>,
}

/// Whether the last checkpoints survive when the job is canceled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    Retain,
    Delete,
}

/// The option of this name or alias.
fn lookup(key: &str) -> Option<&'static SessionOption> {
    OPTIONS.iter().find(|option| option.name == key || option.aliases.contains(&key))
}

fn unknown(key: &str) -> SqlError {
    let error = SqlError::new("SQL-OPTION", format!("there is no option '{key}'"));
    match closest(key, OPTIONS.iter().map(|option| option.name)) {
        Some(other) => error.hint(format!("did you mean '{other}'?")),
        None => error.hint("SET lists what is set; the reference lists all options"),
    }
}

impl SessionOptions {
    /// Sets an option. Errors: `SQL-OPTION` for an unknown option or a wrong value, `SQL-UNSUPPORTED` for one of Flink's that Weir has not.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SqlError> {
        let option = lookup(key).ok_or_else(|| unknown(key))?;
        if !option.value.accepts(value) {
            let message = format!("option '{key}' is '{value}'; it must be {}", option.value.expects());
            return Err(SqlError::new("SQL-OPTION", message));
        }
        if !option.only.is_empty() && !option.only.iter().any(|only| only.eq_ignore_ascii_case(value.trim())) {
            let error = SqlError::unsupported(format!("'{}' = '{value}'", option.name));
            return Err(error.hint(format!("it can be {}", option.only.join(" or "))));
        }
        self.set.insert(option.name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Takes a setting back. Error: `SQL-OPTION` for an unknown option.
    pub fn reset(&mut self, key: &str) -> Result<(), SqlError> {
        let option = lookup(key).ok_or_else(|| unknown(key))?;
        self.set.remove(option.name);
        Ok(())
    }

    /// Takes all settings back.
    pub fn reset_all(&mut self) {
        self.set.clear();
    }

    /// What is set, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.set.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value that is set, as it was written.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.set.get(key).map(String::as_str)
    }

    fn duration_ms(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(option::duration_ms)
    }

    fn number<N: std::str::FromStr>(&self, key: &str) -> Option<N> {
        self.get(key).and_then(|text| text.trim().parse().ok())
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.get(key).and_then(option::flag)
    }

    /// Number of parallel instances of each operator.
    pub fn parallelism(&self) -> u32 {
        self.number("parallelism.default").unwrap_or(1)
    }

    /// Number of key groups.
    pub fn max_parallelism(&self) -> u32 {
        self.number("pipeline.max-parallelism").unwrap_or(128)
    }

    /// The name of the next jobs, if it is set.
    pub fn pipeline_name(&self) -> Option<&str> {
        self.get("pipeline.name")
    }

    /// The name of the session's time zone.
    pub fn local_time_zone(&self) -> &str {
        self.get("table.local-time-zone").unwrap_or("UTC")
    }

    /// How far event time advances from one watermark to the next, in milliseconds.
    pub fn auto_watermark_interval_ms(&self) -> u64 {
        self.duration_ms("pipeline.auto-watermark-interval").unwrap_or(200)
    }

    /// After this many milliseconds without rows, a source no longer holds event time back; 0 means never.
    pub fn idle_timeout_ms(&self) -> u64 {
        self.duration_ms("table.exec.source.idle-timeout").unwrap_or(0)
    }

    /// How long untouched state is kept, in milliseconds; 0 means for ever.
    pub fn state_ttl_ms(&self) -> u64 {
        self.duration_ms("table.exec.state.ttl").unwrap_or(0)
    }

    /// Whether aggregation has two phases: `None` leaves it to the planner.
    pub fn two_phase_aggregation(&self) -> Option<bool> {
        match self.get("table.optimizer.agg-phase-strategy")?.trim().to_ascii_uppercase().as_str() {
            "ONE_PHASE" => Some(false),
            "TWO_PHASE" => Some(true),
            _ => None,
        }
    }

    /// Time between the checkpoints of a query whose rows come back, in milliseconds. Rows appear with checkpoints.
    pub fn select_checkpoint_interval_ms(&self) -> u64 {
        self.duration_ms("sql.select.checkpoint-interval").unwrap_or(500)
    }

    /// Whether the shell shows each change of a query's rows, not the table that they add up to.
    pub fn shows_changes(&self) -> bool {
        self.get("sql-client.execution.result-mode").is_some_and(|mode| !mode.trim().eq_ignore_ascii_case("TABLE"))
    }

    /// The most rows of a table that the shell keeps.
    pub fn max_table_rows(&self) -> usize {
        let rows: i64 = self.number("sql-client.execution.max-table-result.rows").unwrap_or(1_000_000);
        usize::try_from(rows).unwrap_or(usize::MAX)
    }

    /// Whether INSERT waits for the end of its job.
    pub fn dml_sync(&self) -> bool {
        self.flag("table.dml-sync").unwrap_or(false)
    }

    /// The snapshot that jobs start from.
    pub fn restore_from(&self) -> Option<&str> {
        self.get("execution.state-recovery.path")
    }

    /// Whether state of that snapshot may be dropped.
    pub fn allows_non_restored_state(&self) -> bool {
        self.flag("execution.state-recovery.ignore-unclaimed-state").unwrap_or(false)
    }

    /// When and how to checkpoint; nothing if the session sets none of it. `cluster` fills in what it does not set.
    pub fn checkpointing(&self, cluster: CheckpointConfig) -> Option<CheckpointConfig> {
        const PREFIX: &str = "execution.checkpointing.";
        if !self.set.keys().any(|key| key.starts_with(PREFIX)) {
            return None;
        }
        let ms = |key: &str, default| self.duration_ms(&format!("{PREFIX}{key}")).unwrap_or(default);
        let count = |key: &str, default| self.number(&format!("{PREFIX}{key}")).unwrap_or(default);
        Some(CheckpointConfig {
            interval_ms: ms("interval", cluster.interval_ms),
            timeout_ms: ms("timeout", cluster.timeout_ms),
            min_pause_ms: ms("min-pause", cluster.min_pause_ms),
            max_concurrent: count("max-concurrent-checkpoints", cluster.max_concurrent),
            tolerable_failures: count("tolerable-failed-checkpoints", cluster.tolerable_failures),
            retained: count("num-retained", cluster.retained),
            retain_on_cancellation: match self.retention() {
                Some(retention) => retention == Retention::Retain,
                None => cluster.retain_on_cancellation,
            },
        })
    }

    fn retention(&self) -> Option<Retention> {
        let value = self.get("execution.checkpointing.externalized-checkpoint-retention")?;
        Some(if value.trim().eq_ignore_ascii_case("RETAIN_ON_CANCELLATION") { Retention::Retain } else { Retention::Delete })
    }

    /// When to restart; nothing if the session does not say.
    pub fn restart_strategy(&self) -> Option<RestartStrategyConfig> {
        let ms = |key: &str, default| self.duration_ms(&format!("restart-strategy.{key}")).unwrap_or(default);
        let kind = self.get("restart-strategy.type")?.trim().to_ascii_lowercase();
        Some(match kind.as_str() {
            "fixed-delay" => RestartStrategyConfig::FixedDelay {
                attempts: self.number("restart-strategy.fixed-delay.attempts").unwrap_or(1),
                delay_ms: ms("fixed-delay.delay", 1_000),
            },
            "failure-rate" => RestartStrategyConfig::FailureRate {
                max_failures_per_interval: self.number("restart-strategy.failure-rate.max-failures-per-interval").unwrap_or(1),
                interval_ms: ms("failure-rate.failure-rate-interval", 60_000),
                delay_ms: ms("failure-rate.delay", 1_000),
            },
            "exponential-delay" => RestartStrategyConfig::ExponentialDelay {
                initial_backoff_ms: ms("exponential-delay.initial-backoff", 1_000),
                max_backoff_ms: ms("exponential-delay.max-backoff", 60_000),
                backoff_multiplier: self.number("restart-strategy.exponential-delay.backoff-multiplier").unwrap_or(1.5),
                reset_backoff_threshold_ms: ms("exponential-delay.reset-backoff-threshold", 3_600_000),
                jitter_factor: self.number("restart-strategy.exponential-delay.jitter-factor").unwrap_or(0.1),
            },
            _ => RestartStrategyConfig::None,
        })
    }
}
