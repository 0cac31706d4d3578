//! A cluster of real processes, and its client.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use weir_client::ClusterClient;
use weir_local::{LocalCluster, LocalClusterOptions};

/// How long anything may take before a test gives up. It is long, because timings must never decide a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const PACE: Duration = Duration::from_millis(20);

/// A running cluster and its files.
pub(crate) struct Cluster {
    pub(crate) processes: LocalCluster,
    pub(crate) client: ClusterClient,
    pub(crate) runtime: tokio::runtime::Runtime,
    place: TempDir,
}

impl Cluster {
    /// Starts a cluster of this many JobManagers, and one TaskManager of four slots.
    pub(crate) fn start(jobmanagers: u32) -> Self {
        Self::start_with(jobmanagers, &[])
    }

    /// The same, with further settings of all processes.
    pub(crate) fn start_with(jobmanagers: u32, settings: &[&str]) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let directory = place.path().join("cluster");
        std::fs::create_dir(&directory).expect("a directory");
        let processes = LocalCluster::start(LocalClusterOptions {
            binary: env!("CARGO_BIN_EXE_weir").into(),
            jobmanagers,
            taskmanagers: 1,
            slots: 4,
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            ..LocalClusterOptions::under(&directory).expect("options")
        });
        let processes = processes.expect("it starts");
        let client = processes.client().expect("addresses");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { processes, client, runtime, place }
    }

    /// The directory of the test's own files.
    pub(crate) fn place(&self) -> &Path {
        self.place.path()
    }

    /// The addresses as `--jobmanager` takes them.
    pub(crate) fn addresses(&self) -> String {
        self.processes.rest_addresses().join(",")
    }

    /// The name of the JobManager that leads.
    pub(crate) fn leader(&self) -> String {
        until("a leader", || {
            let status = self.runtime.block_on(self.client.ha_status(Duration::from_secs(2))).ok()?;
            status.leader.map(|leader| leader.name)
        })
    }
}

pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "not seen in time: {what}");
        std::thread::sleep(PACE);
    }
}
