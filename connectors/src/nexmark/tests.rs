use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use weir_dataflow::source::Source;

use super::source::Nexmark;
use super::*;
use crate::testing::{barrier, context, descriptor, drain, restored, state};

fn generator(settings: Settings) -> Generator {
    Generator::new(settings).unwrap()
}

fn lines(settings: &Settings, kind: EventKind, count: u64) -> Vec<String> {
    let generator = generator(settings.clone());
    let line = |event: Event<'_>| {
        let mut line = Vec::new();
        event.append_csv(&mut line);
        String::from_utf8(line).unwrap().trim_end_matches('\n').to_owned()
    };
    (0..count).map(|number| generator.event(number)).filter(|event| event.kind == kind).map(line).collect()
}

fn field(line: &str, index: usize) -> &str {
    line.split(',').nth(index).unwrap()
}

fn number(line: &str, index: usize) -> i64 {
    field(line, index).parse().unwrap()
}

#[test]
fn the_first_events_are_known() {
    let settings = Settings::default();
    let known = include_str!("tests/first_events.csv");
    let mut found = String::new();
    for kind in EventKind::ALL {
        for line in lines(&settings, kind, 60).iter().take(3) {
            found.push_str(line);
            found.push('\n');
        }
    }
    assert_eq!(found, known);
}

#[test]
fn kinds_and_ids_follow_the_proportions() {
    let settings = Settings::default();
    let (persons, auctions) = (lines(&settings, EventKind::Person, 5_000), lines(&settings, EventKind::Auction, 5_000));
    let bids = lines(&settings, EventKind::Bid, 5_000);
    assert_eq!((persons.len(), auctions.len(), bids.len()), (100, 300, 4_600));
    for (lines, columns) in [(&persons, 8), (&auctions, 10), (&bids, 7)] {
        assert!(lines.iter().all(|line| line.split(',').count() == columns && !line.contains('"')));
    }
    assert!(persons.iter().zip(1_000..).all(|(line, id)| number(line, 0) == id));
    assert!(auctions.iter().zip(1_000..).all(|(line, id)| number(line, 0) == id));
}

#[test]
fn values_are_distributed_as_in_the_generator_for_flink() {
    let bids = lines(&Settings::default(), EventKind::Bid, 50_000);
    let count = |column: usize| {
        let mut counts = BTreeMap::new();
        bids[9_000..13_000].iter().for_each(|line| *counts.entry(field(line, column).to_owned()).or_insert(0_usize) += 1);
        counts
    };
    let share = |count: usize, of: usize| count as f64 / of as f64;
    // About 4000 bids have two hot bidders, who make three quarters of them, and four hot auctions, which get half.
    let hottest = |counts: BTreeMap<String, usize>, number: usize| {
        let mut counts: Vec<_> = counts.into_values().collect();
        counts.sort_unstable();
        share(counts.iter().rev().take(number).sum(), 4_000)
    };
    assert!((0.70..0.80).contains(&hottest(count(1), 2)));
    assert!((0.45..0.60).contains(&hottest(count(0), 4)));
    let hot_channels = bids.iter().filter(|line| ["Google", "Facebook", "Baidu", "Apple"].contains(&field(line, 3))).count();
    assert!((0.48..0.52).contains(&share(hot_channels, bids.len())));
    let with_id = bids.iter().filter(|line| line.contains("&channel_id=")).count();
    assert!((0.43..0.47).contains(&share(with_id, bids.len())), "nine in ten of the other channels' pages have an id");
    for (below, expected) in [(1_000, 1.0 / 6.0), (10_000, 2.0 / 6.0), (1_000_000, 4.0 / 6.0), (100_000_000, 1.0)] {
        let found = share(bids.iter().filter(|line| number(line, 2) <= below).count(), bids.len());
        assert!((found - expected).abs() < 0.02, "{found} of the prices are up to {below}");
    }
    assert!(bids.iter().all(|line| number(line, 2) >= 100));
    let extra: usize = bids.iter().map(|line| field(line, 6).len()).sum();
    assert!((66.0..70.0).contains(&share(extra, bids.len())), "bids have 100 bytes on average");
}

#[test]
fn bidders_get_the_first_id_twice() {
    let bids = lines(&Settings::default(), EventKind::Bid, 500);
    assert!(bids.iter().all(|line| (2_000..2_100).contains(&number(line, 1))));
}

#[test]
fn time_advances_by_the_rate_and_auctions_end_after_they_begin() {
    let settings = Settings { base_time_ms: 0, events_per_second: 400, ..Settings::default() };
    let generator = generator(settings);
    for number in 0..5_000 {
        let event = generator.event(number);
        let times: Vec<_> = event
            .values
            .iter()
            .filter_map(|value| match value {
                Value::Time(time) => Some(*time),
                _ => None,
            })
            .collect();
        assert_eq!(times[0], number as i64 * 1_000 / 400);
        // 100 auctions take 1666 events, which is 4165 ms; an auction is open for up to twice as long.
        assert!(times.iter().skip(1).all(|expires| (1..=8_332).contains(&(expires - times[0]))));
    }
}

#[test]
fn a_seed_decides_all_values_but_ids_and_times() {
    let other = Settings { seed: 1, ..Settings::default() };
    let (first, second) = (lines(&Settings::default(), EventKind::Auction, 500), lines(&other, EventKind::Auction, 500));
    assert_eq!(first, lines(&Settings::default(), EventKind::Auction, 500));
    assert!(first.iter().zip(&second).all(|(a, b)| field(a, 0) == field(b, 0) && field(a, 5) == field(b, 5) && a != b));
}

#[test]
fn extreme_settings_neither_panic_nor_overflow() {
    let most = i32::MAX as u64;
    for settings in [
        Settings { person_proportion: 0, auction_proportion: 0, ..Settings::default() },
        Settings { auction_proportion: 0, bid_proportion: 0, ..Settings::default() },
        Settings { person_proportion: 0, bid_proportion: 0, person_bytes: 0, auction_bytes: 0, ..Settings::default() },
        Settings { person_proportion: most, auction_proportion: most, bid_proportion: most, ..Settings::default() },
        Settings { bid_bytes: 512 << 10, events_per_second: most, base_time_ms: i64::MAX, ..Settings::default() },
        Settings { events_per_second: 1, hot_auctions: 1, hot_bidders: most, seed: u64::MAX, ..Settings::default() },
    ] {
        let generator = generator(settings);
        for number in [0, 1, 2, 3, 49, 50, 1 << 40, i64::MAX as u64] {
            let event = generator.event(number);
            assert_eq!(event.values.len(), event.kind.columns().len());
        }
    }
    for settings in [
        Settings { person_proportion: 0, auction_proportion: 0, bid_proportion: 0, ..Settings::default() },
        Settings { hot_auctions: 0, ..Settings::default() },
        Settings { events_per_second: 0, ..Settings::default() },
        Settings { bid_bytes: (512 << 10) + 1, ..Settings::default() },
    ] {
        assert!(Generator::new(settings).is_err());
    }
}

fn source(options: Json, subtask: u32, parallelism: u32) -> Nexmark {
    Nexmark::new(&descriptor("source.nexmark", options), &context(subtask, parallelism, 1, vec![])).unwrap()
}

/// The rows as the print sink shows them, without their order.
fn shown(batches: &[RecordBatch]) -> Vec<String> {
    let mut out = Vec::new();
    batches.iter().for_each(|batch| crate::rows::text::append_print(&mut out, "", batch).unwrap());
    let mut lines: Vec<_> = String::from_utf8(out).unwrap().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_source_has_a_row_for_each_kind_which_is_null_for_other_events() {
    let batches = drain(&mut source(json!({"rows": 120}), 0, 1), 50, usize::MAX).unwrap();
    let batch = &batches[1];
    let kinds = batch.column(0).as_primitive::<Int32Type>();
    for row in 0..batch.num_rows() {
        for (kind, column) in EventKind::ALL.into_iter().zip(1..) {
            let is_own = kinds.value(row) == kind as i32;
            let rows = batch.column(column).as_struct();
            assert_eq!(rows.is_valid(row), is_own);
            assert!(rows.columns().iter().all(|column| column.is_valid(row) == is_own));
        }
    }
    let bids = batch.column(3).as_struct();
    let generator = generator(Settings::default());
    let event = generator.event(99);
    assert_eq!(Value::Number(bids.column(0).as_primitive::<Int64Type>().value(49)), event.values[0]);
    assert_eq!(Value::Text(bids.column(4).as_string::<i32>().value(49).into()), event.values[4]);
    assert_eq!(Value::Time(bids.column(5).as_primitive::<TimestampMillisecondType>().value(49)), event.values[5]);
}

#[test]
fn the_source_emits_the_columns_that_are_asked_for() {
    let batches = drain(&mut source(json!({"rows": 5, "columns": ["bid", "event_type"]}), 0, 1), 50, usize::MAX).unwrap();
    let schema = batches[0].schema();
    assert_eq!(schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["bid", "event_type"]);
}

#[test]
fn invalid_options_are_refused() {
    for options in [
        json!({"columns": ["bids"]}),
        json!({"columns": []}),
        json!({"hot_auctions": 0}),
        json!({"hot_auction": 1}),
        json!({"rows_per_second": 0}),
        json!({"rows": -1}),
    ] {
        let built = build(&descriptor("source.nexmark", options.clone()), &context(0, 1, 1, vec![]));
        assert_eq!(built.err().map(|error| error.code), Some("CONN-OPTION"), "{options}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_event_comes_once_across_restores_and_rescalings(
        rows in 0_u64..200, phases in proptest::collection::vec((1_u32..5, proptest::collection::vec(0_usize..6, 5)), 1..4),
    ) {
        let options = json!({"rows": rows});
        let mut found = Vec::new();
        let mut states = Vec::new();
        for (phase, (parallelism, polls)) in phases.iter().enumerate() {
            let is_last = phase + 1 == phases.len();
            let mut next = Vec::new();
            for subtask in 0..*parallelism {
                let mut source = source(options.clone(), subtask, *parallelism);
                if phase > 0 {
                    source.restore(restored(&states, subtask, *parallelism)).unwrap();
                }
                found.extend(drain(&mut source, 7, if is_last { usize::MAX } else { polls[subtask as usize] }).unwrap());
                next.push(state(source.snapshot(&barrier(1)).unwrap()));
            }
            states = next;
        }
        prop_assert_eq!(shown(&found), shown(&drain(&mut source(options, 0, 1), 50, usize::MAX).unwrap()));
    }
}
