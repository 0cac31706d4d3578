//! `weir sql --catalog cluster`, and the paths that it uses.

use reqwest::Method;
use serde_json::{Value, json};

use super::cluster::{Cluster, until};
use super::gateway::Session;
use super::shell::Shell;
use super::{Run, run, weir_sql};

const PATH: &str = "/weir/v1/sql/catalog";

/// Runs statements with the catalogue of the cluster.
fn with_cluster(cluster: &Cluster, statements: &str) -> Run {
    run(&["-m", &cluster.addresses(), "--catalog", "cluster", "-o", "csv", "-e", statements])
}

/// The same, which succeeds. Returns what is printed.
fn printed(cluster: &Cluster, statements: &str) -> String {
    let ended = with_cluster(cluster, statements);
    assert_eq!(ended.code, Some(0), "{statements}: {ended:?}");
    ended.out
}

#[test]
fn tables_are_those_of_the_gateway_also_after_the_death_of_the_leader() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    {
        let session = Session::open(&cluster, json!({}));
        session.rows("CREATE DATABASE d");
        session.rows(
            "CREATE TABLE d.numbers (n BIGINT, m AS n + 1) WITH ('connector' = 'datagen', 'fields.n.kind' = 'sequence',
               'fields.n.start' = '1', 'fields.n.end' = '3', 'number-of-rows' = '3')",
        );
        assert_eq!(printed(&cluster, "USE d; SHOW TABLES"), "table name\nnumbers\n");
        assert_eq!(printed(&cluster, "SELECT n, m FROM d.numbers"), "n,m\n1,2\n2,3\n3,4\n");

        // The default catalogue is the command's own: it leaves no table in the cluster, and a script can run again.
        let script = "CREATE TABLE own (n BIGINT) WITH ('connector' = 'datagen'); SHOW TABLES";
        for _ in 0..2 {
            let ended = run(&["-m", &cluster.addresses(), "-o", "csv", "-e", script]);
            assert_eq!((ended.code, ended.out.as_str()), (Some(0), "table name\nown\n"), "{ended:?}");
        }
        assert_eq!(session.rows("SHOW TABLES"), [json!(null); 0]);
    }

    let statements = "CREATE TABLE o (n BIGINT COMMENT 'it''s') WITH ('connector' = 'blackhole');
        CREATE TEMPORARY VIEW hidden AS SELECT n FROM o;
        CREATE VIEW d.big AS SELECT n FROM d.numbers WHERE n > 1;
        ALTER TABLE o RENAME TO p;
        CREATE TABLE copy WITH ('connector' = 'blackhole') AS SELECT n FROM d.big";
    printed(&cluster, statements);
    cluster.processes.kill(&leader).expect("it runs");

    let session = Session::open(&cluster, json!({}));
    assert_eq!(session.rows("SHOW TABLES"), [json!(["copy"]), json!(["p"])]);
    assert_eq!(session.rows("SHOW JOBS").len(), 2, "the query, and the job of copy");
    let described = session.rows("DESCRIBE d.big");
    assert_eq!(described[0][0], "n");
    let shown = session.rows("SHOW CREATE TABLE p")[0][0].as_str().expect("a text").to_owned();
    let printed_text = printed(&cluster, "SHOW CREATE TABLE p");
    assert!(shown.contains("COMMENT 'it''s'") && printed_text.contains(shown.trim()), "{shown}\n{printed_text}");
    assert!(session.error("CREATE VIEW p AS SELECT 1").starts_with("SQL-CATALOG"));
    let ended = with_cluster(&cluster, "CREATE TABLE p (n INT) WITH ('connector' = 'datagen')");
    assert!(ended.code == Some(1) && ended.err.contains("SQL-CATALOG") && ended.err.contains("line 1, column 14"), "{ended:?}");
    printed(&cluster, "DROP DATABASE d CASCADE; DROP TABLE IF EXISTS nothing");
    assert_eq!(session.rows("SHOW DATABASES"), [json!(["default_database"])]);
}

#[test]
fn changes_of_several_writers_at_once_are_all_made() {
    const TABLES: usize = 25;
    let cluster = Cluster::start(1);
    let script = |name: &str| -> String {
        (0..TABLES).map(|i| format!("CREATE TABLE {name}{i} (n BIGINT) WITH ('connector' = 'datagen');")).collect()
    };
    let addresses = cluster.addresses();
    let start = |name: &str| {
        let mut command = weir_sql(&["-m", &addresses, "-e", &script(name)]);
        command.env("WEIR_SQL_CATALOG", "cluster").spawn().expect("it starts")
    };
    let writers = [start("a"), start("b"), start("c")];
    let session = Session::open(&cluster, json!({}));
    for i in 0..TABLES {
        session.rows(&format!("CREATE VIEW v{i} AS SELECT {i} AS n"));
    }
    for writer in writers {
        let ended = Run::from(writer.wait_with_output().expect("it ends"));
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    assert_eq!(session.rows("SHOW TABLES").len(), 4 * TABLES);
    assert_eq!(printed(&cluster, "SHOW TABLES").lines().count(), 4 * TABLES + 1);
}

#[test]
fn a_shell_completes_the_clusters_tables() {
    let cluster = Cluster::start(1);
    let session = Session::open(&cluster, json!({}));
    session.rows("CREATE TABLE departures (n BIGINT) WITH ('connector' = 'datagen')");
    let history = cluster.place().join("history");
    let mut shell = Shell::start_with(&history, &cluster.addresses(), "--catalog cluster");
    shell.enter("DESCRIBE dep\t;", "1 row in set (");
    shell.enter("DROP TABLE departures;", "OK (");
    shell.enter("SHOW TABLES;", "Empty set (");
    shell.press("quit;\r");
    assert_eq!(shell.end(), Some(0));
    assert_eq!(session.rows("SHOW TABLES"), [json!(null); 0]);
}

/// The generation of the catalogue.
fn generation(session: &Session<'_>) -> String {
    session.send(Method::GET, PATH, None).1["generation"].as_str().expect("a generation").to_owned()
}

fn put(name: &str, object: &Value) -> Value {
    let path = json!({"catalog": "default_catalog", "database": "default_database", "name": name});
    json!({"change": "put_object", "path": path, "object": object})
}

fn view() -> Value {
    json!({"object": "view", "query": "SELECT 1 AS n", "catalog": "default_catalog", "database": "default_database"})
}

#[test]
fn the_catalogue_is_read_and_changed_over_rest() {
    let mut cluster = Cluster::start(2);
    let leader = cluster.leader();
    let (first, second) = {
        let session = Session::open(&cluster, json!({}));
        let (status, read) = session.send(Method::GET, PATH, None);
        assert_eq!((status, &read["catalog"]), (200, &json!({"databases": [], "objects": []})), "{read}");
        let first = generation(&session);
        assert_eq!(session.send(Method::GET, &format!("{PATH}?known={first}"), None), (200, json!({"generation": first})));

        // Of two writers that have read the same, the second conflicts with the first only about the same name.
        let commit = |change: &Value| session.send(Method::POST, PATH, Some(json!({"generation": first, "changes": [change]})));
        let (status, made) = commit(&put("v", &view()));
        assert_eq!(status, 200, "{made}");
        let second = generation(&session);
        assert_eq!(made, json!({"generation": second}));
        assert_ne!(first, second);
        let database = json!({"change": "put_database", "catalog": "default_catalog", "database": "default_database"});
        for change in [put("v", &view()), put("v", &json!({"object": "table", "columns": []})), database] {
            let (status, refused) = commit(&change);
            let error = refused["errors"][0].as_str().unwrap_or_default();
            assert!(status == 409 && error.starts_with("SQL-CONFLICT"), "{change}: {refused}");
        }
        assert_eq!(commit(&put("w", &view())), (200, json!({})), "the writer has to read what the other has changed");
        let second = generation(&session);
        let (_, read) = session.send(Method::GET, &format!("{PATH}?known={first}"), None);
        assert_eq!(read["catalog"]["objects"][0]["object"], view(), "{read}");
        assert_eq!(session.rows("SHOW VIEWS"), [json!(["v"]), json!(["w"])]);
        assert_eq!(session.send(Method::POST, PATH, Some(json!({"generation": second, "changes": []}))).0, 200);
        assert_eq!(generation(&session), second, "nothing was changed");
        (first, second)
    };
    cluster.processes.kill(&leader).expect("it runs");
    cluster.processes.restart(&leader).expect("it starts");
    until("the next leader", || (cluster.leader() != leader).then_some(()));
    let session = Session::open(&cluster, json!({}));
    let next = generation(&session);
    assert!(next != first && next != second, "{next}");
    let body = json!({"generation": second, "changes": [put("x", &view())]});
    assert_eq!(session.send(Method::POST, PATH, Some(body)).0, 409, "the generation of a former leader");
    assert_eq!(session.rows("SHOW VIEWS").len(), 2);
}

#[test]
fn a_bad_body_is_refused_and_changes_nothing() {
    let cluster = Cluster::start(1);
    let session = Session::open(&cluster, json!({}));
    let newest = generation(&session);
    let column = json!({"name": "n", "kind": {"physical": {"type": "BIGINT", "nullable": true}}});
    let table = |columns: Value| json!({"object": "table", "columns": columns, "options": {"connector": "datagen"}});
    let long = table(json!([{"name": "n", "comment": "x".repeat(2 << 20),
        "kind": {"physical": {"type": "BIGINT", "nullable": true}}}]));
    let many: Vec<_> = (0..91).map(|i| put(&format!("v{i}"), &view())).collect();
    let of_unknown_type = json!([{"name": "n", "kind": {"physical": {"type": "BIGINTEGER", "nullable": true}}}]);
    for (body, code) in [
        (json!({}), "REST-JSON"),
        (json!({"generation": newest, "changes": [{"change": "explode"}]}), "REST-JSON"),
        (json!({"generation": newest, "changes": [put("t", &json!({"object": "table"}))]}), "REST-JSON"),
        (json!({"generation": newest, "changes": [put("t", &table(of_unknown_type))]}), "REST-JSON"),
        (json!({"generation": newest, "changes": [], "more": 1}), "REST-JSON"),
        (json!({"generation": newest, "changes": [put("t", &table(json!([])))]}), "SQL-CATALOG"),
        (json!({"generation": newest, "changes": [put("", &table(json!([column])))]}), "SQL-CATALOG"),
        (json!({"generation": newest, "changes": [put("t", &table(json!([column, column])))]}), "SQL-CATALOG"),
        (json!({"generation": newest, "changes": [put("t", &long)]}), "HA-REFUSED"),
        (json!({"generation": newest, "changes": many}), "SQL-LIMIT"),
    ] {
        let (status, answer) = session.send(Method::POST, PATH, Some(body.clone()));
        let error = answer["errors"][0].as_str().unwrap_or_default();
        assert!(status == 400 && error.starts_with(code), "{code}: {status} {answer}");
    }
    let body = json!({"generation": "", "changes": [put("v", &view())]});
    assert_eq!(session.send(Method::POST, PATH, Some(body)).0, 409);
    assert_eq!(generation(&session), newest);
    assert_eq!(session.rows("SHOW TABLES"), [json!(null); 0]);
    let body = json!({"generation": newest, "changes": [put("v", &view()), put("t", &table(json!([column])))]});
    assert_eq!(session.send(Method::POST, PATH, Some(body)).0, 200);
    assert_eq!(session.rows("SHOW TABLES"), [json!(["t"]), json!(["v"])]);
}
