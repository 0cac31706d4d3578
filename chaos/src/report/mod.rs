//! The report of a run: `report.html` for people and `report.json` for programs, beside the history.

mod html;
mod page;
mod timeline;

use std::io;
use std::path::Path;

use serde::Serialize;

use crate::checkers::{Judged, Judgement};
use crate::history::{History, InjectedFault, RunHeader};

/// File name of the page in a report's directory.
pub const PAGE_FILE: &str = "report.html";
/// File name of the judgement in a report's directory.
pub const JSON_FILE: &str = "report.json";

/// The content of `report.json`.
#[derive(Debug, Serialize)]
struct JsonReport<'a> {
    run: &'a RunHeader,
    #[serde(flatten)]
    judged: &'a Judged,
    leaders: Vec<JsonLeader>,
    #[serde(rename = "deeds")]
    injected_faults: Vec<&'a InjectedFault>,
}

#[derive(Debug, Serialize)]
struct JsonLeader {
    since_ms: u64,
    name: String,
    epoch: u64,
}

/// Writes both files into the directory.
pub fn write(directory: &Path, history: &History, judged: &Judged) -> io::Result<()> {
    let leader = |(since_ms, name, epoch)| JsonLeader { since_ms, name, epoch };
    let leaders = history.leaders().into_iter().map(leader).collect();
    let injected_faults = history.injected_faults().map(|(_, fault)| fault).collect();
    let report = JsonReport { run: &history.header, judged, leaders, injected_faults };
    std::fs::write(directory.join(JSON_FILE), serde_json::to_string_pretty(&report)? + "\n")?;
    std::fs::write(directory.join(PAGE_FILE), page::page(history, judged))
}

/// The judgement as text for a terminal.
pub fn text(judged: &Judged) -> String {
    let mut lines = Vec::new();
    for finding in &judged.findings {
        let (mark, said) = match &finding.judgement {
            Judgement::Held { seen } => ("held", seen.clone()),
            Judgement::Broken { problems } => ("BROKEN", shortened(problems)),
            Judgement::NotJudged { why } => ("-", why.clone()),
        };
        lines.push(format!("  {mark:<7} {:<17} {said}", finding.checker));
    }
    for (nemesis, why) in &judged.skipped {
        lines.push(format!("  skipped {nemesis:<17} {why}"));
    }
    lines.extend(judged.without_footprint.iter().map(|what| format!("  NO FOOTPRINT  {what}")));
    let Judged { faults, leader_changes, rows, .. } = judged;
    lines.push(format!("{faults} faults, {leader_changes} leader changes, {rows} rows: {}", judged.verdict.as_str()));
    lines.join("\n")
}

/// The first three problems, and how many more there are.
fn shortened(problems: &[String]) -> String {
    let mut text = problems.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
    if problems.len() > 3 {
        text += &format!("; and {} more", problems.len() - 3);
    }
    text
}
