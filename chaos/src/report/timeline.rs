//! The timeline of a run: leaders, faults, checkpoints, throughput and pauses of the output, over one axis of time.

use std::fmt::Write;

use super::html::escaped;
use crate::history::{History, Phase, What};

/// Width of the timeline. All lengths here are in SVG units.
const WIDTH: f64 = 1_200.0;
/// Where the time axis begins.
const LEFT: f64 = 96.0;
const RIGHT: f64 = 16.0;
const LANE: f64 = 26.0;
const CHART: f64 = 84.0;
const GAP: f64 = 14.0;
const TOP: f64 = 42.0;
/// Width of a digit of the small numbers.
const DIGIT: f64 = 7.0;
/// Distance between the rows of these numbers.
const ROW: f64 = 12.0;
/// Shorter pauses of the output are not marked.
const PAUSE_MS: u64 = 1_000;
/// A bar of throughput covers at least this much time, in milliseconds.
const BAR_MS: u64 = 1_000;
/// Colours of leaders, by the position of the JobManager in the header.
const COLOURS: [&str; 5] = ["#3b74d8", "#1f9e77", "#b45fc4", "#c77d1a", "#5c6b7a"];

/// A pause of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    /// When the last output before the pause was committed.
    pub from_ms: u64,
    /// When the next output was committed.
    pub to_ms: u64,
}

/// Pauses of the committed output, from the first output to the last.
pub(super) fn pauses(history: &History) -> Vec<Pause> {
    let commits: Vec<_> = commits(history).into_iter().map(|(at, _)| at).collect();
    let between = commits.windows(2).map(|pair| Pause { from_ms: pair[0], to_ms: pair[1] });
    between.filter(|pause| pause.to_ms - pause.from_ms >= PAUSE_MS).collect()
}

/// When output was committed, and how many bytes.
fn commits(history: &History) -> Vec<(u64, u64)> {
    let mut before = 0;
    let mut commits = Vec::new();
    for event in &history.events {
        let What::Output { bytes, .. } = event.what else { continue };
        if bytes > before {
            commits.push((event.at_ms, bytes - before));
            before = bytes;
        }
    }
    commits
}

/// When each completed checkpoint of the judged job was first seen.
pub(super) fn checkpoints(history: &History) -> Vec<(u64, u64)> {
    let judged = history.judged_job();
    let (mut newest, mut seen) = (0, Vec::new());
    for (at, job) in history.jobs().filter(|(_, job)| Some(job.job) == judged) {
        if let Some(id) = job.checkpoint.filter(|id| *id > newest) {
            newest = id;
            seen.push((at, id));
        }
    }
    seen
}

/// Rows that were read, by the time when this was seen.
fn rows_read(history: &History) -> Vec<(u64, u64)> {
    let judged = history.judged_job();
    let mut before = 0;
    let mut seen = Vec::new();
    for (at, job) in history.jobs().filter(|(_, job)| Some(job.job) == judged) {
        // A new attempt counts from 0 again.
        let more = job.records.checked_sub(before).unwrap_or(job.records);
        before = job.records;
        seen.push((at, more));
    }
    seen
}

/// The time spans in which a process ran.
fn lives(history: &History, name: &str, end: u64) -> Vec<(u64, u64)> {
    let (mut lives, mut since) = (Vec::new(), None);
    for event in &history.events {
        let What::Process { name: whose, state, .. } = &event.what else { continue };
        if whose != name {
            continue;
        }
        if state == "started" {
            since = Some(event.at_ms);
        } else if let Some(since) = since.take() {
            lives.push((since, event.at_ms));
        }
    }
    lives.extend(since.map(|since| (since, end)));
    lives
}

/// Spans of leadership: from, to, name, epoch. A span ends when the process ends or when the next span begins.
fn leaderships(history: &History, end: u64) -> Vec<(u64, u64, String, u64)> {
    let leaders = history.leaders();
    let until = |index: usize, since: u64, name: &str| {
        let next = leaders.get(index + 1).map_or(end, |(at, ..)| *at);
        let died = lives(history, name, end).into_iter().map(|(_, died)| died).find(|died| *died > since);
        died.map_or(next, |died| died.min(next))
    };
    let span =
        |(index, (since, name, epoch)): (usize, &(u64, String, u64))| (*since, until(index, *since, name), name.clone(), *epoch);
    leaders.iter().enumerate().map(span).collect()
}

/// The right end of each row of fault numbers so far, from the lowest row up.
#[derive(Default)]
struct NumberRows([f64; 2]);

impl NumberRows {
    /// The lowest row in which a number at `middle` does not touch the number before it; `None` if there is no such row. Numbers
    /// must be placed from left to right.
    fn place(&mut self, number: &str, middle: f64) -> Option<usize> {
        let half = DIGIT * number.len() as f64 / 2.0;
        let row = self.0.iter().position(|end| middle - half > *end + 2.0)?;
        self.0[row] = middle + half;
        Some(row)
    }
}

/// An unfinished drawing.
struct Drawing {
    svg: String,
    end: u64,
    y: f64,
}

impl Drawing {
    fn x(&self, at: u64) -> f64 {
        LEFT + at as f64 / self.end as f64 * (WIDTH - LEFT - RIGHT)
    }

    fn put(&mut self, text: &str) {
        self.svg += text;
        self.svg.push('\n');
    }

    fn label(&mut self, text: &str, y: f64) {
        let text = escaped(text);
        self.put(&format!("<text class=\"lane\" x=\"{:.1}\" y=\"{y:.1}\">{text}</text>", LEFT - 10.0));
    }

    fn rectangle(&mut self, class: &str, colour: &str, (from, to): (u64, u64), (top, height): (f64, f64), title: &str) {
        let (x, width) = (self.x(from), (self.x(to) - self.x(from)).max(1.5));
        let fill = if colour.is_empty() { String::new() } else { format!(" fill=\"{colour}\"") };
        self.put(&format!(
            "<rect class=\"{class}\"{fill} x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\">\
             <title>{}</title></rect>",
            escaped(title)
        ));
    }

    fn processes(&mut self, history: &History) {
        let leaderships = leaderships(history, self.end);
        for (number, name) in history.header.jobmanagers.iter().enumerate() {
            let (top, colour) = (self.y, COLOURS[number % COLOURS.len()]);
            self.label(name, top + 17.0);
            for life in lives(history, name, self.end) {
                self.rectangle("life", "", life, (top + 11.0, 4.0), &format!("{name} runs"));
            }
            for (from, to, _, epoch) in leaderships.iter().filter(|(_, _, leader, _)| leader == name) {
                let title = format!("{name} leads under epoch {epoch}, {} to {}", seconds(*from), seconds(*to));
                self.rectangle("leader", colour, (*from, *to), (top + 4.0, 18.0), &title);
                if self.x(*to) - self.x(*from) > 6.0 + DIGIT * epoch.to_string().len() as f64 {
                    let (x, y) = (self.x(*from) + 4.0, top + 17.0);
                    self.put(&format!("<text class=\"epoch\" x=\"{x:.1}\" y=\"{y:.1}\">{epoch}</text>"));
                }
            }
            self.y += LANE;
        }
        for name in &history.header.taskmanagers {
            let top = self.y;
            self.label(name, top + 17.0);
            for life in lives(history, name, self.end) {
                self.rectangle("life", "", life, (top + 9.0, 8.0), &format!("{name} runs"));
            }
            self.y += LANE;
        }
        self.y += GAP;
    }

    fn checkpoints(&mut self, history: &History) {
        let y = self.y + 12.0;
        self.label("checkpoints", y + 4.0);
        for (at, id) in checkpoints(history) {
            let title = format!("checkpoint {id} complete, {}", seconds(at));
            let x = self.x(at);
            self.put(&format!(
                "<circle class=\"checkpoint\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{title}</title></circle>"
            ));
        }
        self.y += LANE + GAP;
    }

    /// Draws one bar for the sum over each time span.
    fn bars(&mut self, name: &str, unit: &str, seen: &[(u64, u64)]) {
        let bar = BAR_MS.max(self.end / 150);
        let mut sums = vec![0_u64; (self.end / bar) as usize + 1];
        for (at, more) in seen {
            sums[((*at).min(self.end) / bar) as usize] += more;
        }
        let rate = |sum: u64| sum as f64 * 1_000.0 / bar as f64;
        let most = sums.iter().copied().max().unwrap_or(0).max(1);
        let (top, bottom) = (self.y, self.y + CHART);
        self.label(name, top + 12.0);
        self.label(&format!("{} {unit}", rounded(rate(most))), top + 28.0);
        self.put(&format!(
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{bottom:.1}\" y2=\"{bottom:.1}\"/>",
            WIDTH - RIGHT
        ));
        for (sum, from) in sums.into_iter().zip((0..).step_by(bar as usize)).filter(|(sum, _)| *sum > 0) {
            let height = sum as f64 / most as f64 * (CHART - 4.0);
            let title = format!("{}: {} {unit}", seconds(from), rounded(rate(sum)));
            self.rectangle("bar", "", (from, (from + bar * 9 / 10).min(self.end)), (bottom - height, height), &title);
        }
        self.y += CHART + GAP;
    }

    fn pauses(&mut self, history: &History) {
        let (top, y) = (self.y, self.y + 16.0);
        self.label("output pauses", y);
        for pause in pauses(history) {
            let title = format!("no output for {}, starting at {}", seconds(pause.to_ms - pause.from_ms), seconds(pause.from_ms));
            self.rectangle("pause", "", (pause.from_ms, pause.to_ms), (top + 4.0, 18.0), &title);
            let (x, width) = (self.x(pause.from_ms), self.x(pause.to_ms) - self.x(pause.from_ms));
            if width > 30.0 {
                let text = seconds(pause.to_ms - pause.from_ms);
                self.put(&format!("<text class=\"pause\" x=\"{:.1}\" y=\"{y:.1}\">{text}</text>", x + width / 2.0));
            }
        }
        self.y += LANE + GAP;
    }

    /// The time axis, and what crosses all lanes. It is drawn first, so that everything else lies above it.
    fn background(&self, history: &History) -> String {
        let mut svg = String::new();
        let (top, height) = (TOP - 4.0, self.y - TOP);
        let step = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800].into_iter().find(|step| self.end / (step * 1_000) <= 24);
        for second in (0..=self.end / 1_000).step_by(step.unwrap_or(3_600) as usize) {
            let (x, bottom) = (self.x(second * 1_000), top + height);
            let _ = writeln!(svg, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>");
            let _ = writeln!(svg, "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{second} s</text>", bottom + 16.0);
        }
        let mut rows = NumberRows::default();
        for (at, fault) in history.injected_faults() {
            let (x, width) = (self.x(fault.began_ms), (self.x(at) - self.x(fault.began_ms)).max(2.0));
            let class = if fault.footprint.is_ok() { "fault" } else { "fault no-effect" };
            let said = fault.footprint.as_ref().unwrap_or_else(|looked_for| looked_for);
            let title =
                format!("fault {}: {} on {}, from {}: {said}", fault.fault, fault.nemesis, fault.target, seconds(fault.began_ms));
            let (number, middle) = (fault.fault.to_string(), x + width / 2.0);
            let shown = rows.place(&number, middle).map_or_else(String::new, |row| {
                let y = top - 6.0 - ROW * row as f64;
                format!("<text class=\"number\" x=\"{middle:.1}\" y=\"{y:.1}\">{number}</text>")
            });
            let _ = writeln!(
                svg,
                "<g><title>{}</title><rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\
                 {shown}</g>",
                escaped(&title)
            );
        }
        for (phase, name) in [(Phase::Healing, "healed"), (Phase::Interrupted, "stopped")] {
            let Some(at) = history.phase_at(phase) else { continue };
            let (x, bottom) = (self.x(at), top + height);
            let _ = writeln!(
                svg,
                "<line class=\"phase\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"><title>{name}</title></line>\
                 <text class=\"number after\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
                x + 2.0 * DIGIT,
                top - 6.0
            );
        }
        svg
    }
}

/// The timeline of a run, as SVG.
pub(super) fn timeline(history: &History) -> String {
    let end = history.events.last().map_or(1, |event| event.at_ms).max(1);
    let mut drawing = Drawing { svg: String::new(), end, y: TOP };
    drawing.processes(history);
    drawing.checkpoints(history);
    drawing.bars("rows in", "rows/s", &rows_read(history));
    drawing.bars("output", "bytes/s", &commits(history));
    drawing.pauses(history);
    let height = drawing.y + 26.0;
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"Timeline of the run\">\n{}{}</svg>\n",
        drawing.background(history),
        drawing.svg
    )
}

/// Milliseconds as seconds, for people.
pub(super) fn seconds(milliseconds: u64) -> String {
    format!("{:.1} s", milliseconds as f64 / 1_000.0)
}

/// A number without digits that do not matter.
fn rounded(number: f64) -> String {
    if number >= 10_000.0 { format!("{:.0}k", number / 1_000.0) } else { format!("{number:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_would_touch_go_up_a_row_or_are_left_off() {
        let mut rows = NumberRows::default();
        let mut place = |number, middle| rows.place(number, middle);
        assert_eq!(place("8", 100.0), Some(0));
        assert_eq!(place("9", 105.0), Some(1));
        assert_eq!(place("10", 110.0), None, "both rows are occupied there");
        assert_eq!(place("11", 114.0), Some(0), "its left edge is right of the right edge of 8");
        assert_eq!(place("12", 200.0), Some(0));
    }
}
