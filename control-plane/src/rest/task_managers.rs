//! Handlers of `/taskmanagers`.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::{Extension, Json};
use weir_protocol::rest::{
    AllocatedSlot, HardwareDescription, MemoryConfiguration, ResourceProfile, TaskManagerDetails, TaskManagerInfo,
    TaskManagerMetrics, TaskManagersInfo,
};
use weir_protocol::{JobId, TaskManagerId};

use super::error::RestError;
use crate::leading::Leading;
use crate::resource_manager::TaskManagerView;

const MIB: u64 = 1024 * 1024;

/// Number of running tasks by TaskManager and job.
type Tasks = BTreeMap<TaskManagerId, BTreeMap<JobId, u32>>;

pub(super) async fn list(Extension(leading): Extension<Leading>) -> Json<TaskManagersInfo> {
    let tasks = tasks(&leading);
    let resources = leading.resource_manager.view();
    let taskmanagers = resources.task_managers.iter().map(|view| info(view, &tasks)).collect();
    Json(TaskManagersInfo { taskmanagers })
}

pub(super) async fn detail(
    Extension(leading): Extension<Leading>,
    Path(id): Path<String>,
) -> Result<Json<TaskManagerDetails>, RestError> {
    let resources = leading.resource_manager.view();
    let found = resources.task_managers.iter().find(|view| view.id.0 == id);
    let view = found.ok_or_else(|| RestError::not_found(format!("TM-NOT-FOUND: there is no TaskManager {id}")))?;
    let tasks = tasks(&leading);
    let of_job = |job: &JobId| tasks.get(&view.id).and_then(|jobs| jobs.get(job)).copied().unwrap_or(0);
    let slots = view.slots_by_job.iter().flat_map(|(job, slots)| (0..*slots).map(move |index| (job, index, *slots)));
    let allocated_slots = slots.map(|(job, index, slots)| AllocatedSlot {
        job_id: *job,
        resource: profile(view, 1),
        // The slot of a task is not known here, so the tasks are divided equally among the slots of the job.
        assigned_tasks: of_job(job) / slots + u32::from(index < of_job(job) % slots),
    });
    let metrics = TaskManagerMetrics { heap_max: view.memory_bytes, ..TaskManagerMetrics::default() };
    Ok(Json(TaskManagerDetails { info: info(view, &tasks), allocated_slots: allocated_slots.collect(), metrics }))
}

fn tasks(leading: &Leading) -> Tasks {
    let mut tasks = Tasks::new();
    for job in leading.jobs.list() {
        for vertex in job.view.iter().flat_map(|view| &view.vertices) {
            for subtask in vertex.subtasks.iter().filter(|subtask| !subtask.state.is_terminal()) {
                if let Some(task_manager) = &subtask.task_manager {
                    *tasks.entry(task_manager.clone()).or_default().entry(job.job).or_default() += 1;
                }
            }
        }
    }
    tasks
}

fn info(view: &TaskManagerView, tasks: &Tasks) -> TaskManagerInfo {
    let port = view.data_address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(-1);
    TaskManagerInfo {
        id: view.id.clone(),
        path: format!("http://{}", view.http_address),
        data_port: port,
        jmx_port: -1,
        time_since_last_heartbeat: view.last_heartbeat_ms as i64,
        slots_number: view.slots,
        free_slots: view.free_slots,
        assigned_tasks: tasks.get(&view.id).map_or(0, |jobs| jobs.values().sum()),
        total_resource: profile(view, view.slots),
        free_resource: profile(view, view.free_slots),
        hardware: HardwareDescription {
            cpu_cores: view.slots,
            physical_memory: view.memory_bytes,
            free_memory: 0,
            managed_memory: view.memory_bytes,
        },
        memory_configuration: MemoryConfiguration {
            task_heap: view.memory_bytes,
            total_flink_memory: view.memory_bytes,
            total_process_memory: view.memory_bytes,
            ..MemoryConfiguration::default()
        },
    }
}

/// The resources of this number of slots.
fn profile(view: &TaskManagerView, slots: u32) -> ResourceProfile {
    let share = view.memory_bytes / u64::from(view.slots.max(1)) * u64::from(slots);
    ResourceProfile { cpu_cores: f64::from(slots), task_heap_memory: share / MIB, ..ResourceProfile::default() }
}
