use serde_json::json;
use weir_protocol::JobId;
use weir_sql::script::split;

use super::*;
use crate::catalogue::Snapshot;

/// The session of a record after a script of DDL and SET statements.
fn after(record: &SessionRecord, script: &str) -> SessionRecord {
    let mut session = record.with(&Snapshot::default());
    for statement in split(script).unwrap() {
        let parsed = weir_sql::dialect::parse_statement(&statement).unwrap();
        session.command(&parsed).expect("a command").unwrap();
    }
    record.after(&session)
}

#[test]
fn a_session_comes_back_as_it_was_left() {
    let script = "CREATE DATABASE d; USE d; SET 'parallelism.default' = '3';
        CREATE TEMPORARY TABLE t (n BIGINT NOT NULL, m AS n + 1) WITH ('connector' = 'datagen');
        CREATE TEMPORARY VIEW v AS SELECT m FROM t";
    let left = after(&SessionRecord::new(Some("mine".to_owned()), 600_000, 5), script);
    let text = serde_json::to_string(&left).unwrap();
    let found: SessionRecord = serde_json::from_str(&text).unwrap();
    assert_eq!(found, left);
    // The database of another session's making may be gone by now. The session still names it.
    let session = found.with(&Snapshot::default());
    assert_eq!(found.after(&session), left);
    assert_eq!((left.database.as_str(), left.temporary.len()), ("d", 2));
    assert_eq!(left.shown().into_iter().collect::<Vec<_>>(), [("parallelism.default".to_owned(), "3".to_owned())]);
}

#[test]
fn the_stored_form_of_operations_stays_readable() {
    let job = JobId(10);
    let states = [
        (
            State::Pending { statement: "INSERT".to_owned(), config: [].into() },
            json!({"status": "pending", "statement": "INSERT"}),
        ),
        (State::Running { job }, json!({"status": "running", "job": "0000000000000000000000000000000a"})),
        (
            State::Query {
                job,
                columns: Vec::new(),
                page: Some(PageMark { token: 1, first_row: 2, next_row: 3, is_end: false }),
            },
            json!({"status": "query", "job": "0000000000000000000000000000000a", "columns": [],
                "page": {"token": 1, "first_row": 2, "next_row": 3, "is_end": false}}),
        ),
        (
            State::Finished(Outcome::ok()),
            json!({"status": "finished", "kind": "SUCCESS", "table": {"columns": [["result", "STRING"]], "rows": [["OK"]]}}),
        ),
        (State::Failed { error: "SQL-PARSE: no".to_owned() }, json!({"status": "failed", "error": "SQL-PARSE: no"})),
        (State::Canceled, json!({"status": "canceled"})),
        (State::Closed, json!({"status": "closed"})),
    ];
    for (state, stored) in states {
        assert_eq!(serde_json::to_value(&state).unwrap(), stored);
        assert_eq!(serde_json::from_value::<State>(stored).unwrap(), state);
    }
}
