//! Converts the columns of a job graph to Arrow schemas, and back.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use weir_protocol::job_graph::{DataType, ElementType, Field, MAX_TYPE_NESTING, RowField};

use crate::operator::OperatorError;

/// The time zone that Arrow notes at points in time. Local times have none.
const UTC: &str = "UTC";

/// The Arrow type that represents a column type. Lengths of texts and bytes are lost: the planner enforces them by casts.
pub fn arrow_type(data_type: &DataType) -> ArrowType {
    match data_type {
        DataType::Boolean => ArrowType::Boolean,
        DataType::Tinyint => ArrowType::Int8,
        DataType::Smallint => ArrowType::Int16,
        DataType::Int => ArrowType::Int32,
        DataType::Bigint => ArrowType::Int64,
        DataType::Float => ArrowType::Float32,
        DataType::Double => ArrowType::Float64,
        DataType::Decimal { precision, scale } => ArrowType::Decimal128(*precision, *scale as i8),
        DataType::Char(_) | DataType::Varchar(_) | DataType::String => ArrowType::Utf8,
        DataType::Binary(_) | DataType::Varbinary(_) | DataType::Bytes => ArrowType::Binary,
        DataType::Date => ArrowType::Date32,
        DataType::Time(_) => ArrowType::Time32(TimeUnit::Millisecond),
        DataType::Timestamp(precision) => ArrowType::Timestamp(time_unit(*precision), None),
        DataType::TimestampLtz(precision) => ArrowType::Timestamp(time_unit(*precision), Some(UTC.into())),
        DataType::IntervalMonths | DataType::IntervalMillis => ArrowType::Int64,
        DataType::Array(element) => ArrowType::List(Arc::new(element_field("item", element))),
        DataType::Map(key, value) => {
            let key = ArrowField::new("key", arrow_type(&key.data_type), false);
            ArrowType::Map(map_entries(key, element_field("value", value)), false)
        }
        DataType::Multiset(element) => {
            let key = ArrowField::new("key", arrow_type(&element.data_type), false);
            ArrowType::Map(map_entries(key, ArrowField::new("value", ArrowType::Int32, false)), false)
        }
        DataType::Row(fields) => {
            let field = |f: &RowField| ArrowField::new(&f.name, arrow_type(&f.data_type), f.nullable);
            ArrowType::Struct(fields.iter().map(field).collect())
        }
    }
}

fn element_field(name: &str, element: &ElementType) -> ArrowField {
    ArrowField::new(name, arrow_type(&element.data_type), element.nullable)
}

fn map_entries(key: ArrowField, value: ArrowField) -> Arc<ArrowField> {
    Arc::new(ArrowField::new("entries", ArrowType::Struct(vec![key, value].into()), false))
}

/// The unit that holds this many digits after the second.
fn time_unit(precision: u8) -> TimeUnit {
    match precision {
        0..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

/// The column type that this Arrow type represents; `None` if there is none. Of several, it is the widest: STRING for text.
pub fn column_type(data_type: &ArrowType) -> Option<DataType> {
    let precision = |unit: &TimeUnit| match unit {
        TimeUnit::Second => None,
        TimeUnit::Millisecond => Some(3),
        TimeUnit::Microsecond => Some(6),
        TimeUnit::Nanosecond => Some(9),
    };
    let element = |field: &ArrowField| {
        let data_type = column_type(field.data_type())?;
        Some(Box::new(ElementType { data_type, nullable: field.is_nullable() }))
    };
    Some(match data_type {
        ArrowType::Boolean => DataType::Boolean,
        ArrowType::Int8 => DataType::Tinyint,
        ArrowType::Int16 => DataType::Smallint,
        ArrowType::Int32 => DataType::Int,
        ArrowType::Int64 => DataType::Bigint,
        ArrowType::Float32 => DataType::Float,
        ArrowType::Float64 => DataType::Double,
        ArrowType::Decimal128(precision, scale) => {
            DataType::Decimal { precision: *precision, scale: u8::try_from(*scale).ok().filter(|scale| scale <= precision)? }
        }
        ArrowType::Utf8 => DataType::String,
        ArrowType::Binary => DataType::Bytes,
        ArrowType::Date32 => DataType::Date,
        ArrowType::Time32(TimeUnit::Millisecond) => DataType::Time(3),
        ArrowType::Timestamp(unit, None) => DataType::Timestamp(precision(unit)?),
        ArrowType::Timestamp(unit, Some(zone)) if &**zone == UTC => DataType::TimestampLtz(precision(unit)?),
        ArrowType::List(item) => DataType::Array(element(item)?),
        ArrowType::Map(entries, false) => match entries.data_type() {
            ArrowType::Struct(fields) if fields.len() == 2 => DataType::Map(element(&fields[0])?, element(&fields[1])?),
            _ => return None,
        },
        ArrowType::Struct(fields) => {
            let field = |f: &Arc<ArrowField>| {
                Some(RowField { name: f.name().clone(), data_type: column_type(f.data_type())?, nullable: f.is_nullable() })
            };
            DataType::Row(fields.iter().map(field).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// The name of an Arrow type in messages: the name of its column type, else Arrow's own.
pub fn type_name(data_type: &ArrowType) -> String {
    column_type(data_type).map_or_else(|| data_type.to_string(), |known| known.to_string())
}

/// The Arrow schema of these columns. Error: `SCHEMA-DUPLICATE` if two columns have the same name.
pub fn to_arrow(fields: &[Field]) -> Result<SchemaRef, OperatorError> {
    let mut names = BTreeSet::new();
    for field in fields {
        if !names.insert(field.name.as_str()) {
            return Err(OperatorError::fatal("SCHEMA-DUPLICATE", format!("two columns are named {:?}; rename one", field.name)));
        }
    }
    let field = |f: &Field| ArrowField::new(&f.name, arrow_type(&f.data_type), f.nullable);
    Ok(Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>())))
}

/// How deep the values of a type are nested: 0 for a scalar.
fn nesting(data_type: &ArrowType) -> usize {
    match data_type {
        ArrowType::List(item) => 1 + nesting(item.data_type()),
        ArrowType::Map(entries, _) => nesting(entries.data_type()),
        ArrowType::Struct(fields) => 1 + fields.iter().map(|field| nesting(field.data_type())).max().unwrap_or(0),
        _ => 0,
    }
}

/// The columns of an Arrow schema. Error: `SCHEMA-TYPE` for an Arrow type that is no column type, or that is nested deeper than
/// [`MAX_TYPE_NESTING`].
pub fn from_arrow(schema: &Schema) -> Result<Vec<Field>, OperatorError> {
    let field = |f: &Arc<ArrowField>| {
        if nesting(f.data_type()) > MAX_TYPE_NESTING {
            let message = format!("column {:?} is nested deeper than {MAX_TYPE_NESTING}; flatten it", f.name());
            return Err(OperatorError::fatal("SCHEMA-TYPE", message));
        }
        let data_type = column_type(f.data_type()).ok_or_else(|| {
            let message = format!("column {:?} has type {}, which is not a column type; cast it", f.name(), f.data_type());
            OperatorError::fatal("SCHEMA-TYPE", message)
        })?;
        Ok(Field { name: f.name().clone(), data_type, nullable: f.is_nullable() })
    };
    schema.fields().iter().map(field).collect()
}

/// Why rows of schema `actual` don't fit schema `declared`, or `None` if they do. Names, order and types must be equal. A column
/// declared nullable fits one that is never null.
pub fn mismatch(actual: &Schema, declared: &Schema) -> Option<String> {
    let (a, d) = (actual.fields(), declared.fields());
    if a.len() != d.len() {
        return Some(format!("{} instead of {}", describe(actual), describe(declared)));
    }
    for (a, d) in a.iter().zip(d) {
        if a.name() != d.name() || a.data_type() != d.data_type() {
            return Some(format!("{} instead of {}", describe(actual), describe(declared)));
        }
        if a.is_nullable() && !d.is_nullable() {
            return Some(format!("column {:?} may be null but is declared \"nullable\": false", a.name()));
        }
    }
    None
}

/// A schema in one line for messages, for example `(auction BIGINT, name STRING)`.
pub fn describe(schema: &Schema) -> String {
    let columns: Vec<_> = schema.fields().iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect();
    format!("({})", columns.join(", "))
}

/// The position of a column. Error: `SCHEMA-COLUMN`, which lists the columns of the schema.
pub fn column_index(schema: &Schema, name: &str) -> Result<usize, OperatorError> {
    schema.index_of(name).map_err(|_| {
        OperatorError::fatal("SCHEMA-COLUMN", format!("there is no column {name:?}; the input is {}", describe(schema)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, data_type: DataType, nullable: bool) -> Field {
        Field { name: name.into(), data_type, nullable }
    }

    #[test]
    fn every_column_type_converts_to_arrow_and_back() {
        let all = [
            field("a", DataType::Boolean, true),
            field("b", DataType::Int, false),
            field("c", DataType::Bigint, true),
            field("d", DataType::Double, true),
            field("e", DataType::String, true),
            field("f", DataType::TIMESTAMP_MS, false),
            field("g", DataType::Tinyint, true),
            field("h", DataType::Smallint, true),
            field("i", DataType::Float, true),
            field("j", "DECIMAL(38, 18)".parse().unwrap(), true),
            field("k", DataType::Bytes, true),
            field("l", DataType::Date, true),
            field("m", DataType::Time(3), true),
            field("n", DataType::Timestamp(9), true),
            field("o", DataType::TimestampLtz(6), true),
            field("p", "ARRAY<ROW<a INT NOT NULL, b MAP<STRING NOT NULL, DATE>>>".parse().unwrap(), true),
        ];
        assert_eq!(from_arrow(&to_arrow(&all).unwrap()).unwrap(), all);
    }

    #[test]
    fn duplicate_columns_and_foreign_types_are_refused() {
        let twice = [field("a", DataType::Int, true), field("a", DataType::Int, true)];
        assert_eq!(to_arrow(&twice).unwrap_err().code, "SCHEMA-DUPLICATE");
        let foreign = Schema::new(vec![ArrowField::new("a", ArrowType::Float16, true)]);
        assert_eq!(from_arrow(&foreign).unwrap_err().code, "SCHEMA-TYPE");
    }

    #[test]
    fn a_column_without_nulls_fits_one_declared_nullable_but_not_the_reverse() {
        let nullable = to_arrow(&[field("a", DataType::Int, true)]).unwrap();
        let required = to_arrow(&[field("a", DataType::Int, false)]).unwrap();
        assert_eq!(mismatch(&required, &nullable), None);
        assert!(mismatch(&nullable, &required).unwrap().contains("\"a\""));
    }
}
