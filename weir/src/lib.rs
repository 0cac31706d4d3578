//! The `weir` binary as a library: what a job author links to run their own operators in their own binary, and what the
//! real-process tests start clusters with.

pub mod assembly;
pub mod cli;
pub mod config;
mod coordination;
pub mod demo;
pub mod logging;
mod start_error;
