//! The gRPC service for TaskManagers. Every JobManager offers it; only the leader takes TaskManagers in.

pub mod links;
pub(crate) mod service;
