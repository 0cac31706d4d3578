//! Tests of what a task leaves behind, and of a task that is stuck.

use std::io::{Read, Write};

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointKind};
use weir_protocol::link::Order;
use weir_protocol::{CheckpointId, ExecutionAttemptId, JobId};
use weir_worker::TaskManager;

use super::files::{Copy, start};
use super::operator;

fn metrics(task_manager: &TaskManager) -> String {
    let mut stream = std::net::TcpStream::connect(&task_manager.addresses().http).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    text
}

/// Waits until the metrics do, or do not, name the job.
async fn until_shown(task_manager: &TaskManager, job: JobId, shown: bool) {
    let wait = async {
        while metrics(task_manager).contains(&format!("job=\"{job}\"")) != shown {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let bound = std::time::Duration::from_secs(120);
    assert!(weir_servers::within(bound, wait).await.is_some(), "shown: {shown}; {}", metrics(task_manager));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_of_a_task_end_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let handle = PrometheusBuilder::new().build_recorder().handle();
    let (task_manager, leader) = start(1, |options| {
        options.metrics = Some(handle);
        options.keep_ended_series_ms = 0;
    })
    .await;
    let mut copy = Copy::new(directory.path(), "csv", 1, &task_manager, &leader);
    for job in 1..=2 {
        copy.job = JobId(job);
        copy.output = directory.path().join(job.to_string());
        copy.deploy(0..1, None);
        until_shown(&task_manager, copy.job, true).await;
        copy.finish(1).await;
        until_shown(&task_manager, copy.job, false).await;
    }
    task_manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_was_stuck_until_it_lost_orders_fails_and_its_job_can_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (task_manager, leader) = start(1, |_| {}).await;
    let (entered, gate) = (directory.path().join("entered"), directory.path().join("gate"));
    let mut copy = Copy::new(directory.path(), "csv", 1, &task_manager, &leader);
    copy.between = vec![operator("x.stuck", json!({"entered": entered, "gate": gate}))];
    copy.deploy(0..1, None);
    leader.until_exists(&entered).await;
    // The last order is the one that the task can't do without. The answer to the foreign trigger shows that all were passed on.
    let (job, attempts) = (copy.job, copy.attempts());
    for id in 1..=1_100 {
        let aborted = Order::NotifyCheckpointAborted { job, attempts: attempts.clone(), checkpoint: CheckpointId(id) };
        leader.send(task_manager.id(), aborted);
        if id % 100 == 0 {
            let foreign = ExecutionAttemptId { job: JobId(99), ..copy.attempt(0) };
            let barrier = CheckpointBarrier { id: CheckpointId(id), kind: CheckpointKind::Checkpoint, timestamp_ms: 0 };
            leader.send(task_manager.id(), Order::TriggerCheckpoint { attempts: vec![foreign], barrier });
            leader.declined(id, foreign).await;
        }
    }
    std::fs::write(&gate, "").unwrap();
    let failure = leader.failure(copy.attempt(0)).await;
    assert_eq!((failure.code.as_str(), failure.retryable), ("TASK-ORDERS-LOST", true));
    copy.generation.attempt += 1;
    copy.deploy(0..1, None);
    copy.finish(2_000).await;
    assert_eq!(copy.copied().len(), 1);
    task_manager.shutdown().await;
}
