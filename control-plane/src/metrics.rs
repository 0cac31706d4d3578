//! All metrics of the control plane.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// 1 on the JobManager that leads, else 0.
pub const IS_LEADER: &str = "weir_jobmanager_is_leader";
/// The epoch of this JobManager's newest leadership.
pub const LEADER_EPOCH: &str = "weir_jobmanager_leader_epoch";
/// Leaderships granted to this process.
pub const LEADERSHIPS: &str = "weir_jobmanager_leaderships_total";
/// Seconds from the grant of leadership to the end of each `phase` of a takeover: `read`, `recovered`, `published`.
pub const TAKEOVER_SECONDS: &str = "weir_jobmanager_takeover_seconds";
/// Number of jobs by `status`.
pub const JOBS: &str = "weir_jobs";
/// Restarts of jobs under this leader.
pub const JOB_RESTARTS: &str = "weir_job_restarts_total";
/// Number of registered TaskManagers.
pub const TASK_MANAGERS: &str = "weir_taskmanagers_registered";
/// Slots of all TaskManagers.
pub const SLOTS_TOTAL: &str = "weir_slots_total";
/// Slots that are free to be granted.
pub const SLOTS_AVAILABLE: &str = "weir_slots_available";
/// 1 while most TaskManagers are silent at once.
pub const MASS_SUSPICION: &str = "weir_taskmanagers_mass_suspicion";
/// How often a job lost a TaskManager on which it had slots.
pub const TASK_MANAGERS_LOST_BY_JOBS: &str = "weir_job_taskmanagers_lost_total";
/// Refused registrations of TaskManagers by `reason`.
pub const REGISTRATIONS_REFUSED: &str = "weir_taskmanager_registrations_refused_total";
/// Number of completed checkpoints.
pub const CHECKPOINTS_COMPLETED: &str = "weir_checkpoints_completed_total";
/// Number of failed and aborted checkpoints.
pub const CHECKPOINTS_FAILED: &str = "weir_checkpoints_failed_total";
/// Seconds from the trigger to the completion of a checkpoint.
pub const CHECKPOINT_SECONDS: &str = "weir_checkpoint_duration_seconds";
/// Bytes written for a completed checkpoint.
pub const CHECKPOINT_BYTES: &str = "weir_checkpoint_size_bytes";
/// REST requests by `method` and `status`.
pub const REST_REQUESTS: &str = "weir_rest_requests_total";
/// Seconds to answer a REST request.
pub const REST_SECONDS: &str = "weir_rest_request_seconds";

/// Tells the recorder what each metric means. Call it once at start.
pub fn describe() {
    describe_gauge!(IS_LEADER, "1 on the JobManager that leads, else 0");
    describe_gauge!(LEADER_EPOCH, "Epoch of this JobManager's newest leadership");
    describe_counter!(LEADERSHIPS, "Leaderships granted to this process");
    describe_histogram!(TAKEOVER_SECONDS, Unit::Seconds, "Time from the grant of leadership to the end of each phase");
    describe_gauge!(JOBS, "Jobs by status");
    describe_counter!(JOB_RESTARTS, "Restarts of jobs under this leader");
    describe_gauge!(TASK_MANAGERS, "Registered TaskManagers");
    describe_gauge!(SLOTS_TOTAL, "Slots of all registered TaskManagers");
    describe_gauge!(SLOTS_AVAILABLE, "Slots that no job holds and in which no task runs");
    describe_gauge!(MASS_SUSPICION, "1 while most TaskManagers are silent at once and none is given up for that reason");
    describe_counter!(TASK_MANAGERS_LOST_BY_JOBS, "How often a job lost a TaskManager on which it had slots");
    describe_counter!(REGISTRATIONS_REFUSED, "Registrations of TaskManagers that were refused, by reason");
    describe_counter!(CHECKPOINTS_COMPLETED, "Completed checkpoints");
    describe_counter!(CHECKPOINTS_FAILED, "Failed and aborted checkpoints");
    describe_histogram!(CHECKPOINT_SECONDS, Unit::Seconds, "Time from the trigger to the completion of a checkpoint");
    describe_histogram!(CHECKPOINT_BYTES, Unit::Bytes, "Bytes written for a completed checkpoint");
    describe_counter!(REST_REQUESTS, "REST requests by method and status");
    describe_histogram!(REST_SECONDS, Unit::Seconds, "Time to answer a REST request");
}
