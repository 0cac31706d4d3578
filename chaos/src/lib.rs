//! Injects faults into clusters of real processes, and checks the results. `weir-sim` does the same to simulated clusters.
//!
//! Every test with real processes has the same form. It starts a cluster and a workload whose output is known beforehand, injects
//! a fault while the workload runs, and proves that the fault took effect. Then it lets the job end and compares the committed
//! output row by row.

pub mod checkers;
pub mod cluster;
pub mod faults;
pub mod history;
pub mod lossy_disk;
pub mod report;
pub mod run;
pub mod workload;
