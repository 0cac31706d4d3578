//! Checks exactly-once: compares the committed output with the computed result.

use super::{Judgement, cut_short, judgement};
use crate::history::{History, What};

/// The committed rows of the counting job are exactly the expected rows, each once.
pub(super) fn exactly_once(history: &History) -> Judgement {
    let rows = history.last(|what| match what {
        What::Rows { lines } => Some(lines),
        _ => None,
    });
    let Some(lines) = rows else { return cut_short() };
    let counting = &history.header.counting;
    let verdict = counting.judge(lines);
    let mut problems = Vec::new();
    for (count, what) in [(verdict.lost, "lost"), (verdict.duplicated, "present more than once"), (verdict.wrong, "wrong")] {
        if count > 0 {
            problems.push(format!("{count} rows of the output are {what}"));
        }
    }
    if lines.is_empty() {
        problems.push("there is no output".to_owned());
    }
    judgement(problems, format!("{} rows in, {} rows of output", counting.rows, verdict.rows))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{changed, condemned};
    use super::*;

    fn with_lines(change: impl Fn(&mut Vec<String>)) -> History {
        changed(|what| {
            if let What::Rows { lines } = what {
                change(lines);
            }
        })
    }

    #[test]
    fn a_duplicated_a_lost_and_a_wrong_row_are_found() {
        assert!(condemned("exactly-once", &with_lines(|lines| lines.push(lines[0].clone()))).contains("more than once"));
        assert!(condemned("exactly-once", &with_lines(|lines| drop(lines.pop()))).contains("lost"));
        assert!(condemned("exactly-once", &with_lines(|lines| lines[0] += "0")).contains("wrong"));
        assert!(condemned("exactly-once", &with_lines(Vec::clear)).contains("no output"));
    }
}
