use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::*;
use crate::job_graph::{CheckpointConfig, JobGraph};
use crate::job_status::{ExecutionState, JobStatus};
use crate::{JobId, JobVertexId, TaskManagerId};

/// Paths of all fields of a JSON form. List elements appear as `[]`.
fn fields(value: &impl Serialize) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(entries) => entries.iter().for_each(|(name, value)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(value, &path, found);
                found.insert(path);
            }),
            Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(&serde_json::to_value(value).unwrap(), "", &mut found);
    found
}

fn assert_fields(value: &impl Serialize, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().flat_map(|line| line.split(", ")).map(str::to_owned).collect();
    assert_eq!(fields(value), expected);
}

fn graph() -> JobGraph {
    serde_json::from_value(json!({"version": 1, "name": "a<b", "vertices": [
        {"id": "in", "parallelism": 2, "operators": []}, {"id": "out", "name": "x & y", "parallelism": 1, "operators": []}],
        "edges": [{"from": "in", "to": "out", "partitioning": {"type": "rebalance"}}]}))
    .unwrap()
}

#[test]
fn the_cluster_endpoints_have_flinks_fields() {
    let overview = "taskmanagers, slots-total, slots-available, jobs-running, jobs-finished, jobs-cancelled, jobs-failed, \
                    flink-version, flink-commit";
    assert_fields(&ClusterOverview::default(), &[overview]);
    assert_fields(
        &DashboardConfig::default(),
        &[
            "refresh-interval, timezone-name, timezone-offset, flink-version, flink-revision, features",
            "features.web-submit, features.web-cancel, features.web-rescale, features.web-history",
        ],
    );
}

#[test]
fn the_jobs_overview_has_every_field_that_flinks_cli_requires() {
    let job = JobOverview {
        jid: JobId(1),
        name: "j".into(),
        job_type: "STREAMING".into(),
        scheduler_type: "Default".into(),
        start_time: 1,
        end_time: -1,
        duration: 1,
        state: JobStatus::Running,
        last_modification: 1,
        tasks: overview_tasks([ExecutionState::Running, ExecutionState::Running, ExecutionState::Failed]),
        pending_operators: 0,
    };
    assert_eq!((job.tasks["running"], job.tasks["failed"], job.tasks["total"], job.tasks["created"]), (2, 1, 3, 0));
    let fields = [
        "jid, name, jobType, schedulerType, start-time, end-time, duration, state, last-modification, tasks, pending-operators",
        "tasks.running, tasks.canceling, tasks.canceled, tasks.total, tasks.created, tasks.scheduled, tasks.deploying",
        "tasks.reconciling, tasks.finished, tasks.initializing, tasks.failed",
    ];
    assert_fields(&job, &fields);
}

#[test]
fn job_detail_has_flinks_fields() {
    let detail = JobDetail {
        jid: JobId(1),
        application_id: JobId(1),
        name: "j".into(),
        is_stoppable: false,
        state: JobStatus::Running,
        job_type: "STREAMING".into(),
        scheduler_type: "Default".into(),
        start_time: 1,
        end_time: -1,
        duration: 1,
        max_parallelism: 128,
        now: 1,
        timestamps: status_timestamps(&BTreeMap::new()),
        vertices: vec![JobVertexDetail {
            id: JobVertexId(1),
            slot_sharing_group_id: "0".into(),
            name: "v".into(),
            max_parallelism: 128,
            parallelism: 1,
            status: ExecutionState::Running,
            start_time: -1,
            end_time: -1,
            duration: -1,
            tasks: execution_counts([]),
            metrics: IoMetrics::default(),
        }],
        status_counts: BTreeMap::new(),
        plan: JobPlan::of(JobId(1), &graph()),
        pending_operators: 0,
    };
    let shape: BTreeSet<_> =
        fields(&detail).into_iter().filter(|path| !path.starts_with("timestamps.") && !path.contains("tasks.")).collect();
    let expected = "jid, application-id, name, isStoppable, state, job-type, schedulerType, start-time, end-time, duration, \
        maxParallelism, now, timestamps, vertices, vertices[].id, vertices[].slotSharingGroupId, vertices[].name, \
        vertices[].maxParallelism, vertices[].parallelism, vertices[].status, vertices[].start-time, vertices[].end-time, \
        vertices[].duration, vertices[].tasks, vertices[].metrics, vertices[].metrics.read-bytes, \
        vertices[].metrics.read-bytes-complete, vertices[].metrics.write-bytes, vertices[].metrics.write-bytes-complete, \
        vertices[].metrics.read-records, vertices[].metrics.read-records-complete, vertices[].metrics.write-records, \
        vertices[].metrics.write-records-complete, vertices[].metrics.accumulated-backpressured-time, \
        vertices[].metrics.accumulated-idle-time, vertices[].metrics.accumulated-busy-time, status-counts, plan, plan.jid, \
        plan.name, plan.type, plan.nodes, plan.nodes[].id, plan.nodes[].operator, plan.nodes[].parallelism, \
        plan.nodes[].operator_strategy, plan.nodes[].description, plan.nodes[].optimizer_properties, plan.nodes[].inputs, \
        plan.nodes[].inputs[].num, plan.nodes[].inputs[].id, plan.nodes[].inputs[].ship_strategy, \
        plan.nodes[].inputs[].exchange, pending-operators";
    assert_eq!(shape, expected.split(", ").map(str::to_owned).collect());
    assert_eq!(detail.timestamps.len(), 11);
    assert_eq!(detail.plan.nodes[1].description, "x &amp; y");
    assert_eq!(detail.plan.nodes[1].inputs[0].id, detail.plan.nodes[0].id);
}

#[test]
fn checkpoint_statistics_have_flinks_fields() {
    let facts = "id, status, is_savepoint, savepointFormat, trigger_timestamp, latest_ack_timestamp, checkpointed_size, \
        state_size, end_to_end_duration, alignment_buffered, processed_data, persisted_data, num_subtasks, \
        num_acknowledged_subtasks, checkpoint_type, tasks, className";
    let completed = CheckpointEntry::Completed { facts: CheckpointFacts::default(), external_path: None, discarded: false };
    assert_fields(&completed, &[facts, "external_path, discarded"]);
    assert_eq!(serde_json::to_value(&completed).unwrap()["className"], "completed");
    let failed = CheckpointEntry::Failed { facts: CheckpointFacts::default(), failure_timestamp: 1, failure_message: None };
    assert_fields(&failed, &[facts, "failure_timestamp, failure_message"]);
    let in_progress = CheckpointEntry::InProgress { facts: CheckpointFacts::default() };
    assert_eq!(serde_json::to_value(&in_progress).unwrap()["className"], "in_progress");
    for entry in [completed, failed, in_progress] {
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<CheckpointEntry>(&text).unwrap(), entry);
    }
    let config = CheckpointConfigResponse::of(&CheckpointConfig::default());
    assert_fields(
        &config,
        &[
            "mode, interval, timeout, min_pause, max_concurrent, externalization, externalization.enabled",
            "externalization.delete_on_cancellation, state_backend, checkpoint_storage, unaligned_checkpoints",
            "tolerable_failed_checkpoints, aligned_checkpoint_timeout, checkpoints_after_tasks_finish, state_changelog_enabled",
            "changelog_periodic_materialization_interval, changelog_storage",
        ],
    );
    let summary = "min, max, avg, p50, p90, p95, p99, p999";
    assert_fields(&StatsSummary::default(), &[summary]);
    let restored = "id, restore_timestamp, is_savepoint, external_path";
    assert_fields(&RestoredCheckpoint::default(), &[restored]);
}

#[test]
fn task_managers_have_flinks_fields() {
    let info = TaskManagerInfo {
        id: TaskManagerId("tm".into()),
        path: String::new(),
        data_port: 1,
        jmx_port: -1,
        time_since_last_heartbeat: 1,
        slots_number: 1,
        free_slots: 1,
        assigned_tasks: 0,
        total_resource: ResourceProfile::default(),
        free_resource: ResourceProfile::default(),
        hardware: HardwareDescription::default(),
        memory_configuration: MemoryConfiguration::default(),
    };
    let details = TaskManagerDetails { info, allocated_slots: vec![], metrics: TaskManagerMetrics::default() };
    let top: BTreeSet<_> = fields(&details).into_iter().filter(|path| !path.contains('.')).collect();
    let expected = "id, path, dataPort, jmxPort, timeSinceLastHeartbeat, slotsNumber, freeSlots, assignedTasks, totalResource, \
        freeResource, hardware, memoryConfiguration, allocatedSlots, metrics";
    assert_eq!(top, expected.split(", ").map(str::to_owned).collect());
    assert_fields(
        &TaskManagerMetrics::default(),
        &[
            "heapUsed, heapCommitted, heapMax, nonHeapUsed, nonHeapCommitted, nonHeapMax, directCount, directUsed, directMax",
            "mappedCount, mappedUsed, mappedMax, nettyShuffleMemorySegmentsAvailable, nettyShuffleMemorySegmentsUsed",
            "nettyShuffleMemorySegmentsTotal, nettyShuffleMemoryAvailable, nettyShuffleMemoryUsed, nettyShuffleMemoryTotal",
            "garbageCollectors",
        ],
    );
    assert_fields(
        &ResourceProfile::default(),
        &["cpuCores, taskHeapMemory, taskOffHeapMemory, managedMemory, networkMemory, extendedResources"],
    );
    let text = serde_json::to_string(&details).unwrap();
    assert_eq!(serde_json::from_str::<TaskManagerDetails>(&text).unwrap(), details);
}

#[test]
fn bodies_of_flinks_cli_are_accepted() {
    let body = r#"{"target-directory":null,"cancel-job":false,"formatType":"CANONICAL","triggerId":null}"#;
    let request: SavepointTriggerRequest = serde_json::from_str(body).unwrap();
    assert_eq!((request.cancel_job, request.format_type.as_deref()), (false, Some("CANONICAL")));
    let body = r#"{"targetDirectory":"s3://b","drain":true,"formatType":"NATIVE","triggerId":null}"#;
    let request: StopRequest = serde_json::from_str(body).unwrap();
    assert_eq!((request.drain, request.target_directory.as_deref()), (true, Some("s3://b")));
    serde_json::from_str::<StopRequest>("{}").unwrap();
    let poll = AsyncOperationResponse::completed(SavepointInfo { location: "f".into() });
    assert_eq!(serde_json::to_value(poll).unwrap(), json!({"status": {"id": "COMPLETED"}, "operation": {"location": "f"}}));
    let poll = AsyncOperationResponse::<SavepointInfo>::in_progress();
    assert_eq!(serde_json::to_value(poll).unwrap(), json!({"status": {"id": "IN_PROGRESS"}, "operation": null}));
    assert_eq!(serde_json::to_value(TriggerResponse { request_id: "r".into() }).unwrap(), json!({"request-id": "r"}));
}

#[test]
fn quantiles_are_by_nearest_rank() {
    let summary = StatsSummary::of(1..=100);
    assert_eq!((summary.min, summary.max, summary.avg), (1, 100, 50));
    assert_eq!((summary.p50, summary.p90, summary.p99, summary.p999), (50.0, 90.0, 99.0, 100.0));
    assert_eq!(StatsSummary::of([]), StatsSummary::default());
    assert_eq!(StatsSummary::of([u64::MAX, u64::MAX]).avg, u64::MAX);
}

#[test]
fn a_vertex_shows_the_state_that_matters_most() {
    use ExecutionState::*;
    let aggregate = |states: &[ExecutionState]| ExecutionState::aggregate(&execution_counts(states.iter().copied()));
    assert_eq!(aggregate(&[Running, Failed, Finished]), Failed);
    assert_eq!(aggregate(&[Running, Initializing]), Initializing);
    assert_eq!(aggregate(&[Running, Finished]), Running);
    assert_eq!(aggregate(&[Finished, Finished]), Finished);
    assert_eq!(aggregate(&[Created, Finished]), Running);
    assert_eq!(aggregate(&[Created, Created]), Created);
    assert_eq!(aggregate(&[]), Created);
}

#[test]
fn client_tokens_are_bounded_printable_ascii() {
    assert!(SubmitRequest::is_token("3f2a-token_1"));
    for token in ["", " ", "a b", "ä", "a\n", &"a".repeat(129)] {
        assert!(!SubmitRequest::is_token(token), "{token:?}");
    }
}
