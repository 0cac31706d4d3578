//! The corpus: scripts whose results Apache Flink 2.3 has computed over the same files (`sql/tests/flink/README.md`).
//!
//! Each script runs under several seeds, which pick batch sizes and the order in which channels are read, and at parallelism 1 and
//! 2. The table that the rows fold to must be Flink's each time, and the names and types of the columns too.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod engine;
mod nexmark;
mod probes;
mod properties;
mod reference;
mod rows;
mod runner;
mod script;
mod slt;
mod statements;
mod upserts;

use script::{Expected, Script};

/// The stages of the SQL work that are done. A script says in its first line which one it needs.
const STAGES: [&str; 2] = ["1", "2"];

/// Scripts whose result is not Flink's, each with the reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("csv_empty_number", "an empty number is NULL; Flink fails with an internal error unless there is a null literal"),
    ("csv_fewer_columns_ignored", "a row that is short is kept, with NULL for what it lacks; Flink drops it"),
    ("csv_options", "lines of comments in CSV files are not supported"),
    ("json_ignore_parse_errors", "a number with a fraction is no INT; Flink cuts it"),
    ("order_by_time", "ORDER BY comes later"),
    ("refused_reserved_word", "a column may be called user"),
    ("refused_interval_precision", "an interval may have more than two digits"),
    ("tumble_result_types", "Flink calls MAX of an event time event time, in its type only"),
    ("unknown_format_option", "an unknown option is an error; Flink ignores it"),
];

/// Whether the script's result is not Flink's, or the script is not for now.
fn is_known_difference(script: &Script) -> bool {
    DIFFERENT.iter().any(|(name, _)| *name == script.name) || !STAGES.contains(&script.stage.as_str())
}

#[test]
fn the_rows_of_every_script_are_those_of_flink() {
    let mut failures = Vec::new();
    let mut passed = 0;
    for script in Script::all() {
        let known = DIFFERENT.iter().any(|(name, _)| *name == script.name);
        if !STAGES.contains(&script.stage.as_str()) {
            continue;
        }
        match std::panic::catch_unwind(|| check(&script)) {
            Ok(Ok(())) if known => failures.push(format!("{}: gives Flink's result now; take it off the list", script.name)),
            _ if known => {}
            Ok(Ok(())) => passed += 1,
            Ok(Err(what)) => failures.push(format!("{}: {what}", script.name)),
            Err(_) => failures.push(format!("{}: panicked", script.name)),
        }
    }
    assert!(failures.is_empty(), "{} of {} scripts differ:\n{}", failures.len(), failures.len() + passed, failures.join("\n"));
    assert!(passed >= 40, "only {passed} scripts ran");
}

#[test]
fn every_expression_has_the_type_and_value_of_flink() {
    let probes = probes::all();
    let known = probes::known_differences();
    let mut differences = Vec::new();
    for probe in &probes {
        let is_known = known.contains(&(probe.family.clone(), probe.expression.clone()));
        match probe.difference() {
            Some(what) if !is_known => differences.push(format!("{}: {}: {what}", probe.family, probe.expression)),
            None if is_known => {
                differences.push(format!("{}: {}: is Flink's answer now; take it off the list", probe.family, probe.expression));
            }
            _ => {}
        }
    }
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), probes.len(), differences.join("\n"));
}

#[test]
fn the_files_of_statements_give_their_results_and_use_everything() {
    let rewrite = std::env::var_os("WEIR_WRITE_SLT").is_some();
    let mut used = runner::Runner::default();
    let differences: Vec<_> = slt::all().iter_mut().flat_map(|file| file.check(&mut used, rewrite)).collect();
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    let unused: Vec<_> = statements::HEADINGS.iter().filter(|heading| !used.statements.contains(*heading)).collect();
    assert!(unused.is_empty(), "statements that no file has: {unused:?}");
    let unused = slt::unused(&used.functions);
    assert!(unused.is_empty(), "functions that no file calls: {unused:?}");
}

fn check(script: &Script) -> Result<(), String> {
    let expected = script.expected();
    for (seed, parallelism) in [(1, 1), (2, 1), (3, 2), (4, 2)] {
        let found = script.run(seed, parallelism);
        match (&expected, found) {
            (Expected::Error(_), Err(_)) => {}
            (Expected::Error(error), Ok(_)) => return Err(format!("Flink refuses it: {error}")),
            (Expected::Rows { .. }, Err(error)) => return Err(error),
            (Expected::Rows { columns, rows, .. }, Ok(found)) => {
                if *columns != found.columns {
                    return Err(format!("columns\n    {}\n  instead of\n    {columns}", found.columns));
                }
                compare(&rows::folded(rows), &rows::folded(&found.rows)).map_err(|what| format!("seed {seed}: {what}"))?;
            }
        }
    }
    Ok(())
}

type Folded = [(Vec<String>, i64)];

fn compare(expected: &Folded, found: &Folded) -> Result<(), String> {
    let absent = |from: &Folded, other: &Folded| -> Vec<String> {
        from.iter()
            .filter(|row| !other.contains(row))
            .take(5)
            .map(|(row, weight)| format!("    {weight}× {}", row.join(" | ")))
            .collect()
    };
    let (missing, extra) = (absent(expected, found), absent(found, expected));
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} rows instead of {}\n  missing\n{}\n  not expected\n{}",
        found.len(),
        expected.len(),
        missing.join("\n"),
        extra.join("\n")
    ))
}
