use super::*;
use crate::dialect::{Statement, parse_statement};

fn texts(script: &str) -> Vec<String> {
    split(script).unwrap().iter().map(|statement| statement.text().to_owned()).collect()
}

#[test]
fn semicolons_cut_outside_quotes_and_comments() {
    let script = "SELECT 'a;b' -- c;d\n, `e;f` /* g;h */ ;; \n\nSHOW TABLES ;\n";
    assert_eq!(texts(script), ["SELECT 'a;b' -- c;d\n, `e;f`", "SHOW TABLES"]);
    let statements = split(script).unwrap();
    assert_eq!(statements[1].place(), Place { line: 4, column: 1 });
    assert!(statements.iter().all(ScriptStatement::is_complete));
    assert!(texts("").is_empty() && texts(" ; -- nothing\n ;").is_empty());
}

#[test]
fn a_statement_set_is_one_statement() {
    for script in [
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT CASE WHEN b THEN 1 END; INSERT INTO c SELECT 1; END; SHOW TABLES",
        "BEGIN STATEMENT SET; INSERT INTO a SELECT 1; INSERT INTO c SELECT 1; END; SHOW TABLES",
        "EXPLAIN STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO c SELECT 1; END; SHOW TABLES",
    ] {
        let statements = split(script).unwrap();
        assert_eq!(statements.len(), 2, "{script}");
        let inserts = match parse_statement(&statements[0]).unwrap() {
            Statement::StatementSet(inserts) => inserts.len(),
            Statement::Explain(explain) => match *explain.statement {
                Statement::StatementSet(inserts) => inserts.len(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(inserts, 2);
    }
}

#[test]
fn what_is_not_closed_is_incomplete_and_says_so_as_flink_does() {
    for script in [
        "SELECT 'a",
        "SELECT `a",
        "SELECT /* a",
        "BEGIN STATEMENT SET; INSERT INTO a SELECT 1;",
        "EXECUTE STATEMENT SET BEGIN",
        "SELECT (1;",
        "'",
        "/*",
    ] {
        let statements = split(script).unwrap();
        let last = statements.last().unwrap();
        let error = parse_statement(last).unwrap_err();
        assert_eq!(error.code, "SQL-PARSE");
        assert!(error.message.contains("Encountered \"<EOF>\""), "{script}: {error}");
    }
    assert!(!split("SELECT 1").unwrap()[0].is_complete());
    assert!(!split("BEGIN STATEMENT SET; INSERT INTO a SELECT 1;").unwrap()[0].is_complete());
    assert!(!split("SELECT 1; SELECT ';").unwrap()[1].is_complete());
}

#[test]
fn places_count_lines_and_characters_of_the_whole_script() {
    let script = "SHOW TABLES;\n  -- é ü\n\tSELECT 'ä' , FROM";
    let statements = split(script).unwrap();
    assert_eq!(statements[1].place(), Place { line: 3, column: 2 });
    assert_eq!(statements[1].text(), "SELECT 'ä' , FROM");
    let error = parse_statement(&statements[1]).unwrap_err();
    assert_eq!(error.place, Some(Place { line: 3, column: 15 }));
    assert!(error.render(script).ends_with("SELECT 'ä' , FROM\n                ^"), "{}", error.render(script));
}

#[test]
fn odd_characters_are_refused_with_a_place() {
    for script in [
        "SELECT \0",
        "SELECT a\u{200b}",
        "SELECT \u{fffd}",
        "SELECT U&'\\D800'",
        "SELECT U&'\\+110000'",
        "SELECT @x",
        "SELECT a ! b",
        "SELECT $$a",
    ] {
        for statement in split(script).unwrap() {
            let error = parse_statement(&statement).unwrap_err();
            assert!(error.place.is_some(), "{script:?}: {error}");
        }
    }
}
