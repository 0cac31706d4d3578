//! The `weir` binary as a library. Authors of operators link it into a binary of their own; tests with real processes start
//! clusters with it.

pub mod assembly;
pub mod cli;
pub mod config;
mod coordination;
pub mod demo;
pub mod logging;
mod raft_directory;
mod start_error;
mod storage_check;
