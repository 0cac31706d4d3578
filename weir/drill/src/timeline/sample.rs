//! A sample cluster: three JobManagers, two TaskManagers with two slots each, and one job on the first TaskManager.

use weir_protocol::drill::AgentInfo;
use weir_protocol::job_status::{ExecutionState, JobStatus};
use weir_protocol::link::LeaderAddress;
use weir_protocol::rest::{
    CheckpointConfigResponse, CheckpointEntry, CheckpointFacts, CheckpointsDescription, HaMemberInfo, HaResponse,
    HardwareDescription, JobDescription, MemoryConfiguration, ResourceProfile, RestoredCheckpoint, SubtaskDescription,
    SubtaskMetrics, TaskManagerInfo, VertexDescription,
};
use weir_protocol::{JobId, JobVertexId, LeaderEpoch, TaskManagerId};

use crate::bounds::{Bounds, JobCheckpoints};
use crate::survey::{JobManagerSeen, Survey, TaskManagerSeen};

pub(crate) const TM_1: &str = "tm-1-00000000000000aa";
pub(crate) const TM_2: &str = "tm-2-00000000000000bb";

fn agent(process: &str) -> Option<AgentInfo> {
    Some(AgentInfo { process: process.to_owned(), pid: 7, enabled: true })
}

/// The cluster; jm-1 leads under epoch 4.
pub(crate) fn survey() -> Survey {
    let names = ["jm-1", "jm-2", "jm-3"];
    let member = |name: &&str| HaMemberInfo {
        name: (*name).to_owned(),
        voter: true,
        leader: *name == "jm-1",
        reachable: Some(true),
        lag_entries: Some(0),
        ..HaMemberInfo::default()
    };
    let leader = LeaderAddress {
        epoch: LeaderEpoch(4),
        name: "jm-1".to_owned(),
        rpc_address: "h:1".to_owned(),
        rest_address: "jm-1:8081".to_owned(),
    };
    let ha = HaResponse {
        answered_by: "jm-1".to_owned(),
        provider: "raft".to_owned(),
        leader: Some(leader.clone()),
        epoch: leader.epoch,
        has_quorum: true,
        failures_tolerated: 1,
        members: names.iter().map(member).collect(),
        ..HaResponse::default()
    };
    Survey {
        leader,
        ha,
        jobmanagers: names.map(|name| JobManagerSeen { address: format!("{name}:8081"), agent: agent(name) }).into(),
        taskmanagers: vec![task_manager(TM_1, 0), task_manager(TM_2, 2)],
        jobs: vec![job(4, "4-1", TM_1, 10, 3)],
        jobs_left_out: 0,
        drill: None,
        bounds: Some(bounds()),
    }
}

/// The bounds of a raft group, and of a job that takes a checkpoint every second and tolerates a hundred failed ones.
fn bounds() -> Bounds {
    let config = CheckpointConfigResponse {
        interval: 1_000,
        max_concurrent: 1,
        tolerable_failed_checkpoints: 100,
        ..CheckpointConfigResponse::default()
    };
    Bounds { jobs: vec![JobCheckpoints { job: "counting".to_owned(), config }], ..Bounds::default() }
}

fn task_manager(id: &str, free_slots: u32) -> TaskManagerSeen {
    let info = TaskManagerInfo {
        id: TaskManagerId(id.to_owned()),
        path: "http://h:9".to_owned(),
        data_port: 8,
        jmx_port: -1,
        time_since_last_heartbeat: 0,
        slots_number: 2,
        free_slots,
        assigned_tasks: 0,
        total_resource: ResourceProfile::default(),
        free_resource: ResourceProfile::default(),
        hardware: HardwareDescription::default(),
        memory_configuration: MemoryConfiguration::default(),
    };
    TaskManagerSeen { info, agent: agent(id) }
}

/// A running job of one task, as the leader of this epoch describes it.
pub(crate) fn job(epoch: u64, generation: &str, host: &str, records: u64, checkpoint: u64) -> JobDescription {
    let facts = CheckpointFacts { id: checkpoint, ..CheckpointFacts::default() };
    let subtask = SubtaskDescription {
        subtask: 0,
        state: ExecutionState::Running,
        attempt_number: 0,
        generation: Some(generation.to_owned()),
        task_manager: Some(TaskManagerId(host.to_owned())),
        started_at_ms: None,
        ended_at_ms: None,
        metrics: Some(SubtaskMetrics { records_in: records, ..SubtaskMetrics::default() }),
    };
    JobDescription {
        job_id: JobId(1),
        name: "counting".to_owned(),
        status: JobStatus::Running,
        reason: None,
        submitted_at_ms: 0,
        ended_at_ms: None,
        restarts: 0,
        max_parallelism: 128,
        epoch: LeaderEpoch(epoch),
        vertices: vec![VertexDescription {
            id: "v".to_owned(),
            vertex_id: JobVertexId::from_uid("v"),
            name: "v".to_owned(),
            parallelism: 1,
            state: ExecutionState::Running,
            subtasks: vec![subtask],
        }],
        checkpoints: CheckpointsDescription {
            latest_completed: Some(CheckpointEntry::InProgress { facts }),
            ..CheckpointsDescription::default()
        },
        exceptions: Vec::new(),
    }
}

/// The same job after it was restored from this checkpoint.
pub(crate) fn restored_from(mut job: JobDescription, checkpoint: u64) -> JobDescription {
    job.checkpoints.latest_restored =
        Some(RestoredCheckpoint { id: checkpoint, restore_timestamp: 0, is_savepoint: false, external_path: None });
    job
}
