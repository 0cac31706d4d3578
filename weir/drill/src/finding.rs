//! A precondition of a drill, and whether it holds.

use serde::Serialize;

/// A precondition, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub holds: bool,
    /// What must hold.
    pub condition: String,
    pub found: String,
}

pub(super) fn finding(holds: bool, condition: &str, found: impl Into<String>) -> Finding {
    Finding { holds, condition: condition.to_owned(), found: found.into() }
}
