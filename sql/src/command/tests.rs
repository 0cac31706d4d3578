use super::*;
use crate::script::{SqlError, split};
use crate::session::Session;

const TABLES: &str = "
CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '10');
CREATE TABLE out (n BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE files (n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'file:///out', 'format' = 'csv');
";

/// The last step of a script over the tables.
fn step(script: &str) -> Result<Step, SqlError> {
    let mut session = Session::default();
    let mut last = Ok(Step::Done);
    for statement in split(&format!("{TABLES}{script}")).unwrap() {
        last = decide(&mut session, &statement);
        if last.is_err() {
            break;
        }
    }
    last
}

fn submitted(script: &str) -> Submit {
    match step(script) {
        Ok(Step::Submit(submit)) => submit,
        other => panic!("{script}: {other:?}"),
    }
}

#[test]
fn a_job_is_named_after_its_tables_without_their_hints() {
    let plain = submitted("INSERT INTO files SELECT n FROM numbers");
    assert_eq!(plain.graph.name, "insert-into_default_catalog.default_database.files");
    let hinted = submitted("INSERT INTO files /*+ OPTIONS('path' = 'file:///other') */ SELECT n FROM numbers");
    assert_eq!(hinted.graph.name, plain.graph.name);
    let several = submitted(
        "EXECUTE STATEMENT SET BEGIN INSERT INTO out SELECT n FROM numbers; INSERT INTO files SELECT n FROM numbers; END",
    );
    let tables = "default_catalog.default_database.out,default_catalog.default_database.files";
    assert_eq!(several.graph.name, format!("insert-into_{tables}"));
}

#[test]
fn the_rows_of_a_query_are_collected_with_checkpoints_of_its_own() {
    let query = match step("SET 'execution.checkpointing.interval' = '1 h'; SELECT n, n + 1 AS m FROM numbers") {
        Ok(Step::Query(query)) => query,
        other => panic!("{other:?}"),
    };
    let columns: Vec<_> = query.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(columns, ["n", "m"]);
    assert_eq!(query.graph.checkpointing.map(|checkpointing| checkpointing.interval_ms), Some(500));
    let last = query.graph.vertices.iter().flat_map(|vertex| &vertex.operators).last().unwrap();
    assert_eq!(last.kind, "sink.collect");
    assert!(!query.is_updating);
}

#[test]
fn a_table_of_a_query_is_in_the_session_only_once_its_job_is_durable() {
    let submit = submitted("CREATE TABLE copy WITH ('connector' = 'blackhole') AS SELECT n FROM numbers");
    let next = submit.then.expect("a changed session");
    assert_eq!(next.catalog.permanent().filter(|(path, _)| path.name == "copy").count(), 1);
    assert_eq!(next.catalog.clone().take_changes().len(), 4);
}

#[test]
fn options_without_effect_are_pointed_out_once() {
    let script = "INSERT INTO files /*+ OPTIONS('sink.rolling-policy.file-size' = '1 mb') */ SELECT n FROM numbers";
    let twice = submitted(&format!("EXECUTE STATEMENT SET BEGIN {script}; {script}; END"));
    assert_eq!(twice.notices.len(), 1, "{:?}", twice.notices);
    assert!(twice.notices[0].contains("'sink.rolling-policy.file-size' has no effect"), "{:?}", twice.notices);
    assert!(submitted("INSERT INTO out SELECT n FROM numbers").notices.is_empty());
}

#[test]
fn a_decision_has_the_session_and_the_catalogue_after_the_statement() {
    let mut session = Session::default();
    for statement in split(TABLES).unwrap() {
        let decided = decided(session.clone(), &statement).unwrap();
        assert_eq!(
            (decided.changes.len(), session.catalog.permanent().count() + 1),
            (1, decided.session.catalog.permanent().count())
        );
        session = decided.session;
    }
    let text = "CREATE TABLE copy WITH ('connector' = 'blackhole') AS SELECT n FROM numbers";
    let decided = decided(session, &split(text).unwrap()[0]).unwrap();
    assert!(matches!(decided.step, Step::Submit(Submit { then: None, .. })), "{decided:?}");
    assert_eq!((decided.changes.len(), decided.session.catalog.permanent().count()), (1, 4));
}
