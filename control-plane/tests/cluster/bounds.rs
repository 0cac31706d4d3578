//! Requests that are too large, too deep or malformed get a coded answer, at the leader and at a standby.

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Cluster, graph};

/// Sends these bytes and returns the status and the first error.
async fn send(cluster: &Cluster, at: usize, bytes: &[u8]) -> (u16, String) {
    let mut stream = weir_world::net::connect(&cluster.host(at)).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let error = serde_json::from_str::<Value>(body).ok().and_then(|body| body["errors"][0].as_str().map(str::to_string));
    (status, error.unwrap_or_default())
}

fn post(path: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_refuses_what_is_too_large_or_too_deep_with_a_code() {
    let cluster = Cluster::start(2);
    let leader = cluster.leader().await;
    let job = format!("{:032x}", 7);
    let paths = [
        "/weir/v1/jobs".to_string(),
        "/weir/v1/ha/members".to_string(),
        "/weir/v1/ha/transfer".to_string(),
        "/weir/v1/drills".to_string(),
        "/weir/v1/drills/d/result".to_string(),
        "/weir/v1/drill/fault".to_string(),
        format!("/jobs/{job}/savepoints"),
        format!("/jobs/{job}/stop"),
        format!("/jobs/{job}/checkpoints"),
    ];
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for at in [leader, 1 - leader] {
        for path in &paths {
            let (status, error) = send(&cluster, at, &post(path, 9 << 20, b"{")).await;
            assert_eq!((status, error.starts_with("REST-BODY: ")), (413, true), "{path}: {error}");
            let (status, error) = send(&cluster, at, &post(path, deep.len(), deep.as_bytes())).await;
            assert!((400..500).contains(&status) && error.contains(": "), "{path}: {status} {error}");
        }
        // Without a length, the limit holds as well.
        let head = "POST /weir/v1/jobs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
        let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
        let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(9));
        let (status, error) = send(&cluster, at, chunked.as_bytes()).await;
        assert!(status == 413 && error.starts_with("REST-BODY: ") || status == 0, "{status} {error}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_can_not_be_read_is_refused_with_a_code() {
    let cluster = Cluster::start(1);
    cluster.leader().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").into_bytes();
    let job = format!("{:032x}", 7);
    for (path, expected) in [
        (format!("/jobs/{job}/exceptions?maxExceptions=many"), 400),
        ("/jobs/%ff".to_string(), 400),
        ("/taskmanagers/%ff".to_string(), 400),
        ("/jobs/not-an-id".to_string(), 400),
        (format!("/nowhere/{}", "x".repeat(20_000)), 404),
    ] {
        let (status, error) = send(&cluster, 0, &get(&path)).await;
        assert!(status == expected && (error.contains(": ") || status == 404), "{path:.60}: {status} {error}");
    }
    let headers = (0..5_000).map(|index| format!("x-{index}: y\r\n")).collect::<String>();
    let (status, _) = send(&cluster, 0, format!("GET /jobs HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").as_bytes()).await;
    assert_eq!(status, 431);
    assert_eq!(cluster.get(0, "/jobs").await.0, 200, "it still answers");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_stands_for_one_graph() {
    let cluster = Cluster::start(1);
    let leader = cluster.leader().await;
    let job = cluster.submit(leader, "nightly").await;
    let mut other = graph();
    other["vertices"][0]["operators"][0]["options"]["rows"] = json!(11);
    let submit = cluster.http.post(cluster.url(leader, "/weir/v1/jobs")).header(CONTENT_TYPE, "application/json");
    let body = json!({"job_graph": other, "client_token": "nightly"}).to_string();
    let (code, answer) = super::answer(submit.body(body)).await;
    let error = answer["errors"][0].as_str().unwrap_or_default();
    assert!(code == 409 && error.starts_with("JOB-TOKEN: ") && error.contains(&job), "{code} {answer}");
    let again = cluster.post(leader, "/weir/v1/jobs", &json!({"job_graph": graph(), "client_token": "nightly"})).await;
    assert_eq!(again, (200, json!({"job_id": job, "status": "already_submitted"})));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_no_client_out_and_cost_no_leadership() {
    let cluster = Cluster::start(2);
    let leader = cluster.leader().await;
    let epoch = cluster.get(leader, "/healthz").await.1["epoch"].clone();
    let mut silent = Vec::new();
    for at in 0..2 {
        for address in [cluster.job_managers[at].rest_address(), cluster.job_managers[at].rpc_address()] {
            for _ in 0..100 {
                silent.push(weir_world::net::connect(&address.to_string()).await.unwrap());
            }
        }
    }
    let task_manager = cluster.task_manager("tm", 2);
    let job = cluster.submit(1 - leader, "t").await;
    cluster.wait_until_all_run(leader, &job).await;
    let health = cluster.get(leader, "/healthz").await.1;
    assert_eq!((&health["leading"], &health["epoch"]), (&json!(true), &epoch));
    drop((silent, task_manager));
    cluster.stop().await;
}
