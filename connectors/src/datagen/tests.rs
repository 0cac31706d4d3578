use arrow_array::RecordBatch;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{barrier, context, descriptor, drain, restored, state};

fn options(rows: u64) -> Value {
    json!({
        "fields": [
            {"name": "id", "type": "bigint", "kind": "sequence", "min": 0},
            {"name": "n", "type": "int", "kind": "random", "min": -3, "max": 3},
            {"name": "x", "type": "double", "kind": "random", "min": 1, "max": 2},
            {"name": "city", "type": "string", "kind": "random", "values": ["Oslo", "Rome", "Lima"]},
            {"name": "token", "type": "string", "kind": "random"},
            {"name": "ok", "type": "boolean", "kind": "random"},
            {"name": "unit", "type": "string", "kind": "constant", "values": ["EUR"]},
            {"name": "at", "type": "timestamp_ms", "kind": "timestamp", "min": 1000, "step_ms": 10}
        ],
        "rows": rows, "seed": 5
    })
}

fn datagen(options: Value, subtask: u32, parallelism: u32) -> Datagen {
    Datagen::new(&descriptor("source.datagen", options), &context(subtask, parallelism, 1, vec![])).unwrap()
}

fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let mut out = Vec::new();
    for batch in batches {
        crate::formats::csv::append_csv(&mut out, batch, &Default::default()).unwrap();
    }
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_by_key(|line| line.split(',').next().unwrap().parse::<i64>().unwrap());
    lines
}

#[test]
fn a_row_depends_only_on_the_seed_and_its_number() {
    let alone = lines(&drain(&mut datagen(options(100), 0, 1), 7, usize::MAX).unwrap());
    assert_eq!(alone.len(), 100);
    let together: Vec<_> =
        (0..3).flat_map(|subtask| lines(&drain(&mut datagen(options(100), subtask, 3), 11, usize::MAX).unwrap())).collect();
    assert_eq!(sorted(together), alone);
    assert!(alone[7].starts_with("7,") && alone[7].ends_with(",EUR,1970-01-01T00:00:01.070Z"), "{}", alone[7]);
    let mut other = options(100);
    other["seed"] = json!(6);
    assert_ne!(lines(&drain(&mut datagen(other, 0, 1), 7, usize::MAX).unwrap()), alone);
}

#[test]
fn random_values_cover_their_range_and_stay_in_it() {
    let rows = lines(&drain(&mut datagen(options(500), 0, 1), 100, usize::MAX).unwrap());
    let column = |index: usize| {
        rows.iter().map(|row| row.split(',').nth(index).unwrap().to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(column(1).len(), 7);
    assert_eq!(column(3).len(), 3);
    assert_eq!(column(4).len(), 500);
    assert_eq!(column(5).len(), 2);
    assert!(column(2).iter().all(|x| (1.0..2.0).contains(&x.parse::<f64>().unwrap())));
}

#[test]
fn invalid_options_are_refused() {
    for field in [
        json!({"name": "a", "type": "boolean", "kind": "sequence"}),
        json!({"name": "a", "type": "string", "kind": "timestamp"}),
        json!({"name": "a", "type": "int", "kind": "constant"}),
        json!({"name": "a", "type": "int", "kind": "constant", "values": ["x"]}),
        json!({"name": "a", "type": "int", "kind": "constant", "values": [null]}),
        json!({"name": "a", "type": "int", "kind": "random", "min": 5, "max": 4}),
        json!({"name": "a", "type": "int", "kind": "random", "max": 3_000_000_000_i64}),
        json!({"name": "a", "type": "int", "kind": "random", "values": []}),
        json!({"name": "a", "type": "bigint", "kind": "sequence", "min": 1.5}),
        json!({"name": "a", "type": "int", "kind": "wobbly"}),
    ] {
        let built = build(&descriptor("source.datagen", json!({"fields": [field.clone()]})), &context(0, 1, 1, vec![]));
        assert_eq!(built.err().map(|error| error.code), Some("CONN-OPTION"), "{field}");
    }
}

#[test]
fn a_sequence_beyond_the_range_of_its_type_is_an_error() {
    let field = json!({"name": "a", "type": "int", "kind": "sequence", "min": i32::MAX - 1});
    let mut source = datagen(json!({"fields": [field]}), 0, 1);
    assert_eq!(source.poll(0, 5).unwrap_err().code, "DATAGEN-RANGE");
}

#[test]
fn the_rate_is_shared_by_all_subtasks() {
    let mut limited = options(1_000_000);
    limited["rows_per_second"] = json!(1000);
    let mut rows = 0;
    for subtask in 0..4 {
        let mut source = datagen(limited.clone(), subtask, 4);
        let mut now = 0;
        while now < 10_000 {
            match source.poll(now, 8192).unwrap() {
                SourcePoll::Batch(batch) => rows += batch.num_rows(),
                SourcePoll::NothingUntil(until) => now = until,
                SourcePoll::End => break,
            }
        }
    }
    assert!((9_800..=10_000).contains(&rows), "{rows}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_row_is_generated_once_across_restores_and_rescalings(
        rows in 0_u64..200, at_first in 0_u64..200, phases in proptest::collection::vec((1_u32..5, proptest::collection::vec(0_usize..6, 5)), 1..5),
    ) {
        let mut made = Vec::new();
        let mut states: Vec<Bytes> = Vec::new();
        for (phase, (parallelism, polls)) in phases.iter().enumerate() {
            let last = phase + 1 == phases.len();
            let mut next = Vec::new();
            // At the last restore the job may get more rows.
            let rows = if last { rows } else { rows.min(at_first) };
            for subtask in 0..*parallelism {
                let mut source = datagen(options(rows), subtask, *parallelism);
                if phase > 0 {
                    source.restore(restored(&states, subtask, *parallelism)).unwrap();
                }
                let polls = if last { usize::MAX } else { polls[subtask as usize] };
                made.extend(lines(&drain(&mut source, 7, polls).unwrap()));
                next.push(state(source.snapshot(&barrier(1)).unwrap()));
            }
            states = next;
        }
        prop_assert_eq!(sorted(made), lines(&drain(&mut datagen(options(rows), 0, 1), 50, usize::MAX).unwrap()));
    }

    #[test]
    fn an_edited_number_of_rows_is_honoured_or_refused_if_more_are_generated(
        rows in 0_u64..250, polls in proptest::collection::vec(0_usize..6, 3), parallelism in 1_u32..4,
    ) {
        let mut made = Vec::new();
        let states: Vec<_> = (0..3).zip(polls).map(|(subtask, polls)| {
            let mut source = datagen(options(200), subtask, 3);
            made.extend(lines(&drain(&mut source, 7, polls).unwrap()));
            state(source.snapshot(&barrier(1)).unwrap())
        }).collect();
        let number = |line: &String| line.split(',').next().unwrap().parse::<u64>().unwrap();
        let generated = made.iter().map(|line| number(line) + 1).max().unwrap_or(0);
        let mut refused = 0;
        for subtask in 0..parallelism {
            let mut source = datagen(options(rows), subtask, parallelism);
            match source.restore(restored(&states, subtask, parallelism)) {
                Ok(()) => made.extend(lines(&drain(&mut source, 7, usize::MAX).unwrap())),
                Err(error) => {
                    prop_assert!(error.code == "DATAGEN-ROWS" && rows < generated, "{error}");
                    refused += 1;
                }
            }
        }
        prop_assert_eq!(refused > 0, rows < generated);
        if refused == 0 {
            prop_assert_eq!(sorted(made), lines(&drain(&mut datagen(options(rows), 0, 1), 50, usize::MAX).unwrap()));
        }
    }

    #[test]
    fn arbitrary_state_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut source = datagen(options(5), 0, 1);
        prop_assert!(source.restore(restored(&[Bytes::from(bytes)], 0, 1)).is_err());
    }
}

#[test]
fn every_scalar_type_can_be_random_and_counted_if_it_has_an_order() {
    let all = [
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INT",
        "BIGINT",
        "FLOAT",
        "DOUBLE",
        "DECIMAL(38, 10)",
        "DECIMAL(5, 2)",
        "CHAR(3)",
        "VARCHAR(30)",
        "STRING",
        "BYTES",
        "BINARY(2)",
        "DATE",
        "TIME(0)",
        "TIMESTAMP(3)",
        "TIMESTAMP(6)",
        "TIMESTAMP_LTZ(9)",
    ];
    for data_type in all {
        let field = |kind: &str| json!({"fields": [{"name": "a", "type": data_type, "kind": kind}], "rows": 100});
        let batches = drain(&mut datagen(field("random"), 0, 1), 1000, usize::MAX).unwrap();
        assert_eq!(batches[0].num_rows(), 100, "{data_type}");
        let counted = Datagen::new(&descriptor("source.datagen", field("sequence")), &context(0, 1, 1, vec![])).is_ok();
        assert_eq!(counted, !["BOOLEAN", "BYTES", "BINARY(2)"].contains(&data_type), "{data_type}");
    }
    let days = json!({"fields": [{"name": "d", "type": "DATE", "kind": "sequence", "min": -1}, {"name": "x", "type": "DECIMAL(5, 2)",
        "kind": "random", "min": 1.25, "max": 1.25}, {"name": "t", "type": "TIMESTAMP(6)", "kind": "timestamp", "min": 5}], "rows": 2});
    let batches = drain(&mut datagen(days, 0, 1), 10, usize::MAX).unwrap();
    assert_eq!(lines(&batches), ["1969-12-31,1.25,1970-01-01T00:00:00.005Z", "1970-01-01,1.25,1970-01-01T00:00:00.006Z"]);
}

#[test]
fn nested_columns_are_filled_part_by_part() {
    let field = json!({"name": "a", "type": "MAP<INT NOT NULL, ROW<x STRING, l ARRAY<TINYINT>>>", "kind": "random", "length": 2, "parts": [
        {"name": "key", "min": 3, "max": 3}, {"name": "value.x", "length": 20, "var_length": true, "null_rate": 0.5},
        {"name": "value.l", "length": 1}, {"name": "value.l.element", "min": 7, "max": 7}]});
    let batches = drain(&mut datagen(json!({"fields": [field], "rows": 200}), 0, 1), 1000, usize::MAX).unwrap();
    let mut json = Vec::new();
    crate::formats::json::append_json(&mut json, &batches[0], Default::default()).unwrap();
    let mut lengths = std::collections::BTreeSet::new();
    for line in String::from_utf8(json).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let value = &row["a"]["3"];
        assert_eq!(value["l"], json!([7]), "{line}");
        lengths.insert(value["x"].as_str().map(str::len));
    }
    assert!(lengths.contains(&None) && lengths.len() > 15 && lengths.iter().flatten().all(|length| (1..=20).contains(length)));
}

#[test]
fn times_go_back_by_a_random_length_and_nulls_have_their_share() {
    let fields = json!([{"name": "t", "type": "TIMESTAMP(3)", "kind": "timestamp", "min": 1_000_000, "step_ms": 0, "max_past_ms": 1000},
        {"name": "d", "type": "DATE", "kind": "timestamp", "min": 86_400_000, "null_rate": 0.25}]);
    let batches = drain(&mut datagen(json!({"fields": fields, "rows": 1000}), 0, 1), 1000, usize::MAX).unwrap();
    let times = arrow_array::cast::AsArray::as_primitive::<arrow_array::types::TimestampMillisecondType>(batches[0].column(0));
    assert!(times.values().iter().all(|time| (999_000..=1_000_000).contains(time)));
    assert!(times.values().iter().collect::<std::collections::BTreeSet<_>>().len() > 300);
    assert!((150..350).contains(&batches[0].column(1).null_count()), "{}", batches[0].column(1).null_count());
    let wrong = json!({"fields": [{"name": "a", "type": "ARRAY<INT NOT NULL>", "kind": "random",
        "parts": [{"name": "element", "null_rate": 0.1}]}]});
    let refused = Datagen::new(&descriptor("source.datagen", wrong), &context(0, 1, 1, vec![])).err().unwrap();
    assert_eq!(refused.code, "CONN-OPTION");
}
