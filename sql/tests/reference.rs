//! The reference of functions is made from what the planner knows. Run with `WEIR_WRITE_DOCS=1` to write it again.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

use std::fmt::Write;
use std::path::Path;

use weir_dataflow::{aggregates, functions};

/// Names of functions that are operators: they are written between or around their operands.
fn is_operator(syntax: &str) -> bool {
    !syntax.contains('(') || syntax.starts_with(|c: char| c.is_lowercase())
}

fn functions_page() -> String {
    let mut page = String::from(
        "# Functions\n\nMade by `sql/tests/reference.rs` from what the planner knows. Results and types are those of Flink 2.3;\n\
         `sql/tests/probes` holds what Flink answers, and a test compares.\n",
    );
    let mut table = |title: &str, rows: Vec<(&str, &str)>| {
        let mut rows = rows;
        rows.sort_unstable();
        rows.dedup();
        write!(page, "\n## {title}\n\n| call | result |\n| --- | --- |\n").unwrap();
        for (syntax, doc) in rows {
            writeln!(page, "| `{}` | {} |", syntax.replace('|', "\\|"), doc.replace('|', "\\|")).unwrap();
        }
    };
    let scalar = || functions::all().map(|function| (function.syntax, function.doc));
    table("Operators", scalar().filter(|(syntax, _)| is_operator(syntax)).collect());
    table("Scalar functions", scalar().filter(|(syntax, _)| !is_operator(syntax)).collect());
    table("Aggregate functions", aggregates::all().map(|aggregate| (aggregate.syntax, aggregate.doc)).collect());
    page
}

#[test]
fn the_reference_of_functions_is_what_the_planner_knows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql/functions.md");
    let page = functions_page();
    if std::env::var_os("WEIR_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, page, "docs/sql/functions.md is out of date: run this test with WEIR_WRITE_DOCS=1");
}
