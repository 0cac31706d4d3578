//! Columns of event time.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType};
use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow_schema::{DataType, Schema, TimeUnit};

use crate::element::EventTime;
use crate::operator::OperatorError;
use crate::schema;

/// The position of a column that can hold event time: a timestamp of any precision, or a bigint of milliseconds since 1970.
pub(super) fn time_column(schema: &Schema, name: &str) -> Result<usize, OperatorError> {
    let index = schema::column_index(schema, name)?;
    match schema.field(index).data_type() {
        DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond, _) | DataType::Int64 => {
            Ok(index)
        }
        other => {
            let found = schema::type_name(other);
            let message =
                format!("column {name:?} is of type {found}; event time needs TIMESTAMP, TIMESTAMP_LTZ, or BIGINT milliseconds");
            Err(OperatorError::fatal("TIME-TYPE", message))
        }
    }
}

/// The values of a column found by [`time_column`], in milliseconds. More precise times are rounded down.
pub(super) fn times(batch: &RecordBatch, column: usize) -> Cow<'_, [EventTime]> {
    let column = batch.column(column);
    let rounded = |values: &[i64], per_milli: i64| Cow::Owned(values.iter().map(|time| time.div_euclid(per_milli)).collect());
    match column.data_type() {
        DataType::Int64 => Cow::Borrowed(column.as_primitive::<Int64Type>().values()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            rounded(column.as_primitive::<TimestampMicrosecondType>().values(), per_milli(&TimeUnit::Microsecond))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            rounded(column.as_primitive::<TimestampNanosecondType>().values(), per_milli(&TimeUnit::Nanosecond))
        }
        _ => Cow::Borrowed(column.as_primitive::<TimestampMillisecondType>().values()),
    }
}

/// A column of a type of [`time_column`], from milliseconds. A time beyond what the type holds becomes its first or last.
pub(super) fn time_array(data_type: &DataType, times: impl Iterator<Item = EventTime>) -> ArrayRef {
    match data_type {
        DataType::Int64 => Arc::new(Int64Array::from_iter_values(times)),
        DataType::Timestamp(unit, zone) => {
            let times = times.map(|time| time.saturating_mul(per_milli(unit)));
            match unit {
                TimeUnit::Microsecond => {
                    Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone_opt(zone.clone()))
                }
                TimeUnit::Nanosecond => {
                    Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone_opt(zone.clone()))
                }
                _ => Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone_opt(zone.clone())),
            }
        }
        _ => Arc::new(TimestampMillisecondArray::from_iter_values(times)),
    }
}

fn per_milli(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1_000_000,
        _ => 1,
    }
}

/// The error for a row without event time.
pub(super) fn no_time(column: &str) -> OperatorError {
    let message = format!(
        "a row has no event time: column {column:?} is NULL; filter out such rows (WHERE {column} IS NOT NULL) before the watermark"
    );
    OperatorError::fatal("TIME-NULL", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precise_times_are_rounded_down_to_milliseconds() {
        let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-1, 999, 1_000]).with_timezone("UTC"));
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![-1_000_001, 0, 5_999_999]));
        let batch = RecordBatch::try_from_iter([("u", micros.clone()), ("n", nanos)]).unwrap();
        assert_eq!(times(&batch, time_column(&batch.schema(), "u").unwrap()).as_ref(), [-1, 0, 1]);
        assert_eq!(times(&batch, time_column(&batch.schema(), "n").unwrap()).as_ref(), [-2, 0, 5]);
        let again = time_array(micros.data_type(), [-1, 0, 1].into_iter());
        assert_eq!(again.data_type(), micros.data_type());
        assert_eq!(again.as_primitive::<TimestampMicrosecondType>().values().as_ref(), [-1_000, 0, 1_000]);
    }
}
