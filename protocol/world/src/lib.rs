//! The only access to time, randomness, network, disk, threads and named tasks.
//!
//! Coordination, control plane and worker use only this crate for them, so that the same code runs deterministically in a
//! simulation. Clippy and the tidy test ban the direct ways. A process uses the real world, unless it first installs a
//! [`simulation::Simulation`].

mod backoff;
pub mod descriptors;
pub mod disk;
pub mod flaw;
pub mod net;
pub mod output;
pub mod simulation;
mod tasks;
mod threads;
mod time;

pub use backoff::Backoff;
pub use tasks::{blocking, spawn};
pub use threads::{Ended, OwnRuntime, on_thread};
pub use time::{Millis, MonotonicClock, SteadyClock, wall_clock_ms};

/// 128 random bits, for ids.
pub fn random_id() -> u128 {
    if let Some(simulation) = simulation::current() {
        return simulation.random_id();
    }
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    uuid::Uuid::new_v4().as_u128()
}

/// Whether a rare but allowed event happens at the place `here`. In a simulation such events happen often; in reality perhaps
/// once in years. Always false in the real world.
pub fn rarely(here: &'static str) -> bool {
    simulation::current().is_some_and(|simulation| simulation.rarely(here))
}

/// In a simulation, sometimes sleeps at the place `here`. In the real world it returns at once.
pub async fn delay_at_times(here: &'static str) {
    if let Some(simulation) = simulation::current()
        && simulation.rarely(here)
    {
        tokio::time::sleep(simulation.delay_at_times()).await;
    }
}
