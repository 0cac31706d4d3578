//! The view of the ResourceManager: plain data that REST reads.

use std::collections::BTreeMap;

use weir_protocol::{JobId, TaskManagerId};

/// The registered TaskManagers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResourcesView {
    pub task_managers: Vec<TaskManagerView>,
    /// Whether most TaskManagers became silent at once and have one more timeout.
    pub mass_suspicion: bool,
}

impl ResourcesView {
    /// Number of slots of all TaskManagers.
    pub fn slots_total(&self) -> u32 {
        self.task_managers.iter().map(|view| view.slots).sum()
    }

    /// Number of slots that could be granted now.
    pub fn slots_free(&self) -> u32 {
        self.task_managers.iter().map(|view| view.free_slots).sum()
    }
}

/// A registered TaskManager, as REST shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskManagerView {
    pub id: TaskManagerId,
    /// `host:port` of its data service.
    pub data_address: String,
    /// `host:port` of its HTTP service.
    pub http_address: String,
    /// The memory budget in bytes.
    pub memory_bytes: u64,
    pub slots: u32,
    pub free_slots: u32,
    /// Number of granted slots by job.
    pub slots_by_job: BTreeMap<JobId, u32>,
    /// When the newest heartbeat arrived: wall-clock milliseconds since 1970.
    pub last_heartbeat_ms: u64,
}
