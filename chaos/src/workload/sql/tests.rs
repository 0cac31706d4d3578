use super::*;

fn job() -> SqlJob {
    SqlJob { rows: 400, rows_per_second: 1_000, parallelism: 2, checkpoint_interval_ms: 100 }
}

/// The problems of the right tables with a change to one of them.
fn problems(table: &str, change: impl Fn(&mut Vec<String>)) -> String {
    let mut tables = job().right_tables();
    change(tables.get_mut(table).unwrap().get_mut("0").unwrap());
    job().judge(&tables).problems.join("; ")
}

#[test]
fn right_tables_pass() {
    let verdict = job().judge(&job().right_tables());
    assert_eq!(verdict.problems, Vec::<String>::new());
    assert!(verdict.rows > 50, "{verdict:?}");
}

#[test]
fn every_kind_of_damage_is_found() {
    for table in TABLES.map(|(table, _)| table).into_iter().chain(["selected"]) {
        assert!(problems(table, |lines| drop(lines.remove(1))).contains("1 rows are missing"), "{table}");
        assert_ne!(problems(table, |lines| lines.push(lines[0].clone())), "", "{table}");
        assert!(problems(table, |lines| lines[0] = lines[0].replacen(',', "1,", 2)).contains("too much"), "{table}");
        assert!(problems(table, Vec::clear).contains("no output"), "{table}");
    }
    assert!(problems("per_window", |lines| lines.push(lines[0].clone())).contains("1 rows are too much"));
}

#[test]
fn changes_that_can_not_follow_are_found_although_the_table_is_right() {
    let changes = |more: &'static [&'static str]| {
        problems("per_product", move |lines| lines.splice(0..0, more.iter().map(|line| (*line).to_owned())).for_each(drop))
    };
    assert_eq!(changes(&["7,1,1,7,7,+I", "7,1,1,7,7,-U", "7,2,2,9,9,+U", "7,2,2,9,9,-D"]), "");
    assert!(changes(&["7,1,1,7,7,+I", "7,2,2,9,9,+U", "7,1,1,7,7,-U", "7,2,2,9,9,-D"]).contains("Q3"));
    assert!(changes(&["7,1,1,7,7,-D", "7,1,1,7,7,+I"]).contains("Q3"));
    assert!(changes(&["7,1,1,7,7,+I", "7,1,1,7,8,-U"]).contains("Q3"));
    assert!(changes(&["7,1,1,7,7,+X"]).contains("is no kind"));
    // The same changes, committed twice.
    let doubled = problems("per_remainder", |lines| lines.extend(lines.clone()));
    assert!(doubled.contains("Q3"), "{doubled}");
}

#[test]
fn files_are_read_in_the_order_of_their_checkpoints() {
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("per_product");
    std::fs::create_dir(&table).unwrap();
    for (name, text) in [
        ("part-0-10-1-2-0-abc.csv", "third\n"),
        ("part-0-9-1-1-1-abc.csv", "second\n"),
        ("part-0-9-1-1-0-abc.csv", "first\n"),
        ("part-1-2-1-1-0-abc.csv", "other\n"),
        (".part-0-11-1-1-0-abc.inprogress", "hidden\n"),
    ] {
        std::fs::write(table.join(name), text).unwrap();
    }
    let committed = committed_tables(directory.path()).unwrap();
    assert_eq!(committed["per_product"]["0"], ["first", "second", "third"]);
    assert_eq!(committed["per_product"]["1"], ["other"]);
    assert!(committed["per_window"].is_empty());
    std::fs::write(table.join("part-strange.csv"), "").unwrap();
    assert!(committed_tables(directory.path()).is_err());
}
