//! Deterministic simulation of a whole cluster.
//!
//! Three JobManagers (embedded raft, REST, gRPC, every actor), three TaskManagers (tasks, exchange, checkpoints) and a client
//! run as the code that is shipped, on one thread, in simulated time, over turmoil's network, on disks that lose what was
//! not synced, and with an object store that fails. What is random follows from the seed, so that a run can be repeated.
//! One run per process: the product's seam to the world is given the simulated one for good.

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
