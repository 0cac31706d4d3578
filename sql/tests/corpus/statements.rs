//! `docs/sql/statements.md` describes every statement, and its examples work.

use std::collections::BTreeSet;
use std::path::Path;

use weir_sql::dialect::{DropObject, Show, Statement, TableChange};

use crate::runner::{Answer, Pace, Runner};

/// Declares the heading of each statement, and the list of all headings. The match is exhaustive, so a new statement needs one.
macro_rules! headings {
    ($($pattern:pat $(if $guard:expr)? => $heading:literal,)*) => {
        /// The heading under which the page describes a statement.
        pub(crate) fn heading(statement: &Statement) -> &'static str {
            match statement {
                $($pattern $(if $guard)? => $heading,)*
            }
        }

        /// All headings.
        pub(crate) const HEADINGS: &[&str] = &[$($heading,)*];
    };
}

headings! {
    Statement::Query(_) => "SELECT",
    Statement::Insert(_) => "INSERT",
    Statement::StatementSet(_) => "EXECUTE STATEMENT SET",
    Statement::Explain(_) => "EXPLAIN",
    Statement::CreateTable(create) if create.query.is_some() => "CREATE TABLE … AS",
    Statement::CreateTable(create) if create.like.is_some() => "CREATE TABLE … LIKE",
    Statement::CreateTable(_) => "CREATE TABLE",
    Statement::CreateView(_) => "CREATE VIEW",
    Statement::CreateDatabase { .. } => "CREATE DATABASE",
    Statement::Drop(weir_sql::dialect::Drop { object: DropObject::Table, .. }) => "DROP TABLE",
    Statement::Drop(weir_sql::dialect::Drop { object: DropObject::View, .. }) => "DROP VIEW",
    Statement::Drop(weir_sql::dialect::Drop { object: DropObject::Database { .. }, .. }) => "DROP DATABASE",
    Statement::AlterTable(weir_sql::dialect::AlterTable { change: TableChange::Rename(_), .. }) => "ALTER TABLE … RENAME",
    Statement::AlterTable(weir_sql::dialect::AlterTable { change: TableChange::SetOptions(_), .. }) => "ALTER TABLE … SET",
    Statement::AlterTable(weir_sql::dialect::AlterTable { change: TableChange::ResetOptions(_), .. }) => "ALTER TABLE … RESET",
    Statement::UseCatalog(_) => "USE CATALOG",
    Statement::Use(_) => "USE",
    Statement::Show(Show::Catalogs) => "SHOW CATALOGS",
    Statement::Show(Show::Databases) => "SHOW DATABASES",
    Statement::Show(Show::CurrentCatalog) => "SHOW CURRENT CATALOG",
    Statement::Show(Show::CurrentDatabase) => "SHOW CURRENT DATABASE",
    Statement::Show(Show::Tables(_)) => "SHOW TABLES",
    Statement::Show(Show::Views) => "SHOW VIEWS",
    Statement::Show(Show::Functions) => "SHOW FUNCTIONS",
    Statement::Show(Show::Columns(_)) => "SHOW COLUMNS",
    Statement::Show(Show::CreateTable(_)) => "SHOW CREATE TABLE",
    Statement::Show(Show::CreateView(_)) => "SHOW CREATE VIEW",
    Statement::Show(Show::Jobs) => "SHOW JOBS",
    Statement::Describe(_) => "DESCRIBE",
    Statement::Set(_) => "SET",
    Statement::Reset(_) => "RESET",
    Statement::DescribeJob(_) => "DESCRIBE JOB",
    Statement::StopJob(_) => "STOP JOB",
}

/// A part of the page: its heading, and its examples.
struct Section {
    heading: String,
    examples: Vec<String>,
}

fn sections(page: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut example: Option<String> = None;
    for line in page.lines() {
        match (&mut example, line) {
            (None, "```sql") => example = Some(String::new()),
            (Some(text), "```") => {
                sections.last_mut().unwrap().examples.push(std::mem::take(text));
                example = None;
            }
            (Some(text), line) => text.push_str(&format!("{line}\n")),
            (None, line) => {
                if let Some(heading) = line.strip_prefix("## ") {
                    sections.push(Section { heading: heading.to_owned(), examples: Vec::new() });
                }
            }
        }
    }
    sections
}

#[test]
fn the_page_describes_every_statement_and_its_examples_work() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql/statements.md");
    let sections = sections(&std::fs::read_to_string(page).unwrap());
    let mut runner = Runner::default();
    for section in &sections {
        assert!(!section.examples.is_empty(), "{} has no example", section.heading);
        runner.statements.clear();
        for example in &section.examples {
            let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
            let script = example.replace("/data/", &format!("{}/", data.display()));
            match runner.run(&script, Pace::Batches) {
                Ok(Answer::Rows(..) | Answer::Done | Answer::Table(_) | Answer::Text(_) | Answer::NeedsCluster) => {}
                Err(failure) => panic!("{}: {example}\n{}", section.heading, failure.text()),
            }
        }
        assert!(runner.statements.contains(section.heading.as_str()), "no example of {}", section.heading);
    }
    let described: BTreeSet<_> = sections.iter().map(|section| section.heading.as_str()).collect();
    let all: BTreeSet<_> = HEADINGS.iter().copied().collect();
    assert_eq!(described, all);
}
