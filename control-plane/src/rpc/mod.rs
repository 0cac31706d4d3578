//! The gRPC service for TaskManagers.

pub mod links;
