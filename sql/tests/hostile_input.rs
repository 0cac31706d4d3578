//! No input makes the parser panic, overflow the stack of a test's thread (2 MiB) or take unbounded time.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use weir_sql::dialect::{parse_expression, parse_query, parse_statement};
use weir_sql::script::{SqlError, split};

fn parse(script: &str) -> Result<usize, SqlError> {
    let statements = split(script)?;
    statements.iter().try_for_each(|statement| parse_statement(statement).map(drop))?;
    Ok(statements.len())
}

fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let outcome = work();
    // Tests are not optimized and the machine may be busy, so this only finds what is exponential or quadratic.
    assert!(start.elapsed() < Duration::from_secs(30), "it took {:?}", start.elapsed());
    outcome
}

fn code(script: &str) -> &'static str {
    in_time(|| parse(script)).map_or_else(|error| error.code, |_| "ok")
}

fn repeated(open: &str, middle: &str, close: &str, times: usize) -> String {
    format!("SELECT {}{middle}{}", open.repeat(times), close.repeat(times))
}

#[test]
fn nesting_is_bounded() {
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("f(", "1", ")"),
        ("FLOOR(", "1", ")"),
        ("POSITION(", "1", ")"),
        ("CAST(", "1", " AS INT)"),
        ("TRIM(", "1", ")"),
        ("SUBSTRING(", "1", ")"),
        ("JSON_VALUE(", "1", ", '$')"),
        ("ARRAY[", "1", "]"),
        ("MAP[1, ", "1", "]"),
        ("a[", "1", "]"),
        ("CASE WHEN a THEN ", "1", " END"),
        ("NOT ", "1", ""),
        ("- ", "1", ""),
        ("(SELECT ", "1", ")"),
        ("EXISTS (SELECT * FROM t WHERE ", "1", ")"),
        ("a IN (SELECT ", "1", ")"),
        ("a BETWEEN ", "1", " AND 2"),
        ("* FROM (SELECT ", "1", ")"),
        ("* FROM ((SELECT ", "1", "))"),
        ("* FROM (", "t", ")"),
        ("a AT TIME ZONE ", "b", ""),
        ("INTERVAL ", "'1' DAY", ""),
    ] {
        for times in [10_000, 1_001] {
            let found = code(&repeated(open, middle, close, times));
            assert!(found == "SQL-LIMIT" || found == "SQL-PARSE", "{open}: {found}");
        }
        // Neither the closing nor the opening half alone is worse.
        code(&repeated(open, middle, "", 10_000));
        code(&repeated("", middle, close, 10_000));
        code(&repeated(open, "1 1", close, 40));
    }
    for times in [20, 25] {
        for (open, middle, close) in [
            ("(", "1", ")"),
            ("f(", "1", ")"),
            ("(SELECT ", "1", ")"),
            ("CASE WHEN a THEN ", "1", " END"),
            ("CAST(", "1", " AS INT)"),
        ] {
            assert_eq!(code(&repeated(open, middle, close, times)), "ok", "{open}");
        }
    }
}

#[test]
fn an_error_deep_inside_does_not_take_exponential_time() {
    for (open, close) in [
        ("* FROM ((SELECT ", "))"),
        ("* FROM (((SELECT ", ")))"),
        ("a IN ((SELECT ", "))"),
        ("* FROM (SELECT * FROM a JOIN (SELECT ", ") ON TRUE)"),
        ("FLOOR(CEIL(EXTRACT(DAY FROM ", ")))"),
        ("POSITION(a IN POSITION(", "))"),
        ("INTERVAL INTERVAL ", ""),
        ("DATE TIME TIMESTAMP ", ""),
        ("ARRAY[ROW(", ")]"),
    ] {
        for times in 1..20 {
            let found = code(&repeated(open, "1 ! 1", close, times));
            assert_ne!(found, "ok", "{open} {times}");
        }
    }
}

#[test]
fn long_lists_and_chains_of_conditions_parse() {
    let joined = |item: &str, separator: &str, times: usize| vec![item; times].join(separator);
    assert_eq!(code(&format!("SELECT * FROM t WHERE {}", joined("a = 1", " OR ", 10_000))), "ok");
    assert_eq!(code(&format!("SELECT * FROM t WHERE {}", joined("a = 1 AND b < 2", " OR ", 10_000))), "ok");
    assert_eq!(code(&format!("SELECT * FROM t WHERE a IN ({})", joined("123456", ", ", 100_000))), "ok");
    assert_eq!(code(&format!("SELECT {}", joined("a", ", ", 100_000))), "ok");
    assert_eq!(code(&format!("INSERT INTO t VALUES {}", joined("(1, 'a')", ", ", 50_000))), "ok");
    let columns: Vec<_> = (0..2_000).map(|i| format!("c{i} INT")).collect();
    assert_eq!(code(&format!("CREATE TABLE t ({})", columns.join(", "))), "ok");
    assert_eq!(code(&format!("SELECT * FROM {}", joined("t", " JOIN ", 1_000))), "ok");
    assert_eq!(code(&format!("SELECT CASE {} END", joined("WHEN a THEN b", " ", 10_000))), "ok");
    assert_eq!(code(&format!("SELECT {}", joined("a", " + ", 1_000))), "ok");
    assert_eq!(code(&joined("SELECT 1", " UNION ALL ", 1_000)), "ok");
    assert_eq!(code(&format!("SELECT {}", joined("a", ".", 10_000))), "ok");
    assert_eq!(code(&joined("SELECT 1", ";", 50_000)), "ok");
}

#[test]
fn long_chains_of_other_operators_are_refused() {
    let joined = |item: &str, separator: &str, times: usize| vec![item; times].join(separator);
    for text in [
        format!("SELECT {}", joined("a", " + ", 10_000)),
        format!("SELECT {}", joined("a", " || ", 10_000)),
        format!("SELECT a{}", " IS NULL".repeat(10_000)),
        format!("SELECT a{}", " IN (1)".repeat(10_000)),
        joined("SELECT 1", " UNION ALL ", 10_000),
        joined("SELECT 1", " EXCEPT ", 10_000),
    ] {
        assert_eq!(code(&text), "SQL-LIMIT");
    }
}

#[test]
fn a_statement_has_at_most_a_mebibyte() {
    let text = format!("SELECT '{}'", "x".repeat(1 << 20));
    assert_eq!(code(&text), "SQL-LIMIT");
    let text = format!("SELECT '{}'", "x".repeat((1 << 20) - 10));
    assert_eq!(code(&text), "ok");
    assert_eq!(parse_query(&"x".repeat(2 << 20)).unwrap_err().code, "SQL-LIMIT");
    assert_eq!(split(&" ".repeat(17 << 20)).unwrap_err().code, "SQL-LIMIT");
}

#[test]
fn texts_that_are_not_closed_are_refused_quickly() {
    for text in [
        "'".repeat(100_001),
        "`".repeat(100_001),
        "/*".repeat(100_000),
        "--".repeat(100_000),
        "\0".repeat(100_000),
        "((".repeat(100_000),
        "\u{feff}".repeat(1_000),
    ] {
        code(&text);
        code(&format!("SELECT {text}"));
    }
}

/// Pieces of statements, from which nonsense is made that gets further than random bytes.
const PIECES: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "UNION ALL",
    "JOIN",
    "ON",
    "AS",
    "WITH",
    "INSERT INTO",
    "VALUES",
    "CREATE TABLE",
    "CREATE VIEW",
    "PRIMARY KEY",
    "WATERMARK FOR",
    "LIKE",
    "NOT",
    "NULL",
    "IN",
    "BETWEEN",
    "AND",
    "OR",
    "IS",
    "JSON",
    "DISTINCT FROM",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "TRY_CAST",
    "INTERVAL",
    "DATE",
    "TIMESTAMP",
    "ROW",
    "ARRAY",
    "MAP",
    "TABLE",
    "DESCRIPTOR",
    "TUMBLE",
    "EXISTS",
    "EXTRACT",
    "FLOOR",
    "TO",
    "DAY",
    "TRIM",
    "LEADING",
    "OVERLAY",
    "PLACING",
    "POSITION",
    "SUBSTRING",
    "FOR",
    "JSON_VALUE",
    "RETURNING",
    "EMPTY",
    "ERROR",
    "FILTER",
    "OVER",
    "PARTITION BY",
    "ROWS",
    "PRECEDING",
    "SET",
    "RESET",
    "SHOW",
    "TABLES",
    "EXPLAIN",
    "BEGIN",
    "STATEMENT SET",
    "EXECUTE",
    "DROP",
    "ALTER",
    "USE",
    "DESCRIBE",
    "STOP JOB",
    "INT",
    "STRING",
    "DECIMAL",
    "METADATA",
    "VIRTUAL",
    "COMMENT",
    "NOT ENFORCED",
    "EXCLUDING",
    "OPTIONS",
    "ALL",
    "LATERAL",
    "UNNEST",
    "SYSTEM_TIME AS OF",
    "SYMMETRIC",
    "a",
    "b",
    "t",
    "`q`",
    "1",
    "1.5",
    "1e3",
    "'x'",
    "'k'",
    "x'0A'",
    "U&'\\0041'",
    "_UTF16'x'",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    ",",
    ";",
    ".",
    "=",
    "<>",
    "+",
    "-",
    "*",
    "/",
    "%",
    "||",
    "=>",
    ">>",
    "/*+ OPTIONS('k'='v') */",
    "/*+",
    "--",
    "\n",
    "'",
    "`",
    "?",
    "$",
    ":",
    "{",
    "@",
    "\u{0}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text_never_panics(text in any::<String>()) {
        let outcome = parse(&text);
        if let Err(error) = outcome {
            error.render(&text);
        }
        let _ = parse_expression(&text);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = parse(&text);
    }

    #[test]
    fn random_tokens_never_panic(pieces in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        let text = pieces.into_iter().map(|i| PIECES[i]).collect::<Vec<_>>().join(" ");
        if let Err(error) = parse(&text) {
            error.render(&text);
        }
        let _ = parse_query(&text);
        let _ = parse_expression(&text);
    }

    #[test]
    fn a_statement_with_one_token_changed_never_panics(statement in 0..STATEMENTS.len(), at in 0..40_usize, piece in 0..PIECES.len()) {
        let mut words: Vec<_> = STATEMENTS[statement].split(' ').collect();
        let at = at % words.len();
        words[at] = PIECES[piece];
        let text = words.join(" ");
        if let Err(error) = parse(&text) {
            error.render(&text);
        }
    }
}

const STATEMENTS: &[&str] = &[
    "SELECT a , COUNT ( * ) FILTER ( WHERE b > 1 ) FROM TABLE ( TUMBLE ( TABLE t , DESCRIPTOR ( ts ) , INTERVAL '1' HOUR ) ) GROUP BY a",
    "CREATE TABLE t ( a INT NOT NULL , b AS a + 1 , ts TIMESTAMP ( 3 ) METADATA VIRTUAL , WATERMARK FOR ts AS ts ) WITH ( 'a' = 'b' ) LIKE s",
    "INSERT INTO t ( a , b ) SELECT CAST ( a AS ROW < x INT , y STRING > ) , CASE WHEN a THEN 1 ELSE 2 END FROM ( SELECT 1 ) AS q",
    "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1 ; INSERT INTO b SELECT JSON_VALUE ( j , '$' RETURNING INT NULL ON EMPTY ) ; END",
    "SELECT * FROM a JOIN b FOR SYSTEM_TIME AS OF a . ts ON a . x = b . x WHERE EXISTS ( SELECT 1 ) AND a IN ( 1 , 2 ) OR NOT a IS NULL",
];
