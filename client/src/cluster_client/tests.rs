#![expect(clippy::disallowed_methods, reason = "stand-ins for JobManagers on the real network")]

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weir_protocol::job_status::JobStatus;
use weir_protocol::rest::SubmitStatus;
use weir_world::spawn;

use super::*;

const JOB: JobId = JobId(7);
const SOON: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(60);

/// A request as the server saw it: method and path, body.
pub(crate) type Seen = Arc<Mutex<Vec<(String, Value)>>>;

/// A JobManager's REST side: `answer(nth request, line, body)`; `None` drops the connection without an answer.
pub(crate) async fn serve<F>(answer: F) -> (String, Seen)
where
    F: Fn(usize, &str, &Value) -> Option<(u16, Value)> + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Seen::default();
    let record = seen.clone();
    spawn("server", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            let (line, body) = loop {
                let mut chunk = [0; 4096];
                let n = stream.read(&mut chunk).await.unwrap();
                bytes.extend_from_slice(&chunk[..n]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    assert!(n > 0, "the request is cut short");
                    continue;
                };
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse().unwrap()))
                    .unwrap_or(0);
                if body.len() >= length {
                    let line = head.lines().next().unwrap().strip_suffix(" HTTP/1.1").unwrap().to_owned();
                    break (line, serde_json::from_str(body).unwrap_or(Value::Null));
                }
            };
            let nth = {
                let mut seen = record.lock().unwrap();
                seen.push((line.clone(), body.clone()));
                seen.len() - 1
            };
            if let Some((status, answer)) = answer(nth, &line, &body) {
                let answer = answer.to_string();
                let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", answer.len());
                stream.write_all((head + &answer).as_bytes()).await.unwrap();
            }
        }
    });
    (address, seen)
}

/// An address without a listener.
async fn unused_address() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

fn no_leader() -> Option<(u16, Value)> {
    Some((503, json!({"errors": ["NO-LEADER: an election is under way"]})))
}

fn graph() -> JobGraph {
    let graph = json!({"version": 1, "name": "j", "vertices": [
        {"id": "a", "parallelism": 1, "operators": [
            {"kind": "source.datagen", "options": {"fields": [{"name": "n", "type": "bigint", "kind": "sequence"}]}},
            {"kind": "sink.blackhole"}]}]});
    JobGraph::from_json(&graph.to_string()).unwrap()
}

fn description(status: &str) -> Value {
    json!({"job_id": JOB, "name": "j", "status": status, "reason": null, "submitted_at_ms": 1, "ended_at_ms": null, "restarts": 0,
        "max_parallelism": 128, "epoch": 1, "vertices": [], "exceptions": [],
        "checkpoints": {"counts": {"restored": 0, "total": 0, "in_progress": 0, "completed": 0, "failed": 0},
            "latest_completed": null, "latest_restored": null}})
}

#[tokio::test]
async fn a_submission_retries_past_dead_and_leaderless_jobmanagers_under_one_token() {
    let (standby, _) = serve(|_, _, _| no_leader()).await;
    let (leader, seen) = serve(|nth, _, _| match nth {
        0 => no_leader(),
        // The leader carries the submission out, but the answer is lost.
        1 => None,
        _ => Some((200, json!({"job_id": JOB, "status": "already_submitted"}))),
    })
    .await;
    let client = ClusterClient::new(vec![unused_address().await, standby, format!("http://{leader}/")]).unwrap();
    let answer = client.submit(&graph(), None, LONG).await.unwrap();
    assert_eq!(answer, SubmitResponse { job_id: JOB, status: SubmitStatus::AlreadySubmitted });
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|(line, body)| line == "POST /weir/v1/jobs" && body == &seen[0].1));
    assert_eq!(seen[0].1["client_token"].as_str().map(str::len), Some(32));
}

#[tokio::test]
async fn a_bad_graph_is_refused_before_anything_is_sent() {
    let client = ClusterClient::new(vec![unused_address().await]).unwrap();
    let mut graph = graph();
    graph.vertices.clear();
    let error = client.submit(&graph, None, LONG).await.unwrap_err();
    assert!(matches!(&error, ClientError::Refused { errors } if errors[0].starts_with("JG-EMPTY")), "{error}");
}

#[tokio::test]
async fn a_call_gives_up_sooner_if_nothing_listens_at_any_address() {
    let (unused, other) = (unused_address().await, unused_address().await);
    let client = ClusterClient::new(vec![unused.clone(), other.clone()]).unwrap().give_up_if_refused(SOON);
    let error = client.list(Duration::from_secs(86_400)).await.unwrap_err();
    assert!(matches!(&error, ClientError::Unreachable { addresses, .. } if *addresses == [unused.clone(), other]), "{error}");

    // A standby answers, so the cluster exists, and a leader may come.
    let (standby, _) = serve(|nth, _, _| if nth < 20 { no_leader() } else { Some((200, json!({"jobs": []}))) }).await;
    let client = ClusterClient::new(vec![unused, standby]).unwrap().give_up_if_refused(Duration::ZERO);
    client.list(LONG).await.unwrap();
}

#[tokio::test]
async fn a_call_without_an_answer_says_what_it_waits_for() {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let unused = unused_address().await;
    let client =
        ClusterClient::new(vec![unused.clone()]).unwrap().report_waiting(|line| SAID.lock().unwrap().push(line.to_owned()));
    client.list(Duration::from_secs(5)).await.unwrap_err();
    let said = SAID.lock().unwrap().concat();
    assert!(said.contains(&format!("{unused}: connection refused")) && said.contains("trying for"), "{said}");

    // A frozen JobManager accepts the connection, and does not answer.
    SAID.lock().unwrap().clear();
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ClusterClient::new(vec![frozen.local_addr().unwrap().to_string()]).unwrap();
    client.report_waiting(|line| SAID.lock().unwrap().push(line.to_owned())).list(Duration::from_secs(5)).await.unwrap_err();
    assert!(SAID.lock().unwrap().concat().contains("no answer yet"));
}

#[tokio::test]
async fn a_call_without_a_leader_until_its_deadline_fails_with_no_leader() {
    let (standby, _) = serve(|_, _, _| no_leader()).await;
    let client = ClusterClient::new(vec![standby]).unwrap();
    let error = client.overview(SOON).await.unwrap_err();
    assert!(matches!(&error, ClientError::NoLeader { last, .. } if last.contains("an election is under way")), "{error}");
    let client = ClusterClient::new(vec![unused_address().await]).unwrap();
    let error = client.overview(SOON).await.unwrap_err();
    assert!(matches!(&error, ClientError::NoLeader { last, .. } if last.contains("refused")), "{error}");
}

#[tokio::test]
async fn each_answer_of_the_cluster_becomes_its_kind_of_error() {
    let (address, _) = serve(|_, line, _| {
        Some(match line {
            "GET /jobs/overview" => (500, json!({"errors": ["boom"]})),
            "GET /overview" => (200, json!("what?")),
            line if line.starts_with("PATCH") => (409, json!({"errors": ["JOB-ENDED: it has ended"]})),
            _ => (404, json!({"errors": ["JOB-UNKNOWN: no such job"]})),
        })
    })
    .await;
    let client = ClusterClient::new(vec![address]).unwrap();
    let error = client.describe(JOB, LONG).await.unwrap_err();
    assert_eq!(error, ClientError::NotFound { errors: vec!["JOB-UNKNOWN: no such job".into()] });
    let error = client.cancel(JOB, LONG).await.unwrap_err();
    assert_eq!(error, ClientError::Refused { errors: vec!["JOB-ENDED: it has ended".into()] });
    assert!(matches!(client.list(LONG).await, Err(ClientError::Other { message }) if message.contains("boom")));
    assert!(matches!(client.overview(LONG).await, Err(ClientError::Other { message }) if message.starts_with("CLIENT-ANSWER")));
}

#[tokio::test]
async fn waiting_goes_on_through_a_leader_change_until_the_job_has_ended() {
    let (address, _) = serve(|nth, _, _| match nth {
        0 => Some((200, description("RUNNING"))),
        1 => no_leader(),
        2 => Some((200, description("RESTARTING"))),
        _ => Some((200, description("FINISHED"))),
    })
    .await;
    let client = ClusterClient::new(vec![address]).unwrap();
    assert_eq!(client.wait(JOB, LONG).await.unwrap().status, JobStatus::Finished);
}

#[tokio::test]
async fn waiting_for_a_job_that_keeps_running_times_out() {
    let (address, _) = serve(|_, _, _| Some((200, description("RUNNING")))).await;
    let client = ClusterClient::new(vec![address]).unwrap();
    let error = client.wait(JOB, SOON).await.unwrap_err();
    assert!(matches!(&error, ClientError::TimedOut { what, .. } if what.contains("RUNNING")), "{error}");
}

#[tokio::test]
async fn a_savepoint_that_a_new_leader_does_not_know_is_triggered_again_under_the_same_id() {
    let (address, seen) = serve(|nth, line, body| {
        let id = body["triggerId"].as_str().unwrap_or("");
        Some(match (nth, line.starts_with("POST")) {
            (_, true) => (202, json!({"request-id": id})),
            (1, _) => (200, json!({"status": {"id": "IN_PROGRESS"}, "operation": null})),
            (2, _) => (404, json!({"errors": ["no such trigger"]})),
            _ => (200, json!({"status": {"id": "COMPLETED"}, "operation": {"location": "file:/s/1"}})),
        })
    })
    .await;
    let client = ClusterClient::new(vec![address]).unwrap();
    assert_eq!(client.stop(JOB, Some("file:/s"), false, LONG).await.unwrap(), "file:/s/1");
    let seen = seen.lock().unwrap();
    let posts: Vec<_> = seen.iter().filter(|(line, _)| line == &format!("POST /jobs/{JOB}/stop")).collect();
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[0].1, posts[1].1);
    assert_eq!(posts[0].1["targetDirectory"], "file:/s");
}

#[tokio::test]
async fn a_transfer_without_a_target_is_not_repeated_when_its_answer_is_lost() {
    let (address, seen) = serve(|_, _, _| None).await;
    let client = ClusterClient::new(vec![address]).unwrap();
    let error = client.ha_transfer(None, LONG).await.unwrap_err();
    assert!(matches!(&error, ClientError::Other { message } if message.starts_with("CLIENT-UNKNOWN")), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[test]
fn unusable_addresses_are_refused() {
    for address in ["", "https://a:1", "ftp://a", "http://a:99999", "a:1/path", "http://u:p@a:1", "a b", "http://"] {
        let error = ClusterClient::new(vec![address.to_owned()]).unwrap_err();
        assert!(error.to_string().starts_with("CLIENT-ADDRESS"), "{address}: {error}");
    }
    assert!(ClusterClient::new(vec![]).is_err());
    assert!(ClusterClient::new(vec!["a:1".to_owned(); 65]).is_err());
    assert!(ClusterClient::new(vec!["[::1]:8081".to_owned(), " jm-1:8081 ".to_owned()]).is_ok());
}

#[tokio::test]
async fn an_unavailable_store_fails_the_call_at_once_and_reports_an_uncertain_earlier_attempt() {
    let away = || Some((503, json!({"errors": ["HA-STORE-AWAY: the coordination store has not answered since then"]})));
    let (jobmanager, seen) = serve(move |_, _, _| away()).await;
    let error = ClusterClient::new(vec![jobmanager]).unwrap().submit(&graph(), None, LONG).await.unwrap_err();
    assert!(matches!(&error, ClientError::StoreAway { uncertain: None, .. }), "{error}");
    assert!(error.to_string().starts_with("HA-STORE-AWAY: "), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 1, "it asked once");

    let unknown = || Some((503, json!({"errors": ["HA-UNKNOWN: it is not known"]})));
    let (jobmanager, seen) = serve(move |nth, _, _| if nth == 0 { unknown() } else { away() }).await;
    let error = ClusterClient::new(vec![jobmanager]).unwrap().submit(&graph(), None, LONG).await.unwrap_err();
    assert!(matches!(&error, ClientError::StoreAway { uncertain: Some(why), .. } if why.contains("HA-UNKNOWN")), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 2);
}
