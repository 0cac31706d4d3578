//! Converts the columns of a job graph to Arrow schemas, and back.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use weir_protocol::job_graph::{DataType, Field};

use crate::operator::OperatorError;

/// The Arrow type that represents a column type.
pub fn arrow_type(data_type: DataType) -> ArrowType {
    match data_type {
        DataType::Boolean => ArrowType::Boolean,
        DataType::Int => ArrowType::Int32,
        DataType::Bigint => ArrowType::Int64,
        DataType::Double => ArrowType::Float64,
        DataType::String => ArrowType::Utf8,
        DataType::TimestampMs => ArrowType::Timestamp(TimeUnit::Millisecond, None),
    }
}

/// The column type that this Arrow type represents; `None` if there is none.
pub fn column_type(data_type: &ArrowType) -> Option<DataType> {
    match data_type {
        ArrowType::Boolean => Some(DataType::Boolean),
        ArrowType::Int32 => Some(DataType::Int),
        ArrowType::Int64 => Some(DataType::Bigint),
        ArrowType::Float64 => Some(DataType::Double),
        ArrowType::Utf8 => Some(DataType::String),
        ArrowType::Timestamp(TimeUnit::Millisecond, None) => Some(DataType::TimestampMs),
        _ => None,
    }
}

/// The name of an Arrow type in messages: the name of its column type, else Arrow's own.
pub fn type_name(data_type: &ArrowType) -> String {
    match column_type(data_type) {
        Some(DataType::Boolean) => "boolean".into(),
        Some(DataType::Int) => "int".into(),
        Some(DataType::Bigint) => "bigint".into(),
        Some(DataType::Double) => "double".into(),
        Some(DataType::String) => "string".into(),
        Some(DataType::TimestampMs) => "timestamp_ms".into(),
        None => data_type.to_string(),
    }
}

/// The Arrow schema of these columns. Error: `SCHEMA-DUPLICATE` if two columns have the same name.
pub fn to_arrow(fields: &[Field]) -> Result<SchemaRef, OperatorError> {
    let mut names = BTreeSet::new();
    for field in fields {
        if !names.insert(field.name.as_str()) {
            return Err(OperatorError::fatal("SCHEMA-DUPLICATE", format!("two columns are named {:?}; rename one", field.name)));
        }
    }
    let field = |f: &Field| ArrowField::new(&f.name, arrow_type(f.data_type), f.nullable);
    Ok(Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>())))
}

/// The columns of an Arrow schema. Error: `SCHEMA-TYPE` for an Arrow type that is no column type.
pub fn from_arrow(schema: &Schema) -> Result<Vec<Field>, OperatorError> {
    let field = |f: &Arc<ArrowField>| {
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

/// A schema in one line for messages, for example `(auction bigint, name string)`.
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
            field("f", DataType::TimestampMs, false),
        ];
        assert_eq!(from_arrow(&to_arrow(&all).unwrap()).unwrap(), all);
    }

    #[test]
    fn duplicate_columns_and_foreign_types_are_refused() {
        let twice = [field("a", DataType::Int, true), field("a", DataType::Int, true)];
        assert_eq!(to_arrow(&twice).unwrap_err().code, "SCHEMA-DUPLICATE");
        let foreign = Schema::new(vec![ArrowField::new("a", ArrowType::Date32, true)]);
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
