//! Builds columns from encoded rows. The bytes are not trusted.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, ListArray, MapArray, StructArray};
use arrow_buffer::{MutableBuffer, NullBufferBuilder, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, FieldRef, Fields};

use crate::fixed_width;
use crate::operator::OperatorError;
use crate::state::StateReader;

/// Builds one column, or the elements of a nested one.
pub(super) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Fixed { data_type: DataType, width: usize, values: MutableBuffer, nulls: NullBufferBuilder },
    List { field: FieldRef, offsets: Vec<i32>, nulls: NullBufferBuilder, elements: Box<Self> },
    Map { field: FieldRef, ordered: bool, offsets: Vec<i32>, nulls: NullBufferBuilder, entries: Box<Self> },
    Struct { fields: Fields, rows: usize, nulls: NullBufferBuilder, columns: Vec<Self> },
}

impl ColumnBuilder {
    /// A builder of a column type. Error: `SCHEMA-TYPE` for any other type.
    pub(super) fn new(data_type: &DataType) -> Result<Self, OperatorError> {
        let nulls = NullBufferBuilder::new(0);
        Ok(match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            DataType::List(field) => {
                let elements = Box::new(Self::new(field.data_type())?);
                Self::List { field: field.clone(), offsets: vec![0], nulls, elements }
            }
            DataType::Map(field, ordered) => {
                let entries = Box::new(Self::new(field.data_type())?);
                Self::Map { field: field.clone(), ordered: *ordered, offsets: vec![0], nulls, entries }
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|field| Self::new(field.data_type())).collect::<Result<_, _>>()?;
                Self::Struct { fields: fields.clone(), rows: 0, nulls, columns }
            }
            other => match fixed_width::width(other) {
                Some(width) => Self::Fixed { data_type: other.clone(), width, values: MutableBuffer::new(0), nulls },
                None => {
                    let message = format!("a column of type {other} can't be stored in state; cast it");
                    return Err(OperatorError::fatal("SCHEMA-TYPE", message));
                }
            },
        })
    }

    /// Reads a value with its tag.
    pub(super) fn read(&mut self, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        match reader.array::<1>()? {
            [0] => {
                self.append_null();
                Ok(())
            }
            [1] => self.read_value(reader),
            _ => Err(StateReader::corrupt("unknown tag in a row")),
        }
    }

    fn read_value(&mut self, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        match self {
            Self::Boolean(builder) => match reader.array::<1>()? {
                [value @ (0 | 1)] => builder.append_value(value == 1),
                _ => return Err(StateReader::corrupt("a boolean is neither 0 nor 1")),
            },
            Self::Text(builder) => {
                let text = std::str::from_utf8(reader.prefixed()?).map_err(|_| StateReader::corrupt("text is not UTF-8"))?;
                builder.append_value(text);
            }
            Self::Bytes(builder) => builder.append_value(reader.prefixed()?),
            Self::Fixed { width, values, nulls, .. } => {
                // A constant length makes the copy a single move.
                match *width {
                    4 => values.extend_from_slice(&reader.array::<4>()?),
                    8 => values.extend_from_slice(&reader.array::<8>()?),
                    width => values.extend_from_slice(reader.bytes(width)?),
                }
                nulls.append_non_null();
            }
            Self::List { offsets, nulls, elements, .. } => {
                let count = reader.count(1)?;
                (0..count).try_for_each(|_| elements.read(reader))?;
                advance(offsets, count)?;
                nulls.append_non_null();
            }
            Self::Map { offsets, nulls, entries, .. } => {
                let count = reader.count(2)?;
                // Entries are never null, so they have no tag.
                (0..count).try_for_each(|_| entries.read_value(reader))?;
                advance(offsets, count)?;
                nulls.append_non_null();
            }
            Self::Struct { rows, nulls, columns, .. } => {
                columns.iter_mut().try_for_each(|column| column.read(reader))?;
                *rows += 1;
                nulls.append_non_null();
            }
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
            Self::Fixed { width, values, nulls, .. } => {
                values.extend_zeros(*width);
                nulls.append_null();
            }
            Self::List { offsets, nulls, .. } | Self::Map { offsets, nulls, .. } => {
                offsets.extend_from_within(offsets.len() - 1..);
                nulls.append_null();
            }
            Self::Struct { rows, nulls, columns, .. } => {
                columns.iter_mut().for_each(Self::append_null);
                *rows += 1;
                nulls.append_null();
            }
        }
    }

    /// The column. Error: `STATE-CORRUPT` for a null where the type has none.
    pub(super) fn finish(self) -> Result<ArrayRef, OperatorError> {
        let corrupt = |error: ArrowError| StateReader::corrupt(&error.to_string());
        Ok(match self {
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Bytes(mut builder) => Arc::new(builder.finish()),
            Self::Fixed { data_type, width, values, mut nulls } => {
                let rows = values.len() / width;
                fixed_width::array_of(&data_type, values.into(), rows, nulls.finish()).map_err(corrupt)?
            }
            Self::List { field, offsets, mut nulls, elements } => {
                let offsets = OffsetBuffer::new(offsets.into());
                Arc::new(ListArray::try_new(field, offsets, elements.finish()?, nulls.finish()).map_err(corrupt)?)
            }
            Self::Map { field, ordered, offsets, mut nulls, entries } => {
                let offsets = OffsetBuffer::new(offsets.into());
                let entries =
                    entries.finish()?.as_struct_opt().ok_or_else(|| StateReader::corrupt("a map without entries"))?.clone();
                Arc::new(MapArray::try_new(field, offsets, entries, nulls.finish(), ordered).map_err(corrupt)?)
            }
            Self::Struct { fields, rows, mut nulls, columns } => {
                if fields.is_empty() {
                    return Ok(Arc::new(StructArray::new_empty_fields(rows, nulls.finish())));
                }
                let columns = columns.into_iter().map(Self::finish).collect::<Result<_, _>>()?;
                Arc::new(StructArray::try_new(fields, columns, nulls.finish()).map_err(corrupt)?)
            }
        })
    }
}

/// Appends the end of a list of `count` elements.
fn advance(offsets: &mut Vec<i32>, count: usize) -> Result<(), OperatorError> {
    let end = i32::try_from(count).ok().and_then(|count| offsets.last().copied().unwrap_or(0).checked_add(count));
    offsets.push(end.ok_or_else(|| StateReader::corrupt("a list has too many elements"))?);
    Ok(())
}
