//! Collects events into columns: the kind of the event, and a row for each kind, which is null for events of other kinds.

use std::mem::take;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, StructArray, TimestampMillisecondArray};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use super::event::{ColumnType, Event, EventKind, Value};

/// Name of the column with the kind of the event.
const EVENT_TYPE: &str = "event_type";

/// Collects events into a batch.
pub(super) struct Columns {
    schema: SchemaRef,
    columns: Vec<Column>,
}

enum Column {
    EventType(Vec<i32>),
    Row(Row),
}

/// The column of the events of one kind.
struct Row {
    kind: EventKind,
    fields: Fields,
    present: BooleanBufferBuilder,
    values: Vec<Values>,
}

enum Values {
    Numbers(Vec<i64>),
    Times(Vec<i64>),
    Texts { ends: Vec<i32>, bytes: Vec<u8> },
}

impl Columns {
    /// The columns of these names. The error names one that does not exist.
    pub(super) fn new(names: &[String]) -> Result<Self, String> {
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for name in names {
            if name == EVENT_TYPE {
                fields.push(Field::new(name, DataType::Int32, false));
                columns.push(Column::EventType(Vec::new()));
                continue;
            }
            let kind = EventKind::ALL.into_iter().find(|kind| kind.name() == name);
            let row = Row::new(kind.ok_or_else(|| format!("there is no column {name:?}"))?);
            fields.push(Field::new(name, DataType::Struct(row.fields.clone()), true));
            columns.push(Column::Row(row));
        }
        Ok(Self { schema: Arc::new(Schema::new(fields)), columns })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn push(&mut self, event: &Event<'_>) {
        for column in &mut self.columns {
            match column {
                Column::EventType(kinds) => kinds.push(event.kind as i32),
                Column::Row(row) => row.push(event),
            }
        }
    }

    /// The events since the last batch.
    pub(super) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let arrays = self.columns.iter_mut().map(|column| match column {
            Column::EventType(kinds) => Ok(Arc::new(Int32Array::from(take(kinds))) as ArrayRef),
            Column::Row(row) => row.finish(),
        });
        let arrays = arrays.collect::<Result<_, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

impl Row {
    fn new(kind: EventKind) -> Self {
        let fields = kind.columns().iter().map(|(name, column_type)| Field::new(*name, arrow_type(*column_type), true));
        let values = kind.columns().iter().map(|(_, column_type)| match column_type {
            ColumnType::Number => Values::Numbers(Vec::new()),
            ColumnType::Time => Values::Times(Vec::new()),
            ColumnType::Text => Values::Texts { ends: vec![0], bytes: Vec::new() },
        });
        Self { kind, fields: fields.collect(), present: BooleanBufferBuilder::new(0), values: values.collect() }
    }

    fn push(&mut self, event: &Event<'_>) {
        let is_present = event.kind == self.kind;
        self.present.append(is_present);
        if !is_present {
            self.values.iter_mut().for_each(Values::push_nothing);
            return;
        }
        for (values, value) in self.values.iter_mut().zip(&event.values) {
            match (values, value) {
                (Values::Numbers(numbers), Value::Number(value)) => numbers.push(*value),
                (Values::Times(times), Value::Time(value)) => times.push(*value),
                (Values::Texts { ends, bytes }, Value::Text(text)) => {
                    bytes.extend_from_slice(text.as_bytes());
                    ends.push(bytes.len() as i32);
                }
                (values, _) => values.push_nothing(),
            }
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let present = NullBuffer::new(self.present.finish());
        let nulls = (present.null_count() > 0).then_some(present);
        // Fields of a row that is null are null themselves, so that taking the row apart is free.
        let arrays = self.values.iter_mut().map(|values| values.finish(nulls.clone())).collect::<Result<_, _>>()?;
        Ok(Arc::new(StructArray::try_new(self.fields.clone(), arrays, nulls)?))
    }
}

impl Values {
    fn push_nothing(&mut self) {
        match self {
            Self::Numbers(values) | Self::Times(values) => values.push(0),
            Self::Texts { ends, bytes } => ends.push(bytes.len() as i32),
        }
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Numbers(values) => Arc::new(Int64Array::try_new(take(values).into(), nulls)?),
            Self::Times(values) => Arc::new(TimestampMillisecondArray::try_new(take(values).into(), nulls)?),
            Self::Texts { ends, bytes } => {
                let ends = std::mem::replace(ends, vec![0]);
                Arc::new(StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(ends)), take(bytes).into(), nulls)?)
            }
        })
    }
}

fn arrow_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Number => DataType::Int64,
        ColumnType::Text => DataType::Utf8,
        ColumnType::Time => DataType::Timestamp(TimeUnit::Millisecond, None),
    }
}
