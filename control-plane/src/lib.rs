//! The JobManager role: everything that only a leader does, and the REST service of every JobManager.

pub mod checkpoint;
mod cluster_metrics;
pub mod dispatcher;
pub mod drills;
pub mod job_manager;
pub mod job_master;
mod leader;
mod leader_history;
mod leading;
mod led_service;
pub mod metrics;
pub mod resource_manager;
mod rest;
pub mod rpc;
pub mod store_away;

pub use job_manager::{JobManager, JobManagerOptions, StartError};
pub use leading::{Leading, StopError};
pub use led_service::{LedService, LedServices};
pub use rest::submission;
