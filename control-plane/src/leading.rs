//! The actors and services of a leader, for the rest of its process.

use std::sync::Arc;

use weir_ha::{Leadership, StoreWatch};
use weir_protocol::LeaderEpoch;

use crate::dispatcher::gateway::DispatcherGateway;
use crate::dispatcher::job_registry::JobRegistry;
use crate::drills::DrillTime;
use crate::resource_manager::gateway::ResourceManagerGateway;
use crate::rest::operations::Operations;
use crate::rpc::links::TaskManagerLinks;

/// The actors and services of a leader, for REST and for TaskManagers. All clones belong to the same leader.
#[derive(Clone, Debug)]
pub(crate) struct Leading {
    pub(crate) leadership: Arc<Leadership>,
    pub(crate) jobs: JobRegistry,
    pub(crate) dispatcher: DispatcherGateway,
    pub(crate) resource_manager: ResourceManagerGateway,
    pub(crate) links: TaskManagerLinks,
    pub(crate) operations: Operations,
    pub(crate) store: StoreWatch,
    pub(crate) drill_time: DrillTime,
}

impl Leading {
    pub(crate) fn epoch(&self) -> LeaderEpoch {
        self.leadership.epoch()
    }
}
