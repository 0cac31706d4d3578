//! Deterministic simulation of a whole cluster.
//!
//! Three JobManagers (embedded raft, REST, gRPC, every actor), three TaskManagers (tasks, exchange, checkpoints) and a client run
//! the shipped code on one thread and in simulated time. They use turmoil's network, disks that lose unsynced changes, and an
//! object store that fails. Everything random depends on the seed, so a run can be repeated.
//!
//! A process makes one run only, because the simulated world stays installed until the process ends.

pub mod client;
pub mod cluster;
mod http;
pub mod nemesis;
pub mod pipeline;
pub mod run;
pub mod scenario;
pub mod search;
pub mod specification;
pub mod world;

pub use run::{Faults, Options, Outcome, run};
