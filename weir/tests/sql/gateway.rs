//! The SQL gateway of real clusters, over HTTP as any client speaks to it.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::cluster::{Cluster, PATIENCE, until};
use super::rows;

/// A client of a session. It asks each JobManager in turn, as a client behind a load balancer does.
pub(crate) struct Session<'c> {
    cluster: &'c Cluster,
    http: reqwest::Client,
    handle: String,
    /// The address of the only JobManager that is asked, once: Flink's clients repeat no request.
    only: Option<String>,
}

impl<'c> Session<'c> {
    pub(crate) fn open(cluster: &'c Cluster, body: Value) -> Self {
        let mut session = Self::known(cluster, String::new());
        let (status, opened) = session.send(Method::POST, "/v2/sessions", Some(body));
        assert_eq!(status, 200, "{opened}");
        session.handle = opened["sessionHandle"].as_str().expect("a handle").to_owned();
        session
    }

    /// A session that was opened before.
    fn known(cluster: &'c Cluster, handle: String) -> Self {
        Self { cluster, http: reqwest::Client::new(), handle, only: None }
    }

    /// Sends a request until a JobManager that knows a leader answers it.
    pub(crate) fn send(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let started = Instant::now();
        let addresses = self.only.clone().map_or_else(|| self.cluster.processes.rest_addresses(), |only| vec![only]);
        for address in addresses.iter().cycle() {
            let mut request = self.http.request(method.clone(), format!("http://{address}{path}"));
            request = request.timeout(Duration::from_secs(60));
            if let Some(body) = &body {
                request = request.json(body);
            }
            let answer = self.cluster.runtime.block_on(async {
                let answer = request.send().await.ok()?;
                Some((answer.status().as_u16(), answer.json().await.ok()?))
            });
            match answer {
                Some((503, _)) | None if self.only.is_none() => {}
                answer => return answer.unwrap_or_else(|| panic!("no answer: {method} {path}")),
            }
            assert!(started.elapsed() < PATIENCE, "no answer in time: {method} {path}");
            std::thread::sleep(Duration::from_millis(50));
        }
        unreachable!("there are addresses")
    }

    fn path(&self, rest: &str) -> String {
        format!("/v2/sessions/{}{rest}", self.handle)
    }

    /// Submits a statement. Returns the handle of its operation.
    fn submit(&self, statement: &str) -> String {
        let (status, answer) = self.send(Method::POST, &self.path("/statements"), Some(json!({"statement": statement})));
        assert_eq!(status, 200, "{statement}: {answer}");
        answer["operationHandle"].as_str().expect("a handle").to_owned()
    }

    fn page(&self, operation: &str, token: u64) -> (u16, Value) {
        until("a page that is ready", || {
            let path = self.path(&format!("/operations/{operation}/result/{token}?rowFormat=JSON"));
            let (status, page) = self.send(Method::GET, &path, None);
            (page["resultType"] != "NOT_READY").then_some((status, page))
        })
    }

    fn status(&self, operation: &str) -> Value {
        self.send(Method::GET, &self.path(&format!("/operations/{operation}/status")), None).1["status"].take()
    }

    /// The fields of the rows of a statement's result.
    pub(crate) fn rows(&self, statement: &str) -> Vec<Value> {
        let operation = self.submit(statement);
        let (status, page) = self.page(&operation, 0);
        assert_eq!(status, 200, "{statement}: {page}");
        page["results"]["data"].as_array().expect("rows").iter().map(|row| row["fields"].clone()).collect()
    }

    /// The error of a statement.
    pub(crate) fn error(&self, statement: &str) -> String {
        let operation = self.submit(statement);
        let (status, page) = self.page(&operation, 0);
        assert_eq!((status, self.status(&operation)), (400, json!("ERROR")), "{statement}: {page}");
        page["errors"][0].as_str().expect("an error").to_owned()
    }
}

#[test]
fn sessions_operations_and_tables_survive_the_death_of_the_leader() {
    let mut cluster = Cluster::start(3);
    let output = cluster.place().join("numbers");
    let leader = cluster.leader();
    let (handle, described, inserted, page) = {
        let session = Session::open(&cluster, json!({"sessionName": "s", "properties": {"parallelism.default": "2"}}));
        let create = "CREATE TABLE n (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '500',
            'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '2000')";
        assert_eq!(session.rows(create), [json!(["OK"])]);
        let create = format!(
            "CREATE TEMPORARY TABLE o (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv')",
            output.display()
        );
        session.rows(&create);
        session.rows("CREATE VIEW v AS SELECT n + 0 AS n FROM n");
        session.rows("CREATE DATABASE d");
        session.rows("SET 'execution.checkpointing.interval' = '200 ms'");
        session.rows("SET 'table.dml-sync' = 'true'");
        let described = session.submit("DESCRIBE v");
        let page = session.page(&described, 0);
        let inserted = session.submit("INSERT INTO o SELECT n FROM v");
        assert_eq!(session.status(&inserted), "RUNNING");
        (session.handle, described, inserted, page)
    };
    cluster.processes.kill(&leader).expect("it runs");

    let session = Session::known(&cluster, handle);
    assert_eq!(session.page(&described, 0), page, "the same page from the next leader");
    assert_eq!(session.page(&described, 1).1["resultType"], "EOS");
    assert_ne!(cluster.leader(), leader);
    let settings = session.rows("SET");
    assert!(settings.contains(&json!(["parallelism.default", "2"])), "{settings:?}");
    assert_eq!(session.rows("SHOW TABLES"), [json!(["n"]), json!(["o"]), json!(["v"])]);
    assert_eq!(session.rows("SHOW DATABASES").len(), 2);

    // The statement that waits for its job ends with it, and every row is there once.
    until("the job has ended", || (session.status(&inserted) == "FINISHED").then_some(()));
    let (_, result) = session.page(&inserted, 0);
    let job = result["jobID"].as_str().expect("a job").to_owned();
    assert_eq!(result["results"]["data"][0]["fields"], json!([job]));
    let mut expected: Vec<_> = (1..=2000).map(|n| n.to_string()).collect();
    expected.sort();
    assert_eq!(rows(&output), expected);
    let jobs = session.rows("SHOW JOBS");
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!(jobs[0][0], json!(job));

    // Permanent tables are those of all sessions, temporary ones of their own.
    let other = Session::open(&cluster, json!({}));
    assert_eq!(other.rows("SHOW TABLES"), [json!(["n"]), json!(["v"])]);
    assert!(other.error("CREATE TABLE n (n BIGINT) WITH ('connector' = 'datagen')").starts_with("SQL-CATALOG"));
    other.rows("DROP VIEW v");
    assert_eq!(session.rows("SHOW VIEWS"), [json!(null); 0]);
}

#[test]
fn the_rows_of_a_query_come_once_each_though_the_leader_dies_between_two_pages() {
    const ROWS: u64 = 3_000;
    let mut cluster = Cluster::start(3);
    let (handle, query, first) = {
        let session = Session::open(&cluster, json!({}));
        session.rows(&format!(
            "CREATE TABLE n (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '500',
                'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{ROWS}')"
        ));
        let query = session.submit("SELECT n, CAST(n AS STRING) AS t FROM n");
        let first = until("rows", || {
            let (status, page) = session.page(&query, 0);
            assert_eq!((status, &page["isQueryResult"]), (200, &json!(true)), "{page}");
            (!numbers(&page).is_empty()).then_some(page)
        });
        (session.handle, query, first)
    };
    assert_eq!(first["results"]["columns"][0]["logicalType"], json!({"type": "BIGINT", "nullable": true}));
    let (mut seen, mut page, mut kills) = (numbers(&first), first, 0);
    let (mut token, mut only) = (1, None);
    loop {
        // After the first page, and again when many rows have been read.
        if kills == 0 || (kills == 1 && seen.len() as u64 > ROWS / 2) {
            kills += 1;
            let leader = cluster.leader();
            let standby = cluster.processes.jobmanager_names().into_iter().find(|name| *name != leader).expect("a standby");
            only = cluster.processes.rest_address(&standby);
            cluster.processes.kill(&leader).expect("it runs");
            // A standby holds the request back until there is a leader again.
            let session = Session { only: only.clone(), ..Session::known(&cluster, handle.clone()) };
            assert_eq!(session.page(&query, token - 1).1, page, "the same page from the next leader");
            cluster.processes.restart(&leader).expect("it starts");
        }
        let session = Session { only: only.clone(), ..Session::known(&cluster, handle.clone()) };
        let (status, next) = session.page(&query, token);
        assert_eq!(status, 200, "{next}");
        if next["resultType"] == "EOS" {
            break;
        }
        seen.extend(numbers(&next));
        if next["nextResultUri"].as_str().is_some_and(|uri| uri.contains(&format!("/result/{}?", token + 1))) {
            (page, token) = (next, token + 1);
        } else {
            // There are no rows yet.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    seen.sort_unstable();
    assert_eq!(kills, 2);
    assert_eq!(seen, (1..=ROWS).collect::<Vec<_>>());
}

/// The numbers in the first column of a page.
fn numbers(page: &Value) -> Vec<u64> {
    let rows = page["results"]["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter().filter_map(|row| row["fields"][0].as_u64()).collect()
}

#[test]
fn requests_are_answered_as_flinks_clients_expect() {
    let cluster = Cluster::start(1);
    let session = Session::open(&cluster, json!({"properties": {"execution.target": "remote"}}));
    for path in ["/v1/info", "/info", "/v4/info"] {
        assert_eq!(session.send(Method::GET, path, None).1["productName"], "Weir", "{path}");
    }
    let versions = json!({"versions": ["V1", "V2", "V3", "V4"]});
    assert_eq!(session.send(Method::GET, "/v1/api_versions", None), (200, versions));
    let properties = session.send(Method::GET, &session.path(""), None).1;
    assert_eq!(properties["properties"]["execution.target"], "remote");
    assert_eq!(session.send(Method::POST, &session.path("/heartbeat"), Some(json!({}))), (200, json!({})));

    // Version 1 has no row format, and its pages have columns always.
    let operation = session.submit("SHOW CATALOGS");
    let v1 = format!("/v1/sessions/{}/operations/{operation}/result/", session.handle);
    let first = session.send(Method::GET, &format!("{v1}0"), None).1;
    assert_eq!((&first["resultType"], &first["results"]["columns"][0]["name"]), (&json!("PAYLOAD"), &json!("catalog name")));
    assert_eq!(first["nextResultUri"], format!("{v1}1"));
    let end = session.send(Method::GET, &format!("{v1}1"), None).1;
    assert_eq!((&end["resultType"], end.get("nextResultUri")), (&json!("EOS"), None));
    assert_eq!(end["results"]["columns"][0]["logicalType"]["type"], "VARCHAR");
    assert_eq!(session.send(Method::GET, &format!("{v1}2"), None).0, 400);

    // The SQL client reads on when it sees this.
    assert!(session.error("SELECT (1").contains("Encountered \"<EOF>\""));
    assert!(session.error("SELECT n FROM nowhere").starts_with("SQL-NAME"));
    let configure =
        |statement: &str| session.send(Method::POST, &session.path("/configure-session"), Some(json!({"statement": statement})));
    assert_eq!(configure("CREATE TABLE t (a INT) WITH ('connector' = 'datagen')"), (200, json!({})));
    assert_eq!(configure("SHOW TABLES").0, 400);
    let complete = json!({"statement": "SELECT * FROM ", "position": 14});
    let completed = session.send(Method::GET, &session.path("/complete-statement"), Some(complete)).1;
    assert_eq!(completed, json!({"candidates": ["t"]}));

    // Options for one statement alone.
    let body = json!({"statement": "SET", "executionConfig": {"parallelism.default": "7"}});
    let operation = session.send(Method::POST, &session.path("/statements"), Some(body)).1;
    let operation = operation["operationHandle"].as_str().expect("a handle");
    assert_eq!(session.page(operation, 0).1["results"]["data"][0]["fields"], json!(["parallelism.default", "7"]));
    assert_eq!(session.rows("SET"), [json!(null); 0]);

    // Flink's gateway refuses a time limit, too. Its own clients send 0.
    let limited = |path: &str, timeout: Value| {
        let body = json!({"statement": "SET 'parallelism.default' = '3'", "executionTimeout": timeout});
        let (status, answer) = session.send(Method::POST, &session.path(path), Some(body));
        (status, answer["errors"][0].as_str().is_some_and(|error| error.starts_with("SQL-UNSUPPORTED: executionTimeout")))
    };
    for path in ["/statements", "/configure-session"] {
        assert_eq!(limited(path, json!(1)), (400, true), "{path}");
    }
    assert_eq!(session.rows("SET"), [json!(null); 0], "a refused statement has no effect");
    for timeout in [json!(0), json!(-1), json!(null)] {
        assert_eq!(limited("/configure-session", timeout.clone()), (200, false), "{timeout}");
    }

    let close = session.path(&format!("/operations/{operation}/close"));
    assert_eq!(session.send(Method::DELETE, &close, None), (200, json!({"status": "CLOSED"})));
    assert_eq!(session.status(operation), "CLOSED");
    for (method, path, code) in [
        (Method::GET, session.path("/operations/00000000-0000-4000-8000-000000000000/status"), "SQL-OPERATION"),
        (Method::GET, session.path("/operations/x/status"), "SQL-OPERATION"),
        (Method::GET, "/v2/sessions/00000000-0000-4000-8000-000000000000".to_owned(), "SQL-SESSION"),
        (Method::POST, session.path("/materialized-tables/t/refresh").replace("/v2/", "/v3/"), "SQL-UNSUPPORTED"),
        (Method::POST, session.path("/scripts").replace("/v2/", "/v4/"), "SQL-UNSUPPORTED"),
    ] {
        let (status, answer) = session.send(method, &path, Some(json!({})));
        let error = answer["errors"][0].as_str().unwrap_or_default();
        assert!(status >= 400 && error.starts_with(code), "{path}: {status} {answer}");
    }
    assert_eq!(session.send(Method::DELETE, &session.path(""), None), (200, json!({"status": "CLOSED"})));
    assert_eq!(session.send(Method::GET, &session.path(""), None).0, 404);
}

#[test]
fn a_job_is_stopped_and_canceled_over_the_gateway() {
    let cluster = Cluster::start(1);
    let session = Session::open(&cluster, json!({}));
    for statement in [
        "CREATE TABLE n (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10')",
        "CREATE TABLE o (n BIGINT) WITH ('connector' = 'blackhole')",
        "SET 'execution.checkpointing.interval' = '100 ms'",
    ] {
        assert_eq!(session.rows(statement), [json!(["OK"])], "{statement}");
    }
    let submitted = || session.rows("INSERT INTO o SELECT n FROM n")[0][0].as_str().expect("a job").to_owned();
    let is = |job: &str, status: &str| session.rows(&format!("DESCRIBE JOB '{job}'"))[0][2] == status;
    let (first, second) = (submitted(), submitted());
    until("the job runs", || is(&first, "RUNNING").then_some(()));
    let savepoint = session.rows(&format!("STOP JOB '{first}' WITH SAVEPOINT"));
    assert!(savepoint[0][0].as_str().is_some_and(|path| path.contains("savepoint")), "{savepoint:?}");
    assert!(is(&first, "FINISHED"));
    assert_eq!(session.rows(&format!("STOP JOB '{second}'")), [json!(["OK"])]);
    until("the job is canceled", || is(&second, "CANCELED").then_some(()));

    // Canceling an operation that waits for its job cancels the job.
    session.rows("SET 'table.dml-sync' = 'true'");
    let waiting = session.submit("INSERT INTO o SELECT n FROM n");
    let cancel = session.path(&format!("/operations/{waiting}/cancel"));
    until("the statement has a job", || (session.status(&waiting) == "RUNNING").then_some(()));
    assert_eq!(session.send(Method::POST, &cancel, Some(json!({}))), (200, json!({"status": "CANCELED"})));
    assert_eq!(session.send(Method::POST, &cancel, Some(json!({}))).0, 409, "it has ended");
    until("all jobs have ended", || {
        session.rows("SHOW JOBS").iter().all(|job| matches!(job[2].as_str(), Some("FINISHED" | "CANCELED"))).then_some(())
    });
}
