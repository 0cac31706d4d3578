//! The JobManager role: everything that only a leader does, and the REST service that every JobManager offers.

pub mod checkpoint;
pub mod dispatcher;
pub mod job_master;
pub mod resource_manager;
pub mod rpc;
