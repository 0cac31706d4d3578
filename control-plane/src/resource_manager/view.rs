//! What the ResourceManager shows: plain data, read by REST.

use std::collections::BTreeMap;

use weir_protocol::{JobId, TaskManagerId};

/// The registered TaskManagers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResourcesView {
    pub task_managers: Vec<TaskManagerView>,
    /// Most TaskManagers fell silent at once and were given one more timeout.
    pub mass_suspicion: bool,
}

impl ResourcesView {
    /// Slots of all TaskManagers.
    pub fn slots_total(&self) -> u32 {
        self.task_managers.iter().map(|view| view.slots).sum()
    }

    /// Slots that could be granted now.
    pub fn slots_free(&self) -> u32 {
        self.task_managers.iter().map(|view| view.free_slots).sum()
    }
}

/// One TaskManager.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskManagerView {
    pub id: TaskManagerId,
    /// `host:port` of its data service.
    pub data_address: String,
    /// `host:port` of its HTTP service.
    pub http_address: String,
    /// Its memory budget in bytes.
    pub memory_bytes: u64,
    pub slots: u32,
    /// Its free slots.
    pub free_slots: u32,
    /// Its granted slots, by job.
    pub slots_by_job: BTreeMap<JobId, u32>,
    /// Wall-clock milliseconds since 1970 of its newest heartbeat.
    pub last_heartbeat_ms: u64,
}
