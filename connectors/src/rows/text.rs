//! What can be written as text, and the text of the print sink.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_schema::{DataType, Schema};
use weir_dataflow::changelog::{RowKind, kind_column};
use weir_dataflow::operator::OperatorError;
use weir_dataflow::schema::column_type;

use super::unsupported_type;
use super::view::{Member, append_printed_row};

/// Checks that every type of a schema can be written as text. Error: `CONN-TYPE`.
pub(crate) fn check_schema(schema: &Schema) -> Result<(), OperatorError> {
    match schema.fields().iter().find(|field| column_type(field.data_type()).is_none()) {
        Some(field) => Err(unsupported_type(field.name(), field.data_type())),
        None => Ok(()),
    }
}

/// Checks that every type of a schema can be a field of CSV. Error: `CONN-TYPE`.
pub(crate) fn check_flat(schema: &Schema) -> Result<(), OperatorError> {
    check_schema(schema)?;
    match schema.fields().iter().find(|field| field.data_type().is_nested()) {
        Some(field) => {
            let message = format!(
                "column {:?} has type {}, which CSV has no form for; use json or parquet, or take it apart",
                field.name(),
                weir_dataflow::schema::type_name(field.data_type())
            );
            Err(OperatorError::fatal("CONN-TYPE", message))
        }
        None => Ok(()),
    }
}

/// Checks that no row type of a schema lacks fields, which Parquet can't express. Error: `CONN-TYPE`.
pub(crate) fn check_fields(schema: &Schema) -> Result<(), OperatorError> {
    fn bare(data_type: &DataType) -> bool {
        match data_type {
            DataType::List(item) => bare(item.data_type()),
            DataType::Map(entries, _) => bare(entries.data_type()),
            DataType::Struct(fields) => fields.is_empty() || fields.iter().any(|field| bare(field.data_type())),
            _ => false,
        }
    }
    match schema.fields().iter().find(|field| bare(field.data_type())) {
        Some(field) => {
            let message = format!("column {:?} has a row type without fields, which Parquet can't express", field.name());
            Err(OperatorError::fatal("CONN-TYPE", message))
        }
        None => Ok(()),
    }
}

/// Appends each row in the format of Flink's print sink: `prefix`, then `+I[1, abc, null]`. If rows are changes, their kind is shown.
/// Error: `CHANGELOG` for a kind that does not exist.
pub(crate) fn append_print(out: &mut Vec<u8>, prefix: &str, batch: &RecordBatch) -> Result<(), OperatorError> {
    let mut columns = members_of(batch)?;
    let kinds = kind_column(batch.schema_ref()).map(|column| batch.column(column).as_primitive::<Int8Type>());
    columns.truncate(columns.len() - usize::from(kinds.is_some()));
    for row in 0..batch.num_rows() {
        let kind = kinds.map_or(Some(RowKind::Insert), |kinds| RowKind::of(kinds.value(row)));
        let kind = kind.ok_or_else(|| OperatorError::fatal("CHANGELOG", format!("row {row} has a kind that does not exist")))?;
        out.extend_from_slice(prefix.as_bytes());
        append_printed_row(out, kind, &columns, row);
        out.push(b'\n');
    }
    Ok(())
}

/// The columns of a batch, to be written.
pub(crate) fn members_of(batch: &RecordBatch) -> Result<Vec<Member<'_>>, OperatorError> {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns()).enumerate();
    fields.map(|(index, (field, array))| Member::new(index, field, array.as_ref())).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use arrow_array::{BooleanArray, Float64Array, Int64Array, StringArray, TimestampMillisecondArray};
    use arrow_schema::{Field, TimeUnit};

    use super::*;

    pub(crate) fn batch() -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![
            Field::new("ok", DataType::Boolean, true),
            Field::new("n", DataType::Int64, true),
            Field::new("x", DataType::Float64, true),
            Field::new("te,xt", DataType::Utf8, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        ]));
        RecordBatch::try_new(
            schema,
            vec![
                Arc::new(BooleanArray::from(vec![Some(true), None])),
                Arc::new(Int64Array::from(vec![Some(i64::MIN), None])),
                Arc::new(Float64Array::from(vec![Some(1e300), Some(f64::NAN)])),
                Arc::new(StringArray::from(vec![Some("a \"b\", c"), Some("")])),
                Arc::new(TimestampMillisecondArray::from(vec![Some(1_357_016_400_000), Some(i64::MAX)])),
            ],
        )
        .unwrap()
    }

    #[test]
    fn print_shows_the_kind_of_changes() {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, false), weir_dataflow::changelog::kind_field()]);
        let kinds = arrow_array::Int8Array::from(vec![0, 1, 2, 3]);
        let numbers = Int64Array::from(vec![1, 1, 2, 2]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(numbers), Arc::new(kinds)]).unwrap();
        let mut out = Vec::new();
        append_print(&mut out, "", &batch).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "+I[1]\n-U[1]\n+U[2]\n-D[2]\n");
    }

    #[test]
    fn print_shows_rows_like_flink() {
        let mut out = Vec::new();
        append_print(&mut out, "p:1> ", &batch()).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert!(shown.starts_with("p:1> +I[true, -9223372036854775808, 1e300, a \"b\", c, 2013-01-01T05:00:00Z]\np:1> +I[null"));
    }

    #[test]
    fn nested_values_and_bytes_are_printed_like_flink_and_refused_in_csv() {
        let names = ["ARRAY<INT>", "MAP<STRING, DATE>", "ROW<a DECIMAL(5, 2), b BYTES>"];
        let field = |(index, name): (usize, &&str)| weir_protocol::job_graph::Field {
            name: format!("c{index}"),
            data_type: name.parse().unwrap(),
            nullable: true,
        };
        let fields: Vec<_> = names.iter().enumerate().map(field).collect();
        let mut rows = crate::rows::RowBuffer::new(weir_dataflow::schema::to_arrow(&fields).unwrap()).unwrap();
        let line = r#"{"c0":[1,null],"c1":{"k":"2020-01-02"},"c2":{"a":1.5,"b":"/wE="}}"#;
        crate::formats::json::parse_json_row(line.as_bytes(), &mut rows, Default::default()).unwrap();
        rows.commit_row(0);
        let batch = rows.finish().unwrap();
        let mut out = Vec::new();
        append_print(&mut out, "", &batch).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "+I[[1, null], {k=2020-01-02}, +I[1.50, [-1, 1]]]\n");
        assert_eq!(check_flat(batch.schema_ref()).unwrap_err().code, "CONN-TYPE");
    }
}
