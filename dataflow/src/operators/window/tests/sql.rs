//! Compares `window.agg` with a model that keeps every row and recomputes the results.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{ArrayRef, BooleanArray, Decimal128Array, Float32Array, Int32Array};
use arrow_schema::TimeUnit;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::element::MAX_WATERMARK;
use crate::schema;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Hop(i64),
    Cumulate(i64),
    Attached,
}

const SIZE: i64 = 12;

#[derive(Debug, Clone)]
enum Event {
    Rows(Vec<Row>),
    Watermark(i64),
    Restore(u32),
}

/// The columns of [`super::input`], and more that are made of the value.
fn wide(rows: &[Row]) -> RecordBatch {
    let batch = batch_of(rows);
    let values = || rows.iter().map(|row| row.3);
    let decimals = values().map(|v| v.map(|v| i128::from(v) * 25)).collect::<Decimal128Array>();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i", Arc::new(values().map(|v| v.map(|v| (v as i32).wrapping_mul(900_000_000))).collect::<Int32Array>())),
        ("f", Arc::new(values().map(|v| v.map(|v| v as f32 / 4.0)).collect::<Float32Array>())),
        ("m", Arc::new(decimals.with_precision_and_scale(6, 2).unwrap())),
        ("even", Arc::new(values().map(|v| v.map(|v| v % 2 == 0)).collect::<BooleanArray>())),
        ("start", local_times(rows.iter().map(|row| row.2 - row.2.rem_euclid(SIZE)))),
        ("end", local_times(rows.iter().map(|row| row.2 - row.2.rem_euclid(SIZE) + SIZE))),
    ];
    let mut fields: Vec<Field> = batch.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.extend(columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)));
    let all = batch.columns().iter().cloned().chain(columns.into_iter().map(|(_, column)| column)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), all).unwrap()
}

fn local_times(times: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(times.map(Some).collect::<TimestampMillisecondArray>())
}

fn descriptor(shape: Shape, keys: &[&str]) -> Value {
    let window = match shape {
        Shape::Hop(slide) => json!({"type": "hop", "size_ms": SIZE, "slide_ms": slide, "offset_ms": 1}),
        Shape::Cumulate(step) => json!({"type": "cumulate", "size_ms": SIZE, "step_ms": step, "offset_ms": 1}),
        Shape::Attached => json!({"type": "attached", "start": "start", "end": "end"}),
    };
    let mut options = json!({
    "window": window, "keys": keys, "window_start": "from", "window_end": "to", "window_time": "at",
    "aggregates": [
        {"name": "rows", "function": "count"},
        {"name": "evens", "function": "count", "filter": "even"},
        {"name": "values", "function": "count", "column": "v"},
        {"name": "distinct", "function": "count", "column": "v", "distinct": true},
        {"name": "sum", "function": "sum", "column": "v"},
        {"name": "sum_even", "function": "sum", "column": "v", "filter": "even", "distinct": true},
        {"name": "wrapped", "function": "sum", "column": "i"},
        {"name": "avg", "function": "avg", "column": "v"},
        {"name": "avg_float", "function": "avg", "column": "f"},
        {"name": "decimals", "function": "sum", "column": "m"},
        {"name": "avg_decimal", "function": "avg", "column": "m"},
        {"name": "min", "function": "min", "column": "m"},
        {"name": "max", "function": "max", "column": "f"},
        {"name": "least_text", "function": "min", "column": "s"},
        {"name": "first", "function": "first_value", "column": "v"},
        {"name": "last", "function": "last_value", "column": "s"},
        {"name": "texts", "function": "count", "column": "s", "distinct": true},
    ]});
    if shape != Shape::Attached {
        options["time_column"] = json!("t");
    }
    json!({"kind": "window.agg", "options": options})
}

/// Starts and ends of all windows that hold a time.
fn windows_of(shape: Shape, time: i64) -> Vec<(i64, i64)> {
    let offset = if shape == Shape::Attached { 0 } else { 1 };
    let start_of = |every: i64| time - (time - offset).rem_euclid(every);
    match shape {
        Shape::Hop(slide) => {
            let starts = (0..).map(|hop| start_of(slide) - hop * slide).take_while(|start| start + SIZE > time);
            starts.map(|start| (start, start + SIZE)).collect()
        }
        Shape::Cumulate(step) => {
            let start = start_of(SIZE);
            (1..=SIZE / step).map(|steps| (start, start + steps * step)).filter(|(_, end)| time < *end).collect()
        }
        Shape::Attached => vec![(start_of(SIZE), start_of(SIZE) + SIZE)],
    }
}

/// The line that a window with these rows becomes.
fn line((start, end): (i64, i64), key: &[String], rows: &[Row]) -> Vec<String> {
    let shown = |v: Option<String>| v.unwrap_or("NULL".into());
    let values: Vec<i64> = rows.iter().filter_map(|r| r.3).collect();
    let evens: Vec<i64> = values.iter().copied().filter(|v| v % 2 == 0).collect();
    let texts: Vec<&String> = rows.iter().filter_map(|r| r.1.as_ref()).collect();
    let of_some = |some: &[i64], text: String| if some.is_empty() { "NULL".to_owned() } else { text };
    let sum: i64 = values.iter().sum();
    let wrapped = values.iter().fold(0i32, |sum, v| sum.wrapping_add((*v as i32).wrapping_mul(900_000_000)));
    let count = values.len().max(1) as i64;
    // To four more digits, rounded half away from zero.
    let scaled = sum * 25 * 10_000;
    let average = (scaled.abs() * 2 + count) / (2 * count) * scaled.signum();
    let mut line = key.to_vec();
    line.push(rows.len().to_string());
    line.push(evens.len().to_string());
    line.push(values.len().to_string());
    line.push(values.iter().collect::<BTreeSet<_>>().len().to_string());
    line.push(of_some(&values, sum.to_string()));
    line.push(of_some(&evens, evens.iter().collect::<BTreeSet<_>>().into_iter().sum::<i64>().to_string()));
    line.push(of_some(&values, wrapped.to_string()));
    line.push(of_some(&values, (sum / count).to_string()));
    line.push(of_some(&values, format!("{:?}", (sum as f64 / 4.0 / count as f64) as f32)));
    line.push(of_some(&values, format!("{} of scale 2", sum * 25)));
    line.push(of_some(&values, format!("{average} of scale 6")));
    line.push(shown(values.iter().min().map(|v| format!("{} of scale 2", v * 25))));
    line.push(shown(values.iter().max().map(|v| format!("{:?}", *v as f32 / 4.0))));
    line.push(shown(texts.iter().min().map(ToString::to_string)));
    line.push(shown(values.first().map(ToString::to_string)));
    line.push(shown(texts.last().map(ToString::to_string)));
    line.push(texts.iter().collect::<BTreeSet<_>>().len().to_string());
    line.extend([start, end, end - 1].map(|time| time.to_string()));
    line
}

struct Model {
    shape: Shape,
    windows: BTreeMap<(i64, i64, Vec<String>), Vec<Row>>,
    watermark: i64,
    lines: Vec<Vec<String>>,
    late: u64,
}

impl Model {
    fn row(&mut self, row: &Row, keys: &[&str]) {
        let key = |name: &&str| match *name {
            "k" => row.0.map_or("NULL".into(), |k| k.to_string()),
            _ => row.1.clone().unwrap_or("NULL".into()),
        };
        let key: Vec<String> = keys.iter().map(key).collect();
        let open: Vec<_> = windows_of(self.shape, row.2).into_iter().filter(|(_, end)| end - 1 > self.watermark).collect();
        self.late += u64::from(open.is_empty());
        for (start, end) in open {
            self.windows.entry((end, start, key.clone())).or_default().push(row.clone());
        }
    }

    fn watermark(&mut self, watermark: i64) {
        self.watermark = self.watermark.max(watermark);
        while let Some(entry) = self.windows.first_entry() {
            let (end, start, key) = entry.key().clone();
            if end - 1 > self.watermark {
                break;
            }
            self.lines.push(line((start, end), &key, &entry.remove()));
        }
    }
}

/// Cells as texts, also of types that only these tests have.
fn lines(out: &Collected) -> Vec<Vec<String>> {
    let cell = |column: &ArrayRef, row: usize| match column.data_type() {
        _ if column.is_null(row) => "NULL".into(),
        DataType::Decimal128(_, scale) => format!("{} of scale {scale}", column.as_primitive::<Decimal128Type>().value(row)),
        DataType::Float32 => format!("{:?}", column.as_primitive::<arrow_array::types::Float32Type>().value(row)),
        _ => crate::operators::tests::cell(column, row),
    };
    let rows = out.batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    rows.map(|(batch, row)| batch.columns().iter().map(|column| cell(column, row)).collect()).collect()
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let row = (prop::option::of(0i64..4), prop::option::of("[ab]"), -30i64..90, prop::option::of(-4i64..5));
    let rows = prop::collection::vec(row, 1..20).prop_map(Event::Rows);
    let watermark = (-20i64..100).prop_map(Event::Watermark);
    let event = prop_oneof![4 => rows, 3 => watermark, 1 => (1u32..4).prop_map(Event::Restore)];
    prop::collection::vec(event, 0..15)
}

fn shapes() -> impl Strategy<Value = Shape> {
    let hop = prop::sample::select(vec![12, 6, 4, 3]).prop_map(Shape::Hop);
    let cumulate = prop::sample::select(vec![12, 6, 4, 3]).prop_map(Shape::Cumulate);
    prop_oneof![2 => hop, 2 => cumulate, 1 => Just(Shape::Attached)]
}

proptest! {
    #[test]
    fn sql_windows_match_the_model_across_batches_restores_and_rescalings(
        events in events(), shape in shapes(),
        keys in prop::sample::select(vec![vec!["k"], vec!["k", "s"], vec!["s"], vec![]]),
        parallelism in 1u32..4, batch in 1usize..12,
    ) {
        let parallelism = if keys.is_empty() { 1 } else { parallelism };
        let mut model = Model { shape, windows: BTreeMap::new(), watermark: i64::MIN, lines: Vec::new(), late: 0 };
        let mut real = Parallel::new(parallelism, &keys, descriptor(shape, &keys), wide);
        let mut late_before = 0;
        for event in events.into_iter().chain([Event::Watermark(MAX_WATERMARK)]) {
            match event {
                Event::Rows(rows) => {
                    rows.iter().for_each(|row| model.row(row, &keys));
                    rows.chunks(batch).for_each(|rows| real.rows(rows));
                }
                Event::Watermark(watermark) => {
                    model.watermark(watermark);
                    real.watermark(watermark);
                }
                Event::Restore(parallelism) => {
                    late_before += real.late();
                    real.restore(parallelism);
                }
            }
        }
        let mut found: Vec<_> = real.subtasks.iter().flat_map(|(_, out)| lines(out)).collect();
        model.lines.sort();
        found.sort();
        prop_assert_eq!(found, model.lines);
        prop_assert_eq!(real.late() + late_before, model.late);
    }
}

fn one(descriptor: &Value, schema: SchemaRef) -> (Box<dyn Operator>, SchemaRef) {
    build(descriptor, &context(1, 0, vec![(schema, vec![])])).unwrap()
}

fn agg(window: Value, aggregates: Value) -> Value {
    json!({"kind": "window.agg", "options": {"window": window, "time_column": "t", "keys": ["k"], "aggregates": aggregates,
        "window_start": "start", "window_end": "end", "window_time": "at"}})
}

fn tumble() -> Value {
    json!({"type": "tumble", "size_ms": 10})
}

#[test]
fn results_have_flinks_types_and_columns_in_this_order() {
    let with =
        |function: &str, column: &str| json!({"name": format!("{function}_{column}"), "function": function, "column": column});
    let aggregates = json!([
        {"name": "n", "function": "count"}, with("sum", "i"), with("avg", "i"), with("sum", "f"), with("avg", "f"), with("sum", "m"),
        with("avg", "m"), with("var_pop", "v"), with("stddev_samp", "d"), with("var_samp", "m"), with("max", "s"), with("listagg", "s"),
        with("first_value", "even"), with("min", "t"),
    ]);
    let (_, output) = one(&agg(tumble(), aggregates), wide(&[]).schema());
    assert_eq!(
        schema::describe(&output),
        "(k BIGINT, n BIGINT, sum_i INT, avg_i INT, sum_f FLOAT, avg_f FLOAT, sum_m DECIMAL(38, 2), avg_m DECIMAL(38, 6), \
         var_pop_v BIGINT, stddev_samp_d DOUBLE, var_samp_m DECIMAL(38, 6), max_s STRING, listagg_s STRING, \
         first_value_even BOOLEAN, min_t TIMESTAMP(3), start TIMESTAMP(3), end TIMESTAMP(3), at TIMESTAMP(3))"
    );
    let nullable: Vec<_> =
        output.fields().iter().filter(|field| !field.is_nullable()).map(|field| field.name().as_str()).collect();
    assert_eq!(nullable, ["n", "min_t", "start", "end", "at"]);
}

/// As the real Flink 2.3 answered, with the watermark at each row's time: LISTAGG has the panes from the newest, and a row that is
/// late for its first windows counts in the others.
#[test]
fn hopping_windows_have_the_results_of_flink() {
    let rows: Vec<Row> = [("a", 1, 1), ("a", 5, 2), ("b", 9, 3), ("c", 7, 4), ("b", 3, 9)]
        .into_iter()
        .map(|(s, t, v)| (Some(1), Some(s.to_owned()), t * 1_000, Some(v)))
        .collect();
    let aggregates = json!([
        {"name": "texts", "function": "listagg", "column": "s"},
        {"name": "deviation", "function": "stddev_pop", "column": "v"},
        {"name": "variance", "function": "var_samp", "column": "v"},
        {"name": "average", "function": "avg", "column": "v"},
        {"name": "values", "function": "count", "column": "v", "distinct": true},
        {"name": "least", "function": "min", "column": "s"},
    ]);
    let mut descriptor = agg(json!({"type": "hop", "size_ms": 12_000, "slide_ms": 4_000}), aggregates);
    descriptor["options"].as_object_mut().unwrap().retain(|name, _| name != "window_end" && name != "window_time");
    let (mut operator, _) = one(&descriptor, input());
    let mut out = Collected::default();
    for row in rows {
        let time = row.2;
        operator.process(0, batch_of(&[row]), &mut out).unwrap();
        operator.on_watermark(time, &mut out).unwrap();
    }
    operator.on_watermark(MAX_WATERMARK, &mut out).unwrap();
    assert_eq!(
        out.lines(),
        [
            ["1", "a", "0", "NULL", "1", "1", "a", "-8000"],
            ["1", "a,a", "0", "0", "1", "2", "a", "-4000"],
            ["1", "b,a,c,a,b", "2", "9", "3", "5", "a", "0"],
            ["1", "b,a,c", "0", "1", "3", "3", "a", "4000"],
            ["1", "b", "0", "NULL", "3", "1", "b", "8000"],
        ]
    );
}

/// As the real Flink 2.3 answered for `America/Los_Angeles`: a row every ten minutes around both changes of the clocks in 2021.
#[test]
fn windows_of_local_time_follow_summer_time_as_in_flink() {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("t", time.clone(), false)]));
    let minutes = |base: i64| (-1..25).map(move |step| base + step * 600_000);
    let times: Vec<i64> = minutes(1_615_708_800_000).chain(minutes(1_636_268_400_000)).collect();
    let run = |hours: i64| {
        let mut descriptor =
            agg(json!({"type": "tumble", "size_ms": hours * 3_600_000}), json!([{"name": "n", "function": "count"}]));
        descriptor["options"]["zone"] = json!("America/Los_Angeles");
        let (mut operator, output) = one(&descriptor, schema.clone());
        assert_eq!(output.field(4).data_type(), &time);
        let mut out = Collected::default();
        for time in &times {
            let column: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![*time]).with_timezone("UTC"));
            let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![1])), column]).unwrap();
            operator.process(0, batch, &mut out).unwrap();
            operator.on_watermark(*time, &mut out).unwrap();
        }
        operator.on_watermark(MAX_WATERMARK, &mut out).unwrap();
        assert_eq!(operator.late_records(), 0);
        let lines = out.lines().into_iter();
        lines.map(|line| (line[1].parse::<i64>().unwrap(), line[4].parse::<i64>().unwrap() / 1_000)).collect::<Vec<_>>()
    };
    let counts_and_times = [
        (1, 1_615_708_799),
        (6, 1_615_712_399),
        (6, 1_615_715_999),
        (6, 1_615_719_599),
        (6, 1_615_723_199),
        (1, 1_615_726_799),
        (1, 1_636_268_399),
        (6, 1_636_271_999),
        (12, 1_636_275_599),
        (6, 1_636_282_799),
        (1, 1_636_286_399),
    ];
    assert_eq!(run(1), counts_and_times);
    assert_eq!(run(24).into_iter().map(|(count, _)| count).collect::<Vec<_>>(), [1, 25, 1, 25]);
}

#[test]
fn state_of_another_signature_is_refused_with_the_difference() {
    let count = json!([{"name": "n", "function": "count"}]);
    let snapshot = |descriptor: &Value| {
        let (mut operator, _) = one(descriptor, input());
        operator.process(0, batch_of(&[(Some(1), Some("x".into()), 1, Some(5))]), &mut Collected::default()).unwrap();
        restored_for(vec![operator.snapshot(&barrier(1)).unwrap()], 1).remove(0)
    };
    let refusal = |descriptor: Value| {
        let error = one(&descriptor, input()).0.restore(snapshot(&agg(tumble(), count.clone()))).unwrap_err();
        assert_eq!(error.code, "STATE-INCOMPATIBLE");
        error.message
    };
    let sum = json!([{"name": "n", "function": "sum", "column": "v", "filter": "b"}]);
    let mut filtered = input().fields().to_vec();
    filtered.push(Arc::new(Field::new("b", DataType::Boolean, true)));
    let (mut operator, _) = one(&agg(tumble(), sum), Arc::new(Schema::new(filtered)));
    let error = operator.restore(snapshot(&agg(tumble(), count.clone()))).unwrap_err();
    assert!(error.message.contains("aggregates [count], this job has [sum BIGINT filter]"), "{error}");
    let message = refusal(agg(json!({"type": "tumble", "size_ms": 20}), count.clone()));
    assert!(message.contains("window TUMBLE of 10 ms, offset 0 ms, this job has TUMBLE of 20 ms"), "{message}");
    let mut other_keys = agg(tumble(), count.clone());
    other_keys["options"]["keys"] = json!(["s"]);
    assert!(refusal(other_keys).contains("key types [BIGINT], this job has [STRING]"));
    let mut renamed = agg(tumble(), json!([{"name": "m", "function": "count"}]));
    renamed["options"]["window_start"] = json!("begin");
    one(&renamed, input()).0.restore(snapshot(&agg(tumble(), count))).unwrap();
}

#[test]
fn the_state_format_does_not_change() {
    // What was added later has tests of its own.
    let is_old = |function: &&crate::aggregates::AggregateFunction| !["array_agg", "collect"].contains(&function.name);
    let mut functions: Vec<Value> = crate::aggregates::all()
        .filter(is_old)
        .map(|function| {
            let column = if function.name == "listagg" || function.name.starts_with("m") { "s" } else { "m" };
            json!({"name": function.name, "function": function.name, "column": column})
        })
        .collect();
    functions.push(json!({"name": "a", "function": "sum", "column": "v", "distinct": true, "filter": "even"}));
    functions.push(json!({"name": "b", "function": "avg", "column": "f"}));
    functions.push(json!({"name": "c", "function": "sum", "column": "f"}));
    functions.push(json!({"name": "d", "function": "count", "column": "s", "distinct": true}));
    let (mut operator, _) =
        one(&agg(json!({"type": "cumulate", "size_ms": 10, "step_ms": 5}), json!(functions)), wide(&[]).schema());
    let rows = [
        (Some(1), Some("a".into()), 3, Some(2)),
        (Some(1), Some("b".into()), 4, Some(4)),
        (None, None, -5, None),
        (Some(2), Some("ä".into()), 12, Some(-3)),
    ];
    operator.process(0, wide(&rows), &mut Collected::default()).unwrap();
    operator.on_watermark(2, &mut Collected::default()).unwrap();
    let snapshot = operator.snapshot(&barrier(1)).unwrap();
    let mut saved = snapshot.operator_state.unwrap().to_vec();
    for group in snapshot.key_groups {
        saved.extend(group.key_group.to_le_bytes());
        saved.extend((group.serialize)().unwrap());
    }
    assert_eq!((saved.len(), crc32c::crc32c(&saved)), (1_065, 3_709_265_983));
}

#[test]
fn bad_options_of_sql_windows_have_codes() {
    let refused = |descriptor: Value| build(&descriptor, &context(1, 0, vec![(input(), vec![])])).err().map(|error| error.code);
    let aggregate = |aggregate: Value| refused(agg(tumble(), json!([aggregate])));
    assert_eq!(aggregate(json!({"name": "n", "function": "median", "column": "v"})), Some("AGG-FUNCTION"));
    assert_eq!(aggregate(json!({"name": "n", "function": "sum"})), Some("AGG-COLUMN"));
    assert_eq!(aggregate(json!({"name": "n", "function": "sum", "column": "s"})), Some("AGG-TYPE"));
    assert_eq!(aggregate(json!({"name": "n", "function": "count", "filter": "v"})), Some("AGG-TYPE"));
    assert_eq!(aggregate(json!({"name": "n", "function": "count", "column": "x"})), Some("SCHEMA-COLUMN"));
    assert_eq!(aggregate(json!({"name": "k", "function": "count"})), Some("SCHEMA-DUPLICATE"));
    let window = |window: Value| refused(agg(window, json!([])));
    assert_eq!(window(json!({"type": "hop", "size_ms": 10, "slide_ms": 4})), Some("OPT-VALUE"));
    assert_eq!(window(json!({"type": "tumble", "size_ms": 0})), Some("OPT-VALUE"));
    assert_eq!(window(json!({"type": "tumble", "size_ms": i64::MAX})), Some("OPT-VALUE"));
    assert_eq!(window(json!({"type": "cumulate", "size_ms": 10})), Some("OPT-TYPE"));
    assert_eq!(window(json!({"type": "attached", "start": "v", "end": "s"})), Some("TIME-TYPE"));
    let mut zoned = agg(tumble(), json!([]));
    zoned["options"]["zone"] = json!("Mars/Base");
    assert_eq!(refused(zoned.clone()), Some("OPT-VALUE"));
    zoned["options"]["zone"] = json!("Europe/Berlin");
    assert_eq!(refused(zoned), Some("OPT-VALUE"));
    assert_eq!(window(tumble()), None);
}

#[test]
fn windows_are_named_for_each_row_in_flinks_order() {
    let rename = json!({"window_start": "start", "window_end": "end", "window_time": "at"});
    let assign = |window: Value| {
        let mut options = json!({"window": window, "time_column": "t"});
        rename.as_object().unwrap().iter().for_each(|(name, value)| options[name] = value.clone());
        let (mut operator, output) = one(&json!({"kind": "window.assign", "options": options}), input());
        let mut out = Collected::default();
        let rows = batch_of(&[(Some(1), None, 1, None), (Some(2), None, 5, None)]);
        operator.process(0, rows, &mut out).unwrap();
        assert!(operator.keeps_column("k") && !operator.keeps_column("start"));
        assert_eq!(output.fields().len(), 8);
        out.lines()
            .into_iter()
            .map(|line| [&line[0], &line[5], &line[6], &line[7]].map(|cell| cell.parse::<i64>().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(assign(json!({"type": "tumble", "size_ms": 4})), [[1, 0, 4, 3], [2, 4, 8, 7]]);
    assert_eq!(
        assign(json!({"type": "hop", "size_ms": 12, "slide_ms": 4})),
        [[1, 0, 12, 11], [1, -4, 8, 7], [1, -8, 4, 3], [2, 4, 16, 15], [2, 0, 12, 11], [2, -4, 8, 7]]
    );
    assert_eq!(
        assign(json!({"type": "cumulate", "size_ms": 6, "step_ms": 2})),
        [[1, 0, 2, 1], [1, 0, 4, 3], [1, 0, 6, 5], [2, 0, 6, 5]]
    );
}
