//! Reads a subtask's state back: for each operator, its part of the state that all former subtasks of the operator saved.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use weir_dataflow::operator::RestoredState;
use weir_protocol::JobId;
use weir_protocol::checkpoint::StateHandle;
use weir_protocol::link::{OperatorRestore, TaskFailure};
use weir_storage::checkpoint::CheckpointStorage;

use crate::task::report::failure;

/// Most pieces of state that are read at a time.
const CONCURRENT_READS: usize = 16;

/// A piece of state that this subtask restores.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    operator: usize,
    owner: Owner,
    handle: StateHandle,
}

/// What a piece of state belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    FormerSubtask(u32),
    KeyGroup(u32),
}

/// The subtask that restores its state.
#[derive(Debug, Clone)]
pub struct Restorer {
    pub subtask: u32,
    /// Number of subtasks now.
    pub parallelism: u32,
    /// The subtask's key groups.
    pub key_groups: Range<u32>,
}

/// Reads the state of every operator. `operators` has one entry per operator, in chain order.
pub async fn read(
    storage: &CheckpointStorage,
    job: JobId,
    restorer: &Restorer,
    operators: &[OperatorRestore],
) -> Result<Vec<RestoredState>, TaskFailure> {
    let (mut restored, pieces) = select(restorer, operators)?;
    let reads = pieces.into_iter().map(|piece| async move {
        let bytes = storage.read_state(job, &piece.handle).await;
        let bytes = bytes.map_err(|error| {
            let advice = if error.is_retryable() { "" } else { "; restore the file, or start from another checkpoint" };
            failure("TASK-RESTORE", format!("{error}{advice}"), error.is_retryable())
        })?;
        Ok::<(Piece, Bytes), TaskFailure>((piece, bytes))
    });
    let mut reads = stream::iter(reads).buffered(CONCURRENT_READS);
    while let Some((piece, bytes)) = reads.try_next().await? {
        let state = &mut restored[piece.operator];
        match piece.owner {
            Owner::FormerSubtask(subtask) => state.operator_state.push((subtask, bytes)),
            Owner::KeyGroup(key_group) => state.key_groups.push((key_group, bytes)),
        }
    }
    Ok(restored)
}

/// Selects the pieces that this subtask restores, in the order in which operators get them. Each operator is redistributed by its
/// own former parallelism, because the operators of a chain may come from different vertices.
fn select(restorer: &Restorer, operators: &[OperatorRestore]) -> Result<(Vec<RestoredState>, Vec<Piece>), TaskFailure> {
    let mut restored = Vec::with_capacity(operators.len());
    let mut pieces = Vec::new();
    for (operator, OperatorRestore { former_parallelism, parts }) in operators.iter().enumerate() {
        restored.push(RestoredState { former_parallelism: *former_parallelism, ..RestoredState::default() });
        let rescaled = *former_parallelism != restorer.parallelism;
        let mut parts: Vec<_> = parts.iter().collect();
        parts.sort_by_key(|(subtask, _)| *subtask);
        for (subtask, state) in &parts {
            if let Some(handle) = &state.operator_state
                && (rescaled || *subtask == restorer.subtask)
            {
                pieces.push(Piece { operator, owner: Owner::FormerSubtask(*subtask), handle: handle.clone() });
            }
        }
        let mut groups: Vec<_> = parts
            .iter()
            .flat_map(|(_, state)| &state.key_groups)
            .filter(|group| restorer.key_groups.contains(&group.key_group))
            .collect();
        groups.sort_by_key(|group| group.key_group);
        if groups.windows(2).any(|pair| pair[0].key_group == pair[1].key_group) {
            return Err(failure("TASK-RESTORE", "a key group occurs twice in the checkpoint", false));
        }
        pieces.extend(groups.into_iter().map(|group| Piece {
            operator,
            owner: Owner::KeyGroup(group.key_group),
            handle: group.state.clone(),
        }));
    }
    Ok((restored, pieces))
}

#[cfg(test)]
mod tests {
    use weir_dataflow::key_group::key_group_range;
    use weir_protocol::checkpoint::{KeyGroupHandle, OperatorSnapshot};

    use super::*;

    const MAX_PARALLELISM: u32 = 8;

    /// An operator of which each former subtask saved its key groups and an operator state.
    fn saved(parallelism: u32) -> OperatorRestore {
        let part = |subtask| {
            let key_groups = key_group_range(MAX_PARALLELISM, parallelism, subtask)
                .map(|key_group| KeyGroupHandle { key_group, state: StateHandle::Inline(Bytes::from(vec![key_group as u8])) })
                .collect();
            let operator_state = Some(StateHandle::Inline(Bytes::from(vec![100 + subtask as u8])));
            (subtask, OperatorSnapshot { operator_state, key_groups, ..OperatorSnapshot::default() })
        };
        OperatorRestore { former_parallelism: parallelism, parts: (0..parallelism).map(part).collect() }
    }

    fn restorer(parallelism: u32, subtask: u32) -> Restorer {
        Restorer { subtask, parallelism, key_groups: key_group_range(MAX_PARALLELISM, parallelism, subtask) }
    }

    fn owners(pieces: &[Piece]) -> Vec<Owner> {
        pieces.iter().map(|piece| piece.owner).collect()
    }

    #[test]
    fn with_unchanged_parallelism_a_subtask_restores_its_own_state() {
        let (restored, pieces) = select(&restorer(2, 1), &[saved(2)]).unwrap();
        assert_eq!(restored[0].former_parallelism, 2);
        let expected: Vec<_> = [Owner::FormerSubtask(1)].into_iter().chain((4..8).map(Owner::KeyGroup)).collect();
        assert_eq!(owners(&pieces), expected);
    }

    #[test]
    fn after_rescaling_each_key_group_goes_to_one_subtask_and_operator_state_to_all() {
        for (former, now) in [(1, 2), (2, 1), (2, 3), (3, 2), (8, 3)] {
            let mut taken = Vec::new();
            for subtask in 0..now {
                let (_, pieces) = select(&restorer(now, subtask), &[saved(former)]).unwrap();
                let states = pieces.iter().filter(|piece| matches!(piece.owner, Owner::FormerSubtask(_))).count();
                assert_eq!(states as u32, former);
                taken.extend(owners(&pieces).into_iter().filter_map(|owner| match owner {
                    Owner::KeyGroup(key_group) => Some(key_group),
                    Owner::FormerSubtask(_) => None,
                }));
            }
            assert_eq!(taken, (0..MAX_PARALLELISM).collect::<Vec<_>>());
        }
    }

    #[test]
    fn operators_of_one_chain_are_redistributed_by_their_own_former_parallelism() {
        let operators = [saved(2), OperatorRestore::default(), saved(3)];
        let (restored, pieces) = select(&restorer(2, 1), &operators).unwrap();
        let former: Vec<_> = restored.iter().map(|state| state.former_parallelism).collect();
        assert_eq!(former, [2, 0, 3]);
        let of = |operator| owners(&pieces.iter().filter(|piece| piece.operator == operator).cloned().collect::<Vec<_>>());
        let groups = || (4..8).map(Owner::KeyGroup);
        assert_eq!(of(0), [Owner::FormerSubtask(1)].into_iter().chain(groups()).collect::<Vec<_>>(), "its own state");
        assert_eq!(of(1), [], "it starts empty");
        assert_eq!(of(2), (0..3).map(Owner::FormerSubtask).chain(groups()).collect::<Vec<_>>(), "the states of all");
    }

    #[test]
    fn a_key_group_that_occurs_twice_is_refused() {
        let mut operator = saved(2);
        let doubled = operator.parts[0].1.key_groups[0].clone();
        operator.parts[1].1.key_groups.push(doubled);
        assert!(!select(&restorer(1, 0), &[operator]).unwrap_err().retryable);
    }
}
