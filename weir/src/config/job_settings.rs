//! The cluster's defaults for checkpointing and restarts, for job graphs that do not set them.

use weir_protocol::job_graph::validate::validate_settings;
use weir_protocol::job_graph::{CheckpointConfig, RestartStrategyConfig};

use super::value::{CheckpointRetention, RestartStrategyType};
use super::{Config, ConfigError, option};

impl Config {
    /// The settings of `execution.checkpointing.*`.
    pub fn checkpoint_config(&self) -> CheckpointConfig {
        CheckpointConfig {
            interval_ms: self.milliseconds(&option::CHECKPOINTING_INTERVAL),
            timeout_ms: self.milliseconds(&option::CHECKPOINTING_TIMEOUT),
            min_pause_ms: self.milliseconds(&option::CHECKPOINTING_MIN_PAUSE),
            max_concurrent: self.get(&option::CHECKPOINTING_MAX_CONCURRENT_CHECKPOINTS),
            tolerable_failures: self.get(&option::CHECKPOINTING_TOLERABLE_FAILED_CHECKPOINTS),
            retained: self.get(&option::CHECKPOINTING_NUM_RETAINED),
            retain_on_cancellation: self.get(&option::CHECKPOINTING_EXTERNALIZED_CHECKPOINT_RETENTION)
                == CheckpointRetention::RetainOnCancellation,
        }
    }

    /// The settings of `restart-strategy.*`.
    pub fn restart_strategy_config(&self) -> RestartStrategyConfig {
        match self.get(&option::RESTART_STRATEGY_TYPE) {
            RestartStrategyType::None => RestartStrategyConfig::None,
            RestartStrategyType::FixedDelay => RestartStrategyConfig::FixedDelay {
                attempts: self.get(&option::RESTART_STRATEGY_FIXED_DELAY_ATTEMPTS),
                delay_ms: self.milliseconds(&option::RESTART_STRATEGY_FIXED_DELAY_DELAY),
            },
            RestartStrategyType::FailureRate => RestartStrategyConfig::FailureRate {
                max_failures_per_interval: self.get(&option::RESTART_STRATEGY_FAILURE_RATE_MAX_FAILURES_PER_INTERVAL),
                interval_ms: self.milliseconds(&option::RESTART_STRATEGY_FAILURE_RATE_FAILURE_RATE_INTERVAL),
                delay_ms: self.milliseconds(&option::RESTART_STRATEGY_FAILURE_RATE_DELAY),
            },
            RestartStrategyType::ExponentialDelay => RestartStrategyConfig::ExponentialDelay {
                initial_backoff_ms: self.milliseconds(&option::RESTART_STRATEGY_EXPONENTIAL_DELAY_INITIAL_BACKOFF),
                max_backoff_ms: self.milliseconds(&option::RESTART_STRATEGY_EXPONENTIAL_DELAY_MAX_BACKOFF),
                backoff_multiplier: self.get(&option::RESTART_STRATEGY_EXPONENTIAL_DELAY_BACKOFF_MULTIPLIER),
                reset_backoff_threshold_ms: self
                    .milliseconds(&option::RESTART_STRATEGY_EXPONENTIAL_DELAY_RESET_BACKOFF_THRESHOLD),
                jitter_factor: self.get(&option::RESTART_STRATEGY_EXPONENTIAL_DELAY_JITTER_FACTOR),
            },
        }
    }

    /// Refuses settings with which every job graph would be refused.
    pub(super) fn check_job_settings(&self) -> Result<(), ConfigError> {
        validate_settings(&self.checkpoint_config(), &self.restart_strategy_config()).map_err(|errors| {
            let problems: Vec<_> = errors.iter().map(ToString::to_string).collect();
            ConfigError::Contradiction(format!("execution.checkpointing or restart-strategy: {}", problems.join("; ")))
        })
    }
}
