//! The simulated world: the product gets it in place of the real one.

pub mod disk;
pub mod network;
pub mod observations;
pub mod observed;
pub mod store;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weir_verdict::random::{Random, mix};
use weir_world::simulation::{Answer, SimulatedDisk, SimulatedListener, SimulatedStream, Simulation};

use self::disk::Disks;
use self::network::Network;

/// Wall clock at the start of a run, in milliseconds since 1970.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// Every host's clock is fast, by less than this many milliseconds.
const MAX_SKEW_MS: u64 = 600_000;

/// Network, disks, clocks and ids of all hosts. Clones share their state.
#[derive(Debug, Clone)]
pub struct World {
    pub network: Network,
    pub disks: Disks,
    ids: Arc<Random>,
    rare: Arc<Random>,
    rare_counts: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    rare_things: Arc<AtomicBool>,
    jumps: Arc<Mutex<BTreeMap<String, i64>>>,
    seed: u64,
    elapsed_ms: Arc<AtomicU64>,
}

impl World {
    /// An empty world, in which everything random depends on `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            network: Network::default(),
            disks: Disks::new(seed),
            ids: Arc::new(Random::new(seed, "ids")),
            rare: Arc::new(Random::new(seed, "rare")),
            rare_counts: Arc::default(),
            rare_things: Arc::default(),
            jumps: Arc::default(),
            seed,
            elapsed_ms: Arc::default(),
        }
    }

    /// Returns the simulated milliseconds since the start.
    pub fn elapsed_ms(&self) -> u64 {
        self.elapsed_ms.load(Ordering::Relaxed)
    }

    /// Sets whether rare events happen from now on. At first they do not.
    pub fn let_rare_things_happen(&self, happen: bool) {
        self.rare_things.store(happen, Ordering::Relaxed);
    }

    /// Returns how often a rare event happened, by place.
    pub fn rare_counts(&self) -> BTreeMap<&'static str, u64> {
        self.rare_counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a host's wall clock jump by this many milliseconds.
    pub fn jump(&self, host: &str, by_ms: i64) {
        *self.jumps.lock().unwrap_or_else(PoisonError::into_inner).entry(host.to_owned()).or_default() += by_ms;
    }

    /// Sets the simulated time. Must be called before each step of the simulation.
    pub fn set_elapsed(&self, elapsed: Duration) {
        self.elapsed_ms.store(elapsed.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Simulation for World {
    fn wall_clock_ms(&self) -> u64 {
        let host = self.network.current();
        let skew = host.bytes().fold(self.seed, |skew, byte| mix(skew ^ u64::from(byte))) % MAX_SKEW_MS;
        let jumped = self.jumps.lock().unwrap_or_else(PoisonError::into_inner).get(&host).copied().unwrap_or_default();
        (EPOCH_MS + self.elapsed_ms() + skew).saturating_add_signed(jumped)
    }

    fn random_id(&self) -> u128 {
        u128::from(self.ids.bits()) << 64 | u128::from(self.ids.bits())
    }

    fn bind(&self, port: u16) -> io::Result<Box<dyn SimulatedListener>> {
        self.network.bind(port)
    }

    fn connect(&self, address: &str) -> Answer<'static, io::Result<Box<dyn SimulatedStream>>> {
        self.network.connect(address)
    }

    fn disk(&self) -> &dyn SimulatedDisk {
        &self.disks
    }

    fn disk_delay(&self) -> Duration {
        Duration::from_millis(self.disks.delay_ms(&self.network.current()))
    }

    fn rarely(&self, here: &'static str) -> bool {
        if !self.rare_things.load(Ordering::Relaxed) {
            return false;
        }
        // In each run rare events happen at one place in four, and there 60 times in a thousand.
        let chosen = here.bytes().fold(mix(self.seed), |state, byte| mix(state ^ u64::from(byte))) % 4 == 0;
        let happens = chosen && self.rare.chance(60);
        if happens {
            *self.rare_counts.lock().unwrap_or_else(PoisonError::into_inner).entry(here).or_default() += 1;
            tracing::info!(here, "rare");
        }
        happens
    }

    fn delay_at_times(&self) -> Duration {
        Duration::from_millis(self.rare.between(10, 800))
    }
}
