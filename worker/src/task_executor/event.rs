//! Events of the TaskExecutor.

use weir_protocol::link::{LeaderAddress, ToTaskManager};

use crate::task::report::TaskReport;

/// Number of one link to a leader. Events of earlier links are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LinkNumber(pub u64);

/// An event of the TaskExecutor.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A JobManager has named the leader.
    LeaderSeen(LeaderAddress),
    /// The link is up, so the registration can be sent.
    LinkUp(LinkNumber),
    /// The link failed or ended.
    LinkLost { link: LinkNumber, reason: String },
    /// The leader sent a message.
    FromLeader { link: LinkNumber, message: ToTaskManager },
    /// A task of this TaskManager sent a report.
    FromTask(TaskReport),
    /// Some time has passed.
    Tick,
    /// The process is about to end, so stop all tasks.
    Stop,
}
