use std::collections::VecDeque;

use proptest::prelude::*;
use weir_protocol::checkpoint::CheckpointKind;

use super::AlignmentEffect::*;
use super::*;

fn barrier(id: u64) -> CheckpointBarrier {
    CheckpointBarrier { id: CheckpointId(id), kind: CheckpointKind::Checkpoint, timestamp_ms: 0 }
}

#[test]
fn a_single_channel_snapshots_at_once() {
    let mut aligner = BarrierAligner::new(1);
    assert_eq!(aligner.on_barrier(0, barrier(1)), vec![Snapshot(barrier(1)), UnblockAll]);
    assert!(!aligner.is_blocked(0));
}

#[test]
fn the_last_barrier_snapshots_and_the_others_block_their_channels() {
    let mut aligner = BarrierAligner::new(3);
    assert_eq!(aligner.on_barrier(2, barrier(1)), vec![Block(2)]);
    assert_eq!(aligner.on_barrier(0, barrier(1)), vec![Block(0)]);
    assert!(aligner.is_blocked(0) && !aligner.is_blocked(1) && aligner.is_blocked(2));
    assert_eq!(aligner.on_barrier(1, barrier(1)), vec![Snapshot(barrier(1)), UnblockAll]);
}

#[test]
fn an_abort_unblocks_channels_and_late_barriers_are_dropped() {
    let mut aligner = BarrierAligner::new(2);
    aligner.on_barrier(0, barrier(1));
    assert_eq!(aligner.on_aborted(CheckpointId(1)), vec![UnblockAll]);
    assert_eq!(aligner.on_barrier(1, barrier(1)), vec![]);
    assert_eq!(aligner.on_aborted(CheckpointId(2)), vec![], "an abort may come before the first barrier");
    assert_eq!(aligner.on_barrier(0, barrier(2)), vec![]);
    assert_eq!(aligner.on_barrier(0, barrier(3)), vec![Block(0)]);
}

#[test]
fn a_newer_barrier_ends_an_older_alignment() {
    let mut aligner = BarrierAligner::new(2);
    aligner.on_barrier(0, barrier(1));
    assert_eq!(aligner.on_barrier(1, barrier(2)), vec![GiveUp(CheckpointId(1)), UnblockAll, Block(1)]);
    assert!(!aligner.is_blocked(0));
    assert_eq!(aligner.on_barrier(0, barrier(2)), vec![Snapshot(barrier(2)), UnblockAll]);
}

/// An element of a channel in the model below.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Item {
    Row(u64),
    Barrier(u64),
}

#[derive(Debug, Clone)]
struct Scenario {
    channels: Vec<Vec<Item>>,
    /// The channel to read next and, in some steps, the checkpoint to abort first.
    schedule: Vec<(u8, Option<u64>)>,
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let channel = (proptest::collection::vec(0..6_u64, 0..5), proptest::collection::vec(any::<bool>(), 5));
    (
        proptest::collection::vec(channel, 1..5),
        proptest::collection::vec((any::<u8>(), proptest::option::weighted(0.05, 1..6_u64)), 0..200),
    )
        .prop_map(|(channels, schedule)| {
            let channels = channels
                .into_iter()
                .map(|(rows, kept)| {
                    let mut items = Vec::new();
                    for id in 1..=5_u64 {
                        let count = rows.get(id as usize - 1).copied().unwrap_or(0);
                        items.extend((0..count).map(|row| Item::Row(id * 100 + row)));
                        if kept[id as usize - 1] {
                            items.push(Item::Barrier(id));
                        }
                    }
                    items
                })
                .collect();
            Scenario { channels, schedule }
        })
}

proptest! {
    /// For every interleaving, rows keep their order per channel, and a snapshot covers exactly the rows before its barrier in
    /// each channel. Once no more input comes and all checkpoints that can't complete are aborted, every channel drains.
    #[test]
    fn snapshots_are_consistent_cuts_and_nothing_blocks_for_ever(scenario in scenario()) {
        let count = scenario.channels.len();
        let mut queues: Vec<VecDeque<Item>> = scenario.channels.iter().map(|items| items.iter().copied().collect()).collect();
        let mut aligner = BarrierAligner::new(count);
        let mut blocked = vec![false; count];
        let mut passed: Vec<Vec<u64>> = vec![Vec::new(); count];
        let apply = |effects: Vec<AlignmentEffect>, blocked: &mut Vec<bool>, passed: &Vec<Vec<u64>>| {
            for effect in effects {
                match effect {
                    Block(channel) => blocked[channel] = true,
                    UnblockAll => blocked.fill(false),
                    GiveUp(_) => {}
                    Snapshot(taken) => {
                        for (channel, items) in scenario.channels.iter().enumerate() {
                            let cut = items.iter().position(|item| *item == Item::Barrier(taken.id.0));
                            let cut = cut.expect("a snapshot needs the barrier of every channel");
                            let before: Vec<u64> = items[..cut].iter().filter_map(|item| match item {
                                Item::Row(row) => Some(*row),
                                Item::Barrier(_) => None,
                            }).collect();
                            assert_eq!(&passed[channel], &before, "checkpoint {}", taken.id);
                        }
                    }
                }
            }
        };
        let step = |channel: usize, aligner: &mut BarrierAligner, blocked: &mut Vec<bool>, passed: &mut Vec<Vec<u64>>, queues: &mut Vec<VecDeque<Item>>| {
            assert_eq!(blocked[channel], aligner.is_blocked(channel));
            if blocked[channel] {
                return false;
            }
            match queues[channel].pop_front() {
                None => return false,
                Some(Item::Row(row)) => passed[channel].push(row),
                Some(Item::Barrier(id)) => apply(aligner.on_barrier(channel, barrier(id)), blocked, passed),
            }
            true
        };
        for (choice, abort) in &scenario.schedule {
            if let Some(id) = abort {
                apply(aligner.on_aborted(CheckpointId(*id)), &mut blocked, &passed);
            }
            step(usize::from(*choice) % count, &mut aligner, &mut blocked, &mut passed, &mut queues);
        }
        // The JobManager aborts checkpoints that time out. Then every channel must drain.
        loop {
            let mut progressed = false;
            for channel in 0..count {
                progressed |= step(channel, &mut aligner, &mut blocked, &mut passed, &mut queues);
            }
            if progressed {
                continue;
            }
            match aligner.aligning() {
                Some(id) => apply(aligner.on_aborted(id), &mut blocked, &passed),
                None => break,
            }
        }
        for (channel, items) in scenario.channels.iter().enumerate() {
            prop_assert!(queues[channel].is_empty());
            let rows: Vec<u64> = items.iter().filter_map(|item| match item { Item::Row(row) => Some(*row), Item::Barrier(_) => None }).collect();
            prop_assert_eq!(&passed[channel], &rows);
        }
    }
}
