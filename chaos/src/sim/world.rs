//! The simulated world that the product's seam is given.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_protocol::world::simulation::{Answer, SimulatedDisk, SimulatedListener, SimulatedStream, Simulation};

use super::disk::Disks;
use super::network::Network;
use super::random::{Random, mix};

/// What the hosts' clocks show at the start.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// Every host's clock is wrong, by less than this.
const MAX_SKEW_MS: u64 = 600_000;

/// Network, disks, clock and ids of all hosts. Clones are the same world.
#[derive(Debug, Clone)]
pub struct World {
    /// The network.
    pub network: Network,
    /// The disks.
    pub disks: Disks,
    ids: Arc<Random>,
    seed: u64,
    elapsed_ms: Arc<AtomicU64>,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        Self {
            network: Network::default(),
            disks: Disks::new(seed),
            ids: Arc::new(Random::new(seed, "ids")),
            seed,
            elapsed_ms: Arc::default(),
        }
    }

    /// Milliseconds since the start.
    pub fn elapsed_ms(&self) -> u64 {
        self.elapsed_ms.load(Ordering::Relaxed)
    }

    /// Told before each step of the simulation.
    pub fn set_elapsed(&self, elapsed: Duration) {
        self.elapsed_ms.store(elapsed.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Simulation for World {
    fn wall_clock_ms(&self) -> u64 {
        let host = self.network.current();
        let skew = host.bytes().fold(self.seed, |skew, byte| mix(skew ^ u64::from(byte))) % MAX_SKEW_MS;
        EPOCH_MS + self.elapsed_ms() + skew
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
}
