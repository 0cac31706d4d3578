//! What happens to the ResourceManager.

use std::collections::BTreeSet;

use weir_protocol::link::Registration;
use weir_protocol::{AllocationId, ExecutionAttemptId, JobId, TaskManagerId};

use crate::rpc::links::LinkId;

/// What jobs want, until the ResourceManager looks. Wishes of one job merge, so that what waits is bounded by the
/// number of jobs and slots, nothing is dropped and no caller ever blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Give back every slot first (a declaration of 0 was made).
    pub release_all: bool,
    /// The declared number of slots, if a declaration was made.
    pub slots: Option<u32>,
    /// Grants to give back.
    pub releases: BTreeSet<AllocationId>,
}

/// Everything the ResourceManager reacts to.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A TaskManager opened a stream and said who it is and what it holds.
    Register {
        /// What it said.
        registration: Registration,
        link: LinkId,
    },
    /// A TaskManager's stream has ended.
    LinkLost {
        task_manager: TaskManagerId,
        /// Which of its streams: the end of an earlier one means nothing (H1).
        link: LinkId,
        /// Why, for people.
        reason: String,
    },
    /// A TaskManager's heartbeat.
    Heartbeat {
        task_manager: TaskManagerId,
        /// On which stream.
        link: LinkId,
    },
    /// An attempt on a TaskManager is terminal.
    AttemptEnded {
        task_manager: TaskManagerId,
        /// On which stream it said so.
        link: LinkId,
        attempt: ExecutionAttemptId,
    },
    /// A job will ask for slots. Jobs are served in the order of these events.
    JobRegistered { job: JobId },
    /// A job has ended: nothing of it remains.
    JobGone { job: JobId },
    /// What a job wants.
    Wished { job: JobId, wishes: Wishes },
    /// Time has passed.
    Tick,
}
