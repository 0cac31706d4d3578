use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use weir_sql::catalog::{CatalogAnswer, CatalogContents, CatalogObject, NamedObject, ObjectPath};
use weir_sql::command::decided;
use weir_sql::script::split;

use super::*;
use crate::ClusterClient;
use crate::cluster_client::tests::serve;

/// A cluster that holds a catalogue and takes jobs.
#[derive(Debug, Default)]
struct Cluster {
    generation: u32,
    objects: BTreeMap<ObjectPath, CatalogObject>,
    /// What others do, each right before a commit of the client.
    others: Vec<&'static str>,
    /// How many answers to commits are lost after the commit.
    lost_answers: u32,
    /// What others do after a commit whose answer is lost.
    after_loss: Option<&'static str>,
    /// How many commits are lost before they arrive.
    lost_commits: u32,
    /// Whether nothing is answered any more after a conflict.
    fails_after_conflict: bool,
    is_failed: bool,
    tokens: Vec<String>,
    /// How many answers had the whole catalogue.
    read: u32,
}

impl Cluster {
    fn session(&self) -> Session {
        let mut session = Session::default();
        session.catalog.replace_permanent([], self.objects.clone());
        session
    }

    fn run(&mut self, statement: &str) {
        let decided = decided(self.session(), &split(statement).unwrap()[0]).unwrap();
        self.apply(decided.changes);
    }

    fn apply(&mut self, changes: Vec<CatalogChange>) {
        self.generation += 1;
        for change in changes {
            match change {
                CatalogChange::PutObject { path, object } => drop(self.objects.insert(path, object)),
                CatalogChange::RemoveObject { path } => drop(self.objects.remove(&path)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn answer(&mut self, line: &str, body: &Value) -> Option<(u16, Value)> {
        if self.is_failed {
            return Some((500, json!({"errors": ["failed"]})));
        }
        let generation = format!("1-{}", self.generation);
        if line == "POST /weir/v1/jobs" {
            let token = body["client_token"].as_str().unwrap().to_owned();
            if !self.tokens.contains(&token) {
                self.tokens.push(token);
            }
            return Some((201, json!({"job_id": "0000000000000000000000000000000a", "status": "created"})));
        }
        if let Some(query) = line.strip_prefix("GET /weir/v1/sql/catalog") {
            let known = query.strip_prefix("?known=").is_some_and(|known| known == generation);
            let objects = self.objects.iter().map(|(path, object)| NamedObject { path: path.clone(), object: object.clone() });
            let contents = CatalogContents { databases: Vec::new(), objects: objects.collect() };
            self.read += u32::from(!known);
            let answer = CatalogAnswer { generation, catalog: (!known).then_some(contents) };
            return Some((200, serde_json::to_value(answer).unwrap()));
        }
        assert_eq!(line, "POST /weir/v1/sql/catalog");
        if self.lost_commits > 0 {
            self.lost_commits -= 1;
            return None;
        }
        if !self.others.is_empty() {
            let statement = self.others.remove(0);
            self.run(statement);
        }
        let commit: CatalogCommit = serde_json::from_value(body.clone()).unwrap();
        if commit.generation != format!("1-{}", self.generation) {
            self.is_failed = self.fails_after_conflict;
            return Some((409, json!({"errors": ["SQL-CONFLICT: changed since"]})));
        }
        self.apply(commit.changes);
        if self.lost_answers > 0 {
            self.lost_answers -= 1;
            if let Some(statement) = self.after_loss {
                self.run(statement);
            }
            return None;
        }
        Some((200, json!({"generation": format!("1-{}", self.generation)})))
    }

    fn names(&self) -> Vec<String> {
        self.objects.keys().map(|path| path.name.clone()).collect()
    }
}

/// A cluster that is changed like this first, and a client of it.
async fn client(change: impl FnOnce(&mut Cluster)) -> (SqlClient, Arc<Mutex<Cluster>>) {
    let mut cluster = Cluster::default();
    cluster.run("CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen')");
    change(&mut cluster);
    let cluster = Arc::new(Mutex::new(cluster));
    let served = cluster.clone();
    let (address, _) = serve(move |_, line, body| served.lock().unwrap().answer(line, body)).await;
    let client = SqlClient::new(ClusterClient::new(vec![address]).unwrap(), Duration::from_secs(60));
    (client.use_cluster_catalog(), cluster)
}

async fn run(client: &mut SqlClient, statement: &str) -> Result<Outcome, SqlClientError> {
    client.run(&split(statement).unwrap()[0]).await
}

const CREATE: &str = "CREATE TABLE t (n BIGINT) WITH ('connector' = 'blackhole')";
const CREATE_AS: &str = "CREATE TABLE t WITH ('connector' = 'blackhole') AS SELECT n FROM numbers";

#[tokio::test]
async fn the_clusters_tables_are_used_and_read_only_after_changes() {
    let (mut client, cluster) = client(|_| {}).await;
    assert!(client.names().tables.is_empty());
    client.refresh_catalog(Duration::from_secs(60)).await.unwrap();
    assert_eq!(client.names().tables[0].0, "numbers");
    for statement in [CREATE, "CREATE TEMPORARY VIEW v AS SELECT n FROM t", "USE default_database", "SHOW TABLES"] {
        run(&mut client, statement).await.unwrap();
    }
    assert_eq!(cluster.lock().unwrap().read, 1);
    assert_eq!(cluster.lock().unwrap().names(), ["numbers", "t"]);
    cluster.lock().unwrap().run("DROP TABLE t");
    let error = run(&mut client, "DESCRIBE v").await.unwrap_err();
    assert!(error.to_string().contains("SQL-NAME"), "a temporary view stays, and its table is gone: {error}");
    assert_eq!(cluster.lock().unwrap().read, 2);
}

#[tokio::test]
async fn a_statement_is_decided_again_if_others_came_first() {
    let (mut client, cluster) =
        client(|cluster| cluster.others = vec!["CREATE VIEW a AS SELECT 1", "CREATE VIEW b AS SELECT 1"]).await;
    assert_eq!(run(&mut client, CREATE).await, Ok(Outcome::Done));
    assert_eq!(cluster.lock().unwrap().names(), ["a", "b", "numbers", "t"]);

    cluster.lock().unwrap().others = vec!["DROP TABLE t"];
    let error = run(&mut client, "DROP TABLE t").await.unwrap_err();
    assert!(error.to_string().starts_with("SQL-CATALOG"), "another client has dropped it: {error}");

    cluster.lock().unwrap().others = ["CREATE VIEW x AS SELECT 1", "DROP VIEW x"].repeat(super::super::ATTEMPTS as usize);
    let error = run(&mut client, CREATE).await.unwrap_err();
    assert!(error.to_string().starts_with("SQL-CONFLICT"), "{error}");
    assert_eq!(cluster.lock().unwrap().others.len(), super::super::ATTEMPTS as usize);
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_made_once_and_succeeds() {
    for statement in [CREATE, "DROP TABLE numbers", "ALTER TABLE numbers RENAME TO m"] {
        let (mut client, cluster) = client(|cluster| cluster.lost_answers = 1).await;
        assert_eq!(run(&mut client, statement).await, Ok(Outcome::Done), "{statement}");
        assert_eq!(cluster.lock().unwrap().generation, 2, "{statement}");
        run(&mut client, "SHOW TABLES").await.unwrap();
        assert_eq!(client.session.catalog.permanent().count(), cluster.lock().unwrap().objects.len());
    }
}

#[tokio::test]
async fn a_change_that_never_arrived_is_made_once() {
    let (mut client, cluster) = client(|cluster| {
        cluster.lost_commits = 1;
        cluster.others = vec!["CREATE VIEW a AS SELECT 1"];
    })
    .await;
    assert_eq!(run(&mut client, CREATE).await, Ok(Outcome::Done));
    assert_eq!(cluster.lock().unwrap().names(), ["a", "numbers", "t"]);
    assert_eq!(cluster.lock().unwrap().generation, 3);
}

#[tokio::test]
async fn it_is_said_if_others_hide_whether_a_change_was_made() {
    let (mut client, _) = client(|cluster| {
        cluster.lost_answers = 1;
        cluster.after_loss = Some("ALTER TABLE t SET ('a' = 'b')");
    })
    .await;
    let error = run(&mut client, CREATE).await.unwrap_err();
    assert!(matches!(error, SqlClientError::Unfinished { may_be_made: true, job: None, .. }), "{error}");
    assert!(error.to_string().contains("SHOW TABLES tells"), "{error}");
}

#[tokio::test]
async fn a_table_of_a_query_has_one_job_however_often_it_is_decided() {
    let (mut client, cluster) = client(|cluster| {
        cluster.others = vec!["CREATE VIEW a AS SELECT 1"];
        cluster.lost_answers = 1;
    })
    .await;
    let outcome = run(&mut client, CREATE_AS).await;
    assert!(matches!(outcome, Ok(Outcome::Submitted(_))), "{outcome:?}");
    assert_eq!(cluster.lock().unwrap().tokens.len(), 1);
    assert_eq!(cluster.lock().unwrap().names(), ["a", "numbers", "t"]);
}

#[tokio::test]
async fn a_job_is_named_if_its_table_was_created_by_others_meanwhile() {
    for (statement, code) in
        [(CREATE_AS.to_owned(), "SQL-CATALOG"), (CREATE_AS.replace("TABLE t", "TABLE IF NOT EXISTS t"), "SQL-CONFLICT")]
    {
        let (mut client, cluster) = client(|cluster| cluster.others = vec![CREATE]).await;
        let error = run(&mut client, &statement).await.unwrap_err().render("");
        assert!(
            error.starts_with(code) && error.contains("its job 0000000000000000000000000000000a was submitted before"),
            "{error}"
        );
        assert_eq!(cluster.lock().unwrap().tokens.len(), 1);
    }
}

#[tokio::test]
async fn what_was_done_before_a_failure_is_said() {
    let (mut broken, _) = client(|cluster| {
        cluster.others = vec!["CREATE VIEW a AS SELECT 1"];
        cluster.fails_after_conflict = true;
    })
    .await;
    let error = run(&mut broken, CREATE_AS).await.unwrap_err();
    assert!(matches!(error, SqlClientError::Unfinished { may_be_made: false, job: Some(_), .. }), "{error}");
    let (mut broken, _) = client(|cluster| {
        cluster.lost_answers = 1;
        cluster.fails_after_conflict = true;
    })
    .await;
    let error = run(&mut broken, CREATE).await.unwrap_err();
    assert!(matches!(error, SqlClientError::Unfinished { may_be_made: true, job: None, .. }), "{error}");
}

#[tokio::test]
async fn without_a_cluster_only_statements_about_tables_fail() {
    let nowhere = ClusterClient::new(vec!["127.0.0.1:1".to_owned()]).unwrap().give_up_if_refused(Duration::ZERO);
    let mut client = SqlClient::new(nowhere, Duration::from_secs(5)).use_cluster_catalog();
    for statement in ["SET 'parallelism.default' = '2'", "SET", "RESET", "SHOW FUNCTIONS", "SHOW CURRENT DATABASE"] {
        run(&mut client, statement).await.unwrap();
    }
    let error = run(&mut client, "SELECT FROM").await.unwrap_err();
    assert!(error.to_string().starts_with("SQL-PARSE"), "{error}");
    for statement in ["SHOW TABLES", "USE d", CREATE, "DESCRIBE t", "EXPLAIN SELECT 1"] {
        let error = run(&mut client, statement).await.unwrap_err();
        assert!(matches!(error, SqlClientError::Cluster(ClientError::Unreachable { .. })), "{statement}: {error}");
    }
}
