//! What jobs get whose graphs don't say: checkpointing and restarts.

use weir_protocol::job_graph::validate::validate_settings;
use weir_protocol::job_graph::{CheckpointConfig, RestartStrategyConfig};

use super::{Config, ConfigError};

impl Config {
    /// `execution.checkpointing.*`.
    pub fn checkpoint_config(&self) -> CheckpointConfig {
        CheckpointConfig {
            interval_ms: self.milliseconds("execution.checkpointing.interval"),
            timeout_ms: self.milliseconds("execution.checkpointing.timeout"),
            min_pause_ms: self.milliseconds("execution.checkpointing.min-pause"),
            max_concurrent: self.small("execution.checkpointing.max-concurrent-checkpoints"),
            tolerable_failures: self.small("execution.checkpointing.tolerable-failed-checkpoints"),
            retained: self.small("execution.checkpointing.num-retained"),
            retain_on_cancellation: self.text("execution.checkpointing.externalized-checkpoint-retention")
                == "RETAIN_ON_CANCELLATION",
        }
    }

    /// `restart-strategy.*`.
    pub fn restart_strategy_config(&self) -> RestartStrategyConfig {
        match self.text("restart-strategy.type").as_str() {
            "none" => RestartStrategyConfig::None,
            "fixed-delay" => RestartStrategyConfig::FixedDelay {
                attempts: self.small("restart-strategy.fixed-delay.attempts"),
                delay_ms: self.milliseconds("restart-strategy.fixed-delay.delay"),
            },
            "failure-rate" => RestartStrategyConfig::FailureRate {
                max_failures_per_interval: self.small("restart-strategy.failure-rate.max-failures-per-interval"),
                interval_ms: self.milliseconds("restart-strategy.failure-rate.failure-rate-interval"),
                delay_ms: self.milliseconds("restart-strategy.failure-rate.delay"),
            },
            _ => RestartStrategyConfig::ExponentialDelay {
                initial_backoff_ms: self.milliseconds("restart-strategy.exponential-delay.initial-backoff"),
                max_backoff_ms: self.milliseconds("restart-strategy.exponential-delay.max-backoff"),
                backoff_multiplier: self.number("restart-strategy.exponential-delay.backoff-multiplier"),
                reset_backoff_threshold_ms: self.milliseconds("restart-strategy.exponential-delay.reset-backoff-threshold"),
                jitter_factor: self.number("restart-strategy.exponential-delay.jitter-factor"),
            },
        }
    }

    /// Refuses settings that every job graph would be refused for.
    pub(super) fn check_job_settings(&self) -> Result<(), ConfigError> {
        validate_settings(&self.checkpoint_config(), &self.restart_strategy_config()).map_err(|errors| {
            let problems: Vec<_> = errors.iter().map(ToString::to_string).collect();
            ConfigError::Contradiction(format!("execution.checkpointing or restart-strategy: {}", problems.join("; ")))
        })
    }

    /// A whole number of 32 bits; more becomes the largest.
    fn small(&self, key: &'static str) -> u32 {
        u32::try_from(self.integer(key)).unwrap_or(u32::MAX)
    }
}
