//! The endpoints under `/taskmanagers`. Values that only a JVM has are 0.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{JobId, TaskManagerId};

/// Answer to `GET /taskmanagers`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskManagersInfo {
    /// Every registered TaskManager.
    pub taskmanagers: Vec<TaskManagerInfo>,
}

/// One registered TaskManager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManagerInfo {
    pub id: TaskManagerId,
    /// Its address as a URL.
    pub path: String,
    /// Port of its data service.
    pub data_port: i32,
    pub jmx_port: i32,
    /// Time of its last heartbeat: despite the name, a point in time.
    pub time_since_last_heartbeat: i64,
    pub slots_number: u32,
    /// Slots not granted to a job.
    pub free_slots: u32,
    /// Number of tasks that it runs.
    pub assigned_tasks: u32,
    /// Resources of all its slots.
    pub total_resource: ResourceProfile,
    /// Resources of its free slots.
    pub free_resource: ResourceProfile,
    pub hardware: HardwareDescription,
    /// Its memory budget.
    pub memory_configuration: MemoryConfiguration,
}

/// Answer to `GET /taskmanagers/:taskmanagerid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManagerDetails {
    /// The same fields as in the list.
    #[serde(flatten)]
    pub info: TaskManagerInfo,
    pub allocated_slots: Vec<AllocatedSlot>,
    /// Memory in use.
    pub metrics: TaskManagerMetrics,
}

/// Resources of slots. Memory is in MiB.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceProfile {
    pub cpu_cores: f64,
    /// Memory of tasks.
    pub task_heap_memory: u64,
    pub task_off_heap_memory: u64,
    /// Memory of state.
    pub managed_memory: u64,
    /// Memory of the exchange.
    pub network_memory: u64,
    pub extended_resources: BTreeMap<String, f64>,
}

/// The TaskManager's machine. Memory is in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HardwareDescription {
    pub cpu_cores: u32,
    pub physical_memory: u64,
    /// Memory not in use.
    pub free_memory: u64,
    /// The TaskManager's memory budget.
    pub managed_memory: u64,
}

/// A TaskManager's memory budget in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryConfiguration {
    pub framework_heap: u64,
    /// Memory of tasks.
    pub task_heap: u64,
    pub framework_off_heap: u64,
    pub task_off_heap: u64,
    /// Memory of the exchange.
    pub network_memory: u64,
    /// Memory of state.
    pub managed_memory: u64,
    pub jvm_metaspace: u64,
    pub jvm_overhead: u64,
    /// The whole budget.
    pub total_flink_memory: u64,
    /// The whole budget.
    pub total_process_memory: u64,
}

/// A granted slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllocatedSlot {
    /// The job that holds the slot.
    pub job_id: JobId,
    pub resource: ResourceProfile,
    /// Number of tasks that run in it.
    pub assigned_tasks: u32,
}

/// Memory in use, in bytes or segments. A value is 0 if Weir has nothing comparable.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManagerMetrics {
    /// Memory in use.
    pub heap_used: u64,
    /// Memory obtained from the operating system.
    pub heap_committed: u64,
    pub heap_max: u64,
    pub non_heap_used: u64,
    pub non_heap_committed: u64,
    pub non_heap_max: u64,
    pub direct_count: u64,
    pub direct_used: u64,
    pub direct_max: u64,
    pub mapped_count: u64,
    pub mapped_used: u64,
    pub mapped_max: u64,
    /// Free exchange buffers.
    pub netty_shuffle_memory_segments_available: u64,
    /// Exchange buffers in use.
    pub netty_shuffle_memory_segments_used: u64,
    pub netty_shuffle_memory_segments_total: u64,
    /// Bytes of free exchange buffers.
    pub netty_shuffle_memory_available: u64,
    /// Bytes of exchange buffers in use.
    pub netty_shuffle_memory_used: u64,
    /// Bytes of exchange buffers.
    pub netty_shuffle_memory_total: u64,
    pub garbage_collectors: Vec<GarbageCollector>,
}

/// A garbage collector of a JVM. Weir has none, so the list is always empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GarbageCollector {
    pub name: String,
    pub count: u64,
    pub time: u64,
}
