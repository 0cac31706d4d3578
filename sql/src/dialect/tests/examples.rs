//! Statements that parse, and errors with their places.

use crate::dialect::*;
use crate::script::{Place, SqlError, split};

fn parse(script: &str) -> Result<Vec<Statement>, SqlError> {
    split(script)?.iter().map(parse_statement).collect()
}

fn one(script: &str) -> Statement {
    let mut statements = parse(script).unwrap_or_else(|error| panic!("{}", error.render(script)));
    assert_eq!(statements.len(), 1, "{script}");
    statements.remove(0)
}

/// The query as sqlparser prints it.
fn printed(script: &str) -> String {
    match one(script) {
        Statement::Query(query) => query.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn queries_print_as_they_were_read() {
    for text in [
        "SELECT 1",
        "SELECT a, b AS c FROM t WHERE a = 1 AND b <> 'x' OR NOT c IS NULL",
        "SELECT `select`, `a b` FROM `my db`.`t`",
        "SELECT t.*, a.b.c FROM cat.db.t AS t",
        "SELECT COUNT(*) FILTER (WHERE a > 1), COUNT(DISTINCT b), SUM(c) FROM t GROUP BY d HAVING COUNT(*) > 1",
        "SELECT a FROM t WHERE b LIKE '%x!%' ESCAPE '!' AND c NOT LIKE 'y' AND d SIMILAR TO 'z'",
        "SELECT DATE '2020-01-01', TIMESTAMP '2020-01-01 00:00:00', TIME '10:00:00', INTERVAL '1' YEAR, INTERVAL '1 2' DAY TO HOUR",
        "SELECT INTERVAL '1.5' SECOND (2, 3)",
        "SELECT ARRAY[1, 2], ROW(1, 'a'), a[1], m['k'], r.f",
        "SELECT a IS DISTINCT FROM b AND c, a IS NOT DISTINCT FROM b",
        "SELECT TRIM(BOTH 'x' FROM a), TRIM(a), OVERLAY(a PLACING 'x' FROM 1 FOR 2), SUBSTRING(a FROM 1 FOR 2), POSITION('a' IN b)",
        "SELECT EXTRACT(DAY FROM ts), FLOOR(ts TO HOUR), CEIL(ts TO DAY), FLOOR(x), TIMESTAMPADD(DAY, 1, ts), TIMESTAMPDIFF(HOUR, a, b)",
        "SELECT CURRENT_TIMESTAMP, LOCALTIMESTAMP, CURRENT_DATE, LEFT(s, 2), `date`",
        "SELECT CAST(a AS DECIMAL(10, 2)), TRY_CAST(a AS TIMESTAMP_LTZ(3)), CAST(a AS ROW<`x` INT, `y` ARRAY<STRING>>), CAST(a AS STRING)",
        "SELECT X'0A1F', 'it''s', U&'\\00E9', 1.5E3, -1",
        "SELECT * FROM a JOIN b ON a.x = b.x LEFT JOIN c USING(y) CROSS JOIN UNNEST(arr) AS u (v)",
        "SELECT * FROM o JOIN r FOR SYSTEM_TIME AS OF o.ts ON o.c = r.c",
        "SELECT * FROM o, LATERAL TABLE(split(a, ',')) AS s (w)",
        "WITH q AS (SELECT 1) SELECT * FROM q UNION ALL SELECT 2",
        "SELECT a FROM t GROUP BY GROUPING SETS ((a), ())",
        "SELECT a, ROW_NUMBER() OVER (PARTITION BY a ORDER BY b DESC) AS n FROM t",
        "SELECT SUM(a) OVER w FROM t WINDOW w AS (PARTITION BY b ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)",
        "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t (x, y) ORDER BY x LIMIT 10",
        "VALUES (1), (2)",
        "SELECT CASE WHEN a THEN 1 ELSE 2 END, CASE a WHEN 1 THEN 2 END, a IN (1, 2), a NOT IN (SELECT b FROM t)",
        "SELECT a BETWEEN 1 AND 2, a NOT BETWEEN 1 AND 2, EXISTS (SELECT 1)",
        "SELECT LISTAGG(a, ',') WITHIN GROUP (ORDER BY b)",
        "SELECT a || b || 'c', a % 2, (a + b) * c, -a, EXPR$0",
    ] {
        assert_eq!(printed(text), text);
    }
}

#[test]
fn what_sqlparser_has_no_tree_for_becomes_a_marker() {
    for (text, tree) in [
        (
            "SELECT * FROM TABLE(TUMBLE(DATA => TABLE bid, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' HOUR))",
            "SELECT * FROM TABLE(TUMBLE(DATA => $table(bid), TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' HOUR))",
        ),
        (
            "SELECT * FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '10' MINUTE))",
            "SELECT * FROM TABLE(TUMBLE($table(bid), DESCRIPTOR(ts), INTERVAL '10' MINUTE))",
        ),
        ("SELECT * FROM HOP(TABLE c.d.bid, DESCRIPTOR(ts))", "SELECT * FROM HOP($table(c.d.bid), DESCRIPTOR(ts))"),
        (
            "SELECT * FROM TUMBLE((SELECT * FROM bid), DESCRIPTOR(ts))",
            "SELECT * FROM TUMBLE((SELECT * FROM bid), DESCRIPTOR(ts))",
        ),
        (
            "SELECT * FROM TUMBLE(TABLE (SELECT * FROM bid), DESCRIPTOR(ts))",
            "SELECT * FROM TUMBLE($table(SELECT * FROM bid), DESCRIPTOR(ts))",
        ),
        ("SELECT MAP['k', v, 'l', w]", "SELECT $map('k', v, 'l', w)"),
        ("SELECT a BETWEEN SYMMETRIC 2 AND 1", "SELECT $between_symmetric(a, 2, 1)"),
        ("SELECT a NOT BETWEEN SYMMETRIC 2 AND 1", "SELECT NOT $between_symmetric(a, 2, 1)"),
        ("SELECT a BETWEEN ASYMMETRIC 2 AND 1", "SELECT a BETWEEN 2 AND 1"),
        ("SELECT a IS JSON, a IS NOT JSON OBJECT", "SELECT $is_json(a, 'VALUE'), NOT $is_json(a, 'OBJECT')"),
        (
            "SELECT JSON_VALUE(j, '$.a' RETURNING INT NULL ON EMPTY ERROR ON ERROR)",
            "SELECT JSON_VALUE(j, '$.a', $returning => CAST(NULL AS INT), $on_empty => 'NULL', $on_error => 'ERROR')",
        ),
        ("SELECT JSON_VALUE(j, '$.a' DEFAULT 1 + 1 ON ERROR)", "SELECT JSON_VALUE(j, '$.a', $on_error => (1 + 1))"),
        (
            "SELECT JSON_QUERY(j, '$' WITH CONDITIONAL WRAPPER EMPTY ARRAY ON EMPTY)",
            "SELECT JSON_QUERY(j, '$', $wrapper => 'CONDITIONAL', $on_empty => 'EMPTY ARRAY')",
        ),
        (
            "SELECT JSON_OBJECT(KEY 'a' VALUE 1, 'b' VALUE 2 ABSENT ON NULL)",
            "SELECT JSON_OBJECT('a', 1, 'b', 2, $on_null => 'ABSENT')",
        ),
        (
            "SELECT JSON_ARRAY(1, 'x' NULL ON NULL), JSON_EXISTS(j, '$.a' TRUE ON ERROR)",
            "SELECT JSON_ARRAY(1, 'x', $on_null => 'NULL'), JSON_EXISTS(j, '$.a', $on_error => 'TRUE')",
        ),
        ("SELECT INTERVAL - '1' DAY, _UTF16'x', UNKNOWN", "SELECT INTERVAL '-1' DAY, 'x', CAST(NULL AS BOOLEAN)"),
        ("SELECT TRIM(LEADING FROM a), CEILING(a)", "SELECT TRIM(LEADING a), CEIL(a)"),
        ("SELECT 'a'\n'b'", "SELECT 'ab'"),
        (
            "SELECT CAST(a AS varchar(2147483647)), CAST(b AS MAP<int, ROW<>>), CAST(c AS INT ARRAY)",
            "SELECT CAST(a AS STRING), CAST(b AS MAP<INT, ROW<>>), CAST(c AS ARRAY<INT>)",
        ),
    ] {
        assert_eq!(printed(text), tree);
    }
}

#[test]
fn operators_bind_as_in_flink() {
    for (text, brackets) in [
        ("a = b LIKE c", "a = (b LIKE c)"),
        ("NOT a = b AND c", "(NOT (a = b)) AND c"),
        ("a OR b AND c", "a OR (b AND c)"),
        ("a IS DISTINCT FROM b AND c", "(a IS DISTINCT FROM b) AND c"),
        ("- a * b + c", "((- a) * b) + c"),
        ("a || b = c", "(a || b) = c"),
        ("a BETWEEN 1 AND 2 AND b", "(a BETWEEN 1 AND 2) AND b"),
    ] {
        let strip = |expr: &sqlparser::ast::Expr| format!("{expr:?}").replace("Nested(", "(");
        let with = parse_expression(brackets).unwrap();
        let without = parse_expression(text).unwrap();
        // Brackets stay in the tree, so compare what is printed with all brackets.
        assert_eq!(bracketed(&without), bracketed(&with), "{text}: {}", strip(&without));
    }
}

fn bracketed(expr: &sqlparser::ast::Expr) -> String {
    use sqlparser::ast::Expr;
    match expr {
        Expr::Nested(inner) => bracketed(inner),
        Expr::BinaryOp { left, op, right } => format!("({} {op} {})", bracketed(left), bracketed(right)),
        Expr::UnaryOp { op, expr } => format!("({op} {})", bracketed(expr)),
        Expr::Like { expr, pattern, .. } => format!("({} LIKE {})", bracketed(expr), bracketed(pattern)),
        Expr::IsDistinctFrom(left, right) => format!("({} IDF {})", bracketed(left), bracketed(right)),
        Expr::Between { expr, low, high, .. } => format!("({} BETWEEN {} {})", bracketed(expr), bracketed(low), bracketed(high)),
        other => other.to_string(),
    }
}

#[test]
fn casts_carry_flinks_types() {
    for (cast, means) in [
        ("CAST(a AS INT)", "INT"),
        ("CAST(a AS DOUBLE PRECISION)", "DOUBLE"),
        ("CAST(a AS TIMESTAMP(3) WITH LOCAL TIME ZONE)", "TIMESTAMP_LTZ(3)"),
        ("TRY_CAST(a AS ARRAY<ARRAY<INT NOT NULL>>)", "ARRAY<ARRAY<INT NOT NULL>>"),
        ("CAST(a AS MULTISET<STRING>)", "MULTISET<STRING>"),
        ("CAST(a AS ROW(x INT, `y z` STRING))", "ROW<`x` INT, `y z` STRING>"),
    ] {
        let sqlparser::ast::Expr::Cast { data_type, .. } = parse_expression(cast).unwrap() else { panic!("{cast}") };
        assert_eq!(cast_type(&data_type).unwrap().to_string(), means);
    }
}

#[test]
fn hints_are_kept() {
    let Statement::Query(query) = one("SELECT /*+ STATE_TTL('a'='1d', 'b'='2d') */ * FROM db.t /*+ OPTIONS('k.x'='v') */ AS x")
    else {
        panic!()
    };
    let sqlparser::ast::SetExpr::Select(select) = query.body.as_ref() else { panic!() };
    let hints = parse_hints(&select.optimizer_hints[0].text).unwrap();
    assert_eq!(hints[0].name, "STATE_TTL");
    assert_eq!(hints[0].arguments[1], (Some("b".into()), "2d".into()));
    let sqlparser::ast::TableFactor::Table { name, alias, .. } = &select.from[0].relation else { panic!() };
    let (name, options) = table_name(name).unwrap();
    assert_eq!((name.to_string().as_str(), options), ("db.t", vec![("k.x".into(), "v".into())]));
    assert_eq!(alias.as_ref().unwrap().name.value, "x");
    let Statement::Insert(insert) = one("INSERT INTO t /*+ OPTIONS('k'='v') */ SELECT 1") else { panic!() };
    assert_eq!(table_name(&insert.table).unwrap().1, [("k".to_owned(), "v".to_owned())]);
    // A comment is no hint.
    assert_eq!(printed("SELECT /*a+b*/ 1 -- + c"), "SELECT 1");
}

#[test]
fn an_error_names_what_was_found_and_where() {
    for (script, code, message, place, hint) in [
        ("SELECT a, FROM t", "SQL-PARSE", "Encountered \"FROM\"; expected an expression", (1, 11), None),
        ("SELCT a FROM t", "SQL-PARSE", "Encountered \"SELCT\"; expected a statement", (1, 1), Some("did you mean SELECT?")),
        (
            "SELECT a FORM t",
            "SQL-PARSE",
            "Encountered \"t\"; expected the end of the statement",
            (1, 15),
            Some("did you mean FROM?"),
        ),
        (
            "SELECT a FROM t WERE a = 1",
            "SQL-PARSE",
            "Encountered \"a\"; expected the end of the statement",
            (1, 22),
            Some("did you mean WHERE?"),
        ),
        ("SELECT (a", "SQL-PARSE", "Encountered \"<EOF>\"; expected )", (1, 10), None),
        ("SELECT", "SQL-PARSE", "Encountered \"<EOF>\"; expected an expression", (1, 7), None),
        ("SELECT 'abc", "SQL-PARSE", "Encountered \"<EOF>\"; a text that begins here is not closed", (1, 8), None),
        ("SELECT /* abc", "SQL-PARSE", "Encountered \"<EOF>\"; a comment is not closed", (1, 14), None),
        ("SELECT `abc", "SQL-PARSE", "Encountered \"<EOF>\"; a quoted name that begins here is not closed", (1, 8), None),
        (
            "SELECT \"a\" FROM t",
            "SQL-PARSE",
            "Encountered \"\\\"\"",
            (1, 8),
            Some("texts stand in single quotes, names in backticks"),
        ),
        (
            "SELECT 1;\n\nSELECT *\nFROM (SELECT a, FROM t) x",
            "SQL-PARSE",
            "Encountered \"FROM\"; expected an expression",
            (4, 17),
            None,
        ),
        ("SELECT CAST(a AS INTT)", "SQL-TYPE", "INTT: no type is called INTT; did you mean INT?", (1, 18), None),
        ("SELECT CAST(a AS INTERVAL DAY)", "SQL-UNSUPPORTED", "the type INTERVAL is not supported", (1, 18), None),
        ("SELECT a)", "SQL-PARSE", "Encountered \")\", which closes nothing", (1, 9), None),
        (
            "CREATE TABEL t (a INT)",
            "SQL-PARSE",
            "Encountered \"TABEL\"; expected TABLE, VIEW or DATABASE",
            (1, 8),
            Some("did you mean TABLE?"),
        ),
        ("CREATE TABLE t (a)", "SQL-PARSE", "the column a has no type", (1, 17), None),
        (
            "CREATE TABLE t (a INT, PRIMARY KEY (a))",
            "SQL-UNSUPPORTED",
            "an enforced PRIMARY KEY is not supported: the rows belong to another system",
            (1, 39),
            Some("write NOT ENFORCED after the key"),
        ),
        (
            "CREATE TABLE t (a INT, WATERMARK FOR a AS a, WATERMARK FOR a AS a)",
            "SQL-PARSE",
            "a table has at most one WATERMARK",
            (1, 46),
            None,
        ),
        ("CREATE TABLE t (a INT) WITH ('a'='b', 'a'='c')", "SQL-PARSE", "the option 'a' is given twice", (1, 39), None),
        (
            "SELECT a 'b' FROM t",
            "SQL-PARSE",
            "Encountered \"'b'\"; expected a name",
            (1, 8),
            Some("names are quoted with backticks"),
        ),
        ("SET 'a'", "SQL-PARSE", "Encountered \"<EOF>\"; expected =", (1, 8), None),
        (
            "SELECT a FROM t WHERE /*+ X('a'='b') */ a",
            "SQL-PARSE",
            "a hint can't stand here: hints follow SELECT or the name of a table",
            (1, 23),
            None,
        ),
        (
            "SELECT a /*+ X('a'='b') */ FROM t",
            "SQL-PARSE",
            "a hint can't stand here: hints follow SELECT or the name of a table",
            (1, 10),
            None,
        ),
    ] {
        let error = parse(script).unwrap_err();
        let expected = SqlError {
            code,
            message: message.into(),
            place: Some(Place { line: place.0, column: place.1 }),
            hint: hint.map(str::to_owned),
        };
        assert_eq!(error, expected, "{script}");
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (script, what) in [
        ("CREATE FUNCTION f AS 'x'", "CREATE FUNCTION"),
        ("CREATE TEMPORARY SYSTEM FUNCTION f AS 'x'", "CREATE SYSTEM"),
        ("CREATE CATALOG c WITH ('type'='jdbc')", "CREATE CATALOG"),
        ("CREATE OR REPLACE TABLE t (a INT)", "CREATE OR REPLACE"),
        ("MERGE INTO t USING s ON a = b", "MERGE"),
        ("UPDATE t SET a = 1", "UPDATE"),
        ("DELETE FROM t", "DELETE"),
        ("INSERT OVERWRITE t SELECT 1", "INSERT OVERWRITE"),
        ("INSERT INTO t PARTITION (a = 1) SELECT 1", "INSERT INTO … PARTITION"),
        ("INSERT INTO t SELECT 1 ON CONFLICT DO NOTHING", "ON CONFLICT"),
        ("ANALYZE TABLE t COMPUTE STATISTICS", "ANALYZE TABLE"),
        ("ADD JAR 'x.jar'", "ADD JAR"),
        ("COMPILE PLAN 'x' FOR INSERT INTO t SELECT 1", "COMPILE PLAN"),
        ("LOAD MODULE hive", "LOAD MODULE"),
        ("ALTER TABLE t ADD (a INT)", "ALTER TABLE … ADD"),
        ("SHOW MODULES", "SHOW MODULES"),
        ("SHOW TABLES FROM db", "FROM in this SHOW statement"),
        ("SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A))", "MATCH_RECOGNIZE"),
        ("SELECT * FROM t TABLESAMPLE (10)", "TABLESAMPLE"),
        ("SELECT TOP 5 a FROM t", "TOP"),
        ("SELECT * FROM (SELECT DISTINCT ON (a) b FROM t) x", "DISTINCT ON"),
        ("WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a", "WITH RECURSIVE"),
        ("SELECT ARRAY(SELECT 1)", "ARRAY with a query"),
        ("SELECT * FROM f(TABLE t PARTITION BY a)", "PARTITION BY in an argument of a table function"),
        ("CREATE TABLE t (a INT) DISTRIBUTED BY (a)", "DISTRIBUTED"),
        ("CREATE TABLE t (a INT, UNIQUE (a) NOT ENFORCED)", "UNIQUE"),
        ("SELECT ? FROM t", "a parameter (?)"),
        ("SELECT N'x'", "N'…'"),
        ("EXPLAIN SHOW TABLES", "EXPLAIN of anything but a query, INSERT or a statement set"),
    ] {
        let error = parse(script).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            ("SQL-UNSUPPORTED", format!("{what} is not supported").as_str()),
            "{script}"
        );
        assert!(error.place.is_some(), "{script}");
    }
}
