//! Decides, while no JobManager answers a call, when to tell the user and when to give up.

use weir_protocol::rest::QUERY_ROWS_WAIT_MS;
use weir_world::Millis;

/// The user is told for the first time after this many milliseconds.
const FIRST_REPORT_MS: u64 = 1_000;
// An answer that waits for rows is no outage.
const _: () = assert!(2 * QUERY_ROWS_WAIT_MS <= FIRST_REPORT_MS);
/// Shortest and longest time between two reports, in milliseconds.
const REPORT_MS: (u64, u64) = (5_000, 60_000);

/// The time in which a call got no answer.
#[derive(Debug)]
pub(crate) struct Outage {
    since: Millis,
    report_at: Millis,
    pause_ms: u64,
    /// Whether every attempt so far was refused because nothing listens at the address.
    refused: bool,
}

impl Outage {
    /// Begins with the call.
    pub(crate) fn new(now: Millis) -> Self {
        Self { since: now, report_at: now.after(FIRST_REPORT_MS), pause_ms: REPORT_MS.0, refused: true }
    }

    /// When the next report is due.
    pub(crate) fn report_at(&self) -> Millis {
        self.report_at
    }

    /// Whether a report is due. If so, the next one is due later.
    pub(crate) fn is_report_due(&mut self, now: Millis) -> bool {
        if now < self.report_at {
            return false;
        }
        self.report_at = now.after(self.pause_ms);
        self.pause_ms = (self.pause_ms * 2).min(REPORT_MS.1);
        true
    }

    /// Notes an attempt without an answer.
    pub(crate) fn failed(&mut self, refused: bool) {
        self.refused &= refused;
    }

    /// When the call gives up, if it may otherwise last until `deadline`: sooner if nothing but refused connections is seen for
    /// `patience_ms`.
    pub(crate) fn end(&self, deadline: Millis, patience_ms: u64) -> Millis {
        if self.refused { deadline.min(self.since.after(patience_ms)) } else { deadline }
    }
}

/// A time for people, in whole units.
pub(crate) fn time_text(milliseconds: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)];
    let unit = UNITS.iter().find(|(_, length)| milliseconds >= 2 * length);
    unit.map_or_else(|| format!("{milliseconds} ms"), |(name, length)| format!("{} {name}", milliseconds / length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_become_rarer() {
        let mut outage = Outage::new(Millis(100));
        let due: Vec<u64> = (0..200_000).step_by(100).filter(|now| outage.is_report_due(Millis(*now))).collect();
        assert_eq!(due, [1_100, 6_100, 16_100, 36_100, 76_100, 136_100, 196_100]);
    }

    #[test]
    fn a_call_ends_sooner_if_only_refused_connections_are_seen() {
        let mut outage = Outage::new(Millis(100));
        outage.failed(true);
        assert_eq!(outage.end(Millis(9_000), 1_000), Millis(1_100));
        assert_eq!(outage.end(Millis(500), 1_000), Millis(500));
        outage.failed(false);
        outage.failed(true);
        assert_eq!(outage.end(Millis(9_000), 1_000), Millis(9_000), "something has answered, or may have");
    }

    #[test]
    fn times_have_whole_units() {
        assert_eq!([300, 28_100, 150_000, 86_400_000 * 365].map(time_text), ["300 ms", "28 s", "2 min", "365 d"]);
    }
}
