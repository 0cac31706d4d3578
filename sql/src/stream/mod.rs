//! The streaming plan: relations that a job computes continuously.

mod calc;
mod expand;
mod explain;
mod node;
mod prune;
mod skeleton;
mod unique_key;

pub use calc::{as_changes, calc, declared, free_name};
pub use expand::expand;
pub use explain::{describe, explain};
pub use node::*;
pub use prune::prune;
pub use skeleton::skeleton;
pub use unique_key::{KeyedChanges, keyed_changes};
