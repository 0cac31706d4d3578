//! Compares aggregation in two phases with that in one: the output must be the same, batch by batch.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int8Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow_select::concat::concat_batches;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::operator::Operator;
use crate::operators::PARTIAL;
use crate::operators::tests::{Collected, build, cell, context};

/// Key, value and event time.
type Row = (Option<i64>, Option<i64>, i64);

/// What the operators see: batches that arrive together, one from each of several subtasks, or a watermark.
#[derive(Debug, Clone)]
enum Event {
    Rows(Vec<Vec<Row>>),
    Watermark(i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    // Few keys and values repeat in a batch, many do not.
    let row = |keys: i64| (prop::option::weighted(0.9, 0..keys), prop::option::weighted(0.8, -40i64..40), 0i64..90);
    let batch = prop_oneof![
        4 => prop::collection::vec(row(2), 1..60),
        1 => prop::collection::vec(row(50), 1..12),
        1 => prop::collection::vec(row(1), 1..2)
    ];
    let event = prop_oneof![
        5 => prop::collection::vec(batch, 1..4).prop_map(Event::Rows),
        1 => (0i64..90).prop_map(Event::Watermark),
    ];
    prop::collection::vec(event, 1..12)
}

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    Arc::new(Schema::new(vec![
        field("k", DataType::Int64),
        field("v", DataType::Int64),
        field("d", DataType::Float64),
        field("m", DataType::Decimal128(10, 2)),
        field("s", DataType::Utf8),
        field("even", DataType::Boolean),
        Field::new("t", time.clone(), false),
        Field::new("start", time.clone(), false),
        Field::new("end", time, false),
    ]))
}

fn batch_of(rows: &[Row]) -> RecordBatch {
    let values = || rows.iter().map(|(_, v, _)| *v);
    let times = |of: fn(i64) -> i64| -> ArrayRef {
        Arc::new(rows.iter().map(|(.., t)| Some(of(*t))).collect::<TimestampMillisecondArray>())
    };
    let decimals = values().map(|v| v.map(|v| i128::from(v) * 25)).collect::<Decimal128Array>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|(k, ..)| *k).collect::<Int64Array>()),
        Arc::new(values().collect::<Int64Array>()),
        Arc::new(values().map(|v| v.map(|v| v as f64 / 4.0)).collect::<Float64Array>()),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
        Arc::new(values().map(|v| v.map(|v| format!("text {v}"))).collect::<StringArray>()),
        Arc::new(values().map(|v| v.map(|v| v % 2 == 0)).collect::<BooleanArray>()),
        times(|t| t),
        times(|t| t - t % 30),
        times(|t| t - t % 30 + 30),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn aggregates() -> Value {
    let calls = [
        ("count", None, false),
        ("count", Some("v"), true),
        ("sum", Some("v"), false),
        ("sum", Some("d"), false),
        ("sum", Some("m"), true),
        ("avg", Some("v"), false),
        ("avg", Some("m"), false),
        ("min", Some("s"), false),
        ("max", Some("d"), true),
        ("var_pop", Some("d"), false),
    ];
    let call = |(index, (function, column, filter)): (usize, &(&str, Option<&str>, bool))| json!({"name": format!("a{index}"), "function": function, "column": column, "filter": filter.then_some("even")});
    calls.iter().enumerate().map(call).collect()
}

/// The same aggregation in one phase and in two.
struct Pair {
    locals: Vec<Box<dyn Operator>>,
    partials: SchemaRef,
    two: Box<dyn Operator>,
    one: Box<dyn Operator>,
}

impl Pair {
    fn new(kind: &str, keys: &[&str], window: Option<Value>) -> Self {
        let mut options = json!({"keys": keys, "aggregates": aggregates()});
        if let Some(window) = window {
            options["time_column"] = if window["type"] == "attached" { Value::Null } else { json!("t") };
            options["window"] = window;
        }
        let local = json!({"kind": "agg.local", "options": options});
        // The local operators need no rows of other subtasks.
        let build_local = |subtask| build(&local, &context(3, subtask, vec![(schema(), Vec::new())])).unwrap();
        let partials = build_local(0).1;
        let over = |input: &str, schema: &SchemaRef| {
            let mut options = options.clone();
            options["input"] = json!(input);
            build(&json!({"kind": kind, "options": options}), &context(1, 0, vec![(schema.clone(), Vec::new())])).unwrap().0
        };
        Self {
            locals: (0..3).map(|subtask| build_local(subtask).0).collect(),
            two: over("partials", &partials),
            one: over("rows", &schema()),
            partials,
        }
    }

    /// Lets both phases and the one see the same. Returns the batch that the second phase got.
    fn handle(&mut self, event: &Event) -> Option<RecordBatch> {
        let (mut two, mut one) = (Collected::default(), Collected::default());
        let mut exchanged = None;
        match event {
            Event::Watermark(time) => {
                self.two.on_watermark(*time, &mut two).unwrap();
                self.one.on_watermark(*time, &mut one).unwrap();
            }
            Event::Rows(batches) => {
                let (mut rows, mut out) = (Vec::new(), Collected::default());
                for (batch, local) in batches.iter().zip(&mut self.locals) {
                    local.process(0, batch_of(batch), &mut out).unwrap();
                    rows.extend(batch.iter().copied());
                }
                let together = concat_batches(&self.partials, &out.batches).unwrap();
                self.two.process(0, together.clone(), &mut two).unwrap();
                self.one.process(0, batch_of(&rows), &mut one).unwrap();
                exchanged = Some(together);
            }
        }
        assert_eq!(shown(&two), shown(&one));
        assert_eq!(self.two.late_records(), self.one.late_records());
        exchanged
    }
}

/// All rows as texts. Variances differ in their last digits, depending on the order of addition.
fn shown(out: &Collected) -> Vec<Vec<String>> {
    let text = |column: &ArrayRef, row: usize| match column.data_type() {
        _ if column.is_null(row) => "NULL".to_owned(),
        // The order of additions decides the last bits. Shifted, no value lies just between two texts, as 0.0000005 does.
        DataType::Float64 => format!("{:.6}", column.as_primitive::<Float64Type>().value(row) + 1e-7),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).to_string(),
        _ => cell(column, row),
    };
    let rows_of = |batch: &RecordBatch| -> Vec<Vec<String>> {
        (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| text(column, row)).collect()).collect()
    };
    out.batches.iter().flat_map(rows_of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn two_phases_emit_what_one_emits(events in events(), keyed in any::<bool>(), shape in 0usize..5) {
        let windows = [
            json!({"type": "tumble", "size_ms": 20}),
            json!({"type": "hop", "size_ms": 30, "slide_ms": 10, "offset_ms": 3}),
            json!({"type": "cumulate", "size_ms": 30, "step_ms": 10}),
            json!({"type": "attached", "start": "start", "end": "end"}),
        ];
        let window = windows.get(shape).cloned();
        let kind = if window.is_some() { "window.agg" } else { "agg.group" };
        let mut pair = Pair::new(kind, if keyed { &["k"] } else { &[] }, window);
        for event in events.iter().chain([&Event::Watermark(1_000)]) {
            pair.handle(event);
        }
    }
}

#[test]
fn a_batch_that_shrinks_is_aggregated_and_another_goes_on_as_it_is() {
    let mut pair = Pair::new("agg.group", &["k"], None);
    let same: Vec<Row> = (0..100).map(|row| (Some(row % 2), Some(row), row)).collect();
    let different: Vec<Row> = (0..100).map(|row| (Some(row), Some(row), row)).collect();
    let exchanged = pair.handle(&Event::Rows(vec![same.clone(), different.clone()])).unwrap();
    assert_eq!((exchanged.num_rows(), exchanged.columns().last().unwrap().null_count()), (102, 100));
    // After the batch in vain, one is not tried. The next one is.
    let exchanged = pair.handle(&Event::Rows(vec![different, same.clone()])).unwrap();
    assert_eq!(exchanged.num_rows(), 200);
    let exchanged = pair.handle(&Event::Rows(vec![same.clone(), same])).unwrap();
    assert_eq!(exchanged.num_rows(), 102);
}

#[test]
fn distinct_rows_are_found_in_two_phases_too() {
    let input = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
    let batch = |keys: &[i64]| RecordBatch::try_new(input.clone(), vec![Arc::new(Int64Array::from(keys.to_vec()))]).unwrap();
    let local = json!({"kind": "agg.local", "options": {"keys": ["k"]}});
    let (mut local, partials) = build(&local, &context(2, 0, vec![(input.clone(), Vec::new())])).unwrap();
    let group = json!({"kind": "agg.group", "options": {"keys": ["k"], "input": "partials"}});
    let (mut group, _) = build(&group, &context(1, 0, vec![(partials, Vec::new())])).unwrap();
    let (mut between, mut out) = (Collected::default(), Collected::default());
    local.process(0, batch(&[1, 1, 2, 1, 2, 2, 1, 1]), &mut between).unwrap();
    local.process(0, batch(&[2, 2, 3, 3, 3, 2, 3, 2]), &mut between).unwrap();
    assert_eq!(between.batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 2]);
    between.batches.into_iter().for_each(|batch| group.process(0, batch, &mut out).unwrap());
    assert_eq!(out.lines(), [["1"], ["2"], ["3"]]);
}

#[test]
fn what_can_t_be_computed_in_parts_is_refused() {
    let refused = |function: &str, distinct: bool| {
        let call = json!({"name": "a", "function": function, "column": "v", "distinct": distinct});
        let local = json!({"kind": "agg.local", "options": {"keys": ["k"], "aggregates": [call]}});
        build(&local, &context(1, 0, vec![(schema(), Vec::new())])).err().map(|error| error.code)
    };
    assert_eq!(refused("sum", false), None);
    assert_eq!(refused("max", true), None);
    for (function, distinct) in [("first_value", false), ("array_agg", false), ("collect", false), ("count", true)] {
        assert_eq!(refused(function, distinct), Some("AGG-FUNCTION"), "{function}");
    }
}

#[test]
fn an_input_without_partial_aggregates_is_refused() {
    for kind in ["agg.group", "window.agg"] {
        let options =
            json!({"keys": ["k"], "input": "partials", "time_column": "t", "window": {"type": "tumble", "size_ms": 10}});
        let error =
            build(&json!({"kind": kind, "options": options}), &context(1, 0, vec![(schema(), Vec::new())])).err().unwrap();
        assert_eq!(error.code, "SCHEMA-PARTIAL", "{kind}");
    }
}

#[test]
fn damaged_partial_aggregates_fail_the_job() {
    for bytes in [vec![], vec![1], vec![0; 4], vec![255; 40], vec![0; 10_000]] {
        let mut pair = Pair::new("agg.group", &["k"], None);
        let batch = batch_of(&[(Some(1), Some(1), 1)]);
        let mut partials = BinaryBuilder::new();
        partials.append_value(&bytes);
        let columns = batch.columns().iter().cloned().chain([Arc::new(partials.finish()) as ArrayRef]).collect();
        let damaged = RecordBatch::try_new(pair.partials.clone(), columns).unwrap();
        assert_eq!(damaged.schema().fields().last().unwrap().name(), PARTIAL);
        let error = pair.two.process(0, damaged, &mut Collected::default()).unwrap_err();
        assert_eq!(error.code, "STATE-CORRUPT");
    }
}
