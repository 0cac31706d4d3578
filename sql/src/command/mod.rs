//! What a statement asks for, decided without calling anything: the session changes, and the cluster's part is returned as a [`Step`].
//! `weir sql` and the SQL gateway carry the steps out.

mod jobs;
mod large_stack;
mod step;

pub use jobs::{description_table, overview_table, savepoint_table, submission_table};
pub use large_stack::run as on_large_stack;
pub use step::{Decided, Query, Step, Submit, cannot_run, decide, decided, outdated};

#[cfg(test)]
mod tests;
