//! Weir.
mod job_master {
    pub mod view;
}
