//! The one seam to the world: time, randomness, network, disk, threads and named tasks.
//!
//! Coordination, control plane and the worker take these from here and from nowhere else (clippy and the tidy test ban the
//! others), so that the same code runs deterministically in a simulation. Which world it is is decided once per process: the
//! real one, unless a [`simulation::Simulation`] was installed first.

pub mod disk;
pub mod flaw;
pub mod net;
pub mod simulation;
mod tasks;
mod threads;
mod time;

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

/// Whether something rare but allowed is to happen here, so that a simulation sees often what reality shows once in years.
/// Never in the real world.
pub fn rarely(here: &'static str) -> bool {
    simulation::current().is_some_and(|simulation| simulation.rarely(here))
}

/// Takes long, in a simulation, every now and then.
pub async fn dawdle(here: &'static str) {
    if let Some(simulation) = simulation::current()
        && simulation.rarely(here)
    {
        tokio::time::sleep(simulation.dawdle()).await;
    }
}
