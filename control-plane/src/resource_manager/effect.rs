//! What the ResourceManager decides.

use weir_protocol::link::Order;
use weir_protocol::{AllocationId, JobId, TaskManagerId};

/// A slot a job may deploy into. It is free: whatever ran there before has been reported terminal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GrantedSlot {
    /// The grant; never used for another job (S1).
    pub allocation: AllocationId,
    pub task_manager: TaskManagerId,
    /// Index of the slot there.
    pub slot: u32,
    /// `host:port` of that TaskManager's data service.
    pub data_address: String,
}

/// Everything the ResourceManager's runner carries out, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send an order to a TaskManager.
    Send { task_manager: TaskManagerId, order: Order },
    /// Break a TaskManager's stream; it has to register again.
    BreakLink {
        task_manager: TaskManagerId,
        /// Why, for people.
        reason: String,
    },
    /// Give slots to a job.
    Grant {
        job: JobId,
        /// The slots; all that were missing.
        slots: Vec<GrantedSlot>,
    },
    /// Tell a job that it has to wait.
    Shortage {
        job: JobId,
        /// How many slots it lacks.
        missing: u32,
        /// Why, for people.
        reason: String,
    },
    /// Tell a job that a TaskManager on which it had slots is gone, and those slots with it.
    TaskManagerLost {
        job: JobId,
        task_manager: TaskManagerId,
        /// Why, for people.
        reason: String,
    },
    /// Most TaskManagers fell silent at once: rather the network, or this process, than they. They are given one
    /// more timeout.
    MassSuspicion {
        /// How many are registered.
        registered: u32,
    },
    /// The mass suspicion is over.
    SuspicionOver,
}
