//! What happens to the ResourceManager.

use weir_protocol::link::Registration;
use weir_protocol::{ExecutionAttemptId, JobId, TaskManagerId};

use super::gateway::Wishes;
use crate::rpc::links::LinkId;

/// Everything the ResourceManager reacts to.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A TaskManager opened a stream and said who it is and what it holds.
    Register {
        /// What it said.
        registration: Registration,
        /// Its stream.
        link: LinkId,
    },
    /// A TaskManager's stream has ended.
    LinkLost {
        /// Which TaskManager.
        task_manager: TaskManagerId,
        /// Which of its streams: the end of an earlier one means nothing (H1).
        link: LinkId,
        /// Why, for people.
        reason: String,
    },
    /// A TaskManager's heartbeat.
    Heartbeat {
        /// Which TaskManager.
        task_manager: TaskManagerId,
        /// On which stream.
        link: LinkId,
    },
    /// An attempt on a TaskManager is terminal.
    AttemptEnded {
        /// Which TaskManager.
        task_manager: TaskManagerId,
        /// On which stream it said so.
        link: LinkId,
        /// Which attempt.
        attempt: ExecutionAttemptId,
    },
    /// A job will ask for slots. Jobs are served in the order of these events.
    JobRegistered {
        /// Which.
        job: JobId,
    },
    /// A job has ended: nothing of it remains.
    JobGone {
        /// Which.
        job: JobId,
    },
    /// What a job wants.
    Wished {
        /// Which job.
        job: JobId,
        /// What.
        wishes: Wishes,
    },
    /// Time has passed.
    Tick,
}
