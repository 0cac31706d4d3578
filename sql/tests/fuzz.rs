//! Damaged scripts: whatever a mutation makes of a script of the corpus, it is parsed and planned, or refused, soon and without a
//! panic.
//!
//! As a test it tries a fixed number of scripts. `WEIR_FUZZ_SECONDS=600` makes it go on for that long, and `WEIR_FUZZ_SEED` makes
//! other mutations. A failure prints the script and the number that makes it again.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use weir_protocol::job_graph::OperatorDescriptor;
use weir_sql::dialect::{Statement, parse_statement};
use weir_sql::planner::{plan_inserts, plan_query};
use weir_sql::script::{SqlError, split};
use weir_sql::session::Session;

/// What a mutation inserts.
const TOKENS: &[&str] = &[
    "NULL",
    "(",
    ")",
    ",",
    ";",
    "'",
    "''",
    "`",
    "\"",
    "--",
    "/*",
    "*/",
    "*",
    "0",
    "-",
    "-1",
    "99999999999999999999999999999999999999999",
    "1e309",
    "1E-400",
    "0.",
    ".",
    "DISTINCT",
    "FROM",
    "SELECT",
    "WHERE",
    "GROUP BY",
    "HAVING",
    "UNION ALL",
    "AS",
    "CASE",
    "WHEN",
    "END",
    "CAST(",
    "AS DECIMAL(38, 38))",
    "AS ROW<a INT>)",
    "INTERVAL '1' SECOND",
    "INTERVAL '-99999999999' DAY",
    "INTERVAL '0' SECOND",
    "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY))",
    "window_start",
    "FILTER (WHERE TRUE)",
    "OVER ()",
    "ARRAY[",
    "MAP[",
    "]",
    "U&'\\D800'",
    "\u{0}",
    "\u{feff}",
    "ä",
    "𝄞",
    "X'zz'",
    "DATE '0000-00-00'",
    "TIMESTAMP '9999-12-31 23:59:59.999999999'",
    "$0",
    "t.*",
    "EXECUTE STATEMENT SET BEGIN",
    "CREATE VIEW v AS",
    "WITH x AS (",
    "LATERAL",
    "IN (",
    "BETWEEN",
    "LIKE",
    "ESCAPE",
    "IS NOT DISTINCT FROM",
];

/// A reproducible choice (SplitMix64).
struct Choice(u64);

impl Choice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % bound.max(1)
    }
}

/// The scripts of the corpus.
fn scripts() -> Vec<String> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/queries");
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap().replace("${data}", "/data")).collect()
}

/// Words, numbers, spaces, and single characters.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let class = |c: char| (c.is_alphanumeric() || c == '_', c.is_whitespace());
        let alike = |c: char| class(c) == class(first) && class(c) != (false, false);
        let end = rest.char_indices().skip(1).find(|(_, c)| !alike(*c)).map_or(rest.len(), |(at, _)| at);
        tokens.push(&rest[..end]);
        rest = &rest[end..];
    }
    tokens
}

/// A script with some damage. The same number makes the same one.
fn mutated(scripts: &[String], number: u64) -> String {
    let mut choice = Choice(number);
    let script = &scripts[choice.below(scripts.len())];
    let other = tokens(&scripts[choice.below(scripts.len())]);
    let mut text = tokens(script);
    for _ in 0..1 + choice.below(4) {
        let at = choice.below(text.len().max(1)).min(text.len());
        let until = (at + 1 + choice.below(12)).min(text.len());
        match choice.below(7) {
            0 => drop(text.drain(at..until)),
            1 => drop(text.splice(at..at, [" ", TOKENS[choice.below(TOKENS.len())], " "])),
            2 => {
                let from = choice.below(other.len().max(1));
                let piece = other[from..(from + choice.below(20)).min(other.len())].to_vec();
                drop(text.splice(at..until, piece));
            }
            3 => {
                let piece = text[at..until].to_vec();
                let times = [1, 2, 50][choice.below(3)];
                drop(text.splice(at..at, std::iter::repeat_n(piece, times).flatten()));
            }
            4 => {
                let times = [1, 3, 60][choice.below(3)];
                drop(text.splice(until..until, std::iter::repeat_n(")", times)));
                drop(text.splice(at..at, std::iter::repeat_n("(", times)));
            }
            5 => drop(text.splice(at..until, [TOKENS[choice.below(TOKENS.len())]])),
            _ => {
                let last = text.len().saturating_sub(1);
                let other = choice.below(text.len());
                text.swap(at.min(last), other.min(last));
            }
        }
        if text.is_empty() {
            break;
        }
    }
    text.concat()
}

/// Parses and plans all statements. Errors are answers too.
fn plan(script: &str) -> Result<(), SqlError> {
    let mut session = Session::default();
    for statement in split(script)? {
        let Ok(parsed) = parse_statement(&statement) else { continue };
        if session.command(&parsed).is_some() {
            continue;
        }
        let options = session.job_options("fuzz");
        // The next statement says more than the error of this one.
        let _ = match &parsed {
            Statement::Query(query) => {
                let sink = OperatorDescriptor::new("sink.blackhole", BTreeMap::new());
                plan_query(session.environment(), query, sink, &options).map(drop)
            }
            Statement::Insert(insert) => plan_inserts(session.environment(), std::slice::from_ref(insert), &options).map(drop),
            Statement::StatementSet(inserts) => plan_inserts(session.environment(), inserts, &options).map(drop),
            _ => Ok(()),
        };
    }
    Ok(())
}

fn fuzz() {
    let setting = |name: &str| std::env::var_os(name)?.to_str()?.parse::<u64>().ok();
    let (seed, seconds) = (setting("WEIR_FUZZ_SEED").unwrap_or(1), setting("WEIR_FUZZ_SECONDS"));
    let scripts = scripts();
    let begun = Instant::now();
    let goes_on = |number: u64| match seconds {
        None => number < 2_000,
        Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
    };
    let mut number = 0;
    while goes_on(number) {
        let script = mutated(&scripts, seed.wrapping_mul(1 << 32).wrapping_add(number));
        let started = Instant::now();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| plan(&script)));
        assert!(outcome.is_ok(), "seed {seed}, script {number} panics:\n{script}");
        // Tests are not optimized and the machine may be busy, so this only finds what is exponential or quadratic.
        assert!(started.elapsed() < Duration::from_secs(30), "seed {seed}, script {number} takes too long:\n{script}");
        number += 1;
    }
    assert!(number > 0);
}

#[test]
fn damaged_scripts_are_planned_or_refused() {
    // Clients plan on a stack of this size.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(fuzz).unwrap();
    assert!(thread.join().is_ok(), "see above");
}
