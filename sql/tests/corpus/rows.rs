//! Rows as the stored results of Flink write them.

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{Array, RecordBatch};
use weir_dataflow::changelog::{RowKind, kind_column};
use weir_dataflow::functions::cast::printer;
use weir_dataflow::time_zone::Zone;
use weir_sql::stream::Column;

/// One row: its kind, and its values as clients print them, with NULL as `\N`.
pub(crate) type Row = (RowKind, Vec<String>);

/// The rows of these batches, whose columns the plan describes. Points in time are shown in the zone.
pub(crate) fn rows(batches: &[RecordBatch], columns: &[Column], zone: &str) -> Vec<Row> {
    batches.iter().flat_map(|batch| rows_of(batch, columns, zone)).collect()
}

fn rows_of(batch: &RecordBatch, columns: &[Column], zone: &str) -> Vec<Row> {
    let zone = Zone::parse(zone).unwrap();
    let kinds = kind_column(&batch.schema()).map(|kind| batch.column(kind).as_primitive::<Int8Type>().clone());
    let texts: Vec<Vec<String>> = columns
        .iter()
        .zip(batch.columns())
        .map(|(column, array)| {
            let print = printer(array, &column.data_type, zone).unwrap();
            let shown = |row: usize| {
                if array.is_null(row) {
                    return "\\N".to_owned();
                }
                let mut text = String::new();
                print(row, &mut text);
                escaped(&text)
            };
            (0..batch.num_rows()).map(shown).collect()
        })
        .collect();
    let row = |index: usize| {
        let kind = kinds.as_ref().map_or(RowKind::Insert, |kinds| RowKind::of(kinds.value(index)).unwrap());
        (kind, texts.iter().map(|column| column[index].clone()).collect())
    };
    (0..batch.num_rows()).map(row).collect()
}

fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '\\' => shown.push_str("\\\\"),
            '\t' => shown.push_str("\\t"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            c if c.is_control() => shown.push_str(&format!("\\u{:04x}", c as u32)),
            c => shown.push(c),
        }
    }
    shown
}

/// A map or a multiset with its entries in an order that depends on them alone, because Flink's is that of a hash table. Other texts
/// stay as they are.
pub(crate) fn without_order(text: &str) -> String {
    match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(entries) if entries.contains('=') => {
            let mut entries: Vec<_> = entries.split(", ").collect();
            entries.sort_unstable();
            format!("{{{}}}", entries.join(", "))
        }
        _ => text.to_owned(),
    }
}

/// The rows that are left when all changes have been applied, in order.
pub(crate) fn folded(rows: &[Row]) -> Vec<(Vec<String>, i64)> {
    let mut weights = std::collections::BTreeMap::new();
    for (kind, values) in rows {
        *weights.entry(values.iter().map(|value| without_order(value)).collect()).or_insert(0) += kind.weight();
    }
    weights.into_iter().filter(|(_, weight)| *weight != 0).collect()
}
