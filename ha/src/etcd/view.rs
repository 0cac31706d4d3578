//! The state of an election at one revision. Pure.

use std::collections::BTreeMap;

use weir_protocol::LeaderEpoch;

use super::layout::{Layout, Place};
use crate::{Candidate, LeaderRecord};

/// Everything under the cluster's path except the typed stores' keys, at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The revision; 0 before anything was read.
    pub revision: i64,
    pub latch: Option<Latch>,
    /// The highest granted epoch.
    pub epoch: LeaderEpoch,
    pub published: Option<LeaderRecord>,
    /// Name of the candidate that is to contend first.
    pub hand_over: Option<String>,
    pub candidates: BTreeMap<String, Candidate>,
}

/// The leader's latch: the candidate that holds it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Latch {
    /// Its create revision, which identifies one leadership.
    pub created: i64,
    /// Its lease, which identifies the holder's session.
    pub lease: i64,
    /// Name of the candidate that holds it.
    pub holder: String,
}

/// One key as etcd stores it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub key: &'a str,
    pub value: &'a [u8],
    pub created: i64,
    pub lease: i64,
}

impl Latch {
    pub(crate) fn of(entry: Entry<'_>) -> Self {
        let holder = serde_json::from_slice(entry.value).map(|candidate: Candidate| candidate.name);
        Self { created: entry.created, lease: entry.lease, holder: holder.unwrap_or_default() }
    }
}

/// The number in the epoch key.
pub(crate) fn parse_epoch(value: &[u8]) -> Option<LeaderEpoch> {
    std::str::from_utf8(value).ok()?.trim().parse().ok().map(LeaderEpoch)
}

impl View {
    /// Applies the write of a key.
    pub(crate) fn put(&mut self, layout: &Layout, entry: Entry<'_>) {
        match layout.place(entry.key) {
            Place::Latch => self.latch = Some(Latch::of(entry)),
            Place::Epoch => self.epoch = parse_epoch(entry.value).unwrap_or(self.epoch),
            Place::Leader => self.published = serde_json::from_slice(entry.value).ok(),
            Place::HandOver => self.hand_over = std::str::from_utf8(entry.value).ok().map(str::to_owned),
            Place::Candidate(name) => {
                if let Ok(candidate) = serde_json::from_slice(entry.value) {
                    self.candidates.insert(name.to_owned(), candidate);
                }
            }
            Place::Store(_) | Place::Unknown => {}
        }
    }

    /// Applies the removal of a key.
    pub(crate) fn remove(&mut self, layout: &Layout, key: &str) {
        match layout.place(key) {
            Place::Latch => self.latch = None,
            Place::Epoch => self.epoch = LeaderEpoch::default(),
            Place::Leader => self.published = None,
            Place::HandOver => self.hand_over = None,
            Place::Candidate(name) => {
                self.candidates.remove(name);
            }
            Place::Store(_) | Place::Unknown => {}
        }
    }

    /// What the candidate `name` with this lease must do next.
    pub(crate) fn turn(&self, name: &str, lease: i64) -> Turn {
        match &self.latch {
            Some(latch) if latch.lease == lease => Turn::Holds(latch.created),
            Some(_) => Turn::Wait,
            None if self.revision == 0 => Turn::Wait,
            None => match &self.hand_over {
                Some(other) if other != name && self.candidates.contains_key(other) => Turn::Wait,
                _ => Turn::Contend,
            },
        }
    }
}

/// What a candidate must do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Wait: another candidate leads, or is to contend first.
    Wait,
    /// Try to create the latch.
    Contend,
    /// Lead: the candidate holds the latch, which was created at this revision.
    Holds(i64),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout::new("weir", "test").expect("is legal")
    }

    fn put(view: &mut View, key: &str, value: &str, created: i64, lease: i64) {
        view.put(&layout(), Entry { key, value: value.as_bytes(), created, lease });
    }

    fn candidate(name: &str) -> String {
        format!(r#"{{"name":"{name}","rpc_address":"h:1","rest_address":"h:2"}}"#)
    }

    #[test]
    fn a_candidate_contends_if_the_latch_is_free_and_no_other_is_to_go_first() {
        let layout = layout();
        let mut view = View::default();
        assert_eq!(view.turn("a", 1), Turn::Wait, "nothing was read yet");
        view.revision = 5;
        assert_eq!(view.turn("a", 1), Turn::Contend);
        put(&mut view, &layout.hand_over(), "b", 6, 9);
        assert_eq!(view.turn("a", 1), Turn::Contend, "b is not a candidate");
        put(&mut view, &layout.candidate("b"), &candidate("b"), 7, 2);
        assert_eq!(view.turn("a", 1), Turn::Wait);
        assert_eq!(view.turn("b", 2), Turn::Contend);
        put(&mut view, &layout.latch(), &candidate("b"), 8, 2);
        assert_eq!((view.turn("a", 1), view.turn("b", 2)), (Turn::Wait, Turn::Holds(8)));
        assert_eq!(view.turn("b", 3), Turn::Wait, "an earlier session of the same candidate holds it");
        view.remove(&layout, &layout.latch());
        view.remove(&layout, &layout.candidate("b"));
        assert_eq!(view.turn("a", 1), Turn::Contend);
    }

    #[test]
    fn foreign_and_invalid_values_are_ignored() {
        let layout = layout();
        let mut view = View { epoch: LeaderEpoch(7), ..View::default() };
        for key in [layout.epoch(), layout.leader(), layout.candidate("x"), layout.latch(), "/other".into()] {
            put(&mut view, &key, "\u{0}nonsense", 1, 0);
        }
        assert_eq!((view.epoch, view.published.is_none(), view.candidates.len()), (LeaderEpoch(7), true, 0));
        assert!(view.latch.is_some(), "a latch with an invalid value is still held");
    }
}
