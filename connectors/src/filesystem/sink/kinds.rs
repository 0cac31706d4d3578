//! Writes changes of a table as rows: the last column of each says what has happened to it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use weir_dataflow::changelog::{RowKind, kind_column};
use weir_dataflow::operator::OperatorError;

/// The column of a file with the kinds of its rows: `+I`, `-U`, `+U` or `-D`.
#[derive(Debug)]
pub(super) struct KindColumn {
    /// The columns of the files.
    schema: SchemaRef,
    /// The position of the kinds in the input. `None`: all rows are inserts.
    position: Option<usize>,
}

impl KindColumn {
    /// The column `name` behind the columns of `input`. `None` if there is a column of this name already.
    pub(super) fn new(name: &str, input: &Schema) -> Option<Self> {
        let position = kind_column(input);
        let columns = position.unwrap_or(input.fields().len());
        let mut fields: Vec<_> = input.fields()[..columns].to_vec();
        if name.is_empty() || fields.iter().any(|field| field.name() == name) {
            return None;
        }
        fields.push(Arc::new(Field::new(name, DataType::Utf8, false)));
        Some(Self { schema: Arc::new(Schema::new(fields)), position })
    }

    /// The columns of the files.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows as they are written. Error: `SCHEMA-KIND` for a kind that does not exist.
    pub(super) fn written(&self, batch: &RecordBatch) -> Result<RecordBatch, OperatorError> {
        let mut columns = batch.columns().to_vec();
        let kinds: StringArray = match self.position {
            None => (0..batch.num_rows()).map(|_| Some(RowKind::Insert.short())).collect(),
            Some(position) => {
                columns.truncate(position);
                let codes = batch.column(position).as_primitive_opt::<Int8Type>().map(|codes| codes.values().as_ref());
                let codes: &[i8] = codes.unwrap_or_default();
                let kind = |code: &i8| RowKind::of(*code).map(|kind| Some(kind.short())).ok_or_else(|| unknown(*code));
                codes.iter().map(kind).collect::<Result<_, _>>()?
            }
        };
        columns.push(Arc::new(kinds) as ArrayRef);
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| OperatorError::fatal("SCHEMA-KIND", error.to_string()))
    }
}

fn unknown(code: i8) -> OperatorError {
    OperatorError::fatal("SCHEMA-KIND", format!("a row has the kind {code}; there are 0 to 3"))
}
