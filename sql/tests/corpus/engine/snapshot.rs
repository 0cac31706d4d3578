//! The state of a job at a checkpoint, as the cluster keeps it and gives it back.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_dataflow::key_group::key_group_range;
use weir_dataflow::operator::{OperatorError, RestoredState, StateSnapshot};
use weir_protocol::job_graph::{JobVertex, OperatorDescriptor};

/// A completed checkpoint.
pub(crate) struct Snapshot {
    pub(crate) checkpoint: u64,
    /// By the name of the operator.
    pub(super) operators: BTreeMap<String, SavedState>,
}

/// What finds the state of an operator: its uid, or else its place. One with a uid may move to another vertex.
pub(super) fn names(vertex: &JobVertex) -> Vec<String> {
    let name = |(place, operator): (usize, &OperatorDescriptor)| {
        operator.uid.clone().unwrap_or_else(|| format!("{}/{place}", vertex.uid))
    };
    vertex.operators.iter().enumerate().map(name).collect()
}

/// The state of one operator.
#[derive(Default)]
pub(super) struct SavedState {
    parallelism: u32,
    operator_state: Vec<(u32, Bytes)>,
    key_groups: BTreeMap<u32, Bytes>,
}

impl SavedState {
    /// Adds what a subtask has frozen.
    pub(super) fn add(&mut self, parallelism: u32, subtask: u32, frozen: StateSnapshot) -> Result<(), OperatorError> {
        self.parallelism = parallelism;
        if let Some(work) = frozen.before_durable {
            work()?;
        }
        let operator_state = match frozen.late_operator_state {
            Some(state) => Some(state()?),
            None => frozen.operator_state,
        };
        self.operator_state.extend(operator_state.map(|state| (subtask, state)));
        self.operator_state.sort_by_key(|(subtask, _)| *subtask);
        for group in frozen.key_groups {
            let known = self.key_groups.insert(group.key_group, (group.serialize)()?);
            assert!(known.is_none(), "two subtasks have saved key group {}", group.key_group);
        }
        Ok(())
    }

    /// What a subtask gets back.
    pub(super) fn share(&self, max_parallelism: u32, parallelism: u32, subtask: u32) -> RestoredState {
        let is_own = |former: u32| self.parallelism != parallelism || former == subtask;
        let owned = key_group_range(max_parallelism, parallelism, subtask);
        RestoredState {
            operator_state: self.operator_state.iter().filter(|(former, _)| is_own(*former)).cloned().collect(),
            former_parallelism: self.parallelism,
            key_groups: self.key_groups.range(owned).map(|(group, bytes)| (*group, bytes.clone())).collect(),
        }
    }
}
