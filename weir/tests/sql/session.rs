//! Statements that need no cluster, and the forms of their answers.

use super::{run, run_with};

const TABLE: &str = "CREATE TABLE t (id BIGINT, name STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
    WITH ('connector' = 'datagen', 'number-of-rows' = '10');";

#[test]
fn an_error_names_its_line_and_column_shows_a_caret_and_ends_the_script() {
    let script = format!("{TABLE}\nSHOW TABLES;\nEXPLAIN SELECT id,\n       nmae FROM t;\nSHOW DATABASES;\n");
    let ended = run_with(&["-f", "-"], &script);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("| t ") && !ended.out.contains("default_database"), "{ended:?}");
    assert!(ended.err.starts_with("weir: standard input: SQL-NAME: ") && ended.err.contains("(line 5, column 8)"), "{ended:?}");
    assert!(ended.err.contains("\n         nmae FROM t;\n         ^\n"), "{ended:?}");
    assert!(ended.err.contains("hint: ") && ended.err.contains("name"), "{ended:?}");
}

#[test]
fn standard_input_is_the_script_if_it_is_no_terminal() {
    let ended = run_with(&[], "SHOW DATABASES");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let expected =
        "+------------------+\n| database name    |\n+------------------+\n| default_database |\n+------------------+\n";
    assert_eq!(ended.out, expected);
}

#[test]
fn results_are_tables_csv_or_json() {
    let described = format!("{TABLE} DESCRIBE t");
    let csv = run(&["-e", &described, "--format", "csv"]);
    let lines: Vec<_> = csv.out.lines().collect();
    assert_eq!(lines.first(), Some(&"name,type,null,key,extras,watermark"), "{csv:?}");
    assert_eq!(lines.get(1), Some(&"id,BIGINT,TRUE,,,"), "{csv:?}");
    assert_eq!(lines.len(), 4, "{csv:?}");
    let json = run(&["-e", &described, "-o", "json"]);
    let first: serde_json::Value = serde_json::from_str(json.out.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["name"], &first["null"], &first["key"]), (&"id".into(), &true.into(), &serde_json::Value::Null));
    let table = run(&["-e", &described]);
    assert!(table.out.contains("<NULL>") && table.out.contains("TIMESTAMP(3) *ROWTIME*"), "{table:?}");
}

#[test]
fn options_are_set_listed_and_refused() {
    let ended = run(&["-D", "parallelism.default=3", "-e", "SET 'pipeline.name' = 'a, b'; SET;", "-o", "csv"]);
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (Some(0), "key,value\nparallelism.default,3\npipeline.name,\"a, b\"\n"),
        "{ended:?}"
    );
    let ended = run(&["-D", "parallelism.defalt=3", "-e", "SET"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("parallelism.default"), "{ended:?}");
    let ended = run(&["-e", "SET 'parallelism.default' = 'many'"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("--execute: SQL-OPTION"), "{ended:?}");
}

#[test]
fn the_tables_of_an_init_script_are_there() {
    let place = tempfile::tempdir().expect("a directory");
    let init = place.path().join("init.sql");
    std::fs::write(&init, TABLE).expect("a file");
    let init = init.display().to_string();
    let ended = run(&["--init", &init, "-e", "EXPLAIN SELECT id FROM t"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("== Job Graph ==") && !ended.out.contains('|'), "a plan is printed as it is: {ended:?}");
}

#[test]
fn a_query_needs_a_cluster_only_after_it_was_planned() {
    let ended = run(&["-e", &format!("{TABLE} SELECT nothing FROM t")]);
    assert!(ended.code == Some(1) && ended.err.contains("SQL-NAME"), "{ended:?}");
    let ended = run(&["-m", "127.0.0.1:1", "--timeout", "1 s", "-e", &format!("{TABLE} SELECT id FROM t")]);
    assert!(ended.code == Some(4) && ended.err.contains("127.0.0.1:1"), "{ended:?}");
}

#[test]
fn wrong_command_lines_and_files_are_told_apart() {
    assert_eq!(run(&["-f", "a.sql", "-e", "SHOW TABLES"]).code, Some(2));
    let ended = run(&["-f", "/no/such/script.sql"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("can't read /no/such/script.sql"), "{ended:?}");
    let mut child = super::weir_sql(&[]);
    let place = tempfile::tempdir().expect("a directory");
    let latin = place.path().join("latin.sql");
    std::fs::write(&latin, b"SELECT 'K\xf6ln'").expect("a file");
    let ended: super::Run = child.arg("-f").arg(&latin).output().expect("it runs").into();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("UTF-8: byte 10"), "{ended:?}");
}

#[test]
fn without_a_cluster_a_submission_says_what_to_start() {
    let insert = format!("{TABLE} CREATE TABLE o (id BIGINT) WITH ('connector' = 'blackhole'); INSERT INTO o SELECT id FROM t");
    let ended = run(&["-m", "127.0.0.1:1", "--timeout", "1 s", "-e", &insert]);
    assert_eq!(ended.code, Some(4), "{ended:?}");
}
