//! What the TaskExecutor is told.

use weir_protocol::link::{LeaderAddress, ToTaskManager};

use crate::task::report::TaskReport;

/// Number of one attempt to talk to a leader; news of earlier ones are void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LinkNumber(pub u64);

/// An event of the TaskExecutor.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Some JobManager says who leads.
    LeaderSeen(LeaderAddress),
    /// The link is up: the registration may go out.
    LinkUp(LinkNumber),
    /// The link failed or ended.
    LinkLost { link: LinkNumber, reason: String },
    /// The leader says something.
    FromLeader {
        /// Over which link.
        link: LinkNumber,
        message: ToTaskManager,
    },
    /// A task of this TaskManager says something.
    FromTask(TaskReport),
    /// Time goes by.
    Tick,
    /// The process is to end: stop all tasks.
    Stop,
}
