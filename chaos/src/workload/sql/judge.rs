//! Judges the committed tables of the SQL workload.

use std::collections::BTreeMap;
use std::path::Path;

use weir_sql_reference::{Changelog, Reference, Relation, Row, RowKind, Tables, Value, insertions};

use super::query::{SELECT, SELECTED};
use super::{CommittedTable, SqlJob, TABLES};

/// What the committed tables must be, and what is wrong with them.
#[derive(Debug, Default)]
pub struct TablesVerdict {
    /// Rows of all tables.
    pub rows: u64,
    /// Changes among them: all kinds but inserts.
    pub changes: u64,
    pub problems: Vec<String>,
}

/// More problems of one table than this are only counted.
const SHOWN: usize = 3;

impl SqlJob {
    /// Compares committed tables with what the script means.
    pub fn judge(&self, committed: &BTreeMap<String, CommittedTable>) -> TablesVerdict {
        let mut verdict = TablesVerdict::default();
        let expected = match self.expected() {
            Ok(expected) => expected,
            Err(what) => {
                verdict.problems.push(format!("the reference can't evaluate the script: {what}"));
                return verdict;
            }
        };
        for (name, changes) in TABLES.into_iter().chain([(SELECTED, false)]) {
            let empty = CommittedTable::new();
            let table = committed.get(name).unwrap_or(&empty);
            let lines: usize = table.values().map(Vec::len).sum();
            verdict.rows += lines as u64;
            if lines == 0 {
                verdict.problems.push(format!("{name}: there is no output"));
                continue;
            }
            match expected.get(name) {
                Some(expected) => verdict.problems.extend(compare(name, changes, expected, table)),
                None => verdict.problems.push(format!("{name}: the script does not write it")),
            }
            if changes {
                verdict.changes += table.values().flatten().filter(|line| !line.ends_with(",+I")).count() as u64;
            }
        }
        verdict
    }

    /// The final tables, with all values as text.
    fn expected(&self) -> Result<BTreeMap<String, Relation>, String> {
        // Row i of the generated table has the id i, and the event time i times the distance of rows.
        let step_ms = (1_000 / self.rows_per_second.max(1)).max(1) as i64;
        let row = |id: i64| (vec![Value::Integer(id), Value::Integer(id * step_ms)], 1);
        let orders: Relation = (0..self.rows as i64).map(row).collect();
        let tables = Tables::from([("default_catalog.default_database.orders".to_owned(), orders)]);
        // Where the files are does not matter to the plans.
        let insertions = insertions(&format!("{}{}", self.script(Path::new("/output")), inserted_query()))?;
        let mut reference = Reference::default();
        let mut expected = BTreeMap::new();
        for insertion in insertions {
            let rows = reference.rows(&insertion.plan, &tables, i64::MAX)?;
            expected.insert(insertion.table, rows.into_iter().map(|(row, count)| (as_text(&row), count)).collect());
        }
        Ok(expected)
    }

    /// The tables as they are written by one subtask, each row once. Tests of the checks start from them.
    #[cfg(test)]
    pub(crate) fn right_tables(&self) -> BTreeMap<String, CommittedTable> {
        let mut tables = BTreeMap::new();
        for (name, rows) in self.expected().unwrap() {
            let is_changelog = TABLES.iter().any(|(table, changes)| *table == name && *changes);
            let line = |row: &Row| {
                let values: Vec<_> = row.iter().map(ToString::to_string).collect();
                values.join(",") + if is_changelog { ",+I" } else { "" }
            };
            tables.insert(name, CommittedTable::from([("0".to_owned(), rows.keys().map(line).collect())]));
        }
        tables
    }
}

/// The query as an INSERT, for the reference.
fn inserted_query() -> String {
    format!(
        "CREATE TABLE {SELECTED} (id BIGINT, product BIGINT, buyer BIGINT) WITH ('connector' = 'blackhole');\n\
         INSERT INTO {SELECTED} {SELECT};\n"
    )
}

/// A row with all values as CSV has them.
fn as_text(row: &Row) -> Row {
    let text = |value: &Value| if value.is_null() { String::new() } else { value.to_string() };
    row.iter().map(|value| Value::Text(text(value))).collect()
}

/// The values of a line. No value of these tables has a comma.
fn values(line: &str) -> Row {
    line.split(',').map(|value| Value::Text(value.trim_matches('"').to_owned())).collect()
}

fn compare(name: &str, changes: bool, expected: &Relation, table: &CommittedTable) -> Vec<String> {
    let mut problems = Vec::new();
    let mut found = Relation::new();
    for lines in table.values() {
        if !changes {
            lines.iter().for_each(|line| *found.entry(values(line)).or_insert(0) += 1);
            continue;
        }
        // All changes of a key come from one subtask, in their order.
        let mut changelog = Changelog::keyed(vec![0]);
        for line in lines {
            if let Err(what) = applied(&mut changelog, line) {
                problems.push(format!("{name}: line {line:?}: {what}"));
            }
        }
        changelog.rows().iter().for_each(|(row, count)| *found.entry(row.clone()).or_insert(0) += count);
    }
    let wrong = problems.len();
    problems.truncate(SHOWN);
    if wrong > SHOWN {
        problems.push(format!("{name}: {} more changes can't follow", wrong - SHOWN));
    }
    problems.extend(differences(name, "missing", expected, &found));
    problems.extend(differences(name, "too much", &found, expected));
    problems
}

fn applied(changelog: &mut Changelog, line: &str) -> Result<(), String> {
    let mut row = values(line);
    let kind = match row.pop() {
        Some(Value::Text(kind)) => kind,
        _ => return Err("the line is empty".into()),
    };
    let kinds = [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];
    let kind = kinds.into_iter().find(|known| known.short() == kind).ok_or_else(|| format!("{kind:?} is no kind"))?;
    changelog.apply(kind, row)
}

/// The rows of `from` that `other` has not, or less often.
fn differences(name: &str, what: &str, from: &Relation, other: &Relation) -> Option<String> {
    let absent = |(row, count): (&Row, &i64)| (count - other.get(row).copied().unwrap_or(0)).max(0);
    let absent: Vec<_> = from.iter().map(|entry| (entry.0, absent(entry))).filter(|(_, count)| *count > 0).collect();
    let total: i64 = absent.iter().map(|(_, count)| count).sum();
    let (first, _) = absent.first()?;
    let first: Vec<_> = first.iter().map(ToString::to_string).collect();
    Some(format!("{name}: {total} rows are {what}, such as {}", first.join(",")))
}
