//! Reads a subtask's state back: its part of the state that all former subtasks of its vertex saved.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use weir_dataflow::operator::RestoredState;
use weir_protocol::JobId;
use weir_protocol::checkpoint::{StateHandle, SubtaskSnapshot};
use weir_protocol::link::TaskFailure;
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

/// Reads the state of every operator, in chain order. `former` has one part per former subtask.
pub async fn read(
    storage: &CheckpointStorage,
    job: JobId,
    restorer: &Restorer,
    former: &[SubtaskSnapshot],
) -> Result<Vec<RestoredState>, TaskFailure> {
    let (mut restored, pieces) = select(restorer, former)?;
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

/// Selects the pieces that this subtask restores, in the order in which operators get them.
fn select(restorer: &Restorer, former: &[SubtaskSnapshot]) -> Result<(Vec<RestoredState>, Vec<Piece>), TaskFailure> {
    let mut former: Vec<_> = former.iter().collect();
    former.sort_by_key(|part| part.execution_vertex.subtask);
    // Every former subtask has its part, so the highest number tells how many there were.
    let former_parallelism = former.last().map_or(0, |part| part.execution_vertex.subtask + 1);
    let operators = former.first().map_or(0, |part| part.operators.len());
    if former.iter().any(|part| part.operators.len() != operators) {
        let message = "the checkpoint's parts differ in their number of operators; start from another checkpoint";
        return Err(failure("TASK-RESTORE", message, false));
    }
    let rescaled = former_parallelism != restorer.parallelism;
    let restored = vec![RestoredState { former_parallelism, ..RestoredState::default() }; operators];
    let mut pieces = Vec::new();
    for operator in 0..operators {
        for part in &former {
            let subtask = part.execution_vertex.subtask;
            if let Some(handle) = &part.operators[operator].operator_state
                && (rescaled || subtask == restorer.subtask)
            {
                pieces.push(Piece { operator, owner: Owner::FormerSubtask(subtask), handle: handle.clone() });
            }
        }
        let mut groups: Vec<_> = former
            .iter()
            .flat_map(|part| &part.operators[operator].key_groups)
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
    use weir_protocol::{ExecutionVertexId, JobVertexId};

    use super::*;

    const MAX_PARALLELISM: u32 = 8;

    fn snapshots(parallelism: u32) -> Vec<SubtaskSnapshot> {
        let part = |subtask| {
            let key_groups = key_group_range(MAX_PARALLELISM, parallelism, subtask)
                .map(|key_group| KeyGroupHandle { key_group, state: StateHandle::Inline(Bytes::from(vec![key_group as u8])) })
                .collect();
            let operator_state = Some(StateHandle::Inline(Bytes::from(vec![100 + subtask as u8])));
            SubtaskSnapshot {
                execution_vertex: ExecutionVertexId { vertex: JobVertexId(1), subtask },
                operators: vec![OperatorSnapshot { operator_state, key_groups, ..OperatorSnapshot::default() }],
            }
        };
        (0..parallelism).map(part).collect()
    }

    fn restorer(parallelism: u32, subtask: u32) -> Restorer {
        Restorer { subtask, parallelism, key_groups: key_group_range(MAX_PARALLELISM, parallelism, subtask) }
    }

    fn owners(pieces: &[Piece]) -> Vec<Owner> {
        pieces.iter().map(|piece| piece.owner).collect()
    }

    #[test]
    fn with_unchanged_parallelism_a_subtask_restores_its_own_state() {
        let (restored, pieces) = select(&restorer(2, 1), &snapshots(2)).unwrap();
        assert_eq!(restored[0].former_parallelism, 2);
        let expected: Vec<_> = [Owner::FormerSubtask(1)].into_iter().chain((4..8).map(Owner::KeyGroup)).collect();
        assert_eq!(owners(&pieces), expected);
    }

    #[test]
    fn after_rescaling_each_key_group_goes_to_one_subtask_and_operator_state_to_all() {
        for (former, now) in [(1, 2), (2, 1), (2, 3), (3, 2), (8, 3)] {
            let mut taken = Vec::new();
            for subtask in 0..now {
                let (_, pieces) = select(&restorer(now, subtask), &snapshots(former)).unwrap();
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
    fn a_key_group_that_occurs_twice_is_refused() {
        let mut parts = snapshots(2);
        let doubled = parts[0].operators[0].key_groups[0].clone();
        parts[1].operators[0].key_groups.push(doubled);
        assert!(!select(&restorer(1, 0), &parts).unwrap_err().retryable);
    }
}
