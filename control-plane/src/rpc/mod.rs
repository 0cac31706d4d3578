//! The gRPC service for TaskManagers. Every JobManager offers it, but only the leader registers TaskManagers.

pub mod links;
pub(crate) mod service;
