//! The part `results` of a page: columns, and rows with their kinds.

use std::fmt::Write;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use serde_json::Value;
use weir_dataflow::changelog::{RowKind, kind_column};
use weir_dataflow::time_zone::Zone;
use weir_protocol::job_graph::{DataType, Field};

use super::logical_type::column;
use super::{RowFormat, json, plain_text, quoted};
use crate::error::GatewayError;
use crate::records::Table;

/// Rows of a page, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    columns: String,
    format: RowFormat,
    data: String,
}

impl Rows {
    /// The rows of a table, or only its columns.
    pub(crate) fn of_table(table: &Table, with_rows: bool, format: RowFormat) -> Self {
        let columns = table.columns.iter().map(|(name, data_type)| column(name, data_type, true)).collect();
        let mut data = String::new();
        for cells in table.rows.iter().filter(|_| with_rows) {
            begin_row(&mut data, RowKind::Insert);
            for (i, cell) in cells.iter().enumerate() {
                let data_type = table.columns.get(i).map_or(&DataType::String, |(_, data_type)| data_type);
                let cell = cell.as_ref().map_or_else(|| "null".to_owned(), |text| cell_text(text, data_type, format));
                data.push_str(if i == 0 { "" } else { "," });
                data.push_str(&cell);
            }
            data.push_str("]}");
        }
        Self { columns: Value::Array(columns).to_string(), format, data }
    }

    /// The rows of a query with these columns. Batches of changes have a further column with the kind of each row.
    pub(crate) fn of_batches(
        columns: &[Field],
        batches: &[RecordBatch],
        format: RowFormat,
        zone: Zone,
    ) -> Result<Self, GatewayError> {
        let described = columns.iter().map(|field| column(&field.name, &field.data_type, field.nullable)).collect();
        let mut data = String::new();
        for batch in batches {
            let kinds = kind_column(batch.schema_ref()).map(|kinds| batch.column(kinds).as_primitive::<Int8Type>());
            if batch.num_columns() != columns.len() + usize::from(kinds.is_some()) {
                let text = format!("SQL-ROWS: {} columns were expected and {} came", columns.len(), batch.num_columns());
                return Err(GatewayError::internal(text));
            }
            let values = batch.columns().iter().zip(columns);
            let writers = values.map(|(array, field)| match format {
                RowFormat::Json => json::writer(array, &field.data_type, zone),
                RowFormat::PlainText => plain_text::writer(array, &field.data_type, zone),
            });
            let writers = writers.collect::<Result<Vec<_>, GatewayError>>()?;
            for row in 0..batch.num_rows() {
                begin_row(&mut data, kinds.and_then(|kinds| RowKind::of(kinds.value(row))).unwrap_or(RowKind::Insert));
                for (i, write) in writers.iter().enumerate() {
                    data.push_str(if i == 0 { "" } else { "," });
                    write(row, &mut data);
                }
                data.push_str("]}");
            }
        }
        Ok(Self { columns: Value::Array(described).to_string(), format, data })
    }

    /// The object `results`.
    pub(crate) fn json(&self) -> String {
        format!(r#"{{"columns":{},"rowFormat":"{}","data":[{}]}}"#, self.columns, self.format.word(), self.data)
    }
}

fn begin_row(data: &mut String, kind: RowKind) {
    let kind = match kind {
        RowKind::Insert => "INSERT",
        RowKind::UpdateBefore => "UPDATE_BEFORE",
        RowKind::UpdateAfter => "UPDATE_AFTER",
        RowKind::Delete => "DELETE",
    };
    let comma = if data.is_empty() { "" } else { "," };
    let _ = write!(data, r#"{comma}{{"kind":"{kind}","fields":["#);
}

/// The cell of a table, whose text is that of a cast to STRING.
fn cell_text(text: &str, data_type: &DataType, format: RowFormat) -> String {
    match (format, data_type) {
        (RowFormat::Json, DataType::Boolean) => text.to_ascii_lowercase(),
        (RowFormat::Json, number) if number.is_integer() => text.to_owned(),
        // Times of jobs are written with T and Z. People read them without, as other times.
        (RowFormat::PlainText, DataType::TimestampLtz(_)) => quoted(&text.replacen('T', " ", 1).replace('Z', ".000")),
        _ => quoted(text),
    }
}
