//! What binding and planning refuse, with place and hint, and a few plans.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

use weir_sql::dialect::{Statement, parse_statement};
use weir_sql::graph::JobOptions;
use weir_sql::planner::{PlannedJob, plan_inserts};
use weir_sql::script::{SqlError, split};
use weir_sql::session::Session;

const TABLES: &str = "
    CREATE TABLE bid (auction BIGINT, price BIGINT, channel STRING, ts TIMESTAMP(3), r ROW<a INT, b STRING>,
      WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'filesystem', 'path' = '/in', 'format' = 'json');
    CREATE TABLE out1 (auction BIGINT, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '/out', 'format' = 'json');
    CREATE TABLE printed (auction BIGINT, n BIGINT NOT NULL) WITH ('connector' = 'print');
    CREATE VIEW cheap AS SELECT auction, price FROM bid WHERE price < 10;
";

fn plan(script: &str) -> Result<PlannedJob, SqlError> {
    let mut session = Session::default();
    for statement in split(TABLES).unwrap() {
        session.command(&parse_statement(&statement).unwrap()).unwrap().unwrap();
    }
    let mut inserts = Vec::new();
    for statement in split(script)? {
        match parse_statement(&statement)? {
            Statement::Insert(insert) => inserts.push(insert),
            Statement::StatementSet(set) => inserts.extend(set),
            other => {
                session.command(&other).unwrap()?;
            }
        }
    }
    let options: JobOptions = session.job_options("test");
    plan_inserts(session.environment(), &inserts, &options)
}

fn refused(script: &str) -> SqlError {
    match plan(script) {
        Err(error) => error,
        Ok(job) => panic!("{script} is planned:\n{}", job.explanation),
    }
}

#[test]
fn an_error_names_its_place_and_what_to_try() {
    for (script, code, place, hint) in [
        ("INSERT INTO out1 SELECT auctoin, price FROM bid", "SQL-NAME", (1, 25), "auction"),
        ("INSERT INTO out1\nSELECT auction, b.prise\nFROM bid AS b", "SQL-NAME", (2, 19), "price"),
        ("INSERT INTO out1 SELECT auction, price FROM bids", "SQL-NAME", (1, 45), "bid"),
        ("INSERT INTO out2 SELECT auction, price FROM bid", "SQL-NAME", (1, 13), "out1"),
        ("INSERT INTO out1 SELECT auction, CHAR_LENGHT(channel) FROM bid", "SQL-NAME", (1, 34), "CHAR_LENGTH"),
        ("INSERT INTO out1 SELECT auction, channel FROM bid", "SQL-TYPE", (1, 13), "CAST(channel AS BIGINT)"),
        ("INSERT INTO out1 SELECT auction FROM bid", "SQL-TYPE", (1, 13), "table: [auction BIGINT, n BIGINT]"),
        ("INSERT INTO out1 SELECT auction, r.c FROM bid", "SQL-NAME", (1, 36), ""),
        ("INSERT INTO out1 SELECT auction, SUM(price) FROM bid GROUP BY channel", "SQL-GROUP", (1, 18), ""),
        ("INSERT INTO out1 SELECT auction, price FROM bid WHERE SUM(price) > 1", "SQL-GROUP", (1, 55), ""),
        ("INSERT INTO out1 SELECT auction, price FROM bid WHERE price", "SQL-TYPE", (1, 55), ""),
        ("INSERT INTO printed SELECT a.auction, 1 FROM bid AS a, bid AS b", "SQL-UNSUPPORTED", (1, 56), ""),
        ("INSERT INTO printed SELECT auction, 1 FROM bid LIMIT 5", "SQL-UNSUPPORTED", (1, 21), ""),
        (
            "INSERT INTO printed SELECT auction, 1 FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(price), INTERVAL '1' MINUTE))",
            "SQL-TIME",
            (1, 79),
            "WATERMARK FOR",
        ),
        (
            "INSERT INTO printed SELECT auction, 1 FROM TABLE(HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '7' SECOND, INTERVAL '1' MINUTE))",
            "SQL-TYPE",
            (1, 50),
            "",
        ),
        ("INSERT INTO printed SELECT auction, NULL FROM bid", "SQL-TYPE", (1, 37), "CAST(NULL"),
        ("INSERT INTO printed (auction) SELECT auction FROM bid", "SQL-TYPE", (1, 13), ""),
    ] {
        let error = refused(script);
        let found = error.place.map_or((0, 0), |place| (place.line, place.column));
        assert_eq!((error.code, found), (code, place), "{script}: {error}");
        assert!(error.hint.clone().unwrap_or_default().contains(hint), "{script}: {:?}", error.hint);
    }
}

#[test]
fn changes_are_refused_by_a_sink_that_takes_only_inserts() {
    let error = refused("INSERT INTO out1 SELECT auction, COUNT(*) FROM bid GROUP BY auction");
    assert_eq!(error.code, "SQL-CHANGELOG");
    assert!(error.message.contains("out1") && error.message.contains("GroupAggregate(groupBy=[auction]"), "{error}");
    let job = plan("INSERT INTO printed SELECT auction, COUNT(*) FROM bid GROUP BY auction").unwrap();
    assert!(job.explanation.contains("changelog=[I,UB,UA,D]"), "{}", job.explanation);
}

#[test]
fn a_table_of_changes_makes_queries_change() {
    const CHANGES: &str = "CREATE TABLE c (auction BIGINT, n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (auction) NOT ENFORCED)
        WITH ('connector' = 'kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'a:1', 'scan.startup.mode' = 'earliest-offset',
        'value.format' = 'debezium-json');";
    let job = plan(&format!("{CHANGES} INSERT INTO printed SELECT auction, n FROM c WHERE n > 1")).unwrap();
    assert!(job.explanation.contains("changelog=[I,UB,UA,D]"), "{}", job.explanation);
    let error = refused(&format!("{CHANGES} INSERT INTO out1 SELECT auction, n FROM c"));
    assert!(error.code == "SQL-CHANGELOG" && error.message.contains("out1") && error.message.contains("Scan"), "{error}");
    let window = "FROM TABLE(TUMBLE(TABLE c, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end";
    let error = refused(&format!("{CHANGES} INSERT INTO printed SELECT COUNT(*), 1 {window}"));
    assert!(error.code == "SQL-UNSUPPORTED" && error.message.contains("a window over rows that change"), "{error}");
}

#[test]
fn a_view_that_refers_to_itself_is_refused() {
    let script = "DROP VIEW cheap; CREATE VIEW cheap AS SELECT 1 AS auction; ALTER TABLE cheap RENAME TO other;";
    let _ = plan(script);
    let nested =
        (0..100).fold("SELECT auction, price FROM bid".to_owned(), |inner, _| format!("SELECT auction, price FROM ({inner})"));
    assert_eq!(refused(&format!("INSERT INTO out1 {nested}")).code, "SQL-LIMIT");
}

#[test]
fn inserts_of_a_set_share_what_they_have_in_common() {
    let job = plan(
        "EXECUTE STATEMENT SET BEGIN
           INSERT INTO out1 SELECT auction, price FROM cheap;
           INSERT INTO printed SELECT auction, price * 2 FROM bid WHERE price > 5;
         END;",
    );
    let graph = job.unwrap().graph;
    let sources = graph.vertices.iter().filter(|vertex| vertex.operators[0].kind == "source.file").count();
    assert_eq!(sources, 1, "{graph:#?}");
    weir_protocol::job_graph::validate::validate(&graph).unwrap();
}

const TOPIC: &str = "CREATE TABLE topic (at TIMESTAMP(3) METADATA FROM 'timestamp', auction BIGINT, `offset` BIGINT METADATA VIRTUAL,
    n BIGINT NOT NULL, h MAP<STRING, BYTES> METADATA FROM 'headers') WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json',
    'properties.bootstrap.servers' = 'a:1', 'scan.startup.mode' = 'earliest-offset');";

#[test]
fn metadata_are_written_after_the_columns_in_the_types_of_the_connector() {
    let job =
        plan(&format!("{TOPIC} INSERT INTO topic (n, auction, at) SELECT price, auction, ts FROM bid WHERE price > 5")).unwrap();
    let operators: Vec<_> = job.graph.vertices.iter().flat_map(|vertex| &vertex.operators).collect();
    let [.., calc, sink] = operators.as_slice() else { panic!("{operators:?}") };
    assert_eq!(
        sink.options["metadata"],
        serde_json::json!([{"name": "at", "key": "timestamp"}, {"name": "h", "key": "headers"}])
    );
    let program = calc.options["program"].to_string();
    let places = ["\"auction\"", "\"n\"", "\"at\"", "\"h\""].map(|name| program.rfind(name).unwrap());
    assert!(places.is_sorted(), "{program}");
    assert!(job.explanation.contains("TIMESTAMP_LTZ(3)"), "{}", job.explanation);
    let all = plan(&format!("{TOPIC} INSERT INTO topic SELECT ts, auction, price, CAST(NULL AS MAP<STRING, BYTES>) FROM bid"));
    assert!(all.is_ok(), "the columns are in the order of CREATE TABLE");
    let read = plan(&format!("{TOPIC} INSERT INTO out1 SELECT `offset`, n FROM topic")).unwrap();
    let source = &read.graph.vertices[0].operators[0];
    assert_eq!((source.kind.as_str(), source.options["columns"].clone()), ("source.kafka", serde_json::json!(["n"])));

    let error =
        refused(&format!("{} INSERT INTO topic (auction, n) SELECT auction, price FROM bid", TOPIC.replace(" VIRTUAL", "")));
    assert!(error.code == "SQL-CATALOG" && error.message.contains("\"offset\"") && error.hint.unwrap().contains("VIRTUAL"));
}

#[test]
fn only_the_columns_that_a_query_needs_are_read() {
    let graph = plan("INSERT INTO out1 SELECT auction, price FROM cheap").unwrap().graph;
    assert_eq!(graph.vertices[0].operators[0].options["columns"], serde_json::json!(["auction", "price", "ts"]));
}

#[test]
fn the_id_of_stateful_vertices_survives_edits_of_filters_and_columns() {
    let ids = |query: &str| -> Vec<String> {
        let graph = plan(&format!("INSERT INTO out1 {query}")).unwrap().graph;
        weir_protocol::job_graph::validate::validate(&graph).unwrap();
        let operators = graph.vertices.iter().flat_map(|vertex| &vertex.operators).filter_map(|operator| operator.uid.clone());
        graph.vertices.iter().map(|vertex| vertex.uid.clone()).chain(operators).collect()
    };
    let window = "FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '1' MINUTE))";
    let before = ids(&format!("SELECT auction, COUNT(*) {window} GROUP BY auction, window_start, window_end"));
    let edited =
        ids(&format!("SELECT auction, SUM(price) + 1 {window} WHERE price > 3 GROUP BY window_end, auction, window_start"));
    assert_eq!(before, edited);
    let other_key = ids(&format!("SELECT price, COUNT(*) {window} GROUP BY price, window_start, window_end"));
    assert_ne!(before, other_key);
    assert_eq!(before[0], other_key[0]);
}

#[test]
fn hints_set_options_of_a_table() {
    let graph = plan("INSERT INTO out1 SELECT auction, price FROM bid /*+ OPTIONS('path' = '/elsewhere') */").unwrap().graph;
    assert_eq!(graph.vertices[0].operators[0].options["path"], "/elsewhere");
}
