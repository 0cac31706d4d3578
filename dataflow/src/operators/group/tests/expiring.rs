//! Groups that are forgotten after some time.

use proptest::prelude::*;

use super::properties::{compare, events};
use super::*;

proptest! {
    #[test]
    fn expiring_groups_match_the_model(
        takes_changes in any::<bool>(), with_aggregates in any::<bool>(), update_before in any::<bool>(),
        events in any::<bool>().prop_flat_map(|single| events(true, if single { 1 } else { 12 }, true)), parallelism in 1u32..3,
    ) {
        let keys = vec!["k"];
        let setup = Setup { keys, takes_changes, with_aggregates, update_before, ttl_ms: 50 };
        // Rows can't be taken back from an input without kinds.
        let events = events.into_iter().map(|event| match event {
            properties::Event::Batch(rows) if !takes_changes => {
                properties::Event::Batch(rows.into_iter().map(|(row, _)| (row, None)).collect())
            }
            event => event,
        });
        compare(&setup, events.collect(), parallelism)?;
    }
}

fn change(k: i64, v: i64, kind: RowKind) -> Change {
    (Row { k: Some(k), s: None, v: Some(v), keep: None }, kind)
}

fn kinds(lines: &[Vec<String>]) -> Vec<&str> {
    lines.iter().map(|line| line.last().unwrap().as_str()).collect()
}

#[test]
fn a_touched_group_emits_its_result_again_and_a_forgotten_one_begins_anew() {
    let mut real = Parallel::new(&Setup { ttl_ms: 100, ..Setup::of(&["k"], true) }, 1);
    real.tick(1_000);
    let null = || (Row { k: Some(1), s: None, v: None, keep: None }, RowKind::Insert);
    assert_eq!(kinds(&real.process(&[null()])), ["+I"]);
    real.tick(1_099);
    assert_eq!(kinds(&real.process(&[null(), (null().0, RowKind::Delete)])), ["-U", "+U"]);
    real.tick(1_198);
    assert_eq!(kinds(&real.process(&[null()])), ["-U", "+U"]);
    real.tick(1_298);
    assert_eq!(kinds(&real.process(&[(null().0, RowKind::Delete)])), Vec::<&str>::new());
    assert_eq!(real.missing(), 1);
    assert_eq!(kinds(&real.process(&[null()])), ["+I"]);
}

#[test]
fn ticks_free_the_groups_that_no_row_reaches_any_more() {
    let mut real = Parallel::new(&Setup { ttl_ms: 100, ..Setup::of(&["k"], false) }, 1);
    real.tick(1_000);
    let many: Vec<_> = (0..20_000).map(|k| change(k, 1, RowKind::Insert)).collect();
    real.process(&many);
    real.tick(1_100);
    let held = |real: &mut Parallel| -> usize {
        let snapshot = real.subtasks[0].snapshot(&barrier(1)).unwrap();
        snapshot.key_groups.into_iter().map(|group| (group.serialize)().unwrap().len()).sum()
    };
    let after_one = held(&mut real);
    (0..3).for_each(|_| real.tick(1_100));
    assert!(after_one > 0);
    assert_eq!(held(&mut real), 0);
}

#[test]
fn groups_without_a_time_live_from_the_first_tick() {
    let setup = Setup::of(&["k"], false);
    let mut eternal = Parallel::new(&setup, 1);
    eternal.process(&[change(1, 1, RowKind::Insert)]);
    eternal.setup.ttl_ms = 100;
    // The time to live is not part of the state's signature, so that it can be changed.
    eternal.restore(1);
    eternal.tick(5_000);
    eternal.tick(5_099);
    assert_eq!(kinds(&eternal.process(&[change(1, 1, RowKind::Insert)])), ["-U", "+U"]);
    eternal.tick(5_199);
    assert_eq!(kinds(&eternal.process(&[change(1, 1, RowKind::Insert)])), ["+I"]);
    eternal.setup.ttl_ms = 0;
    eternal.restore(1);
    eternal.tick(50_000);
    assert_eq!(kinds(&eternal.process(&[change(1, 1, RowKind::Insert)])), ["-U", "+U"]);
}
