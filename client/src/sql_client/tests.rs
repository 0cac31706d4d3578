use std::cell::Cell;

use weir_sql::script::split;

use super::*;

/// A client of a cluster that does not exist.
fn client() -> SqlClient {
    let nowhere = ClusterClient::new(vec!["127.0.0.1:1".to_owned()]).unwrap().give_up_if_refused(Duration::ZERO);
    SqlClient::new(nowhere, Duration::from_secs(5))
}

/// Runs a script up to its first error.
fn run(client: &mut SqlClient, script: &str) -> Result<Vec<Outcome>, SqlClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut outcomes = Vec::new();
    for statement in split(script).unwrap() {
        outcomes.push(runtime.block_on(client.run(&statement))?);
    }
    Ok(outcomes)
}

fn last_table(client: &mut SqlClient, script: &str) -> ResultTable {
    match run(client, script).unwrap_or_else(|error| panic!("{script}: {error}")).pop() {
        Some(Outcome::Table(table)) => table,
        other => panic!("{script}: {other:?}"),
    }
}

fn sql_error(client: &mut SqlClient, script: &str) -> SqlError {
    match run(client, script) {
        Err(SqlClientError::Sql(error)) => error,
        other => panic!("{script}: {other:?}"),
    }
}

const TABLES: &str = "
CREATE TABLE numbers (n BIGINT, t TIMESTAMP(3), WATERMARK FOR t AS t - INTERVAL '1' SECOND)
    WITH ('connector' = 'datagen', 'number-of-rows' = '10');
CREATE TABLE out (n BIGINT, t TIMESTAMP(3)) WITH ('connector' = 'blackhole');
";

#[test]
fn statements_about_the_session_need_no_cluster() {
    let mut client = client();
    let outcomes = run(&mut client, TABLES).unwrap();
    assert_eq!(outcomes, [Outcome::Done, Outcome::Done]);
    let names = last_table(&mut client, "SHOW TABLES");
    assert_eq!(names.rows, [[Some("numbers".to_owned())], [Some("out".to_owned())]]);
    let described = last_table(&mut client, "DESCRIBE numbers");
    assert_eq!(described.rows[1][1].as_deref(), Some("TIMESTAMP(3) *ROWTIME*"));
    let columns = |name: &str, columns: &[&str]| (name.to_owned(), columns.iter().map(|column| (*column).to_owned()).collect());
    assert_eq!(client.names().tables, [columns("numbers", &["n", "t"]), columns("out", &["n", "t"])]);
}

#[test]
fn explain_needs_no_cluster_and_shows_the_job() {
    let mut client = client();
    run(&mut client, TABLES).unwrap();
    for explained in ["INSERT INTO out SELECT * FROM numbers", "SELECT n + 1 FROM numbers"] {
        let plan = last_table(&mut client, &format!("EXPLAIN {explained}"));
        assert_eq!((plan.columns.len(), plan.rows.len()), (1, 1));
        assert!(plan.rows[0][0].as_deref().unwrap().contains("numbers"), "{plan:?}");
    }
}

#[test]
fn only_statements_about_jobs_call_the_cluster() {
    let mut client = client();
    run(&mut client, TABLES).unwrap();
    for statement in [
        "INSERT INTO out SELECT * FROM numbers",
        "SELECT n FROM numbers",
        "EXECUTE STATEMENT SET BEGIN INSERT INTO out SELECT * FROM numbers; END",
        "SHOW JOBS",
        "DESCRIBE JOB '0000000000000000000000000000000a'",
        "STOP JOB '0000000000000000000000000000000a' WITH SAVEPOINT",
        "STOP JOB '0000000000000000000000000000000a'",
    ] {
        let outcome = run(&mut client, statement);
        assert!(matches!(outcome, Err(SqlClientError::Cluster(ClientError::Unreachable { .. }))), "{statement}: {outcome:?}");
    }
    assert_eq!(sql_error(&mut client, "DESCRIBE JOB 'x'").code, "SQL-JOB");
}

#[test]
fn a_table_is_not_created_from_a_query_whose_job_was_not_submitted() {
    let mut client = client();
    run(&mut client, TABLES).unwrap();
    let outcome = run(&mut client, "CREATE TABLE copy WITH ('connector' = 'blackhole') AS SELECT n FROM numbers");
    assert!(matches!(outcome, Err(SqlClientError::Cluster(_))), "{outcome:?}");
    assert_eq!(last_table(&mut client, "SHOW TABLES").rows.len(), 2);
}

thread_local! {
    static SEEN: Cell<Option<(String, Option<u64>)>> = const { Cell::new(None) };
}

#[test]
fn the_options_of_the_session_reach_the_job_and_its_check_can_refuse_it() {
    let mut client = client().check_graphs(|graph| {
        SEEN.set(Some((graph.name.clone(), graph.checkpointing.map(|checkpointing| checkpointing.interval_ms))));
        Err(vec!["first".to_owned(), "second".to_owned()])
    });
    let insert = "INSERT INTO out SELECT * FROM numbers;";
    let refused = sql_error(&mut client, &format!("{TABLES}{insert}"));
    assert_eq!((refused.code, refused.message.as_str()), ("SQL-JOB", "the job can't run:\n  first\n  second"));
    assert_eq!(SEEN.take(), Some(("insert-into_default_catalog.default_database.out".to_owned(), None)));
    client.set("pipeline.name", "named").unwrap();
    sql_error(&mut client, &format!("SET 'execution.checkpointing.interval' = '3 s'; {insert}"));
    assert_eq!(SEEN.take(), Some(("named".to_owned(), Some(3_000))));
    assert_eq!(client.set("no.such.option", "1").unwrap_err().code, "SQL-OPTION");
}
