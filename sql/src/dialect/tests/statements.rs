//! The statements besides queries.

use sqlparser::ast::ObjectName;

use crate::dialect::*;
use crate::script::split;

fn one(script: &str) -> Statement {
    let statements = split(script).unwrap();
    assert_eq!(statements.len(), 1, "{script}");
    parse_statement(&statements[0]).unwrap_or_else(|error| panic!("{}", error.render(script)))
}

fn name(text: &str) -> ObjectName {
    ObjectName::from(text.split('.').map(sqlparser::ast::Ident::new).collect::<Vec<_>>())
}

fn table(script: &str) -> CreateTable {
    match one(script) {
        Statement::CreateTable(table) => table,
        other => panic!("{other:?}"),
    }
}

#[test]
fn create_table_has_columns_of_all_kinds() {
    let table = table(
        "CREATE TEMPORARY TABLE IF NOT EXISTS db.t (
            a INT NOT NULL COMMENT 'first', `b c` ROW<x INT, y STRING NOT NULL>,
            c AS a + 1 COMMENT 'sum', pt AS PROCTIME(), d AS (a < 2, a > 3),
            ts TIMESTAMP(3) METADATA FROM 'timestamp' VIRTUAL, k STRING METADATA,
            e DECIMAL(10, 2) PRIMARY KEY NOT ENFORCED,
            WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
        ) COMMENT 'it' PARTITIONED BY (a) WITH ('connector' = 'filesystem', 'path' = 'a''b')",
    );
    assert!(table.temporary && table.if_not_exists);
    assert_eq!(table.name, name("db.t"));
    let names: Vec<_> = table.columns.iter().map(|column| column.name.value.as_str()).collect();
    assert_eq!(names, ["a", "b c", "c", "pt", "d", "ts", "k", "e"]);
    let ColumnKind::Physical { data_type, nullable } = &table.columns[1].kind else { panic!() };
    assert_eq!((data_type.to_string().as_str(), *nullable), ("ROW<`x` INT, `y` STRING NOT NULL>", true));
    let ColumnKind::Computed { text, .. } = &table.columns[2].kind else { panic!() };
    assert_eq!(text, "a + 1");
    assert_eq!(table.columns[2].comment.as_deref(), Some("sum"));
    let ColumnKind::Computed { text, .. } = &table.columns[4].kind else { panic!() };
    assert_eq!(text, "(a < 2, a > 3)");
    let ColumnKind::Metadata { key, is_virtual, nullable, .. } = &table.columns[5].kind else { panic!() };
    assert_eq!((key.as_deref(), *is_virtual, *nullable), (Some("timestamp"), true, true));
    let watermark = table.watermark.unwrap();
    assert_eq!((watermark.column.value.as_str(), watermark.text.as_str()), ("ts", "ts - INTERVAL '5' SECOND"));
    assert_eq!(table.primary_key[0].value, "e");
    assert_eq!(table.comment.as_deref(), Some("it"));
    assert_eq!(table.options, [("connector".into(), "filesystem".into()), ("path".into(), "a'b".into())]);
    assert_eq!(table.partitioned_by[0].value, "a");
}

#[test]
fn create_table_takes_like_and_as() {
    let like = table("CREATE TABLE t (b INT) WITH ('a'='b') LIKE s (EXCLUDING ALL INCLUDING GENERATED OVERWRITING OPTIONS)")
        .like
        .unwrap();
    assert_eq!(like.table, name("s"));
    assert_eq!(
        like.rules,
        [
            (LikeFeature::All, LikeMerge::Excluding),
            (LikeFeature::Generated, LikeMerge::Including),
            (LikeFeature::Options, LikeMerge::Overwriting)
        ]
    );
    assert!(table("CREATE TABLE t LIKE s").like.unwrap().rules.is_empty());
    let made = table("CREATE TABLE t WITH ('a'='b') AS SELECT a, 1 FROM s");
    assert_eq!(made.query.unwrap().to_string(), "SELECT a, 1 FROM s");
    let wide: Vec<_> = (0..2_000).map(|i| format!("c{i} AS a + {i}")).collect();
    assert_eq!(table(&format!("CREATE TABLE t (a INT, {})", wide.join(", "))).columns.len(), 2_001);
}

#[test]
fn views_keep_the_text_of_their_query() {
    let Statement::CreateView(view) = one("CREATE VIEW IF NOT EXISTS v (a, b) COMMENT 'c' AS SELECT  1 , 2 /* x */ FROM t ;")
    else {
        panic!()
    };
    assert_eq!(view.text, "SELECT  1 , 2 /* x */ FROM t");
    assert_eq!(view.columns.len(), 2);
    assert!(view.if_not_exists && !view.temporary);
    assert_eq!(view.comment.as_deref(), Some("c"));
}

#[test]
fn short_statements_parse() {
    let job = |with_savepoint, with_drain| Statement::StopJob(StopJob { job: "x".into(), with_savepoint, with_drain });
    let set = |key: &str, value: &str| Statement::Set(Some((key.into(), value.into())));
    let drop = |object, temporary, if_exists| Statement::Drop(Drop { object, name: name("a.b"), temporary, if_exists });
    let alter = |change| Statement::AlterTable(AlterTable { name: name("t"), if_exists: false, change });
    for (script, expected) in [
        ("SET", Statement::Set(None)),
        ("SET 'a.b' = 'c'", set("a.b", "c")),
        ("SET a.b-c = 5 s;", set("a.b-c", "5 s")),
        ("SET a=", Statement::Set(None)),
        ("SET execution.runtime-mode = 'batch'", set("execution.runtime-mode", "batch")),
        ("RESET", Statement::Reset(None)),
        ("RESET 'a.b'", Statement::Reset(Some("a.b".into()))),
        ("RESET a.b", Statement::Reset(Some("a.b".into()))),
        ("USE CATALOG c", Statement::UseCatalog("c".into())),
        ("USE c.d", Statement::Use(name("c.d"))),
        ("SHOW CATALOGS", Statement::Show(Show::Catalogs)),
        ("SHOW DATABASES", Statement::Show(Show::Databases)),
        ("SHOW CURRENT CATALOG", Statement::Show(Show::CurrentCatalog)),
        ("SHOW CURRENT DATABASE", Statement::Show(Show::CurrentDatabase)),
        ("SHOW TABLES", Statement::Show(Show::Tables(None))),
        ("SHOW TABLES LIKE 'a%'", Statement::Show(Show::Tables(Some("a%".into())))),
        ("SHOW VIEWS", Statement::Show(Show::Views)),
        ("SHOW FUNCTIONS", Statement::Show(Show::Functions)),
        ("SHOW COLUMNS IN t", Statement::Show(Show::Columns(name("t")))),
        ("SHOW CREATE TABLE t", Statement::Show(Show::CreateTable(name("t")))),
        ("SHOW CREATE VIEW t", Statement::Show(Show::CreateView(name("t")))),
        ("SHOW JOBS", Statement::Show(Show::Jobs)),
        ("DESCRIBE t", Statement::Describe(name("t"))),
        ("DESC EXTENDED a.t", Statement::Describe(name("a.t"))),
        ("DESCRIBE JOB 'x'", Statement::DescribeJob("x".into())),
        ("STOP JOB 'x'", job(false, false)),
        ("STOP JOB 'x' WITH SAVEPOINT", job(true, false)),
        ("STOP JOB 'x' WITH SAVEPOINT WITH DRAIN", job(true, true)),
        ("CREATE DATABASE IF NOT EXISTS d", Statement::CreateDatabase { name: name("d"), if_not_exists: true }),
        ("DROP TABLE a.b", drop(DropObject::Table, false, false)),
        ("DROP TEMPORARY VIEW IF EXISTS a.b", drop(DropObject::View, true, true)),
        ("DROP DATABASE a.b CASCADE", drop(DropObject::Database { cascade: true }, false, false)),
        ("DROP DATABASE a.b RESTRICT", drop(DropObject::Database { cascade: false }, false, false)),
        ("ALTER TABLE t RENAME TO u", alter(TableChange::Rename(name("u")))),
        ("ALTER TABLE t SET ('a' = 'b')", alter(TableChange::SetOptions(vec![("a".into(), "b".into())]))),
        ("ALTER TABLE t RESET ('a', 'b')", alter(TableChange::ResetOptions(vec!["a".into(), "b".into()]))),
    ] {
        if script == "SET a=" {
            assert!(parse_statement(&split(script).unwrap()[0]).is_err());
            continue;
        }
        assert_eq!(one(script), expected, "{script}");
    }
}

#[test]
fn insert_and_explain_parse() {
    let Statement::Insert(insert) = one("INSERT INTO a.b (x, y) SELECT 1, 2") else { panic!() };
    assert_eq!((insert.table, insert.columns.len(), insert.query.to_string()), (name("a.b"), 2, "SELECT 1, 2".into()));
    let Statement::Insert(insert) = one("EXECUTE INSERT INTO b (SELECT 1)") else { panic!() };
    assert!(insert.columns.is_empty());
    assert!(matches!(one("INSERT INTO b VALUES (1, 'a')"), Statement::Insert(_)));
    let Statement::Explain(explain) = one("EXPLAIN ESTIMATED_COST, CHANGELOG_MODE, JSON_EXECUTION_PLAN INSERT INTO b SELECT 1")
    else {
        panic!()
    };
    assert!(explain.estimated_cost && explain.changelog_mode && explain.json_execution_plan);
    let Statement::Explain(explain) = one("EXPLAIN PLAN FOR SELECT 1") else { panic!() };
    assert!(!explain.changelog_mode && matches!(*explain.statement, Statement::Query(_)));
}
