//! Tests of whole JobManagers in one process. REST, RPC and leadership are real, the coordination store is in memory, and the
//! TaskManagers are fake.
#![allow(clippy::unwrap_used)]

mod bounds;
mod cross_site;
mod fake_task_manager;
mod health;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use weir_control_plane::dispatcher::DispatcherOptions;
use weir_control_plane::job_master::JobMasterOptions;
use weir_control_plane::resource_manager::HeartbeatOptions;
use weir_control_plane::{JobManager, JobManagerOptions};
use weir_ha::memory::MemoryStore;
use weir_ha::store_identity::{self, Markers};
use weir_ha::{CoordinationStore, HaProvider};
use weir_protocol::http_access::HttpAccess;
use weir_protocol::link::ToJobManager;
use weir_protocol::rpc::is_not_leader;
use weir_protocol::{LeaderEpoch, TaskManagerId};
use weir_storage::StorageOptions;
use weir_storage::file_system::MemoryFileSystem;

use fake_task_manager::{FakeTaskManager, connect, registration};

struct Cluster {
    store: MemoryStore,
    job_managers: Vec<JobManager>,
    http: reqwest::Client,
}

impl Cluster {
    fn start(size: usize) -> Self {
        Self::start_with(size, MemoryStore::new(), Arc::new(MemoryFileSystem::new()))
    }

    fn start_with(size: usize, store: MemoryStore, files: Arc<MemoryFileSystem>) -> Self {
        let checkpoints = Arc::new(MemoryFileSystem::new());
        let start = |index: usize| {
            let name = format!("jm-{}", index + 1);
            let options = JobManagerOptions {
                ha: Arc::new(store.member(&name)) as Arc<dyn HaProvider>,
                name,
                store_survives: true,
                files: files.clone(),
                checkpoints: checkpoints.clone(),
                savepoint_dir: None,
                storage_options: StorageOptions::default(),
                rest_bind: "127.0.0.1:0".parse().unwrap(),
                rpc_bind: "127.0.0.1:0".parse().unwrap(),
                advertised_host: "127.0.0.1".to_string(),
                http_access: HttpAccess::default(),
                heartbeat: HeartbeatOptions { interval_ms: 1_000, timeout_ms: 10_000 },
                dispatcher: DispatcherOptions::default(),
                job_master: JobMasterOptions::default(),
                config: BTreeMap::from([("rest.port".to_string(), "0".to_string())]),
                metrics: None,
                faults: None,
                services: Arc::default(),
            };
            JobManager::start(options).unwrap()
        };
        Self { job_managers: (0..size).map(start).collect(), store, http: reqwest::Client::new() }
    }

    fn rpc_addresses(&self) -> Vec<String> {
        self.job_managers.iter().map(|job_manager| job_manager.rpc_address().to_string()).collect()
    }

    fn task_manager(&self, name: &str, slots: u32) -> FakeTaskManager {
        FakeTaskManager::start(name, slots, self.rpc_addresses())
    }

    fn url(&self, at: usize, path: &str) -> String {
        format!("http://{}{path}", self.job_managers[at].rest_address())
    }

    fn host(&self, at: usize) -> String {
        self.job_managers[at].rest_address().to_string()
    }

    async fn get(&self, at: usize, path: &str) -> (u16, Value) {
        answer(self.http.get(self.url(at, path))).await
    }

    async fn post(&self, at: usize, path: &str, body: &Value) -> (u16, Value) {
        answer(self.http.post(self.url(at, path)).json(body)).await
    }

    async fn patch(&self, at: usize, path: &str) -> (u16, Value) {
        answer(self.http.patch(self.url(at, path)).json(&json!({}))).await
    }

    /// Index of the JobManager that leads.
    async fn leader(&self) -> usize {
        eventually("a JobManager leads", || async {
            for at in 0..self.job_managers.len() {
                if self.get(at, "/healthz").await.1["leading"] == json!(true) {
                    return Some(at);
                }
            }
            None
        })
        .await
    }

    async fn submit(&self, at: usize, token: &str) -> String {
        let (code, body) = eventually("the job is accepted", || async {
            let (code, body) = self.post(at, "/weir/v1/jobs", &json!({"job_graph": graph(), "client_token": token})).await;
            (code != 503).then_some((code, body))
        })
        .await;
        assert_eq!(code, 201, "{body}");
        body["job_id"].as_str().unwrap().to_string()
    }

    async fn wait_for_status(&self, at: usize, job: &str, status: &str) {
        eventually(&format!("{job} is {status}"), || async {
            let (_, body) = self.get(at, &format!("/v1/jobs/{job}/status")).await;
            (body["status"] == status).then_some(())
        })
        .await;
    }

    /// Waits until all tasks run. The status of the job is already `RUNNING` when its first task runs.
    async fn wait_until_all_run(&self, at: usize, job: &str) {
        eventually(&format!("every task of {job} runs"), || async {
            let (_, body) = self.get(at, &format!("/jobs/{job}")).await;
            let vertices = body["vertices"].as_array().cloned().unwrap_or_default();
            (vertices.len() == 2 && vertices.iter().all(|vertex| vertex["tasks"]["RUNNING"] == 2)).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        for job_manager in self.job_managers {
            job_manager.shutdown().await;
        }
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let code = response.status().as_u16();
    (code, response.json().await.unwrap())
}

/// Asks until there is an answer. Fails after a minute without one.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    for _ in 0..3_000 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("this did not happen within a minute: {what}");
}

fn graph() -> Value {
    json!({
        "version": 1,
        "name": "two hops",
        "vertices": [
            {"id": "numbers", "parallelism": 2,
             "operators": [{"kind": "source.datagen", "options": {"fields": [
                 {"name": "n", "type": "bigint", "kind": "sequence"}], "rows": 10}}],
             "output_schema": [{"name": "n", "type": "bigint"}]},
            {"id": "out", "parallelism": 2, "operators": [{"kind": "sink.blackhole"}]}
        ],
        "edges": [{"from": "numbers", "to": "out"}],
        "checkpointing": {"interval_ms": 100},
        "restart_strategy": {"type": "fixed-delay", "attempts": 10, "delay_ms": 0}
    })
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_survives_a_leader_change_and_continues_from_its_newest_checkpoint() {
    let cluster = Cluster::start(2);
    let first = cluster.leader().await;
    let standby = 1 - first;
    let task_managers = [cluster.task_manager("tm-a", 1), cluster.task_manager("tm-b", 1)];

    // A standby answers as the leader does, and a repeated submission starts no new job.
    let job = cluster.submit(standby, "token-1").await;
    let again = cluster.post(first, "/weir/v1/jobs", &json!({"job_graph": graph(), "client_token": "token-1"})).await;
    assert_eq!(again, (200, json!({"job_id": job, "status": "already_submitted"})));
    cluster.wait_until_all_run(standby, &job).await;
    let (_, overview) = cluster.get(standby, "/overview").await;
    assert_eq!(
        (&overview["taskmanagers"], &overview["slots-total"], &overview["slots-available"]),
        (&json!(2), &json!(2), &json!(0))
    );
    eventually("a checkpoint completes", || async {
        let (_, body) = cluster.get(first, &format!("/jobs/{job}/checkpoints")).await;
        (body["counts"]["completed"].as_u64() > Some(0)).then_some(())
    })
    .await;

    cluster.store.revoke_leader();
    eventually("the other JobManager leads", || async { (cluster.leader().await == standby).then_some(()) }).await;
    let restored = eventually("the job runs again", || async {
        let (_, body) = cluster.get(first, &format!("/weir/v1/jobs/{job}")).await;
        (body["status"] == "RUNNING").then(|| body["checkpoints"]["latest_restored"]["id"].clone())
    })
    .await;
    assert!(restored.as_u64() > Some(0), "restored from {restored}");
    for task_manager in &task_managers {
        assert_eq!(task_manager.held().len(), 2, "only the new attempts are left");
        let epochs: BTreeSet<_> = task_manager.deployments().into_iter().collect();
        assert_eq!(epochs.len(), 2, "both leaders deployed tasks");
    }
    let history = eventually("both leaders are in the history", || async {
        let (_, body) = cluster.get(first, "/weir/v1/ha").await;
        (body["leader_history"].as_array().map(Vec::len) == Some(2)).then(|| body["leader_history"].clone())
    })
    .await;
    assert_eq!(history[0]["name"], format!("jm-{}", standby + 1), "newest first");

    let (code, body) = cluster.patch(first, &format!("/v1/jobs/{job}?mode=cancel")).await;
    assert_eq!((code, body), (202, json!({})));
    cluster.wait_for_status(first, &job, "CANCELED").await;
    assert!(task_managers.iter().all(|task_manager| task_manager.held().is_empty()));

    // R1: the next leader knows the result and starts no task.
    cluster.store.revoke_leader();
    eventually("the first JobManager leads again", || async { (cluster.leader().await == first).then_some(()) }).await;
    cluster.wait_for_status(standby, &job, "CANCELED").await;
    let (code, _) = cluster.get(first, &format!("/jobs/{job}")).await;
    assert_eq!(code, 200);
    cluster.stop().await;
}

/// The store was emptied, but the files are still there.
#[tokio::test(flavor = "multi_thread")]
async fn e1_a_store_that_the_files_do_not_belong_to_is_refused_until_an_operator_accepts_it() {
    let files = Arc::new(MemoryFileSystem::new());
    let former = Cluster::start_with(1, MemoryStore::new(), files.clone());
    former.leader().await;
    let to_accept = || async { Markers::read(&*files).await.unwrap().to_accept() };
    let known = eventually("the leader has left its marker", to_accept).await;
    former.stop().await;

    let emptied = Cluster::start_with(1, MemoryStore::new(), files.clone());
    let reason = tokio::time::timeout(Duration::from_secs(60), emptied.job_managers[0].refused()).await.expect("is refused");
    assert!(reason.starts_with("HA-STORE-EMPTY: "), "{reason}");
    emptied.stop().await;

    store_identity::accept(&*files, known).await.unwrap();
    let accepted = Cluster::start_with(1, MemoryStore::new(), files.clone());
    accepted.leader().await;
    let epoch = async || accepted.get(0, "/weir/v1/ha").await.1["epoch"].as_u64();
    eventually("the epoch is above the former one", || async { epoch().await.filter(|epoch| *epoch > known.epoch.0) }).await;
    let newer = || async { to_accept().await.filter(|newest| *newest > known) };
    eventually("the leader has left its marker", newer).await;
    accepted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_job_finishes_with_a_final_checkpoint_and_leaves_only_its_result() {
    let cluster = Cluster::start(1);
    let task_manager = cluster.task_manager("tm", 2);
    let job = cluster.submit(cluster.leader().await, "t").await;
    cluster.wait_until_all_run(0, &job).await;
    task_manager.end_input().await;
    cluster.wait_for_status(0, &job, "FINISHED").await;
    let (_, body) = cluster.get(0, &format!("/jobs/{job}")).await;
    assert_eq!(body["state"], "FINISHED");
    let store = cluster.store.member("reader");
    eventually("only results, tokens and checkpoint ids are left", || async {
        let keys = store.list("").await.unwrap();
        let left = keys.iter().any(|(key, _)| key.starts_with("jobs/") || key.starts_with("checkpoints/"));
        let clean = keys.iter().find(|(key, _)| key.starts_with("results/"));
        let clean = clean.is_some_and(|(_, found)| String::from_utf8_lossy(&found.value).contains("\"dirty\":false"));
        (!left && clean).then_some(())
    })
    .await;
    let (code, body) = cluster.patch(0, &format!("/jobs/{job}?mode=cancel")).await;
    assert_eq!(code, 409, "{body}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_loses_a_task_manager_restarts_on_another() {
    let cluster = Cluster::start(1);
    let lost = cluster.task_manager("tm-a", 2);
    let job = cluster.submit(cluster.leader().await, "t").await;
    cluster.wait_until_all_run(0, &job).await;
    drop(lost);
    let spare = cluster.task_manager("tm-b", 2);
    eventually("the job runs on the spare TaskManager", || async {
        let (_, body) = cluster.get(0, &format!("/weir/v1/jobs/{job}")).await;
        (body["status"] == "RUNNING" && spare.held().len() == 4).then_some(())
    })
    .await;
    let (_, body) = cluster.get(0, &format!("/jobs/{job}/exceptions")).await;
    assert_eq!(body["exceptionHistory"]["entries"][0]["taskManagerId"], "tm-a", "{body}");
    let (_, body) = cluster.get(0, "/taskmanagers").await;
    assert_eq!(body["taskmanagers"][0]["id"], "tm-b");
    assert_eq!(body["taskmanagers"][0]["assignedTasks"], 4);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_with_former_tasks_are_granted_only_after_these_tasks_have_ended() {
    let cluster = Cluster::start(2);
    let first = cluster.leader().await;
    let task_manager = cluster.task_manager("tm", 2);
    let job = cluster.submit(first, "t").await;
    cluster.wait_until_all_run(first, &job).await;
    let before = task_manager.held();
    task_manager.set_stubborn(true);
    cluster.store.revoke_leader();
    eventually("the job waits for slots that are being cleared", || async {
        let (_, body) = cluster.get(first, &format!("/weir/v1/jobs/{job}")).await;
        body["reason"].as_str().is_some_and(|reason| reason.contains("being cleared")).then_some(())
    })
    .await;
    assert_eq!(task_manager.held(), before, "former tasks keep running until they are cancelled");
    // The link is cut, and the TaskManager registers again. This time it obeys the orders to cancel.
    task_manager.set_stubborn(false);
    cluster.store.revoke_leader();
    cluster.wait_until_all_run(first, &job).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_leader_refuses_task_managers_that_know_a_newer_one_and_then_steps_down() {
    let cluster = Cluster::start(2);
    let sleeper = cluster.leader().await;
    cluster.store.pause(&format!("jm-{}", sleeper + 1));
    let other = 1 - sleeper;
    eventually("the other JobManager leads as well", || async {
        (cluster.get(other, "/healthz").await.1["leading"] == json!(true)).then_some(())
    })
    .await;
    assert_eq!(cluster.get(sleeper, "/healthz").await.1["leading"], json!(true));
    let epoch: LeaderEpoch = serde_json::from_value(cluster.get(other, "/weir/v1/ha").await.1["epoch"].clone()).unwrap();
    let newer = registration(&TaskManagerId("tm".to_string()), 1, epoch);
    let address = cluster.rpc_addresses()[sleeper].clone();
    let refusal = connect(&address, ToJobManager::Register(newer)).await.map(|_| ()).unwrap_err();
    assert!(is_not_leader(&refusal), "{refusal}");

    cluster.store.resume(&format!("jm-{}", sleeper + 1));
    eventually("the superseded leader steps down", || async {
        (cluster.get(sleeper, "/healthz").await.1["leading"] == json!(false)).then_some(())
    })
    .await;
    assert_eq!(cluster.get(sleeper, "/overview").await.0, 200, "it passes requests on to the leader");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_all_paths_except_local_ones_are_unavailable() {
    let cluster = Cluster::start(1);
    cluster.leader().await;
    cluster.store.set_elections(false);
    cluster.store.revoke_leader();
    let body = eventually("there is no leader", || async {
        let (code, body) = cluster.get(0, "/jobs/overview").await;
        (code == 503).then_some(body)
    })
    .await;
    assert!(body["errors"][0].as_str().unwrap().starts_with("NO-LEADER"), "{body}");
    let (code, body) = cluster.get(0, "/weir/v1/ha").await;
    assert_eq!((code, &body["answered_by"]), (200, &json!("jm-1")));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_with_flinks_codes_and_reasons() {
    let cluster = Cluster::start(1);
    cluster.leader().await;
    let unknown = "0".repeat(32);
    let cases = [
        ("/jobs/zz", 400),
        ("/v1/jobs/zz", 400),
        (&format!("/jobs/{unknown}"), 404),
        (&format!("/v1/jobs/{unknown}/checkpoints"), 404),
        (&format!("/jobs/{unknown}/savepoints/zz"), 400),
        ("/taskmanagers/nobody", 404),
        ("/nope", 404),
        ("/weir/v1/jobs", 405),
    ];
    for (path, expected) in cases {
        let (code, body) = cluster.get(0, path).await;
        assert_eq!(code, expected, "{path}: {body}");
        assert!(body["errors"][0].is_string(), "{path}: {body}");
    }
    let mut cyclic = graph();
    cyclic["edges"] = json!([{"from": "out", "to": "out"}]);
    let (code, body) = cluster.post(0, "/weir/v1/jobs", &json!({"job_graph": cyclic})).await;
    assert_eq!(code, 400);
    assert!(body["errors"].as_array().unwrap().iter().any(|error| error.as_str().unwrap().contains("JG-")), "{body}");
    let (code, body) = cluster.post(0, "/weir/v1/jobs", &json!({"job_graph": graph(), "client_token": "no/slash"})).await;
    assert_eq!(code, 400, "{body}");
    let (code, _) = cluster.post(0, "/weir/v1/jobs", &json!("not a job")).await;
    assert_eq!(code, 400);
    let (code, _) = cluster.patch(0, &format!("/jobs/{unknown}?mode=cancel")).await;
    assert_eq!(code, 404);
    let (code, _) = cluster.patch(0, &format!("/jobs/{unknown}?mode=explode")).await;
    assert_eq!(code, 400);
    let (code, _) = cluster.post(0, &format!("/jobs/{unknown}/stop"), &json!({"drain": true})).await;
    assert_eq!(code, 400);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_flinks_fields_with_and_without_the_prefix_v1() {
    let cluster = Cluster::start(1);
    let _task_manager = cluster.task_manager("tm", 2);
    let job = cluster.submit(cluster.leader().await, "t").await;
    cluster.wait_until_all_run(0, &job).await;
    let fields = [
        (
            "/overview",
            "flink-commit flink-version jobs-cancelled jobs-failed jobs-finished jobs-running slots-available slots-total taskmanagers",
        ),
        ("/config", "features flink-revision flink-version refresh-interval timezone-name timezone-offset"),
        ("/jobs", "jobs"),
        ("/jobs/overview", "jobs"),
        (
            &format!("/jobs/{job}"),
            "application-id duration end-time isStoppable jid job-type maxParallelism name now pending-operators plan schedulerType start-time state status-counts timestamps vertices",
        ),
        (&format!("/jobs/{job}/status"), "status"),
        (&format!("/jobs/{job}/plan"), "plan"),
        (&format!("/jobs/{job}/config"), "execution-config jid name"),
        (&format!("/jobs/{job}/exceptions?maxExceptions=10"), "exceptionHistory"),
        (&format!("/jobs/{job}/checkpoints"), "counts history latest summary"),
        (
            &format!("/jobs/{job}/checkpoints/config"),
            "aligned_checkpoint_timeout changelog_periodic_materialization_interval changelog_storage checkpoint_storage checkpoints_after_tasks_finish externalization interval max_concurrent min_pause mode state_backend state_changelog_enabled timeout tolerable_failed_checkpoints unaligned_checkpoints",
        ),
        ("/taskmanagers", "taskmanagers"),
        (
            "/taskmanagers/tm",
            "allocatedSlots assignedTasks dataPort freeResource freeSlots hardware id jmxPort memoryConfiguration metrics path slotsNumber timeSinceLastHeartbeat totalResource",
        ),
        ("/applications/overview", "applications"),
    ];
    for (path, expected) in fields {
        for prefix in ["", "/v1"] {
            let (code, body) = cluster.get(0, &format!("{prefix}{path}")).await;
            assert_eq!(code, 200, "{prefix}{path}: {body}");
            assert_eq!(keys(&body), expected.split(' ').collect(), "{prefix}{path}");
        }
    }
    let (_, body) = cluster.get(0, "/jobs/overview").await;
    let expected = "duration end-time jid jobType last-modification name pending-operators schedulerType start-time state tasks";
    assert_eq!(keys(&body["jobs"][0]), expected.split(' ').collect());
    let expected = "canceled canceling created deploying failed finished initializing reconciling running scheduled total";
    assert_eq!(keys(&body["jobs"][0]["tasks"]), expected.split(' ').collect());
    assert_eq!(body["jobs"][0]["end-time"], -1);
    let (_, body) = cluster.get(0, &format!("/jobs/{job}")).await;
    assert_eq!(body["plan"]["nodes"][1]["inputs"][0]["ship_strategy"], "FORWARD");
    assert_eq!(body["vertices"][0]["tasks"]["RUNNING"], 2);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_stops_with_a_savepoint_and_a_poll_returns_its_location() {
    let cluster = Cluster::start(1);
    let task_manager = cluster.task_manager("tm", 2);
    let directory = tempfile::tempdir().unwrap();
    let job = cluster.submit(cluster.leader().await, "t").await;
    cluster.wait_until_all_run(0, &job).await;
    let trigger = "0123456789abcdef0123456789abcdef";
    let body = json!({"targetDirectory": directory.path(), "drain": false, "formatType": "CANONICAL", "triggerId": trigger});
    for _ in 0..2 {
        let answer = cluster.post(0, &format!("/v1/jobs/{job}/stop"), &body).await;
        assert_eq!(answer, (202, json!({"request-id": trigger})));
    }
    let location = eventually("the savepoint is complete", || async {
        let (code, body) = cluster.get(0, &format!("/v1/jobs/{job}/savepoints/{trigger}")).await;
        assert_eq!(code, 200, "{body}");
        (body["status"]["id"] == "COMPLETED").then(|| body["operation"]["location"].as_str().unwrap().to_string())
    })
    .await;
    assert!(location.contains("savepoint-"), "{location}");
    cluster.wait_for_status(0, &job, "FINISHED").await;
    eventually("no task is left", || async { task_manager.held().is_empty().then_some(()) }).await;
    cluster.stop().await;
}

/// Every JobManager refuses such requests at once, and the job continues to run.
#[tokio::test]
async fn while_the_store_is_unavailable_requests_that_must_be_recorded_are_refused_at_once() {
    let cluster = Cluster::start(2);
    let _task_managers = [cluster.task_manager("tm-1", 2), cluster.task_manager("tm-2", 2)];
    let leader = cluster.leader().await;
    let job = cluster.submit(leader, "token").await;
    cluster.wait_until_all_run(leader, &job).await;

    cluster.store.set_away(true);
    let submission = json!({"job_graph": graph(), "client_token": "another"});
    eventually("the job shows that the store does not answer", || async {
        let (_, body) = cluster.get(leader, &format!("/weir/v1/jobs/{job}")).await;
        body["reason"].as_str().is_some_and(|reason| reason.starts_with("HA-STORE-AWAY: ")).then_some(())
    })
    .await;
    for at in 0..2 {
        let refusals = [
            cluster.post(at, "/weir/v1/jobs", &submission).await,
            cluster.patch(at, &format!("/jobs/{job}?mode=cancel")).await,
            cluster.post(at, &format!("/jobs/{job}/savepoints"), &json!({})).await,
            cluster.post(at, &format!("/jobs/{job}/stop"), &json!({})).await,
            cluster.post(at, "/weir/v1/ha/transfer", &json!({})).await,
        ];
        for (code, body) in refusals {
            assert_eq!(code, 503, "{body}");
            assert!(body["errors"][0].as_str().unwrap().starts_with("HA-STORE-AWAY: "), "{body}");
        }
        let (_, ha) = cluster.get(at, "/weir/v1/ha").await;
        assert!(ha["store_away_since_ms"].as_u64().is_some_and(|since_ms| since_ms > 0), "{ha}");
    }
    let (_, body) = cluster.get(leader, &format!("/jobs/{job}")).await;
    assert_eq!(body["state"], "RUNNING");

    cluster.store.set_away(false);
    let (_, ha) = cluster.get(leader, "/weir/v1/ha").await;
    assert_eq!(ha.get("store_away_since_ms"), None, "{ha}");
    cluster.submit(leader, "another").await;
    let (code, body) = cluster.patch(leader, &format!("/jobs/{job}?mode=cancel")).await;
    assert_eq!(code, 202, "{body}");
    cluster.wait_for_status(leader, &job, "CANCELED").await;
}
