//! The tables of the properties: `t`, with event time, and `u`, with the same columns.

use std::sync::Arc;

use arrow_array::RecordBatch;
use proptest::prelude::*;
use weir_dataflow::schema::to_arrow;
use weir_protocol::job_graph::{DataType, Field};
use weir_sql_reference::{Row, Tables, Value, array_of};

use crate::engine::{self, Table};
use crate::script::next_number;

/// Event time of the first row.
const START_MS: i64 = 1_700_000_000_000 / 60_000 * 60_000;
/// Event time from row to row.
const STEP_MS: i64 = 700;
/// How far a row may be behind, and how far the watermark is.
const DISORDER_MS: i64 = 2_000;

/// The columns that both tables store.
const COLUMNS: [(&str, &str); 7] = [
    ("k", "INT"),
    ("s", "STRING"),
    ("v", "BIGINT"),
    ("d", "DECIMAL(10, 2)"),
    ("f", "DOUBLE"),
    ("b", "BOOLEAN"),
    ("ts", "TIMESTAMP(3)"),
];

/// The rows of both tables, and the tables that jobs read.
pub(super) struct Data {
    rows: [Vec<Row>; 2],
    tables: [Table; 2],
}

/// A row without its event time, and how far it is behind.
pub(super) type Generated = (Row, i64);

/// Rows of two tables.
pub(super) fn rows() -> impl Strategy<Value = [Vec<Generated>; 2]> {
    let table = || prop::collection::vec(row(), 0..50);
    [table(), table()]
}

/// A row with few different values, some of them extreme.
fn row() -> impl Strategy<Value = Generated> {
    let number = |extremes: [i64; 2]| {
        let number = prop_oneof![12 => -3i64..4, 1 => prop::sample::select(extremes.to_vec())];
        prop::option::weighted(0.85, number).prop_map(|number| number.map_or(Value::Null, Value::Integer))
    };
    let text = prop::option::weighted(0.85, prop::sample::select(vec!["", "a", "b", "ä"]));
    let decimal = prop::option::weighted(0.85, -205i128..206).prop_map(|number| number.map_or(Value::Null, Value::Decimal));
    let half = prop::option::weighted(0.85, -3i32..4);
    let half = half.prop_map(|number| number.map_or(Value::Null, |number| Value::Double(f64::from(number) / 2.0)));
    let flag = prop::option::weighted(0.85, any::<bool>()).prop_map(|flag| flag.map_or(Value::Null, Value::Boolean));
    let text = text.prop_map(|text| text.map_or(Value::Null, |text| Value::Text(text.to_owned())));
    let int = number([i32::MIN.into(), i32::MAX.into()]);
    let bigint = number([i64::MIN, i64::MAX]);
    ((int, text, bigint, decimal, half, flag), 0..=DISORDER_MS)
        .prop_map(|((k, s, v, d, f, b), behind)| (vec![k, s, v, d, f, b], behind))
}

impl Data {
    pub(super) fn new(generated: [Vec<Generated>; 2]) -> Self {
        let rows = generated.map(|rows| {
            let with_time = |(index, (mut row, behind)): (usize, Generated)| {
                row.push(Value::Integer(START_MS + index as i64 * STEP_MS - behind));
                row
            };
            rows.into_iter().enumerate().map(with_time).collect::<Vec<_>>()
        });
        let tables = [0, 1].map(|table: usize| {
            let rows: &[Row] = &rows[table];
            Table::new(next_number(), rows.len(), |positions| batch(&positions.iter().map(|at| &rows[*at]).collect::<Vec<_>>()))
        });
        Self { rows, tables }
    }

    /// The number of rows of the longer table.
    pub(super) fn rows(&self) -> usize {
        self.rows.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Lets this many rows of each table be read.
    pub(super) fn release(&self, rows: usize, ended: bool) {
        for (table, all) in self.tables.iter().zip(&self.rows) {
            engine::release(table, rows.min(all.len()), ended);
        }
    }

    pub(super) fn tables(&self) -> [&Table; 2] {
        [&self.tables[0], &self.tables[1]]
    }

    /// What the reference reads: the first rows of each table.
    pub(super) fn relations(&self, rows: usize) -> Tables {
        let relation = |all: &Vec<Row>| {
            let mut relation = weir_sql_reference::Relation::new();
            all.iter().take(rows).for_each(|row| *relation.entry(row.clone()).or_insert(0) += 1);
            relation
        };
        let name = |table: &str| format!("default_catalog.default_database.{table}");
        [(name("t"), relation(&self.rows[0])), (name("u"), relation(&self.rows[1]))].into()
    }

    /// The highest event time of the first rows.
    pub(super) fn highest_time(&self, rows: usize) -> i64 {
        START_MS + rows as i64 * STEP_MS
    }

    /// Creates both tables.
    pub(super) fn script(&self) -> String {
        let columns: Vec<_> = COLUMNS.iter().map(|(name, data_type)| format!("{name} {data_type}")).collect();
        let table = |name: &str, watermark: &str, table: &Table| {
            let options = format!("'connector' = 'filesystem', 'format' = 'csv', 'path' = '{}'", table.path());
            format!("CREATE TABLE {name} ({}{watermark}) WITH ({options});", columns.join(", "))
        };
        let watermark = format!(", WATERMARK FOR ts AS ts - INTERVAL '{}' SECOND", DISORDER_MS / 1_000);
        [table("t", &watermark, &self.tables[0]), table("u", "", &self.tables[1])].join("\n")
    }
}

fn batch(rows: &[&Row]) -> RecordBatch {
    let field = |(name, data_type): &(&str, &str)| Field {
        name: (*name).to_owned(),
        data_type: data_type.parse::<DataType>().unwrap(),
        nullable: true,
    };
    let schema = to_arrow(&COLUMNS.iter().map(field).collect::<Vec<_>>()).unwrap();
    let column = |index: usize| {
        let values: Vec<_> = rows.iter().map(|row| &row[index]).collect();
        array_of(&values, schema.field(index).data_type()).unwrap()
    };
    RecordBatch::try_new(Arc::clone(&schema), (0..COLUMNS.len()).map(column).collect()).unwrap()
}
