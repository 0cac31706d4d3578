//! The files of `sql/tests/slt`: statements, queries and expressions with what they give. `sql/tests/slt/README.md` has the format.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::rows::Row;
use crate::runner::{Answer, Failure, Pace, Runner};

/// A file, whose records share a session.
pub(crate) struct File {
    pub(crate) name: String,
    path: PathBuf,
    records: Vec<Record>,
}

/// A part of a file.
enum Record {
    /// Comments and empty lines.
    Between(String),
    Statement {
        expected: Expected,
        lines: Vec<String>,
    },
    Query {
        mode: Mode,
        lines: Vec<String>,
        expected: Vec<String>,
    },
    /// Expressions, each with type and value behind tabs.
    Expressions(Vec<(String, String)>),
}

enum Expected {
    Done,
    /// The statement needs a cluster.
    Parsed,
    /// The code, words of the message or the hint, and the place that a caret points to.
    Error {
        code: String,
        words: String,
        place: Option<(u64, u64)>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The rows that are left in the end, sorted.
    Sorted,
    /// Every row, in order.
    InOrder,
    /// Every change with its kind, in order, computed row by row.
    Changelog,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt")
}

/// All files, by name.
pub(crate) fn all() -> Vec<File> {
    let mut open = vec![folder()];
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(read(path));
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

fn read(path: PathBuf) -> File {
    let text = std::fs::read_to_string(&path).unwrap();
    let name = path.strip_prefix(folder()).unwrap().display().to_string();
    let mut lines = text.lines().peekable();
    let mut records = Vec::new();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            records.push(Record::Between(line.to_owned()));
            continue;
        }
        let body: Vec<String> = std::iter::from_fn(|| lines.next_if(|line| !line.is_empty())).map(str::to_owned).collect();
        records.push(record(line, body).unwrap_or_else(|what| panic!("{name}: {line}: {what}")));
    }
    File { name, path, records }
}

fn record(first: &str, mut lines: Vec<String>) -> Result<Record, &'static str> {
    let mut words = first.splitn(4, ' ');
    match (words.next(), words.next()) {
        (Some("statement"), Some("ok")) => Ok(Record::Statement { expected: Expected::Done, lines }),
        (Some("statement"), Some("parsed")) => Ok(Record::Statement { expected: Expected::Parsed, lines }),
        (Some("statement"), Some("error")) => {
            let code = words.next().ok_or("the code is missing")?.to_owned();
            let place = lines.last().filter(|line| line.trim() == "^").map(|line| line.chars().count() as u64);
            let place = place.map(|column| {
                lines.pop();
                (lines.len() as u64, column)
            });
            let words = words.next().unwrap_or_default().to_owned();
            Ok(Record::Statement { expected: Expected::Error { code, words, place }, lines })
        }
        (Some("query"), mode) => {
            let mode = match mode {
                None | Some("sorted") => Mode::Sorted,
                Some("in-order") => Mode::InOrder,
                Some("changelog") => Mode::Changelog,
                Some(_) => return Err("a mode is sorted, in-order or changelog"),
            };
            let results = lines.iter().position(|line| line == "----").unwrap_or(lines.len());
            let expected = lines.split_off(results).into_iter().skip(1).collect();
            Ok(Record::Query { mode, lines, expected })
        }
        (Some("expressions"), None) => {
            let split = |line: String| match line.split_once('\t') {
                Some((expression, answer)) => (expression.to_owned(), answer.to_owned()),
                None => (line, String::new()),
            };
            Ok(Record::Expressions(lines.into_iter().map(split).collect()))
        }
        _ => Err("a record begins with statement, query or expressions"),
    }
}

impl File {
    /// Runs all records. Returns what differs. If `rewrite` is set, results that differ are taken over instead.
    pub(crate) fn check(&mut self, used: &mut Runner, rewrite: bool) -> Vec<String> {
        let mut runner = Runner::default();
        let mut differences = Vec::new();
        for record in &mut self.records {
            match record {
                Record::Between(_) => {}
                Record::Statement { expected, lines } => {
                    let script = script(lines);
                    let found = runner.run(&script, Pace::Batches);
                    differences.extend(unexpected(expected, found).map(|what| format!("{}: {what}", lines.join(" "))));
                }
                Record::Query { mode, lines, expected } => {
                    let found = query(&mut runner, *mode, &script(lines));
                    if rewrite {
                        *expected = found;
                    } else if *expected != found {
                        let (expected, found) = (expected.join("\n    "), found.join("\n    "));
                        differences.push(format!("{}:\n    {found}\n  instead of\n    {expected}", lines.join(" ")));
                    }
                }
                Record::Expressions(expressions) => {
                    for (expression, expected) in expressions {
                        let found = value(&mut runner, expression);
                        if rewrite {
                            *expected = found;
                        } else if *expected != found {
                            differences.push(format!("{expression}: {found:?} instead of {expected:?}"));
                        }
                    }
                }
            }
        }
        used.functions.append(&mut runner.functions);
        used.statements.append(&mut runner.statements);
        if rewrite {
            self.write();
        }
        differences.into_iter().map(|what| format!("{}: {what}", self.name)).collect()
    }

    fn write(&self) {
        let mut text = String::new();
        let mut put = |line: &str| writeln!(text, "{line}").unwrap();
        for record in &self.records {
            match record {
                Record::Between(line) => put(line),
                Record::Statement { expected, lines } => {
                    match expected {
                        Expected::Done => put("statement ok"),
                        Expected::Parsed => put("statement parsed"),
                        Expected::Error { code, words, .. } => put(format!("statement error {code} {words}").trim_end()),
                    }
                    lines.iter().for_each(|line| put(line));
                    if let Expected::Error { place: Some((_, column)), .. } = expected {
                        put(&format!("{}^", " ".repeat(*column as usize - 1)));
                    }
                }
                Record::Query { mode, lines, expected } => {
                    put(match mode {
                        Mode::Sorted => "query",
                        Mode::InOrder => "query in-order",
                        Mode::Changelog => "query changelog",
                    });
                    lines.iter().chain([&"----".to_owned()]).chain(expected).for_each(|line| put(line));
                }
                Record::Expressions(expressions) => {
                    put("expressions");
                    expressions.iter().for_each(|(expression, answer)| put(&format!("{expression}\t{answer}")));
                }
            }
        }
        std::fs::write(&self.path, text).unwrap();
    }
}

fn script(lines: &[String]) -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    lines.join("\n").replace("${data}", data.to_str().unwrap())
}

fn unexpected(expected: &Expected, found: Result<Answer, Failure>) -> Option<String> {
    match (expected, found) {
        (Expected::Parsed, Ok(Answer::NeedsCluster)) => None,
        (Expected::Done, Ok(answer)) if !matches!(answer, Answer::NeedsCluster) => None,
        (Expected::Done | Expected::Parsed, Ok(_)) => Some("it needs a cluster, or needs none".into()),
        (Expected::Done | Expected::Parsed, Err(failure)) => Some(failure.text()),
        (Expected::Error { code, .. }, Ok(_)) => Some(format!("it does not fail with {code}")),
        (Expected::Error { code, words, place }, Err(failure)) => {
            let found = match &failure {
                Failure::Refused(error) => error.place.map(|place| (place.line, place.column)),
                Failure::Failed(_) => None,
            };
            let fits = failure.code() == code && failure.text().contains(words.as_str()) && (place.is_none() || *place == found);
            (!fits).then(|| format!("{} at {found:?} instead of {code} {words} at {place:?}", failure.text()))
        }
    }
}

/// The result of a query as lines: the columns, then the rows.
fn query(runner: &mut Runner, mode: Mode, script: &str) -> Vec<String> {
    let pace = if mode == Mode::Changelog { Pace::RowByRow } else { Pace::Batches };
    match runner.run(script, pace) {
        Err(failure) => vec![format!("ERROR {}", failure.text())],
        Ok(Answer::Done) => vec!["# done".into()],
        Ok(Answer::NeedsCluster) => vec!["# needs a cluster".into()],
        Ok(Answer::Text(text)) => text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect(),
        Ok(Answer::Table(table)) => {
            let columns: Vec<_> = table.columns.iter().map(|(name, data_type)| format!("`{name}` {data_type}")).collect();
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "\\N".into()).replace('\n', "\\n");
            let rows = table.rows.iter().map(|row| row.iter().map(shown).collect::<Vec<_>>().join("\t"));
            std::iter::once(format!("# {}", columns.join(", "))).chain(rows).collect()
        }
        Ok(Answer::Rows(columns, rows)) => std::iter::once(format!("# {columns}")).chain(shown(mode, rows)).collect(),
    }
}

fn shown(mode: Mode, rows: Vec<Row>) -> Vec<String> {
    let row = |values: &[String]| match values {
        // An empty line would end the record.
        [only] if only.is_empty() => "(empty)".to_owned(),
        values => values.join("\t"),
    };
    match mode {
        Mode::Changelog => rows.iter().map(|(kind, values)| format!("{}\t{}", kind.short(), values.join("\t"))).collect(),
        Mode::InOrder => rows.iter().map(|(_, values)| row(values)).collect(),
        Mode::Sorted => {
            let folded = crate::rows::folded(&rows);
            folded.iter().flat_map(|(values, weight)| vec![row(values); *weight as usize]).collect()
        }
    }
}

/// Type and value of an expression, with a tab between; for an error its code.
fn value(runner: &mut Runner, expression: &str) -> String {
    match runner.run(&format!("SELECT {expression}"), Pace::Batches) {
        Ok(Answer::Rows(columns, rows)) => {
            // The name of the column is the planner's.
            let data_type = columns.split_once("` ").map_or(columns.as_str(), |(_, data_type)| data_type);
            format!("{data_type}\t{}", rows.iter().map(|(_, values)| values.join("\t")).collect::<Vec<_>>().join(" / "))
        }
        Ok(_) => "no query".into(),
        Err(failure) => format!("! {}", failure.code()),
    }
}

/// Other spellings of functions, which the grammar reads as the function itself.
const SPELLINGS: [&str; 2] = ["ceiling", "substr"];

/// The functions that no file uses.
pub(crate) fn unused(used: &BTreeSet<String>) -> Vec<&'static str> {
    let scalar = weir_dataflow::functions::all().map(|function| function.name);
    let aggregates = weir_dataflow::aggregates::all().map(|aggregate| aggregate.name);
    let mut unused: Vec<_> = scalar.chain(aggregates).filter(|name| !used.contains(*name) && !SPELLINGS.contains(name)).collect();
    unused.sort_unstable();
    unused.dedup();
    unused
}
