//! Tests of what a task leaves behind.

use std::io::{Read, Write};

use metrics_exporter_prometheus::PrometheusBuilder;
use weir_protocol::JobId;
use weir_worker::TaskManager;

use super::files::{Copy, start};

fn metrics(task_manager: &TaskManager) -> String {
    let mut stream = std::net::TcpStream::connect(&task_manager.addresses().http).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: tm\r\nConnection: close\r\n\r\n").unwrap();
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
