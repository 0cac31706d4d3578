//! Random rows and changes, batches, restores and parallelisms, against the model.

use proptest::prelude::*;

use super::model::Model;
use super::*;

#[derive(Debug, Clone)]
pub(super) enum Event {
    /// Rows to add. With a number, a row that is there is taken back instead, if there is one.
    Batch(Vec<(Row, Option<usize>)>),
    Restore(u32),
    /// Lets this many milliseconds pass.
    Pass(u64),
}

pub(super) fn row() -> impl Strategy<Value = Row> {
    let text = prop::option::of(prop::sample::select(vec!["a", "b", "ä", ""]));
    (prop::option::of(0i64..4), text, prop::option::of(-4i64..5), prop::option::of(any::<bool>()))
        .prop_map(|(k, s, v, keep)| Row { k, s: s.map(str::to_owned), v, keep })
}

pub(super) fn events(with_changes: bool, most_rows: usize, with_time: bool) -> impl Strategy<Value = Vec<Event>> {
    let back = if with_changes { prop::option::of(0usize..1_000).boxed() } else { Just(None).boxed() };
    let batch = prop::collection::vec((row(), back), 1..=most_rows).prop_map(Event::Batch);
    let time = (0u64..60).prop_map(Event::Pass);
    let event = prop_oneof![6 => batch, 1 => (1u32..4).prop_map(Event::Restore), u32::from(with_time) * 2 => time];
    prop::collection::vec(event, 0..25)
}

/// The changes of a batch. `live` has the rows that are there.
pub(super) fn changes_of(batch: Vec<(Row, Option<usize>)>, live: &mut Vec<Row>) -> Vec<Change> {
    let change = |(row, back): (Row, Option<usize>)| match back {
        Some(choice) if !live.is_empty() => {
            let kind = if choice % 2 == 0 { RowKind::UpdateBefore } else { RowKind::Delete };
            let index = choice % live.len();
            (live.remove(index), kind)
        }
        _ => {
            live.push(row.clone());
            (row, if back.is_some() { RowKind::UpdateAfter } else { RowKind::Insert })
        }
    };
    batch.into_iter().map(change).collect()
}

fn setups(takes_changes: bool) -> impl Strategy<Value = Setup> {
    let keys = prop::sample::select(vec![vec!["k"], vec!["s"], vec!["k", "s"], vec![]]);
    (keys, any::<bool>(), any::<bool>()).prop_map(move |(keys, with_aggregates, update_before)| Setup {
        with_aggregates: with_aggregates || keys.is_empty(),
        keys,
        takes_changes,
        update_before,
        ttl_ms: 0,
    })
}

/// Runs the events on both. Outputs of several subtasks are compared without order.
pub(super) fn compare(setup: &Setup, events: Vec<Event>, parallelism: u32) -> Result<(), TestCaseError> {
    let (mut model, mut real, mut live) = (Model::new(setup), Parallel::new(setup, parallelism), Vec::new());
    let mut now_ms = 1;
    if setup.ttl_ms > 0 {
        model.now_ms = now_ms;
        real.tick(now_ms);
    }
    for event in events {
        match event {
            Event::Batch(batch) => {
                let changes = changes_of(batch, &mut live);
                let (mut expected, mut found) = (model.process(&changes), real.process(&changes));
                if real.subtasks.len() > 1 {
                    expected.sort();
                    found.sort();
                }
                prop_assert_eq!(found, expected);
            }
            Event::Restore(parallelism) => real.restore(parallelism),
            Event::Pass(ms) => {
                now_ms += ms;
                model.now_ms = now_ms;
                real.tick(now_ms);
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn aggregates_of_rows_match_the_model(setup in setups(false), events in events(false, 20, false), parallelism in 1u32..4) {
        compare(&setup, events, parallelism)?;
    }

    #[test]
    fn aggregates_of_changes_match_the_model(setup in setups(true), events in events(true, 20, false), parallelism in 1u32..4) {
        compare(&setup, events, parallelism)?;
    }

    #[test]
    fn aggregates_of_single_changes_match_the_model(setup in setups(true), events in events(true, 1, false)) {
        compare(&setup, events, 1)?;
    }
}

#[test]
fn a_batch_emits_one_change_a_group_in_the_order_of_first_touch() {
    let mut real = Parallel::new(&Setup { with_aggregates: false, ..Setup::of(&["k"], true) }, 1);
    let row = |k: i64, v: i64| Row { k: Some(k), s: None, v: Some(v), keep: None };
    let change = |k, kind| (row(k, 0), kind);
    let first =
        [change(7, RowKind::Insert), change(3, RowKind::Insert), change(7, RowKind::UpdateAfter), change(5, RowKind::Insert)];
    assert_eq!(real.process(&first), [["7", "+I"], ["3", "+I"], ["5", "+I"]]);
    let second = [
        change(5, RowKind::Delete),
        change(9, RowKind::Insert),
        change(9, RowKind::Delete),
        change(7, RowKind::Delete),
        change(3, RowKind::UpdateBefore),
        change(3, RowKind::UpdateAfter),
        change(1, RowKind::Insert),
    ];
    assert_eq!(real.process(&second), [["5", "-D"], ["1", "+I"]]);
}

#[test]
fn a_sum_of_doubles_begins_anew_after_its_last_row_was_taken_back() {
    let mut real = Parallel::new(&Setup::of(&["k"], true), 1);
    let row = |v: i64, kind| (Row { k: Some(1), s: None, v: Some(v), keep: Some(true) }, kind);
    let huge = 1i64 << 60;
    // 2^59 and 0.5 added up as doubles lose the 0.5, so that taking 2^59 back leaves -0.5 behind the last row.
    real.process(&[row(huge, RowKind::Insert), row(1, RowKind::Insert), row(huge, RowKind::Delete), row(1, RowKind::Delete)]);
    let one_batch = real.process(&[row(3, RowKind::Insert)]);
    assert_eq!(one_batch[0][6], "1.5");
    let several = [
        row(huge, RowKind::Insert),
        row(1, RowKind::Insert),
        row(huge, RowKind::Delete),
        row(3, RowKind::Delete),
        row(1, RowKind::Delete),
        row(3, RowKind::Insert),
    ];
    real.process(&several);
    assert_eq!(real.process(&[row(4, RowKind::Insert)])[1][6], "3.5");
}
