//! The effects of the ResourceManager.

use weir_protocol::link::Order;
use weir_protocol::{AllocationId, JobId, TaskManagerId};

/// A slot into which a job may deploy. No task runs in it: all former attempts there were reported terminal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GrantedSlot {
    /// Identifies the grant. It is never used for another job (S1).
    pub allocation: AllocationId,
    pub task_manager: TaskManagerId,
    /// Index of the slot on its TaskManager.
    pub slot: u32,
    /// `host:port` of the TaskManager's data service.
    pub data_address: String,
}

/// What the ResourceManager's runner must do. Effects are carried out in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send an order to a TaskManager.
    Send { task_manager: TaskManagerId, order: Order },
    /// Break the link to a TaskManager, which must then register again.
    BreakLink {
        task_manager: TaskManagerId,
        /// Why, for people.
        reason: String,
    },
    /// Tell an operator that tasks which were to be canceled when the TaskManager registered still occupy slots.
    StillClearing {
        task_manager: TaskManagerId,
        /// Number of these tasks.
        attempts: usize,
    },
    /// Grant slots to a job.
    Grant {
        job: JobId,
        /// All slots that the job was missing.
        slots: Vec<GrantedSlot>,
    },
    /// Tell a job that it must wait for slots.
    Shortage {
        job: JobId,
        missing: u32,
        /// Why, for people.
        reason: String,
    },
    /// Tell a job that a TaskManager is lost on which it had slots.
    TaskManagerLost {
        job: JobId,
        task_manager: TaskManagerId,
        /// Why, for people.
        reason: String,
    },
    /// Most TaskManagers became silent at once. Probably the network or this process has failed, not the TaskManagers, so they
    /// get one more timeout.
    MassSuspicion {
        /// Number of registered TaskManagers.
        registered: u32,
    },
    /// The mass suspicion is over.
    SuspicionOver,
}
