//! The JobManager role: everything that only a leader does, and the REST service that every JobManager offers.

pub mod resource_manager;
pub mod rpc;

pub mod job_master {
    //! One job's master (placeholder of the module tree).
    pub mod view;
}
