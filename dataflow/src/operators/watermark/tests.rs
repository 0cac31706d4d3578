//! Compares the watermarks of a column with a model that takes one row at a time, as Flink does.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray, TimestampMillisecondArray};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::chain::OperatorChain;
use crate::element::MAX_WATERMARK;
use crate::operator::Operator;
use crate::operators::tests::{Collected, barrier, build, context, registry, restored_for};
use crate::source::Splits;

/// Time and watermark.
type Row = (i64, Option<i64>);

fn batch_of(rows: &[Row]) -> RecordBatch {
    let columns: [(&str, ArrayRef); 2] = [
        ("t", Arc::new(rows.iter().map(|row| Some(row.0)).collect::<TimestampMillisecondArray>())),
        ("w", Arc::new(rows.iter().map(|row| row.1).collect::<TimestampMillisecondArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn operator(interval_ms: i64) -> Box<dyn Operator> {
    let descriptor =
        json!({"kind": "watermark", "options": {"column": "t", "watermark_column": "w", "interval_ms": interval_ms}});
    build(&descriptor, &context(1, 0, vec![(batch_of(&[]).schema(), vec![])])).unwrap().0
}

/// For each row, the watermark before it; and the last watermark. This is Flink's WatermarkAssignerOperator without its timer.
fn model(rows: &[Row], interval_ms: i64) -> (Vec<i64>, i64) {
    let (mut current, mut last) = (0, 0);
    let mut before = Vec::new();
    for (_, watermark) in rows {
        before.push(last);
        current = watermark.map_or(current, |watermark| current.max(watermark));
        if current - last > interval_ms {
            last = current;
        }
    }
    (before, last)
}

/// Sends rows in batches, and takes a restored operator in between where `restores` says so. Returns rows and the watermark before
/// each, and the last watermark.
fn run(rows: &[Row], batches: &[usize], restore_every: usize, interval_ms: i64) -> (Vec<Row>, Vec<i64>, i64) {
    let mut operator = operator(interval_ms);
    let (mut sent, mut before, mut watermark) = (Vec::new(), Vec::new(), 0);
    let (mut rest, mut sizes) = (rows, batches.iter().cycle());
    for number in 1.. {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        rest = later;
        let mut out = Collected::default();
        operator.process(0, batch_of(now), &mut out).unwrap();
        let mut watermarks = out.watermarks.into_iter().peekable();
        for (index, batch) in out.batches.iter().enumerate() {
            while let Some((_, next)) = watermarks.next_if(|(after, _)| *after <= index) {
                assert!(next > watermark);
                watermark = next;
            }
            let column = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<TimestampMillisecondType>().clone();
            let (times, values) = (column("t"), column("w"));
            for row in 0..batch.num_rows() {
                sent.push((times.value(row), values.is_valid(row).then(|| values.value(row))));
                before.push(watermark);
            }
        }
        watermark = watermarks.map(|(_, next)| next).chain(operator.take_watermark()).max().unwrap_or(watermark).max(watermark);
        if number % restore_every == 0 {
            let state = restored_for(vec![operator.snapshot(&barrier(1)).unwrap()], 1).remove(0);
            operator = self::operator(interval_ms);
            operator.restore(state).unwrap();
        }
    }
    (sent, before, watermark)
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((-50i64..400, prop::option::weighted(0.9, -300i64..400)), 0..60)
}

proptest! {
    #[test]
    fn exactly_the_rows_that_are_late_row_by_row_are_late_in_batches(
        rows in rows(), batches in prop::collection::vec(1usize..20, 1..5), restore_every in 1usize..6,
        interval_ms in prop::sample::select(vec![0, 3, 50, 200]),
    ) {
        let (expected, last) = model(&rows, interval_ms);
        // `run` asserts that watermarks rise, which a restored operator's first does not: it repeats the one of its state.
        let (sent, before, watermark) = run(&rows, &batches, usize::MAX, interval_ms);
        prop_assert_eq!(&sent, &rows);
        prop_assert_eq!(watermark, last);
        for ((row, before), expected) in sent.iter().zip(&before).zip(&expected) {
            prop_assert!(before <= expected);
            prop_assert_eq!(row.0 <= *before, row.0 <= *expected, "{:?}: {} instead of {}", row, before, expected);
        }
        let mut restored = Restored::new(interval_ms);
        let (mut rest, mut sizes) = (rows.as_slice(), batches.iter().cycle());
        let mut number = 0;
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            restored.send(now);
            number += 1;
            if number % restore_every == 0 {
                restored.restore();
            }
            rest = later;
        }
        let late: Vec<_> = rows.iter().zip(&expected).filter(|((time, _), watermark)| time <= watermark).map(|(row, _)| *row).collect();
        prop_assert_eq!(restored.late, late);
    }
}

/// An operator that is restored now and then, and what a receiver without memory finds late.
struct Restored {
    operator: Box<dyn Operator>,
    interval_ms: i64,
    watermark: i64,
    late: Vec<Row>,
}

impl Restored {
    fn new(interval_ms: i64) -> Self {
        Self { operator: operator(interval_ms), interval_ms, watermark: i64::MIN, late: Vec::new() }
    }

    fn send(&mut self, rows: &[Row]) {
        let mut out = Collected::default();
        self.operator.process(0, batch_of(rows), &mut out).unwrap();
        let mut watermarks = out.watermarks.into_iter().peekable();
        for (index, batch) in out.batches.iter().enumerate() {
            while let Some((_, next)) = watermarks.next_if(|(after, _)| *after <= index) {
                self.watermark = self.watermark.max(next);
            }
            let column = |index: usize| batch.column(index).as_primitive::<TimestampMillisecondType>().clone();
            for row in 0..batch.num_rows() {
                // The watermark is 0 before the first.
                if column(0).value(row) <= self.watermark.max(0) {
                    self.late.push((column(0).value(row), column(1).is_valid(row).then(|| column(1).value(row))));
                }
            }
        }
        self.watermark = watermarks.map(|(_, next)| next).chain(self.operator.take_watermark()).fold(self.watermark, i64::max);
    }

    fn restore(&mut self) {
        let state = restored_for(vec![self.operator.snapshot(&barrier(1)).unwrap()], 1).remove(0);
        *self = Self { late: std::mem::take(&mut self.late), ..Self::new(self.interval_ms) };
        self.operator.restore(state).unwrap();
    }
}

#[test]
fn rows_in_order_are_never_cut() {
    let rows: Vec<Row> = (1..1_000).map(|time| (time * 10, Some(time * 10 - 1))).collect();
    let mut out = Collected::default();
    let mut operator = operator(200);
    operator.process(0, batch_of(&rows), &mut out).unwrap();
    assert_eq!((out.batches.len(), out.watermarks.len()), (1, 0));
    assert_eq!((operator.take_watermark(), operator.take_watermark()), (Some(9_869), None));
}

#[test]
fn a_quiet_stream_sends_its_highest_watermark() {
    let mut operator = operator(200);
    let mut out = Collected::default();
    operator.process(0, batch_of(&[(100, Some(100))]), &mut out).unwrap();
    assert_eq!(operator.take_watermark(), None);
    assert_eq!(operator.on_tick(1_000, &mut out).unwrap(), None);
    assert_eq!(operator.on_tick(1_199, &mut out).unwrap(), None);
    assert_eq!(operator.on_tick(1_200, &mut out).unwrap(), Some(100));
    assert_eq!(operator.on_tick(1_500, &mut out).unwrap(), None);
    assert_eq!(operator.on_watermark(7_000, &mut out).unwrap(), None);
    assert_eq!(operator.on_watermark(MAX_WATERMARK, &mut out).unwrap(), Some(MAX_WATERMARK));
}

#[test]
fn a_row_without_time_fails_the_job_and_a_null_watermark_is_skipped() {
    let time: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![Some(1), None]));
    let watermark: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![Some(1), Some(2)]));
    let batch = RecordBatch::try_from_iter([("t", time), ("w", watermark)]).unwrap();
    let error = operator(0).process(0, batch, &mut Collected::default()).unwrap_err();
    assert!(error.code == "TIME-NULL" && error.message.contains("WHERE t IS NOT NULL"), "{error}");
    let mut operator = operator(0);
    operator.process(0, batch_of(&[(5, Some(3)), (6, None)]), &mut Collected::default()).unwrap();
    assert_eq!(operator.take_watermark(), Some(3));
}

#[test]
fn saved_watermarks_have_this_format() {
    let mut operator = operator(10);
    operator.process(0, batch_of(&[(300, Some(258)), (310, Some(260))]), &mut Collected::default()).unwrap();
    let state = operator.snapshot(&barrier(1)).unwrap().operator_state.unwrap();
    assert_eq!(state[..4], [b'W', b'S', 7, 1]);
    assert_eq!(state[8..], [4, 1, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
    for damaged in [&state[..20], &[0; 24]] {
        let restored = crate::operator::RestoredState {
            operator_state: vec![(0, bytes::Bytes::copy_from_slice(damaged))],
            ..Default::default()
        };
        assert_eq!(self::operator(10).restore(restored).unwrap_err().code, "STATE-CORRUPT");
    }
}

#[test]
fn a_watermark_between_two_batches_passes_through_the_chain_and_fires_windows() {
    let operators = json!([
        {"kind": "watermark", "options": {"column": "t", "watermark_column": "w", "interval_ms": 0}},
        {"kind": "project", "options": {"columns": [{"name": "t", "expr": "t"}]}},
        {"kind": "window.agg", "options": {"window": {"type": "tumble", "size_ms": 10}, "time_column": "t", "keys": [],
            "aggregates": [{"name": "n", "function": "count"}], "window_end": "end"}},
    ]);
    let vertex = serde_json::from_value(json!({"id": "v", "parallelism": 1, "operators": operators})).unwrap();
    let schema = batch_of(&[]).schema();
    let mut chain = OperatorChain::build(&vertex, &registry(), context(1, 0, vec![(schema, vec![])])).unwrap();
    let mut out = Collected::default();
    let rows = [(1, Some(1)), (15, Some(12)), (5, None), (25, Some(12))];
    let last = chain.process(0, batch_of(&rows), &mut out).unwrap();
    assert_eq!(out.lines(), [["1", "10"]]);
    assert_eq!((out.watermarks, last), (vec![(1, 12)], None));
    assert_eq!((chain.late_records(), chain.current_watermark()), (1, 12));
    let mut rest = Collected::default();
    assert_eq!(chain.end_of_input(&mut rest).unwrap(), Some(MAX_WATERMARK));
    assert_eq!(rest.lines(), [["1", "20"], ["1", "30"]]);
}

#[test]
fn times_of_other_precision_and_bigint_are_milliseconds() {
    let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![5_000_999]).with_timezone("UTC"));
    let watermark: ArrayRef = Arc::new(Int64Array::from(vec![4_000]));
    let batch = RecordBatch::try_from_iter([("t", time), ("w", watermark)]).unwrap();
    let descriptor: Value = json!({"kind": "watermark", "options": {"column": "t", "watermark_column": "w"}});
    let (mut operator, _) = build(&descriptor, &context(1, 0, vec![(batch.schema(), vec![])])).unwrap();
    let mut out = Collected::default();
    operator.process(0, batch, &mut out).unwrap();
    assert_eq!(operator.take_watermark(), Some(4_000));
    assert_eq!(out.batches[0].column(1).as_primitive::<Int64Type>().values().as_ref(), [4_000]);
}

fn lift(operator: &mut Box<dyn Operator>, current: usize, ended: &[bool], time: i64) -> Option<i64> {
    operator.on_splits(Splits { current, ended });
    let mut out = Collected::default();
    operator.process(0, batch_of(&[(time, Some(time))]), &mut out).unwrap();
    out.watermarks.last().map(|(_, watermark)| *watermark).max(operator.take_watermark())
}

#[test]
fn a_watermark_holds_once_it_holds_for_every_split() {
    let bounded = json!({"kind": "watermark", "options": {"column": "t", "out_of_orderness_ms": 0, "idle_timeout_ms": 1_000}});
    let of_column = json!({"kind": "watermark", "options": {"column": "t", "watermark_column": "w", "interval_ms": 0, "idle_timeout_ms": 1_000}});
    for (descriptor, behind) in [(bounded, 1), (of_column, 0)] {
        let mut operator = build(&descriptor, &context(1, 0, vec![(batch_of(&[]).schema(), vec![])])).unwrap().0;
        let two = [false, false];
        assert_eq!(lift(&mut operator, 0, &two, 1_000), None, "nothing is known of the other split");
        assert_eq!(lift(&mut operator, 1, &two, 300), Some(300 - behind));
        assert_eq!(lift(&mut operator, 0, &two, 2_000), None);
        assert_eq!(lift(&mut operator, 1, &two, 1_500), Some(1_500 - behind));
        // A third one appears, and holds the watermark until it has rows.
        assert_eq!(lift(&mut operator, 1, &[false, false, false], 4_000), None);
        assert_eq!(lift(&mut operator, 2, &[false, false, false], 1_900), Some(1_900 - behind));
        // One that was read to its end, or has had no rows for a while, holds nothing.
        assert_eq!(lift(&mut operator, 2, &[true, false, false], 3_000), Some(3_000 - behind));
        let mut out = Collected::default();
        operator.on_tick(10_000, &mut out).unwrap();
        lift(&mut operator, 1, &[true, false, false], 5_000);
        operator.on_tick(10_900, &mut out).unwrap();
        let risen = operator.on_tick(11_000, &mut out).unwrap();
        assert_eq!(risen, Some(5_000 - behind), "split 2 is idle");
        assert!(!operator.is_idle());
        operator.on_tick(20_000, &mut out).unwrap();
        assert!(operator.is_idle());
        // A subtask without splits must not hold others back.
        operator.on_splits(Splits { current: 0, ended: &[] });
        assert!(operator.is_idle());
    }
}
