//! Breaking clusters of real processes, and checking what comes out. `weir-sim` does the same to simulated ones.
//!
//! Every test with real processes follows one shape: start a cluster and a workload whose output is known beforehand, break something while it
//! runs, prove that the fault bit, let the job end, and compare the committed output row by row.

pub mod checkers;
pub mod cluster;
pub mod faults;
pub mod history;
pub mod lossy_disk;
pub mod report;
pub mod run;
pub mod workload;
