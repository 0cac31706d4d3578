//! Decides which subtasks restart after a failure, and when.

pub mod region;
pub mod restart_strategy;
