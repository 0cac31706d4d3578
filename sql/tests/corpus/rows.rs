//! Rows as the stored results of Flink write them.

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{Array, RecordBatch};
use weir_dataflow::changelog::{RowKind, kind_column};
use weir_dataflow::functions::Clock;
use weir_dataflow::program::Program;
use weir_protocol::job_graph::DataType;
use weir_protocol::job_graph::program::{ExprNode, ExprProgram, ProgramOutput};
use weir_sql::stream::Column;

/// One row: its kind, and its values as CAST to STRING shows them, with NULL as `\N`.
pub(crate) type Row = (RowKind, Vec<String>);

/// The rows of these batches, whose columns the plan describes. Points in time are shown in the zone.
pub(crate) fn rows(batches: &[RecordBatch], columns: &[Column], zone: &str) -> Vec<Row> {
    batches.iter().flat_map(|batch| rows_of(batch, columns, zone)).collect()
}

fn rows_of(batch: &RecordBatch, columns: &[Column], zone: &str) -> Vec<Row> {
    let texts = as_text(batch, columns, zone);
    let kinds = kind_column(&batch.schema()).map(|kind| batch.column(kind).as_primitive::<Int8Type>().clone());
    let row = |index: usize| {
        let kind = kinds.as_ref().map_or(RowKind::Insert, |kinds| RowKind::of(kinds.value(index)).unwrap());
        let values = texts.columns().iter().map(|column| match column.is_null(index) {
            true => "\\N".to_owned(),
            false => match column.as_binary_opt::<i32>() {
                Some(bytes) => format!("x'{}'", bytes.value(index).iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
                None => escaped(column.as_string::<i32>().value(index)),
            },
        });
        (kind, values.collect())
    };
    (0..batch.num_rows()).map(row).collect()
}

/// The columns, each cast to STRING by the code that casts in queries. Bytes are shown in hexadecimal instead.
fn as_text(batch: &RecordBatch, columns: &[Column], zone: &str) -> RecordBatch {
    let mut nodes = Vec::new();
    let mut outputs = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        nodes.push(ExprNode::Column { column: index as u32, data_type: Some(column.data_type.clone()) });
        if !column.data_type.is_binary() {
            let cast = nodes.len() as u32 - 1;
            nodes.push(ExprNode::Cast { cast, data_type: DataType::String, or_null: false, zone: Some(zone.into()) });
        }
        outputs.push(ProgramOutput { name: format!("c{index}"), node: nodes.len() as u32 - 1, nullable: true });
    }
    let program = ExprProgram { version: ExprProgram::VERSION, nodes, filter: None, outputs };
    let mut program = Program::compile(&program, &batch.schema()).unwrap();
    program.evaluate(batch, Clock::default()).unwrap()
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

/// The rows that are left when all changes have been applied, in order.
pub(crate) fn folded(rows: &[Row]) -> Vec<(Vec<String>, i64)> {
    let mut weights = std::collections::BTreeMap::new();
    for (kind, values) in rows {
        *weights.entry(values.clone()).or_insert(0) += kind.weight();
    }
    weights.into_iter().filter(|(_, weight)| *weight != 0).collect()
}
