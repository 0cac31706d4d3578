//! A condition that must hold before anything is broken, and whether it does.

use serde::Serialize;

/// A condition and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it holds.
    pub holds: bool,
    /// What must hold.
    pub condition: String,
    pub found: String,
}

pub(super) fn finding(holds: bool, condition: &str, found: impl Into<String>) -> Finding {
    Finding { holds, condition: condition.to_owned(), found: found.into() }
}
