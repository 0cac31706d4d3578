//! Saved state: its bytes, versions, refusals, and damage.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::aggregates::{AggregateCall, AggregateOption, Selection};
use crate::operator::{OperatorError, RestoredState};
use crate::operators::group::saved::Saved;
use crate::operators::group::table::Table;
use crate::operators::keyed::Layout;
use crate::state::KeyLayout;
use crate::state::seal;

fn operator(keys: Value, input: &str, aggregates: Value, ttl_ms: u64) -> Box<dyn Operator> {
    let descriptor = json!({"kind": "agg.group", "options": {"keys": keys, "input": input, "aggregates": aggregates,
        "state_ttl_ms": ttl_ms}});
    build(&descriptor, &context(1, 0, vec![(schema(input == "changes"), vec![])])).unwrap().0
}

fn row(k: i64, s: &str, v: i64) -> Row {
    Row { k: Some(k), s: Some(s.into()), v: Some(v), keep: Some(true) }
}

/// One aggregate of each kind of accumulator.
fn every_kind() -> Value {
    json!([
        {"name": "a0", "function": "count"},
        {"name": "a1", "function": "sum", "column": "v"},
        {"name": "a2", "function": "avg", "column": "m"},
        {"name": "a3", "function": "var_pop", "column": "d"},
        {"name": "a4", "function": "max", "column": "v"},
        {"name": "a5", "function": "first_value", "column": "s"},
        {"name": "a6", "function": "listagg", "column": "s"},
        {"name": "a7", "function": "count", "column": "v", "distinct": true},
        {"name": "a8", "function": "sum", "column": "v", "distinct": true},
    ])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of the signature, and of the only key group.
fn saved(operator: &mut dyn Operator) -> (String, String) {
    let mut snapshot = operator.snapshot(&barrier(1)).unwrap();
    assert_eq!(snapshot.key_groups.len(), 1);
    let signature = hex(&snapshot.operator_state.unwrap());
    (signature, hex(&(snapshot.key_groups.remove(0).serialize)().unwrap()))
}

#[test]
fn the_bytes_of_saved_groups_never_change() {
    let mut changes = operator(json!(["k"]), "changes", every_kind(), 1_000);
    changes.on_tick(77, &mut Collected::default()).unwrap();
    let rows = [row(5, "a", 1), row(5, "bc", -2), row(5, "a", 1), row(5, "d", 9)];
    let mut batch: Vec<Change> = rows.into_iter().map(|row| (row, RowKind::Insert)).collect();
    batch.push((row(5, "d", 9), RowKind::Delete));
    changes.process(0, batch_of(&batch, true), &mut Collected::default()).unwrap();
    let golden: Vec<&str> = include_str!("golden.txt").lines().collect();
    let (signature, groups) = saved(changes.as_mut());
    assert_eq!([signature.as_str(), groups.as_str()], golden[..2]);

    let mut rows = operator(json!(["s"]), "rows", json!([{"name": "n", "function": "min", "column": "v"}]), 0);
    rows.process(0, batch_of(&[(row(1, "xyz", 4), RowKind::Insert)], false), &mut Collected::default()).unwrap();
    let (signature, groups) = saved(rows.as_mut());
    assert_eq!([signature.as_str(), groups.as_str()], golden[2..4]);
}

fn restored(operator: &mut dyn Operator) -> RestoredState {
    restored_for(vec![operator.snapshot(&barrier(1)).unwrap()], 1).remove(0)
}

#[test]
fn state_of_another_aggregation_is_refused_and_the_difference_named() {
    let count = || json!([{"name": "n", "function": "count"}]);
    let mut before = operator(json!(["k"]), "rows", count(), 0);
    before.process(0, batch_of(&[(row(1, "a", 1), RowKind::Insert)], false), &mut Collected::default()).unwrap();
    let mut refusal = |mut after: Box<dyn Operator>| -> Option<String> {
        let refused: Option<OperatorError> = after.restore(restored(before.as_mut())).err();
        refused.map(|error| {
            assert_eq!(error.code, "STATE-INCOMPATIBLE");
            error.message.split(';').next().unwrap().to_owned()
        })
    };
    assert_eq!(refusal(operator(json!(["k"]), "rows", json!([{"name": "other", "function": "count"}]), 9_000)), None);
    let said = |text: &str| Some(text.to_owned());
    let keys = refusal(operator(json!(["s"]), "rows", count(), 0));
    assert_eq!(keys, said("the saved state has key types [BIGINT], this job has [STRING]"));
    let input = refusal(operator(json!(["k"]), "changes", count(), 0));
    assert_eq!(input, said("the saved state has input rows, this job has changes"));
    let sum = refusal(operator(json!(["k"]), "rows", json!([{"name": "n", "function": "sum", "column": "v"}]), 0));
    assert_eq!(sum, said("the saved state has aggregates [count], this job has [sum BIGINT]"));
}

#[test]
fn an_unchanged_key_group_keeps_its_version_and_an_empty_one_is_not_saved() {
    let mut operator = operator(json!(["k"]), "changes", json!([{"name": "n", "function": "count"}]), 0);
    let versions = |operator: &mut Box<dyn Operator>| -> BTreeMap<u32, u64> {
        operator.snapshot(&barrier(1)).unwrap().key_groups.iter().map(|group| (group.key_group, group.version)).collect()
    };
    let process = |operator: &mut Box<dyn Operator>, keys: std::ops::Range<i64>, kind: RowKind| {
        let changes: Vec<_> = keys.map(|k| (row(k, "a", 1), kind)).collect();
        operator.process(0, batch_of(&changes, true), &mut Collected::default()).unwrap();
    };
    process(&mut operator, 0..50, RowKind::Insert);
    let before = versions(&mut operator);
    process(&mut operator, 7..8, RowKind::Insert);
    let after = versions(&mut operator);
    assert_eq!(after.iter().filter(|(group, version)| before[group] != **version).count(), 1);
    process(&mut operator, 0..50, RowKind::Delete);
    process(&mut operator, 7..8, RowKind::Delete);
    assert!(versions(&mut operator).is_empty());
}

#[test]
fn a_known_distinct_row_changes_no_version() {
    let mut operator = operator(json!(["k"]), "rows", Value::Null, 0);
    let batch = batch_of(&[(row(1, "a", 1), RowKind::Insert)], false);
    let mut version = || {
        operator.process(0, batch.clone(), &mut Collected::default()).unwrap();
        operator.snapshot(&barrier(1)).unwrap().key_groups[0].version
    };
    assert_eq!(version(), version());
}

#[test]
fn slots_of_gone_keys_are_used_again() {
    for data_type in [DataType::Int64, DataType::Utf8] {
        let layout = KeyLayout::new(vec![data_type.clone()]).unwrap();
        let mut index = layout.empty_index();
        let mut slots = Vec::new();
        for round in 0..20i64 {
            let keys = (0..1_000).map(|key| (key != 13).then_some(round * 1_000 + key));
            let keys: ArrayRef = match data_type {
                DataType::Int64 => Arc::new(keys.collect::<Int64Array>()),
                _ => Arc::new(keys.map(|key| key.map(|key| format!("key {key}"))).collect::<StringArray>()),
            };
            let batch = layout.batch_keys(std::slice::from_ref(&keys), 1_000).unwrap();
            index.slots(&batch, Selection::All, &mut slots);
            assert_eq!(&layout.columns(&index, &slots).unwrap()[0], &keys);
            // One key of each round stays.
            slots[1..].iter().for_each(|slot| index.remove(*slot));
            assert!(index.len() <= 1_000 + 20);
            let kept = layout.columns(&index, &slots[..1]).unwrap();
            assert_eq!(&kept[0].slice(0, 1), &keys.slice(0, 1));
        }
    }
}

#[test]
fn a_change_that_takes_back_nothing_fails_the_job_if_groups_live_for_ever() {
    let mut operator = operator(json!(["k"]), "changes", json!([{"name": "n", "function": "max", "column": "v"}]), 0);
    let mut process = |change: Change| operator.process(0, batch_of(&[change], true), &mut Collected::default());
    process((row(1, "a", 1), RowKind::Insert)).unwrap();
    process((row(1, "a", 1), RowKind::Insert)).unwrap();
    assert_eq!(process((row(1, "a", 2), RowKind::Delete)).unwrap_err().code, "STATE-RETRACTION");
    assert_eq!(process((row(2, "a", 2), RowKind::UpdateBefore)).unwrap_err().code, "STATE-RETRACTION");
}

#[test]
fn bad_options_and_inputs_have_codes() {
    let code = |options: Value, takes_changes: bool| {
        let descriptor = json!({"kind": "agg.group", "options": options});
        build(&descriptor, &context(1, 0, vec![(schema(takes_changes), vec![])])).err().map(|error| error.code)
    };
    assert_eq!(code(json!({"keys": ["k"], "input": "rows"}), false), None);
    assert_eq!(code(json!({"keys": ["k"]}), false), Some("OPT-MISSING"));
    assert_eq!(code(json!({"keys": ["k"], "input": "all"}), false), Some("OPT-VALUE"));
    assert_eq!(code(json!({"keys": [], "input": "rows"}), false), Some("OPT-MISSING"));
    assert_eq!(code(json!({"keys": ["k"], "input": "changes"}), false), Some("SCHEMA-KIND"));
    assert_eq!(code(json!({"keys": ["k"], "input": "rows"}), true), Some("SCHEMA-KIND"));
    let count = json!([{"name": "k", "function": "count"}]);
    assert_eq!(code(json!({"keys": ["k"], "input": "rows", "aggregates": count}), false), Some("SCHEMA-DUPLICATE"));
    let parallel = context(2, 0, vec![(schema(false), vec!["s".into()])]);
    let descriptor = json!({"kind": "agg.group", "options": {"keys": ["k"], "input": "rows"}});
    assert_eq!(build(&descriptor, &parallel).err().map(|error| error.code), Some("KEY-PARTITIONING"));

    let mut operator = operator(json!(["k"]), "changes", Value::Null, 0);
    let batch = batch_of(&[(row(1, "a", 1), RowKind::Insert)], true);
    let mut columns = batch.columns().to_vec();
    *columns.last_mut().unwrap() = Arc::new(Int8Array::from(vec![4]));
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    assert_eq!(operator.process(0, batch, &mut Collected::default()).unwrap_err().code, "SCHEMA-KIND");
}

#[test]
fn only_the_keys_keep_their_columns() {
    let operator = operator(json!(["k", "s"]), "rows", json!([{"name": "v", "function": "count"}]), 0);
    assert_eq!(["k", "s", "v", "__kind"].map(|name| operator.keeps_column(name)), [true, true, false, false]);
}

fn layout() -> Layout {
    let aggregates: Vec<AggregateOption> = serde_json::from_value(every_kind()).unwrap();
    let aggregates = aggregates.into_iter().map(|option| AggregateCall::plan(option, &schema(true)).unwrap()).collect();
    Layout { keys: KeyLayout::new(vec![DataType::Int64]).unwrap(), aggregates, max_parallelism: 1 }
}

proptest! {
    #[test]
    fn damaged_state_is_refused_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300), flips in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        cut in 0usize..4,
    ) {
        let layout = layout();
        let saved = Saved::new(&layout, true);
        let restore = |payload: &[u8]| -> Result<(), OperatorError> {
            let mut table = Table::empty(&layout, true);
            saved.restore(&layout, 0, &seal(7, 1, payload), true, &mut table)?;
            // What was accepted can be used.
            let slots: Vec<u32> = (0..table.index.len() as u32).collect();
            table.results(&slots).map(|_| ())
        };
        let _ = saved.restore(&layout, 0, &bytes, true, &mut Table::empty(&layout, true));
        let golden = include_str!("golden.txt").lines().nth(1).unwrap();
        let golden: Vec<u8> = (0..golden.len() / 2).map(|at| u8::from_str_radix(&golden[2 * at..2 * at + 2], 16).unwrap()).collect();
        let mut payload = golden[8..golden.len() - cut].to_vec();
        prop_assert_eq!(restore(&payload).is_ok(), cut == 0);
        for (at, flip) in flips {
            let at = at % payload.len();
            payload[at] ^= flip;
        }
        let _ = restore(&payload);
        payload.truncate(4);
        payload.extend(bytes);
        let _ = restore(&payload);
    }
}
