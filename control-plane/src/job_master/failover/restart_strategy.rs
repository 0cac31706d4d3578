//! Flink's restart strategies: they decide whether and when a job restarts after a failure.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use weir_protocol::job_graph::RestartStrategyConfig;
use weir_world::Millis;

/// The decision of a restart strategy after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestartDecision {
    /// Restart after this many milliseconds.
    After(u64),
    /// Fail the job. Holds the reason, for people.
    GiveUp(String),
}

/// A restart strategy and its counts. A new leader starts with fresh counts.
#[derive(Debug, Clone, PartialEq)]
pub struct RestartStrategy {
    config: RestartStrategyConfig,
    restarts: u32,
    recent: VecDeque<Millis>,
    backoff_ms: f64,
    last_restart: Option<Millis>,
    random: u64,
}

/// Maximum number of failures that a `failure-rate` strategy remembers, whatever its configuration says.
const REMEMBERED_FAILURES: u32 = 10_000;

/// Wait before a free restart if the strategy is `none`, milliseconds. It prevents a busy loop if the job fails at once.
const FREE_RESTART_MS: u64 = 100;

impl Hash for RestartStrategy {
    /// Hashes everything but the configuration, which never changes.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { config: _, restarts, recent, backoff_ms, last_restart, random } = self;
        (restarts, recent, backoff_ms.to_bits(), last_restart, random).hash(state);
    }
}

impl RestartStrategy {
    /// Creates a strategy that has seen no failure. `seed` determines the jitter.
    pub fn new(config: RestartStrategyConfig, seed: u64) -> Self {
        let backoff_ms = match &config {
            RestartStrategyConfig::ExponentialDelay { initial_backoff_ms, .. } => *initial_backoff_ms as f64,
            _ => 0.0,
        };
        Self { config, restarts: 0, recent: VecDeque::new(), backoff_ms, last_restart: None, random: seed }
    }

    /// Counts a failure and decides whether the job restarts.
    pub fn on_failure(&mut self, now: Millis) -> RestartDecision {
        match self.config.clone() {
            RestartStrategyConfig::None => RestartDecision::GiveUp("the restart strategy is \"none\"".to_string()),
            RestartStrategyConfig::FixedDelay { attempts, delay_ms } => {
                if self.restarts >= attempts {
                    return RestartDecision::GiveUp(format!("all {attempts} restarts of the fixed-delay strategy are used up"));
                }
                self.restarts += 1;
                RestartDecision::After(delay_ms)
            }
            RestartStrategyConfig::FailureRate { max_failures_per_interval, interval_ms, delay_ms } => {
                let limit = max_failures_per_interval.min(REMEMBERED_FAILURES);
                self.recent.retain(|failure| now.since(*failure) < interval_ms);
                if self.recent.len() >= limit as usize {
                    return RestartDecision::GiveUp(format!("more than {limit} failures within {interval_ms} ms"));
                }
                self.recent.push_back(now);
                RestartDecision::After(delay_ms)
            }
            RestartStrategyConfig::ExponentialDelay {
                initial_backoff_ms,
                max_backoff_ms,
                backoff_multiplier,
                reset_backoff_threshold_ms,
                jitter_factor,
            } => {
                let ran_well = self.last_restart.is_some_and(|restart| now.since(restart) >= reset_backoff_threshold_ms);
                if ran_well {
                    self.backoff_ms = initial_backoff_ms as f64;
                }
                let delay = self.jittered(self.backoff_ms, jitter_factor).min(max_backoff_ms as f64).max(0.0) as u64;
                let multiplier = if backoff_multiplier.is_finite() { backoff_multiplier.max(1.0) } else { 1.0 };
                self.backoff_ms = (self.backoff_ms * multiplier).min(max_backoff_ms as f64);
                self.last_restart = Some(now.after(delay));
                RestartDecision::After(delay)
            }
        }
    }

    /// The wait before a restart that does not count because a drill caused it, milliseconds. It is the shortest wait of the
    /// strategy.
    pub fn delay_of_a_free_restart(&self) -> u64 {
        match &self.config {
            RestartStrategyConfig::None => FREE_RESTART_MS,
            RestartStrategyConfig::FixedDelay { delay_ms, .. } | RestartStrategyConfig::FailureRate { delay_ms, .. } => *delay_ms,
            RestartStrategyConfig::ExponentialDelay { initial_backoff_ms, .. } => *initial_backoff_ms,
        }
    }

    fn jittered(&mut self, milliseconds: f64, factor: f64) -> f64 {
        let factor = if factor.is_finite() { factor.clamp(0.0, 1.0) } else { 0.0 };
        // splitmix64 is good enough to spread restarts, and repeatable from its seed.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let unit = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        milliseconds * (1.0 + factor * (2.0 * unit - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(decision: RestartDecision) -> u64 {
        match decision {
            RestartDecision::After(milliseconds) => milliseconds,
            RestartDecision::GiveUp(reason) => panic!("gave up: {reason}"),
        }
    }

    #[test]
    fn none_gives_up_at_the_first_failure() {
        let mut strategy = RestartStrategy::new(RestartStrategyConfig::None, 1);
        assert!(matches!(strategy.on_failure(Millis(0)), RestartDecision::GiveUp(_)));
    }

    #[test]
    fn free_restarts_use_the_delay_of_the_strategy_and_do_not_count() {
        let none = RestartStrategy::new(RestartStrategyConfig::None, 1);
        assert_eq!(none.delay_of_a_free_restart(), FREE_RESTART_MS);
        let mut fixed = RestartStrategy::new(RestartStrategyConfig::FixedDelay { attempts: 1, delay_ms: 70 }, 1);
        for _ in 0..5 {
            assert_eq!(fixed.delay_of_a_free_restart(), 70);
        }
        assert_eq!(after(fixed.on_failure(Millis(0))), 70, "the one restart has not been used up");
        assert!(matches!(fixed.on_failure(Millis(1)), RestartDecision::GiveUp(_)));
    }

    #[test]
    fn fixed_delay_gives_up_after_the_configured_number_of_restarts() {
        let mut strategy = RestartStrategy::new(RestartStrategyConfig::FixedDelay { attempts: 2, delay_ms: 70 }, 1);
        assert_eq!(after(strategy.on_failure(Millis(0))), 70);
        assert_eq!(after(strategy.on_failure(Millis(1_000_000))), 70);
        assert!(matches!(strategy.on_failure(Millis(2_000_000)), RestartDecision::GiveUp(_)));
    }

    #[test]
    fn failure_rate_gives_up_only_when_failures_are_too_close_together() {
        let config = RestartStrategyConfig::FailureRate { max_failures_per_interval: 2, interval_ms: 100, delay_ms: 5 };
        let mut strategy = RestartStrategy::new(config, 1);
        for at in [0, 60, 120, 180, 240] {
            assert_eq!(after(strategy.on_failure(Millis(at))), 5, "at {at}");
        }
        assert!(matches!(strategy.on_failure(Millis(250)), RestartDecision::GiveUp(_)));
    }

    #[test]
    fn exponential_delay_grows_to_its_maximum_and_resets_after_a_long_run() {
        let config = RestartStrategyConfig::ExponentialDelay {
            initial_backoff_ms: 100,
            max_backoff_ms: 1_000,
            backoff_multiplier: 3.0,
            reset_backoff_threshold_ms: 10_000,
            jitter_factor: 0.0,
        };
        let mut strategy = RestartStrategy::new(config, 1);
        let delays: Vec<u64> = (0..5).map(|n| after(strategy.on_failure(Millis(n * 1_000)))).collect();
        assert_eq!(delays, [100, 300, 900, 1_000, 1_000]);
        assert_eq!(after(strategy.on_failure(Millis(14_000))), 1_000, "less than the threshold after the last restart");
        assert_eq!(after(strategy.on_failure(Millis(25_000))), 100);
    }

    #[test]
    fn jitter_stays_within_its_factor_and_is_repeatable_from_its_seed() {
        let config = RestartStrategyConfig::ExponentialDelay {
            initial_backoff_ms: 1_000,
            max_backoff_ms: 60_000,
            backoff_multiplier: 1.0,
            reset_backoff_threshold_ms: 3_600_000,
            jitter_factor: 0.1,
        };
        let run = |seed| {
            let mut strategy = RestartStrategy::new(config.clone(), seed);
            (0..50).map(|n| after(strategy.on_failure(Millis(n)))).collect::<Vec<_>>()
        };
        let delays = run(7);
        assert!(delays.iter().all(|delay| (900..=1_100).contains(delay)), "{delays:?}");
        assert!(delays.iter().any(|delay| delay != &delays[0]));
        assert_eq!(delays, run(7));
        assert_ne!(delays, run(8));
    }
}
