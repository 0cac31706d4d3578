//! Compares `window.tumbling` and `window.hopping` with a model that keeps every row and recomputes the results.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::element::MAX_WATERMARK;
use crate::operator::OperatorContext;
use crate::operators::keyed::Layout;
use crate::operators::tests::{Collected, barrier, build, context, restored_for};
use crate::operators::window::saved::Signature;
use crate::samples;
use crate::schema;
use crate::state::KeyLayout;
use crate::state::RowFormat;

#[derive(Debug, Clone)]
enum Event {
    Rows(Vec<Row>),
    Watermark(i64),
    Restore(u32),
}

fn options(size: i64, slide: i64, lateness: i64, keys: &[&str]) -> Value {
    json!({"kind": "window.hopping", "options": {
    "time_column": "t", "size_ms": size, "slide_ms": slide, "allowed_lateness_ms": lateness, "keys": keys, "window_end": "end",
    "aggregates": [
        {"name": "rows", "function": "count"},
        {"name": "values", "function": "count", "column": "v"},
        {"name": "sum", "function": "sum", "column": "v"},
        {"name": "min", "function": "min", "column": "v"},
        {"name": "max", "function": "max", "column": "v"},
        {"name": "avg", "function": "avg", "column": "v"},
        {"name": "distinct", "function": "count_distinct", "column": "v"},
        {"name": "half", "function": "sum", "column": "d"},
        {"name": "most", "function": "max", "column": "d"},
        {"name": "least_text", "function": "min", "column": "s"},
        {"name": "last", "function": "max", "column": "t"},
        {"name": "texts", "function": "count_distinct", "column": "s"},
    ]}})
}

/// The line that the operator must emit for a window and key with these rows.
fn line(start: i64, size: i64, key: &[String], rows: &[Row]) -> Vec<String> {
    let shown = |v: Option<String>| v.unwrap_or("NULL".into());
    let values: Vec<i64> = rows.iter().filter_map(|r| r.3).collect();
    let texts: BTreeSet<&String> = rows.iter().filter_map(|r| r.1.as_ref()).collect();
    let sum: i64 = values.iter().sum();
    let some = !values.is_empty();
    let mut line = vec![start.to_string(), (start + size).to_string()];
    line.extend(key.iter().cloned());
    line.push(rows.len().to_string());
    line.push(values.len().to_string());
    line.push(shown(some.then(|| sum.to_string())));
    line.push(shown(values.iter().min().map(ToString::to_string)));
    line.push(shown(values.iter().max().map(ToString::to_string)));
    line.push(shown(some.then(|| format!("{:?}", sum as f64 / values.len() as f64))));
    line.push(values.iter().collect::<BTreeSet<_>>().len().to_string());
    line.push(shown(some.then(|| format!("{:?}", sum as f64 / 2.0))));
    line.push(shown(values.iter().max().map(|v| format!("{:?}", *v as f64 / 2.0))));
    line.push(shown(texts.first().map(ToString::to_string)));
    line.push(shown(rows.iter().map(|r| r.2).max().map(|t| t.to_string())));
    line.push(texts.len().to_string());
    line
}

#[derive(Default)]
struct Model {
    windows: BTreeMap<(i64, Vec<String>), Vec<Row>>,
    watermark: Option<i64>,
    lines: Vec<Vec<String>>,
    late: u64,
}

impl Model {
    fn rows(&mut self, rows: &[Row], (size, slide, lateness): (i64, i64, i64), keys: &[&str]) {
        let watermark = self.watermark.unwrap_or(i64::MIN);
        let mut again = BTreeSet::new();
        for row in rows {
            let key = |name: &&str| match *name {
                "k" => row.0.map_or("NULL".into(), |k| k.to_string()),
                _ => row.1.clone().unwrap_or("NULL".into()),
            };
            let key: Vec<String> = keys.iter().map(key).collect();
            let last = row.2 - row.2.rem_euclid(slide);
            if last + size - 1 + lateness <= watermark {
                self.late += 1;
            }
            for start in (0..).map(|i| last - i * slide).take_while(|start| start + size > row.2) {
                if start + size - 1 + lateness > watermark {
                    self.windows.entry((start, key.clone())).or_default().push(row.clone());
                    if start + size - 1 <= watermark {
                        again.insert((start, key.clone()));
                    }
                }
            }
        }
        self.lines.extend(again.into_iter().map(|(start, key)| line(start, size, &key, &self.windows[&(start, key.clone())])));
    }

    fn watermark(&mut self, watermark: i64, size: i64) {
        let before = self.watermark.unwrap_or(i64::MIN);
        if watermark <= before {
            return;
        }
        self.watermark = Some(watermark);
        let due = |start: i64| start + size > before.saturating_add(1) && start + size - 1 <= watermark;
        let fired = self.windows.iter().filter(|((start, _), _)| due(*start));
        self.lines.extend(fired.map(|((start, key), rows)| line(*start, size, key, rows)));
    }
}

fn events(restores: bool) -> impl Strategy<Value = Vec<Event>> {
    let row = (prop::option::of(0i64..5), prop::option::of("[ab]"), -30i64..90, prop::option::of(-4i64..5));
    let rows = prop::collection::vec(row, 1..30).prop_map(Event::Rows);
    let watermark = (-20i64..100).prop_map(Event::Watermark);
    let restore = if restores { 1 } else { 0 };
    prop::collection::vec(prop_oneof![4 => rows, 3 => watermark, restore => (1u32..4).prop_map(Event::Restore)], 0..15)
}

fn keys() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::select(vec![vec!["k"], vec!["k", "s"], vec!["s"], vec![]])
}

proptest! {
    #[test]
    fn windows_match_the_model_across_restores_and_rescalings(
        events in events(true), keys in keys(), slide in prop::sample::select(vec![10i64, 5, 4, 3, 1]), parallelism in 1u32..4,
    ) {
        let parallelism = if keys.is_empty() { 1 } else { parallelism };
        let mut model = Model::default();
        let mut real = Parallel::new(parallelism, &keys, options(10, slide, 0, &keys), batch_of);
        for event in events.into_iter().chain([Event::Watermark(MAX_WATERMARK)]) {
            match event {
                Event::Rows(rows) => {
                    model.rows(&rows, (10, slide, 0), &keys);
                    real.rows(&rows);
                }
                Event::Watermark(watermark) => {
                    model.watermark(watermark, 10);
                    real.watermark(watermark);
                }
                Event::Restore(parallelism) => real.restore(parallelism),
            }
        }
        let (mut expected, mut found) = (model.lines, real.lines());
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn late_rows_correct_windows_within_the_allowed_lateness_and_are_counted_after_it(
        events in events(false), keys in keys(), slide in prop::sample::select(vec![10i64, 5, 4]), lateness in 0i64..25,
    ) {
        let mut model = Model::default();
        let mut real = Parallel::new(1, &keys, options(10, slide, lateness, &keys), batch_of);
        for event in events.into_iter().chain([Event::Watermark(MAX_WATERMARK)]) {
            match event {
                Event::Rows(rows) => {
                    model.rows(&rows, (10, slide, lateness), &keys);
                    real.rows(&rows);
                }
                Event::Watermark(watermark) => {
                    model.watermark(watermark, 10);
                    real.watermark(watermark);
                }
                Event::Restore(_) => {}
            }
        }
        // A batch can have rows of one window in several panes. Each pane emits the window again, so only its last line counts.
        let last_words = |lines: Vec<Vec<String>>| -> BTreeMap<Vec<String>, Vec<String>> {
            lines.into_iter().map(|line| (line[..2 + keys.len()].to_vec(), line)).collect()
        };
        prop_assert_eq!(last_words(real.lines()), last_words(model.lines));
        prop_assert_eq!(real.late(), model.late);
    }

    #[test]
    fn damaged_state_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let layout = Layout { keys: KeyLayout::new(vec![DataType::Int64]).unwrap(), aggregates: Vec::new(), max_parallelism: 128 };
        let Signature::Checksum(checksum) = layout.checksum_signature(10) else { panic!("a checksum") };
        let mut layout_bytes = checksum.to_le_bytes().to_vec();
        layout_bytes.extend_from_slice(&bytes);
        let sealed = crate::state::seal(2, 1, &layout_bytes);
        let _ = layout.restore(&layout.checksum_signature(10), 3, &sealed, &mut BTreeMap::new());
        let _ = layout.restore(&layout.checksum_signature(10), 3, &bytes, &mut BTreeMap::new());
    }
}

fn tumbling(aggregates: Value) -> Value {
    json!({"kind": "window.tumbling", "options": {"time_column": "t", "size_ms": 10, "keys": ["k"], "aggregates": aggregates}})
}

#[test]
fn windows_are_emitted_in_order_and_sorted_by_key_with_null_first() {
    let descriptor = tumbling(json!([{"name": "n", "function": "count"}]));
    let (mut operator, schema) = build(&descriptor, &context(1, 0, vec![(input(), vec![])])).unwrap();
    assert_eq!(schema::describe(&schema), "(window_start TIMESTAMP(3), k BIGINT, n BIGINT)");
    let mut out = Collected::default();
    let rows = [(Some(9), 12), (Some(2), 3), (None, 5), (Some(9), 4), (Some(-1), 11), (Some(9), 3)];
    let rows: Vec<Row> = rows.into_iter().map(|(k, t)| (k, None, t, None)).collect();
    operator.process(0, batch_of(&rows), &mut out).unwrap();
    assert_eq!(operator.on_watermark(8, &mut out).unwrap(), Some(8));
    assert!(out.batches.is_empty());
    operator.on_watermark(9, &mut out).unwrap();
    assert_eq!(out.lines(), [["0", "NULL", "1"], ["0", "2", "1"], ["0", "9", "2"]]);
    operator.on_watermark(MAX_WATERMARK, &mut out).unwrap();
    assert_eq!(out.lines()[3..], [["10", "-1", "1"], ["10", "9", "1"]]);
}

/// The number of rows of each key, also of keys that come again after a restore at another parallelism.
fn counts(types: &[&str], seed: u64) -> (BTreeMap<String, i64>, BTreeMap<String, i64>) {
    let keys = samples::batch(&samples::schema_of(types), 60, seed);
    let mut fields = keys.schema().fields().to_vec();
    fields.push(Arc::new(Field::new("t", DataType::Int64, false)));
    let mut columns = keys.columns().to_vec();
    columns.push(Arc::new(Int64Array::from_value(5, 60)));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let names: Vec<_> = keys.schema().fields().iter().map(|field| field.name().clone()).collect();
    let descriptor = json!({"kind": "window.tumbling", "options": {"time_column": "t", "size_ms": 10, "keys": names,
        "aggregates": [{"name": "n", "function": "count"}]}});
    let text = |batch: &RecordBatch, columns: std::ops::Range<usize>, row| {
        let format = RowFormat::of_keys(columns.clone().map(|i| batch.column(i).data_type().clone()).collect()).unwrap();
        format!("{:?}", format.encode(&batch.columns()[columns], batch.num_rows()).row(row))
    };
    let mut expected = BTreeMap::new();
    for row in (0..60).chain(0..30) {
        *expected.entry(text(&batch, 0..types.len(), row)).or_insert(0) += 1;
    }
    let (mut first, _) = build(&descriptor, &context(1, 0, vec![(batch.schema(), names.clone())])).unwrap();
    first.process(0, batch.clone(), &mut Collected::default()).unwrap();
    let snapshot = first.snapshot(&barrier(1)).unwrap();
    let mut found = BTreeMap::new();
    let parts = KeyPartitioner::new(batch.schema_ref(), &names, 128, 2).unwrap().partition(&batch.slice(0, 30)).unwrap();
    for ((subtask, restored), part) in (0..).zip(restored_for(vec![snapshot], 2)).zip(parts) {
        let (mut operator, _) = build(&descriptor, &context(2, subtask, vec![(batch.schema(), names.clone())])).unwrap();
        operator.restore(restored).unwrap();
        let mut out = Collected::default();
        if let Some(part) = part {
            operator.process(0, part, &mut out).unwrap();
        }
        operator.on_watermark(MAX_WATERMARK, &mut out).unwrap();
        for batch in &out.batches {
            let counts = batch.column(1 + types.len()).as_primitive::<arrow_array::types::Int64Type>();
            for row in 0..batch.num_rows() {
                *found.entry(text(batch, 1..1 + types.len(), row)).or_insert(0) += counts.value(row);
            }
        }
    }
    (found, expected)
}

#[test]
fn every_scalar_type_can_be_a_window_key_alone_and_with_others() {
    for (seed, data_type) in (0..).zip(samples::SCALARS) {
        let (found, expected) = counts(&[data_type], seed);
        assert_eq!(found, expected, "{data_type}");
    }
    let (found, expected) = counts(samples::SCALARS, 7);
    assert_eq!(found, expected);
}

#[test]
fn aggregates_refuse_types_that_they_can_not_hold() {
    for data_type in ["TINYINT", "DECIMAL(10, 2)", "DATE", "TIMESTAMP(6)", "TIMESTAMP_LTZ(3)", "BYTES", "ARRAY<INT>"] {
        let schema = samples::schema_of(&["BIGINT", "TIMESTAMP(3)", data_type]);
        let all = ["min", "max", "count_distinct", "sum"];
        for function in if data_type.starts_with("ARRAY") { &all } else { &all[3..] } {
            let descriptor = json!({"kind": "window.tumbling", "options": {"time_column": "c1", "size_ms": 10, "keys": ["c0"],
                "aggregates": [{"name": "n", "function": function, "column": "c2"}]}});
            let refused = build(&descriptor, &context(1, 0, vec![(schema.clone(), vec![])])).err();
            assert_eq!(refused.unwrap().code, "AGG-TYPE", "{function} {data_type}");
        }
    }
}

#[test]
fn a_row_that_was_late_before_a_restore_is_late_after_it() {
    let descriptor = tumbling(json!([{"name": "n", "function": "count"}]));
    let context = context(1, 0, vec![(input(), vec![])]);
    let (mut operator, _) = build(&descriptor, &context).unwrap();
    operator.on_watermark(15, &mut Collected::default()).unwrap();
    let restored = restored_for(vec![operator.snapshot(&barrier(1)).unwrap()], 1).remove(0);
    let (mut operator, _) = build(&descriptor, &context).unwrap();
    operator.restore(restored).unwrap();
    let mut out = Collected::default();
    operator.process(0, batch_of(&[(Some(1), None, 9, None), (Some(1), None, 10, None)]), &mut out).unwrap();
    assert_eq!(operator.late_records(), 1);
    operator.on_watermark(MAX_WATERMARK, &mut out).unwrap();
    assert_eq!(out.lines(), [["10", "1", "1"]]);
}

#[test]
fn sums_are_exact_and_a_sum_too_big_for_a_bigint_fails_with_a_code() {
    let descriptor =
        tumbling(json!([{"name": "sum", "function": "sum", "column": "v"}, {"name": "avg", "function": "avg", "column": "v"}]));
    let run = |values: &[i64]| {
        let (mut operator, _) = build(&descriptor, &context(1, 0, vec![(input(), vec![])])).unwrap();
        let mut out = Collected::default();
        let rows: Vec<Row> = values.iter().map(|v| (Some(1), None, 0, Some(*v))).collect();
        operator.process(0, batch_of(&rows), &mut out).unwrap();
        operator.on_watermark(MAX_WATERMARK, &mut out).map(|_| out.lines())
    };
    let max = i64::MAX.to_string();
    assert_eq!(run(&[i64::MAX, 5, -5]).unwrap(), [["0", "1", max.as_str(), &format!("{:?}", i64::MAX as f64 / 3.0)]]);
    assert_eq!(run(&[i64::MAX, 1]).unwrap_err().code, "AGG-OVERFLOW");
}

#[test]
fn an_unchanged_key_group_keeps_its_version_and_an_empty_one_is_not_saved() {
    let descriptor = tumbling(json!([{"name": "n", "function": "count"}]));
    let (mut operator, _) = build(&descriptor, &context(1, 0, vec![(input(), vec![])])).unwrap();
    let mut out = Collected::default();
    let versions = |operator: &mut Box<dyn Operator>| -> BTreeMap<u32, u64> {
        operator.snapshot(&barrier(1)).unwrap().key_groups.iter().map(|group| (group.key_group, group.version)).collect()
    };
    let rows: Vec<Row> = (0..50).map(|k| (Some(k), None, 0, None)).collect();
    operator.process(0, batch_of(&rows), &mut out).unwrap();
    let before = versions(&mut operator);
    operator.process(0, batch_of(&[(Some(7), None, 1, None)]), &mut out).unwrap();
    let after = versions(&mut operator);
    assert_eq!(after.iter().filter(|(group, version)| before[group] != **version).count(), 1);
    operator.on_watermark(9, &mut out).unwrap();
    assert!(versions(&mut operator).is_empty());
}

#[test]
fn bad_options_and_bad_rows_have_codes() {
    let one = || context(1, 0, vec![(input(), vec![])]);
    let code = |descriptor: Value, context: &OperatorContext| build(&descriptor, context).err().map(|e| e.code);
    let count = json!([{"name": "n", "function": "count"}]);
    assert_eq!(code(tumbling(json!([{"name": "n", "function": "median", "column": "v"}])), &one()), Some("AGG-FUNCTION"));
    assert_eq!(code(tumbling(json!([{"name": "n", "function": "sum"}])), &one()), Some("AGG-COLUMN"));
    assert_eq!(code(tumbling(json!([{"name": "n", "function": "sum", "column": "s"}])), &one()), Some("AGG-TYPE"));
    assert_eq!(code(tumbling(json!([{"name": "k", "function": "count"}])), &one()), Some("SCHEMA-DUPLICATE"));
    assert_eq!(code(tumbling(count.clone()), &context(2, 0, vec![(input(), vec!["s".into()])])), Some("KEY-PARTITIONING"));
    assert_eq!(code(tumbling(count.clone()), &context(2, 0, vec![(input(), vec!["k".into()])])), None);
    let mut late_type = tumbling(count.clone());
    late_type["options"]["time_column"] = json!("s");
    assert_eq!(code(late_type, &one()), Some("TIME-TYPE"));

    let (mut operator, _) = build(&tumbling(count), &one()).unwrap();
    let batch = batch_of(&[(None, None, i64::MAX, None)]);
    assert_eq!(operator.process(0, batch, &mut Collected::default()).unwrap_err().code, "TIME-RANGE");
}

#[test]
fn state_of_other_aggregates_is_refused_as_incompatible() {
    let context = context(1, 0, vec![(input(), vec![])]);
    let (mut before, _) = build(&tumbling(json!([{"name": "n", "function": "count"}])), &context).unwrap();
    before.process(0, batch_of(&[(Some(1), None, 1, None)]), &mut Collected::default()).unwrap();
    let restored = restored_for(vec![before.snapshot(&barrier(1)).unwrap()], 1).remove(0);
    let (mut after, _) = build(&tumbling(json!([{"name": "n", "function": "sum", "column": "v"}])), &context).unwrap();
    assert_eq!(after.restore(restored).unwrap_err().code, "STATE-INCOMPATIBLE");
}

#[test]
fn the_state_format_of_hand_written_windows_does_not_change() {
    let keys = ["k", "s"];
    let context = context(1, 0, vec![(input(), vec!["k".into(), "s".into()])]);
    let (mut operator, _) = build(&options(10, 4, 3, &keys), &context).unwrap();
    let rows = [
        (Some(1), Some("a".into()), 3, Some(7)),
        (Some(1), Some("a".into()), 4, Some(7)),
        (None, None, -5, None),
        (Some(2), Some("ä".into()), 12, Some(-3)),
    ];
    operator.process(0, batch_of(&rows), &mut Collected::default()).unwrap();
    operator.on_watermark(2, &mut Collected::default()).unwrap();
    let snapshot = operator.snapshot(&barrier(1)).unwrap();
    let mut saved = snapshot.operator_state.unwrap().to_vec();
    for group in snapshot.key_groups {
        saved.extend(group.key_group.to_le_bytes());
        saved.extend((group.serialize)().unwrap());
    }
    assert_eq!((saved.len(), crc32c::crc32c(&saved)), (748, 402_602_020));
}
