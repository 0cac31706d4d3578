use weir_protocol::job_graph::DataType;

use super::*;
use crate::catalog::{CatalogChange, CatalogObject, ColumnType, MemoryCatalog};
use crate::dialect::{Statement, parse_statement};
use crate::script::{Place, SqlError, split};

fn column(name: &str, data_type: DataType, nullable: bool) -> ColumnType {
    ColumnType { name: name.to_owned(), data_type, nullable, time: None }
}

fn run(session: &mut Session, script: &str) -> Result<Outcome, SqlError> {
    let mut last = Ok(Outcome::Done);
    for statement in split(script).unwrap() {
        let parsed = parse_statement(&statement).unwrap_or_else(|error| panic!("{}", error.render(script)));
        last = session.command(&parsed).expect("a statement of the session");
        if last.is_err() {
            break;
        }
    }
    last
}

fn done(session: &mut Session, script: &str) {
    assert_eq!(run(session, script), Ok(Outcome::Done), "{script}");
}

fn table(session: &mut Session, script: &str) -> ResultTable {
    match run(session, script) {
        Ok(Outcome::Table(table)) => table,
        other => panic!("{script}: {other:?}"),
    }
}

/// The values of the first column.
fn first(session: &mut Session, script: &str) -> Vec<String> {
    table(session, script).rows.into_iter().map(|row| row[0].clone().unwrap()).collect()
}

fn refused(script: &str) -> SqlError {
    run(&mut Session::default(), script).unwrap_err()
}

#[test]
fn tables_are_created_shown_and_dropped() {
    let mut session = Session::default();
    done(
        &mut session,
        "CREATE TABLE t (a INT) WITH ('connector'='print'); CREATE TABLE IF NOT EXISTS t (b INT); CREATE VIEW v AS SELECT 1",
    );
    assert_eq!(first(&mut session, "SHOW TABLES"), ["t", "v"]);
    assert_eq!(first(&mut session, "SHOW TABLES LIKE 't%'"), ["t"]);
    assert_eq!(first(&mut session, "SHOW VIEWS"), ["v"]);
    assert_eq!(run(&mut session, "CREATE TABLE t (a INT)").unwrap_err().code, "SQL-CATALOG");
    assert_eq!(run(&mut session, "DROP TABLE v").unwrap_err().hint.as_deref(), Some("write DROP VIEW"));
    done(&mut session, "ALTER TABLE t RENAME TO u; ALTER TABLE u SET ('print-identifier'='x')");
    assert_eq!(first(&mut session, "SHOW TABLES"), ["u", "v"]);
    assert!(first(&mut session, "SHOW CREATE TABLE u")[0].contains("'print-identifier' = 'x'"));
    done(&mut session, "ALTER TABLE u RESET ('print-identifier'); DROP VIEW v; DROP TABLE u; DROP TABLE IF EXISTS u");
    assert!(first(&mut session, "SHOW TABLES").is_empty());
}

#[test]
fn changes_of_permanent_objects_are_told() {
    let mut session = Session::default();
    done(
        &mut session,
        "CREATE TEMPORARY TABLE x (a INT); CREATE DATABASE d; CREATE TABLE d.t (a INT); ALTER TABLE d.t RENAME TO u; DROP DATABASE d CASCADE",
    );
    let told: Vec<_> = session
        .catalog
        .take_changes()
        .into_iter()
        .map(|change| match change {
            CatalogChange::PutDatabase { database, .. } => format!("+{database}"),
            CatalogChange::RemoveDatabase { database, .. } => format!("-{database}"),
            CatalogChange::PutObject { path, .. } => format!("+{}", path.name),
            CatalogChange::RemoveObject { path } => format!("-{}", path.name),
        })
        .collect();
    assert_eq!(told, ["+d", "+t", "-t", "+u", "-u", "-d"]);
    assert!(session.catalog.take_changes().is_empty());
}

#[test]
fn a_temporary_table_hides_the_permanent_one() {
    let mut session = Session::default();
    done(&mut session, "CREATE TABLE t (a INT); CREATE TEMPORARY TABLE t (b STRING)");
    assert_eq!(first(&mut session, "SHOW TABLES"), ["t"]);
    assert_eq!(first(&mut session, "DESCRIBE t"), ["b"]);
    assert_eq!(run(&mut session, "DROP TABLE t").unwrap_err().hint.as_deref(), Some("DROP TEMPORARY TABLE first"));
    assert_eq!(run(&mut session, "ALTER TABLE t SET ('a'='b')").unwrap_err().code, "SQL-UNSUPPORTED");
    done(&mut session, "DROP TEMPORARY TABLE t");
    assert_eq!(first(&mut session, "DESCRIBE t"), ["a"]);
    done(&mut session, "DROP TABLE t");
}

#[test]
fn databases_complete_names() {
    let mut session = Session::default();
    done(&mut session, "CREATE DATABASE d; USE d; CREATE TABLE t (a INT); USE CATALOG default_catalog; CREATE TABLE u (a INT)");
    assert_eq!(first(&mut session, "SHOW CURRENT DATABASE"), ["default_database"]);
    assert_eq!(first(&mut session, "SHOW DATABASES"), ["d", "default_database"]);
    assert_eq!(first(&mut session, "SHOW TABLES"), ["u"]);
    assert_eq!(first(&mut session, "SHOW COLUMNS FROM default_catalog.d.t"), ["a"]);
    assert!(run(&mut session, "DROP DATABASE d").unwrap_err().message.contains("not empty"));
    assert!(run(&mut session, "USE d; DROP DATABASE d CASCADE").unwrap_err().message.contains("in use"));
    assert_eq!(refused("USE dd").message, "there is no database dd in default_catalog");
}

#[test]
fn describe_prints_what_flink_prints() {
    let mut session = Session::default();
    done(
        &mut session,
        "CREATE TABLE t (a INT, b STRING COMMENT 'cc', c AS `a` + 1, ts TIMESTAMP(3), m STRING METADATA FROM 'k' VIRTUAL,
         WATERMARK FOR ts AS `ts` - INTERVAL '5' SECOND, PRIMARY KEY (a) NOT ENFORCED) COMMENT 'tc' PARTITIONED BY (a) WITH ('connector'='datagen', 'x'='it''s')",
    );
    let described = table(&mut session, "DESCRIBE t");
    let names: Vec<_> = described.columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["name", "type", "null", "key", "extras", "watermark", "comment"]);
    let row = |values: [&str; 7]| values.map(|value| (value != "-").then(|| value.to_owned())).to_vec();
    assert_eq!(
        described.rows,
        [
            row(["a", "INT", "FALSE", "PRI(a)", "-", "-", "-"]),
            row(["b", "STRING", "TRUE", "-", "-", "-", "cc"]),
            row(["c", "INT", "FALSE", "-", "AS `a` + 1", "-", "-"]),
            row(["ts", "TIMESTAMP(3) *ROWTIME*", "TRUE", "-", "-", "`ts` - INTERVAL '5' SECOND", "-"]),
            row(["m", "STRING", "TRUE", "-", "METADATA FROM 'k' VIRTUAL", "-", "-"]),
        ]
    );
    let created = first(&mut session, "SHOW CREATE TABLE t").remove(0);
    let expected = "CREATE TABLE `default_catalog`.`default_database`.`t` (
  `a` INT NOT NULL,
  `b` VARCHAR(2147483647) COMMENT 'cc',
  `c` AS `a` + 1,
  `ts` TIMESTAMP(3),
  `m` VARCHAR(2147483647) METADATA FROM 'k' VIRTUAL,
  WATERMARK FOR `ts` AS `ts` - INTERVAL '5' SECOND,
  CONSTRAINT `PK_a` PRIMARY KEY (`a`) NOT ENFORCED
)
COMMENT 'tc'
PARTITIONED BY (`a`)
WITH (
  'connector' = 'datagen',
  'x' = 'it''s'
)
";
    assert_eq!(created, expected);
    // What is shown can be run.
    let before = session.catalog.find(&sqlparser::ast::ObjectName::from(vec!["t".into()])).unwrap().1.clone();
    done(&mut session, "DROP TABLE t");
    done(&mut session, &created);
    assert_eq!(session.catalog.find(&sqlparser::ast::ObjectName::from(vec!["t".into()])).unwrap().1, &before);
}

#[test]
fn views_show_their_columns_and_query() {
    let mut session = Session::default();
    done(&mut session, "CREATE TABLE t (a INT, b STRING); CREATE TEMPORARY VIEW v (x, y) COMMENT 'c' AS SELECT a, b FROM t");
    assert_eq!(
        first(&mut session, "SHOW CREATE VIEW v"),
        [
            "CREATE TEMPORARY VIEW `default_catalog`.`default_database`.`v` (\n  `x`,\n  `y`\n)\nCOMMENT 'c'\nAS SELECT a, b FROM t\n"
        ]
    );
    assert_eq!(first(&mut session, "DESCRIBE v"), ["x", "y"]);
    assert_eq!(refused("CREATE VIEW v (x) AS SELECT 1, 2").message, "the view names 1 columns, but its query has 2");
    assert_eq!(refused("CREATE VIEW v (x, x) AS SELECT 1, 2").place, Some(Place { line: 1, column: 19 }));
}

#[test]
fn a_bad_declaration_is_refused_with_its_place() {
    for (script, code, message, column) in [
        ("CREATE TABLE t (a INT, a INT)", "SQL-CATALOG", "there are two columns \"a\"", 24),
        (
            "CREATE TABLE t (a INT, PRIMARY KEY (x) NOT ENFORCED)",
            "SQL-CATALOG",
            "the primary key names \"x\", which is no column of the table",
            37,
        ),
        ("CREATE TABLE t (a INT, PRIMARY KEY (a, a) NOT ENFORCED)", "SQL-CATALOG", "the primary key contains \"a\" twice", 40),
        (
            "CREATE TABLE t (a INT, c AS a, PRIMARY KEY (c) NOT ENFORCED)",
            "SQL-CATALOG",
            "the primary key can't contain \"c\": only columns that the connector stores can be keys",
            45,
        ),
        (
            "CREATE TABLE t (a INT, WATERMARK FOR d AS d)",
            "SQL-CATALOG",
            "WATERMARK names \"d\", which is no column of the table",
            38,
        ),
        (
            "CREATE TABLE t (a INT, WATERMARK FOR a AS a)",
            "SQL-TIME",
            "the watermark is for \"a\", which is INT; it must be TIMESTAMP(p) or TIMESTAMP_LTZ(p) with p up to 3",
            38,
        ),
        (
            "CREATE TABLE t (a INT) PARTITIONED BY (x)",
            "SQL-CATALOG",
            "PARTITIONED BY names \"x\", which is no column of the table",
            40,
        ),
        ("CREATE TABLE t (a INT METADATA, b INT METADATA FROM 'a')", "SQL-CATALOG", "two columns have the metadata \"a\"", 33),
        ("CREATE TABLE x.t (a INT)", "SQL-CATALOG", "there is no database x in default_catalog", 14),
        ("CREATE TABLE c.d.t (a INT)", "SQL-CATALOG", "there is no catalog c", 14),
        ("DROP TABLE t", "SQL-CATALOG", "there is no table default_catalog.default_database.t", 12),
        ("DESCRIBE t", "SQL-CATALOG", "there is no table or view default_catalog.default_database.t", 10),
        ("CREATE TABLE t LIKE s", "SQL-CATALOG", "there is no table or view default_catalog.default_database.s", 21),
        ("DROP DATABASE default_database", "SQL-CATALOG", "the database default_database is in use", 15),
    ] {
        let error = refused(script);
        assert_eq!((error.code, error.message.as_str()), (code, message), "{script}");
        assert_eq!(error.place, Some(Place { line: 1, column }), "{script}");
    }
    assert_eq!(refused("CREATE TABLE t (a INT, b AS unknown)").code, "SQL-NAME");
    let long = format!("CREATE TABLE {} (a INT)", "x".repeat(129));
    assert_eq!(refused(&long).message, "a name has 1 to 128 bytes; this one has 129");
    done(&mut Session::default(), &format!("CREATE TABLE {} (a INT)", "x".repeat(128)));
}

/// Columns, primary key, partitions, watermark and options of the table that LIKE makes.
fn like(session: &mut Session, statement: &str) -> Result<String, SqlError> {
    session.catalog = MemoryCatalog::default();
    done(
        session,
        "CREATE TABLE s (a INT, g AS a + 1, m INT METADATA, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (a) NOT ENFORCED)
         COMMENT 'base' PARTITIONED BY (a) WITH ('connector'='print', 'x'='1')",
    );
    run(session, statement)?;
    let (_, object) = session.catalog.find(&sqlparser::ast::ObjectName::from(vec!["t".into()]))?;
    let CatalogObject::Table(table) = object else { panic!() };
    let columns: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let options: Vec<_> = table.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let watermark = table.watermark.as_ref().map(|watermark| watermark.expression.as_str()).unwrap_or("-");
    Ok(format!("{} | {:?} {:?} {watermark} | {}", columns.join(" "), table.primary_key, table.partition_keys, options.join(" ")))
}

#[test]
fn like_merges_by_flinks_rules() {
    let mut session = Session::default();
    for (statement, merged) in [
        ("CREATE TABLE t LIKE s", "a g m ts | [\"a\"] [\"a\"] ts | connector=print x=1"),
        ("CREATE TABLE t (b INT) WITH ('x'='2') LIKE s", "a g m ts b | [\"a\"] [\"a\"] ts | connector=print x=2"),
        ("CREATE TABLE t (b INT) WITH ('x'='2') LIKE s (EXCLUDING ALL)", "a ts b | [] [] - | x=2"),
        ("CREATE TABLE t LIKE s (EXCLUDING ALL INCLUDING GENERATED)", "a g ts | [] [] - | "),
        ("CREATE TABLE t (g AS a + 2) LIKE s (OVERWRITING GENERATED)", "a g m ts | [\"a\"] [\"a\"] ts | connector=print x=1"),
        (
            "CREATE TABLE t (WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) LIKE s (OVERWRITING WATERMARKS)",
            "a g m ts | [\"a\"] [\"a\"] ts - INTERVAL '1' SECOND | connector=print x=1",
        ),
        (
            "CREATE TABLE t (PRIMARY KEY (ts) NOT ENFORCED) LIKE s (EXCLUDING CONSTRAINTS EXCLUDING PARTITIONS)",
            "a g m ts | [\"ts\"] [] ts | connector=print x=1",
        ),
    ] {
        assert_eq!(like(&mut session, statement).as_deref(), Ok(merged), "{statement}");
    }
    for (statement, message) in [
        ("CREATE TABLE t (a INT) LIKE s", "the table of LIKE has a column \"a\" already"),
        ("CREATE TABLE t (g AS a + 2) LIKE s", "the table of LIKE has a column \"g\" already"),
        ("CREATE TABLE t (m INT) LIKE s (OVERWRITING METADATA)", "the table of LIKE has a column \"m\" already"),
        ("CREATE TABLE t WITH ('x'='2') LIKE s (INCLUDING OPTIONS)", "the table of LIKE has the option 'x' already"),
        ("CREATE TABLE t (WATERMARK FOR ts AS ts) LIKE s", "the table of LIKE has a watermark already"),
        ("CREATE TABLE t (PRIMARY KEY (ts) NOT ENFORCED) LIKE s", "the table of LIKE has a primary key already"),
        ("CREATE TABLE t PARTITIONED BY (ts) LIKE s", "the table of LIKE has partitions already"),
        ("CREATE TABLE t (b INT, b INT) LIKE s", "there are two columns \"b\""),
    ] {
        assert_eq!(like(&mut session, statement).unwrap_err().message, message, "{statement}");
    }
}

#[test]
fn options_are_checked_when_they_are_set() {
    let mut session = Session::default();
    done(
        &mut session,
        "SET 'parallelism.default' = '4'; SET pipeline.name=my job; SET 'table.exec.state.ttl' = '1 d'; SET 'execution.savepoint.path' = '/sp'",
    );
    assert_eq!((session.options.parallelism(), session.options.pipeline_name()), (4, Some("my job")));
    assert_eq!(session.options.state_ttl_ms(), 86_400_000);
    assert_eq!(session.options.restore_from(), Some("/sp"));
    assert_eq!(
        first(&mut session, "SET"),
        ["execution.state-recovery.path", "parallelism.default", "pipeline.name", "table.exec.state.ttl"]
    );
    done(&mut session, "RESET 'parallelism.default'");
    assert_eq!(session.options.parallelism(), 1);
    done(&mut session, "RESET");
    assert!(first(&mut session, "SET").is_empty());
    for (script, code, hint) in [
        ("SET 'parallelism.defualt' = '4'", "SQL-OPTION", "did you mean 'parallelism.default'?"),
        ("SET 'parallelism.default' = 'x'", "SQL-OPTION", ""),
        ("SET 'parallelism.default' = '0'", "SQL-OPTION", ""),
        ("SET 'table.local-time-zone' = 'not a zone'", "SQL-OPTION", ""),
        ("SET 'execution.runtime-mode' = 'batch'", "SQL-UNSUPPORTED", "it can be STREAMING"),
        ("RESET 'x'", "SQL-OPTION", "SET lists what is set; the reference lists all options"),
    ] {
        let error = run(&mut session, script).unwrap_err();
        assert_eq!((error.code, error.hint.as_deref().unwrap_or_default()), (code, hint), "{script}");
    }
}

#[test]
fn settings_become_those_of_the_job() {
    let mut session = Session::default();
    let cluster = weir_protocol::job_graph::CheckpointConfig::default();
    assert_eq!((session.options.checkpointing(cluster), session.options.restart_strategy()), (None, None));
    done(
        &mut session,
        "SET 'execution.checkpointing.interval' = '10 s'; SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION'",
    );
    let checkpointing = session.options.checkpointing(cluster).unwrap();
    assert_eq!(
        (checkpointing.interval_ms, checkpointing.retain_on_cancellation, checkpointing.timeout_ms),
        (10_000, true, cluster.timeout_ms)
    );
    done(&mut session, "SET 'restart-strategy' = 'fixed-delay'; SET 'restart-strategy.fixed-delay.attempts' = '3'");
    let expected = weir_protocol::job_graph::RestartStrategyConfig::FixedDelay { attempts: 3, delay_ms: 1_000 };
    assert_eq!(session.options.restart_strategy(), Some(expected));
}

#[test]
fn create_table_as_takes_the_columns_of_the_query() {
    let mut session = Session::default();
    let statement =
        parse_statement(&split("CREATE TABLE t (c AS a + 1) WITH ('connector'='print') AS SELECT a, b FROM s").unwrap()[0])
            .unwrap();
    assert!(session.command(&statement).is_none());
    let Statement::CreateTable(create) = &statement else { panic!() };
    let columns = [column("a", DataType::Int, false), column("b", DataType::String, true)];
    assert_eq!(session.create_table_as(create, &columns), Ok(true));
    assert_eq!(first(&mut session, "DESCRIBE t"), ["c", "a", "b"]);
    assert_eq!(session.create_table_as(create, &columns).unwrap_err().code, "SQL-CATALOG");
    let twice = [column("a", DataType::Int, false), column("a", DataType::String, true)];
    assert!(session.create_table_as(create, &twice).is_err());
}

#[test]
fn every_option_has_a_sentence_and_a_usable_default() {
    for (i, option) in OPTIONS.iter().enumerate() {
        assert!(OPTIONS[..i].iter().all(|other| other.name < option.name), "{} is out of order", option.name);
        assert!(option.doc.ends_with('.') && !option.default.is_empty(), "{}", option.name);
        for only in option.only {
            assert!(option.value.accepts(only), "{}", option.name);
        }
    }
}
