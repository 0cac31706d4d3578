//! Values, rows and relations.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, RecordBatch, StringArray, Time32MillisecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow_schema::{DataType, TimeUnit};

/// One value of a row. NULL is the least.
#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Boolean(bool),
    /// A whole number of any width, a date, a time of day, or a time in the unit of its column.
    Integer(i64),
    /// A decimal without its point.
    Decimal(i128),
    /// A FLOAT or DOUBLE.
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// The values of a row, in the order of the columns.
pub type Row = Vec<Value>;

/// A multiset of rows: how often each is there. No count is 0.
pub type Relation = BTreeMap<Row, i64>;

impl Value {
    /// The place of the kind of value in the order of values.
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Boolean(_) => 1,
            Self::Integer(_) => 2,
            Self::Decimal(_) => 3,
            Self::Double(_) => 4,
            Self::Text(_) => 5,
            Self::Bytes(_) => 6,
        }
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value at this position of an array. Error: the type is nested.
    pub fn of(array: &dyn Array, index: usize) -> Result<Self, String> {
        if array.is_null(index) {
            return Ok(Self::Null);
        }
        Ok(match array.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean().value(index)),
            DataType::Int8 => Self::Integer(array.as_primitive::<Int8Type>().value(index).into()),
            DataType::Int16 => Self::Integer(array.as_primitive::<Int16Type>().value(index).into()),
            DataType::Int32 => Self::Integer(array.as_primitive::<Int32Type>().value(index).into()),
            DataType::Int64 => Self::Integer(array.as_primitive::<Int64Type>().value(index)),
            DataType::Date32 => Self::Integer(array.as_primitive::<Date32Type>().value(index).into()),
            DataType::Time32(_) => Self::Integer(array.as_primitive::<Time32MillisecondType>().value(index).into()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Self::Integer(array.as_primitive::<TimestampMillisecondType>().value(index))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Integer(array.as_primitive::<TimestampMicrosecondType>().value(index))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                Self::Integer(array.as_primitive::<TimestampNanosecondType>().value(index))
            }
            DataType::Decimal128(..) => Self::Decimal(array.as_primitive::<Decimal128Type>().value(index)),
            DataType::Float32 => Self::Double(array.as_primitive::<Float32Type>().value(index).into()),
            DataType::Float64 => Self::Double(array.as_primitive::<Float64Type>().value(index)),
            DataType::Utf8 => Self::Text(array.as_string::<i32>().value(index).to_owned()),
            DataType::Binary => Self::Bytes(array.as_binary::<i32>().value(index).to_vec()),
            other => return Err(format!("the reference has no values of type {other}")),
        })
    }
}

/// An array of this type with these values. Error: a value is not of the type.
pub fn array_of(values: &[&Value], data_type: &DataType) -> Result<ArrayRef, String> {
    let misfit = |value: &Value| format!("{value:?} is not of type {data_type}");
    /// The values as `pick` takes them. NULL is `None`.
    fn picked<'a, T>(
        values: &[&'a Value],
        misfit: impl Fn(&Value) -> String,
        pick: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Vec<Option<T>>, String> {
        let one = |value: &&'a Value| match value {
            Value::Null => Ok(None),
            value => pick(value).map(Some).ok_or_else(|| misfit(value)),
        };
        values.iter().map(one).collect()
    }
    fn integer<N: TryFrom<i64>>(value: &Value) -> Option<N> {
        match value {
            Value::Integer(value) => N::try_from(*value).ok(),
            _ => None,
        }
    }
    let double = |value: &Value| match value {
        Value::Double(value) => Some(*value),
        _ => None,
    };
    Ok(match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from(picked(values, misfit, |value| match value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        })?)),
        DataType::Int8 => Arc::new(Int8Array::from(picked(values, misfit, integer)?)),
        DataType::Int16 => Arc::new(Int16Array::from(picked(values, misfit, integer)?)),
        DataType::Int32 => Arc::new(Int32Array::from(picked(values, misfit, integer)?)),
        DataType::Int64 => Arc::new(Int64Array::from(picked(values, misfit, integer)?)),
        DataType::Date32 => Arc::new(Date32Array::from(picked(values, misfit, integer)?)),
        DataType::Time32(_) => Arc::new(Time32MillisecondArray::from(picked(values, misfit, integer)?)),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            Arc::new(TimestampMillisecondArray::from(picked(values, misfit, integer)?).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Arc::new(TimestampMicrosecondArray::from(picked(values, misfit, integer)?).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            Arc::new(TimestampNanosecondArray::from(picked(values, misfit, integer)?).with_timezone_opt(zone.clone()))
        }
        DataType::Decimal128(precision, scale) => {
            let decimals = picked(values, misfit, |value| match value {
                Value::Decimal(value) => Some(*value),
                _ => None,
            })?;
            let array = Decimal128Array::from(decimals).with_precision_and_scale(*precision, *scale);
            Arc::new(array.map_err(|error| error.to_string())?)
        }
        DataType::Float32 => {
            let floats = picked(values, misfit, |value| double(value).map(|value| value as f32));
            Arc::new(Float32Array::from(floats?))
        }
        DataType::Float64 => Arc::new(Float64Array::from(picked(values, misfit, double)?)),
        DataType::Utf8 => Arc::new(StringArray::from(picked(values, misfit, |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })?)),
        DataType::Binary => Arc::new(BinaryArray::from(picked(values, misfit, |value| match value {
            Value::Bytes(bytes) => Some(bytes.as_slice()),
            _ => None,
        })?)),
        other => return Err(format!("the reference has no values of type {other}")),
    })
}

/// The rows of a batch, with only its first `columns` columns. Error: a column has a nested type.
pub fn rows_of(batch: &RecordBatch, columns: usize) -> Result<Vec<Row>, String> {
    let row = |index: usize| batch.columns()[..columns].iter().map(|column| Value::of(column, index)).collect();
    (0..batch.num_rows()).map(row).collect()
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(b),
            (Self::Double(a), Self::Double(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Value {}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Decimal(value) => write!(f, "{value}e"),
            Self::Double(value) => write!(f, "{value:?}"),
            Self::Text(text) => f.write_str(text),
            Self::Bytes(bytes) => write!(f, "{bytes:02x?}"),
        }
    }
}
