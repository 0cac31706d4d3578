//! Results of Flink 2.3, whose operators take one row after the other.

use arrow_array::Int32Array;

use super::*;

/// The table orders: customer and quantity.
const ORDERS: &[(&str, Option<i32>)] = &[
    ("ann", Some(16)),
    ("Çağla", Some(-2)),
    ("ann", Some(3)),
    ("日本", Some(20)),
    ("ann", Some(12)),
    ("日本", Some(0)),
    ("bob", Some(3)),
    ("日本", Some(18)),
    ("eve", Some(14)),
    ("日本", Some(11)),
    ("日本", Some(4)),
    ("日本", None),
    ("ann", Some(6)),
    ("Çağla", Some(0)),
    ("日本", Some(8)),
    ("ann", Some(5)),
    ("日本", Some(2)),
    ("dirk", Some(0)),
    ("bob", Some(12)),
    ("日本", Some(6)),
    ("dirk", Some(12)),
    ("日本", Some(19)),
    ("dirk", Some(18)),
    ("ann", Some(19)),
    ("eve", Some(3)),
    ("Çağla", Some(9)),
    ("bob", Some(5)),
    ("bob", Some(16)),
    ("bob", Some(13)),
    ("日本", Some(12)),
    ("日本", Some(8)),
];

/// The orders, one a batch.
fn orders() -> Vec<RecordBatch> {
    let schema =
        Arc::new(Schema::new(vec![Field::new("customer", DataType::Utf8, true), Field::new("quantity", DataType::Int32, true)]));
    let batch = |(customer, quantity): &(&str, Option<i32>)| {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(vec![*customer])), Arc::new(Int32Array::from(vec![*quantity]))];
        RecordBatch::try_new(schema.clone(), columns).unwrap()
    };
    ORDERS.iter().map(batch).collect()
}

/// The output of an aggregation that gets one row after the other.
fn aggregate(rows: &[RecordBatch], keys: Value, input: &str, aggregates: Value) -> Vec<RecordBatch> {
    let descriptor = json!({"kind": "agg.group", "options": {"keys": keys, "input": input, "aggregates": aggregates}});
    let (mut operator, _) = build(&descriptor, &context(1, 0, vec![(rows[0].schema(), vec![])])).unwrap();
    let mut out = Collected::default();
    for batch in rows {
        (0..batch.num_rows()).for_each(|row| operator.process(0, batch.slice(row, 1), &mut out).unwrap());
    }
    out.batches
}

/// The stored rows, each with its kind at the end.
fn expected(stored: &str) -> Vec<Vec<String>> {
    let rows = stored.lines().filter(|line| !line.starts_with("--") && !line.starts_with('#'));
    rows.map(|line| {
        let mut cells: Vec<String> = line.split('\t').map(|cell| cell.replace("\\N", "NULL")).collect();
        cells.rotate_left(1);
        cells
    })
    .collect()
}

#[test]
fn changes_of_sums_are_aggregated_as_in_flink() {
    let sums = aggregate(&orders(), json!(["customer"]), "rows", json!([{"name": "s", "function": "sum", "column": "quantity"}]));
    // The columns s, its text, its double, and the kind.
    let schema = Arc::new(Schema::new(vec![
        Field::new("s", DataType::Int32, true),
        Field::new("t", DataType::Utf8, true),
        Field::new("d", DataType::Float64, true),
        kind_field(),
    ]));
    let projected = |batch: &RecordBatch| {
        let s = batch.column(1).as_primitive::<arrow_array::types::Int32Type>();
        let columns: Vec<ArrayRef> = vec![
            batch.column(1).clone(),
            Arc::new(s.iter().map(|s| s.map(|s| s.to_string())).collect::<StringArray>()),
            Arc::new(s.iter().map(|s| s.map(f64::from)).collect::<Float64Array>()),
            batch.column(2).clone(),
        ];
        RecordBatch::try_new(schema.clone(), columns).unwrap()
    };
    let aggregates = json!([
        {"name": "c", "function": "count"},
        {"name": "lo", "function": "min", "column": "s"},
        {"name": "hi", "function": "max", "column": "s"},
        {"name": "su", "function": "sum", "column": "s"},
        {"name": "f", "function": "first_value", "column": "s"},
        {"name": "l", "function": "last_value", "column": "s"},
        {"name": "g", "function": "listagg", "column": "t"},
        {"name": "sp", "function": "var_pop", "column": "d"},
        {"name": "fd", "function": "first_value", "column": "s", "distinct": true},
        {"name": "ld", "function": "listagg", "column": "t", "distinct": true},
    ]);
    let changes = aggregate(&sums.iter().map(projected).collect::<Vec<_>>(), json!([]), "changes", aggregates);
    assert_eq!(lines(&changes), expected(include_str!("flink/changes_of_sums.expected")));
}

#[test]
fn groups_appear_and_are_deleted_as_in_flink() {
    let inner = json!([{"name": "n", "function": "count"}, {"name": "m", "function": "max", "column": "quantity"}]);
    let counts = aggregate(&orders(), json!(["customer"]), "rows", inner);
    let outer = json!([{"name": "c", "function": "count"}, {"name": "hi", "function": "max", "column": "m"}]);
    let changes = aggregate(&counts, json!(["n"]), "changes", outer);
    assert_eq!(lines(&changes), expected(include_str!("flink/groups_of_counts.expected")));
}
