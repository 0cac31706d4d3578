//! Rows as texts, for clients that show them to people.

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{Array, RecordBatch};
use weir_dataflow::changelog::{KIND, RowKind, kind_column};
use weir_dataflow::functions::cast::printer;
use weir_dataflow::time_zone::Zone;
use weir_protocol::job_graph::Field;
use weir_protocol::rest::QueryRow;

use super::json::unreadable;
use crate::error::GatewayError;

/// The rows of a batch with these columns. The last one may be the kind of each row.
pub(crate) fn text_rows(batch: &RecordBatch, columns: &[Field], zone: Zone) -> Result<Vec<QueryRow>, GatewayError> {
    let kinds = kind_column(batch.schema_ref()).map(|kinds| batch.column(kinds).as_primitive::<Int8Type>());
    let kind = |row: usize| kinds.and_then(|kinds| RowKind::of(kinds.value(row))).unwrap_or(RowKind::Insert);
    let begin = |row: usize| QueryRow { kind: kind(row).short().to_owned(), fields: Vec::with_capacity(columns.len()) };
    let mut rows: Vec<_> = (0..batch.num_rows()).map(begin).collect();
    for (array, field) in batch.columns().iter().zip(columns).filter(|(_, field)| field.name != KIND) {
        let print = printer(array, &field.data_type, zone).map_err(unreadable)?;
        let nulls = array.logical_nulls();
        for (index, row) in rows.iter_mut().enumerate() {
            row.fields.push(nulls.as_ref().is_none_or(|nulls| nulls.is_valid(index)).then(|| {
                let mut text = String::new();
                print(index, &mut text);
                text
            }));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BinaryArray, Int8Array, Int32Array, TimestampMillisecondArray};
    use weir_dataflow::schema::to_arrow;
    use weir_protocol::job_graph::DataType;

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
        let shown = text_rows(&batch, &columns, Zone::parse("+01:00").unwrap()).unwrap();
        let texts = |texts: [Option<&str>; 3]| texts.map(|text| text.map(str::to_owned)).to_vec();
        assert_eq!(shown[0].kind, "-D");
        assert_eq!(shown[0].fields, texts([Some("-7"), Some("x'00ff'"), Some("1970-01-01 01:00:01.500")]));
        assert_eq!((shown[1].kind.as_str(), &shown[1].fields), ("+I", &texts([None, None, None])));
    }
}
