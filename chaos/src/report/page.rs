//! The page of a report: one file without scripts, which loads nothing from outside.

use std::fmt::Write;

use super::html::escaped;
use super::timeline::{checkpoints, pauses, seconds, timeline};
use crate::checkers::{Finding, Judged, Judgement, RunVerdict};
use crate::history::{History, What};

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(super) fn page(history: &History, judged: &Judged) -> String {
    let header = &history.header;
    let title = format!("Weir chaos: {}, {}", header.workload, judged.verdict.as_str());
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style></head><body>\n",
        escaped(&title)
    );
    page += &banner(history, judged);
    page += &figures(history, judged);
    let _ = writeln!(page, "<section class=\"card\">{}{}</section>", timeline(history), LEGEND);
    page += &findings(judged);
    page += &faults(history, judged);
    let _ = write!(
        page,
        "<section class=\"card\"><h2>Repeat this run</h2><p>Run the same plan of faults again:</p><pre>{}</pre>",
        escaped(&header.command)
    );
    page += "<p>Judge the history beside this page again:</p><pre>weir chaos check DIRECTORY</pre></section>\n";
    let _ =
        write!(page, "<footer>Weir {}, run started {}</footer>\n</body></html>\n", escaped(&header.weir_version), began(history));
    page
}

const LEGEND: &str = "<p class=\"legend\"><span class=\"key leader\"></span>leader, with its epoch <span class=\"key life\"></span>running \
    process <span class=\"key fault\"></span>fault, numbered as in the table below <span class=\"key checkpoint\"></span>completed \
    checkpoint <span class=\"key pause\"></span>no committed output for a second or more. Hover over a mark to see its details.</p>";

fn began(history: &History) -> String {
    let seconds = history.header.started_at_ms / 1_000;
    // Converts days since 1970 to a date of the civil calendar.
    let days = (seconds / 86_400).cast_signed() + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", seconds / 3_600 % 24, seconds / 60 % 60)
}

fn banner(history: &History, judged: &Judged) -> String {
    let header = &history.header;
    let (class, said) = match judged.verdict {
        RunVerdict::Passed => ("good", "Every fault took effect, and everything held."),
        RunVerdict::Failed => ("bad", "A required property did not hold."),
        RunVerdict::NoFootprint => {
            ("doubtful", "Everything held, but a fault had no effect or no fault was injected. The run proves nothing.")
        }
        RunVerdict::Interrupted => ("doubtful", "The run was stopped before its end."),
    };
    let what = format!(
        "{} JobManagers on {}, {} TaskManagers; workload {}, faults for {}, seed {}",
        header.jobmanagers.len(),
        header.coordination,
        header.taskmanagers.len(),
        header.workload,
        seconds(header.duration_ms),
        header.seed
    );
    let verdict = judged.verdict.as_str();
    format!("<header class=\"{class}\"><h1>{verdict}</h1><p>{said}</p><p class=\"what\">{}</p></header>\n", escaped(&what))
}

fn figures(history: &History, judged: &Judged) -> String {
    let longest = pauses(history).into_iter().map(|pause| pause.to_ms - pause.from_ms).max();
    let output = history.last(|what| match what {
        What::Rows { lines } => Some(lines.len()),
        What::Tables { tables } => Some(tables.values().flat_map(|table| table.values()).map(Vec::len).sum()),
        _ => None,
    });
    let held = judged.findings.iter().filter(|finding| matches!(finding.judgement, Judgement::Held { .. })).count();
    let figures = [
        ("faults", judged.faults.to_string()),
        ("leader changes", judged.leader_changes.to_string()),
        ("checkpoints seen", checkpoints(history).len().to_string()),
        ("input rows", judged.rows.to_string()),
        ("output rows", output.map_or_else(|| "?".to_owned(), |rows| rows.to_string())),
        ("longest output pause", longest.map_or_else(|| "under 1 s".to_owned(), seconds)),
        ("checks held", format!("{held} of {}", judged.findings.len())),
    ];
    let figure = |(name, value): (&str, String)| format!("<div><b>{value}</b><span>{name}</span></div>");
    format!("<section class=\"figures\">{}</section>\n", figures.map(figure).concat())
}

fn findings(judged: &Judged) -> String {
    let row = |finding: &Finding| {
        let (class, mark, said) = match &finding.judgement {
            Judgement::Held { seen } => ("good", "held", escaped(seen)),
            Judgement::Broken { problems } => {
                let shown = problems.iter().take(20).map(|problem| escaped(problem)).collect::<Vec<_>>().join("<br>");
                let more = problems.len().saturating_sub(20);
                ("bad", "broken", if more > 0 { format!("{shown}<br>and {more} more") } else { shown })
            }
            Judgement::NotJudged { why } => ("doubtful", "not judged", escaped(why)),
        };
        format!(
            "<tr><td class=\"mark {class}\">{mark}</td><td><b>{}</b> <small>{}</small><br>{}</td><td>{said}</td></tr>\n",
            finding.checker, finding.invariants, finding.sentence
        )
    };
    let rows: String = judged.findings.iter().map(row).collect();
    format!("<section class=\"card\"><h2>What must hold</h2><table>{rows}</table></section>\n")
}

fn faults(history: &History, judged: &Judged) -> String {
    let mut rows = String::new();
    for (at, fault) in history.injected_faults() {
        let (class, said) = match &fault.footprint {
            Ok(footprint) => ("good", footprint),
            Err(looked_for) => ("bad", looked_for),
        };
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td class=\"time\">{}</td><td class=\"time\">{}</td><td><b>{}</b></td><td>{}</td><td class=\"{class}\">{}</td></tr>",
            fault.fault,
            seconds(fault.began_ms),
            seconds(at - fault.began_ms),
            escaped(&fault.nemesis),
            escaped(&fault.target),
            escaped(said)
        );
    }
    for (nemesis, why) in &judged.skipped {
        let (nemesis, why) = (escaped(nemesis), escaped(why));
        let _ = writeln!(
            rows,
            "<tr class=\"skipped\"><td></td><td colspan=\"2\">skipped</td><td><b>{nemesis}</b></td><td colspan=\"2\">{why}</td></tr>"
        );
    }
    let head = "<tr><th></th><th>start</th><th>duration</th><th>fault</th><th>target</th><th>footprint</th></tr>";
    format!(
        "<section class=\"card\"><h2>Faults, and what shows that they took effect</h2><table>{head}{rows}</table></section>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::{judge, sample};

    #[test]
    fn a_page_shows_verdict_timeline_and_faults_and_loads_nothing_from_outside() {
        let history = sample::history();
        let page = page(&history, &judge(&history));
        for part in ["PASSED", "<svg", "kill-leader", "it ended", "exactly-once", "class=\"checkpoint\"", "weir chaos run"] {
            assert!(page.contains(part), "{part}");
        }
        for foreign in ["<script", "http://", "https://", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("1970-01-01 00:00 UTC"));
    }

    #[test]
    fn foreign_text_is_escaped() {
        let history = sample::changed(|what| {
            if let What::FaultEnded(fault) = what {
                fault.footprint = Err("<img onerror=x>".into());
            }
        });
        let page = page(&history, &judge(&history));
        assert!(page.contains("&lt;img") && !page.contains("<img"));
        assert!(page.contains("NO FOOTPRINT"));
    }
}
