//! Rows as texts: every value as a cast to STRING shows it.

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{Array, RecordBatch};
use weir_dataflow::changelog::{KIND, RowKind};
use weir_dataflow::functions::Clock;
use weir_dataflow::operator::OperatorError;
use weir_dataflow::program::Program;
use weir_protocol::job_graph::program::{ExprNode, ExprProgram, ProgramOutput};
use weir_protocol::job_graph::{DataType, Field};
use weir_protocol::rest::QueryRow;

/// The rows of a batch with these columns. Points in time are shown in time zone `zone`, bytes in hexadecimal, as `x'00ff'`.
/// Error: the zone is unknown, or the batch has other columns.
pub(crate) fn rows(batch: &RecordBatch, columns: &[Field], zone: &str) -> Result<Vec<QueryRow>, OperatorError> {
    let texts = Program::compile(&casts(columns, zone), &batch.schema())?.evaluate(batch, Clock::default())?;
    let kinds = batch.column_by_name(KIND).and_then(|kinds| kinds.as_primitive_opt::<Int8Type>());
    let kind = |row: usize| kinds.and_then(|kinds| RowKind::of(kinds.value(row))).unwrap_or(RowKind::Insert);
    let fields = |row: usize| texts.columns().iter().map(|column| text(column.as_ref(), row)).collect();
    Ok((0..batch.num_rows()).map(|row| QueryRow { kind: kind(row).short().to_owned(), fields: fields(row) }).collect())
}

/// The program that casts the columns to STRING, except bytes, and drops the kind.
fn casts(columns: &[Field], zone: &str) -> ExprProgram {
    let (mut nodes, mut outputs) = (Vec::new(), Vec::new());
    for (index, column) in columns.iter().enumerate().filter(|(_, column)| column.name != KIND) {
        nodes.push(ExprNode::Column { column: index as u32, data_type: Some(column.data_type.clone()) });
        if !column.data_type.is_binary() {
            let cast = nodes.len() as u32 - 1;
            nodes.push(ExprNode::Cast { cast, data_type: DataType::String, or_null: false, zone: Some(zone.to_owned()) });
        }
        outputs.push(ProgramOutput { name: format!("c{index}"), node: nodes.len() as u32 - 1, nullable: true });
    }
    ExprProgram { version: ExprProgram::VERSION, nodes, filter: None, outputs }
}

fn text(column: &dyn Array, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    match (column.as_string_opt::<i32>(), column.as_binary_opt::<i32>()) {
        (Some(texts), _) => Some(texts.value(row).to_owned()),
        (None, Some(bytes)) => {
            let digits: String = bytes.value(row).iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("x'{digits}'"))
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BinaryArray, Int8Array, Int32Array, TimestampMillisecondArray};
    use weir_dataflow::schema::to_arrow;

    use super::*;

    fn field(name: &str, data_type: DataType) -> Field {
        Field { name: name.to_owned(), data_type, nullable: true }
    }

    #[test]
    fn values_are_texts_and_the_kind_is_no_column() {
        let columns = [
            field("a", DataType::Int),
            field("b", DataType::Bytes),
            field("t", DataType::TimestampLtz(3)),
            Field { nullable: false, ..field(KIND, DataType::Tinyint) },
        ];
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![Some(-7), None])),
            Arc::new(BinaryArray::from(vec![Some(&[0_u8, 255][..]), None])),
            Arc::new(TimestampMillisecondArray::from(vec![Some(1_500), None]).with_timezone("UTC")),
            Arc::new(Int8Array::from(vec![3, 0])),
        ];
        let batch = RecordBatch::try_new(to_arrow(&columns).unwrap(), arrays).unwrap();
        let shown = rows(&batch, &columns, "+01:00").unwrap();
        let texts = |texts: [Option<&str>; 3]| texts.map(|text| text.map(str::to_owned)).to_vec();
        assert_eq!(shown[0].kind, "-D");
        assert_eq!(shown[0].fields, texts([Some("-7"), Some("x'00ff'"), Some("1970-01-01 01:00:01.500")]));
        assert_eq!((shown[1].kind.as_str(), &shown[1].fields), ("+I", &texts([None, None, None])));
        assert!(rows(&batch, &columns, "Nowhere/Else").is_err());
    }
}
