//! `/taskmanagers`. What only a JVM has is 0.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{JobId, TaskManagerId};

/// `GET /taskmanagers`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskManagersInfo {
    /// Every registered one.
    pub taskmanagers: Vec<TaskManagerInfo>,
}

/// One TaskManager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManagerInfo {
    pub id: TaskManagerId,
    /// Its address, in the form of a URL.
    pub path: String,
    /// Port of its data service.
    pub data_port: i32,
    pub jmx_port: i32,
    /// When it was last heard from (a time, in spite of its name).
    pub time_since_last_heartbeat: i64,
    pub slots_number: u32,
    /// Slots not granted to a job.
    pub free_slots: u32,
    /// Tasks it runs.
    pub assigned_tasks: u32,
    /// What its slots offer.
    pub total_resource: ResourceProfile,
    /// What its free slots offer.
    pub free_resource: ResourceProfile,
    pub hardware: HardwareDescription,
    /// Its memory budget.
    pub memory_configuration: MemoryConfiguration,
}

/// `GET /taskmanagers/:taskmanagerid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManagerDetails {
    /// As in the list.
    #[serde(flatten)]
    pub info: TaskManagerInfo,
    pub allocated_slots: Vec<AllocatedSlot>,
    /// Memory in use.
    pub metrics: TaskManagerMetrics,
}

/// Resources; memory in MiB.
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

/// The machine; memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HardwareDescription {
    pub cpu_cores: u32,
    pub physical_memory: u64,
    /// Memory not in use.
    pub free_memory: u64,
    /// The TaskManager's budget.
    pub managed_memory: u64,
}

/// Memory budget in bytes.
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
    /// The job it is granted to.
    pub job_id: JobId,
    /// What it offers.
    pub resource: ResourceProfile,
    /// Tasks that run in it.
    pub assigned_tasks: u32,
}

/// Memory in use, in bytes and segments; 0 where there is nothing like it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManagerMetrics {
    /// Memory in use.
    pub heap_used: u64,
    /// Memory had from the system.
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

/// Always absent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GarbageCollector {
    pub name: String,
    pub count: u64,
    pub time: u64,
}
