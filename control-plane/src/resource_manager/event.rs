//! The events of the ResourceManager.

use std::collections::BTreeSet;

use weir_protocol::link::Registration;
use weir_protocol::{AllocationId, ExecutionAttemptId, JobId, TaskManagerId};

use crate::rpc::links::LinkId;

/// What a job has asked for since the ResourceManager last looked. Wishes of one job are merged, so the memory is bounded by the
/// number of jobs and slots, nothing is dropped, and no caller ever blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Return all slots first, because the job declared that it needs 0.
    pub release_all: bool,
    /// The number of slots that the job needs, if it has declared one.
    pub slots: Option<u32>,
    /// Grants that the job returns.
    pub releases: BTreeSet<AllocationId>,
}

/// What the ResourceManager reacts to.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A TaskManager has opened a stream and registered.
    Register { registration: Registration, link: LinkId },
    /// A TaskManager's stream has ended.
    LinkLost {
        task_manager: TaskManagerId,
        /// Identifies the stream. The end of an earlier stream is ignored (H1).
        link: LinkId,
        /// Why, for people.
        reason: String,
    },
    /// A TaskManager has sent a heartbeat.
    Heartbeat {
        task_manager: TaskManagerId,
        /// The stream of the heartbeat.
        link: LinkId,
    },
    /// An attempt on a TaskManager has reached a terminal state.
    AttemptEnded {
        task_manager: TaskManagerId,
        /// The stream of the report.
        link: LinkId,
        attempt: ExecutionAttemptId,
    },
    /// A job will request slots. Jobs are served in the order of these events.
    JobRegistered { job: JobId },
    /// A job has ended and returns all its slots.
    JobGone { job: JobId },
    /// A job requests or returns slots.
    Wished { job: JobId, wishes: Wishes },
    /// Time has passed.
    Tick,
}
