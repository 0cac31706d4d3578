//! Aggregate functions, by definition: each looks at all values of its group at once.

use std::collections::BTreeSet;

use weir_protocol::job_graph::DataType;
use weir_sql::stream::AggregateCall;

use crate::{Row, Value};

/// The result of an aggregate over the rows of a group, each with the number of its occurrences. `types` has the types of the
/// columns. Error: the result depends on the order of rows.
pub(crate) fn aggregate(call: &AggregateCall, group: &[(&Row, i64)], types: &[DataType]) -> Result<Value, String> {
    let counts = |row: &Row| call.filter.is_none_or(|filter| row[filter] == Value::Boolean(true));
    let rows = group.iter().filter(|(row, _)| counts(row));
    let Some(argument) = call.arguments.first().copied() else {
        return Ok(Value::Integer(rows.map(|(_, count)| count).sum()));
    };
    let values = rows.map(|(row, count)| (&row[argument], *count)).filter(|(value, _)| !value.is_null());
    let values: Vec<(&Value, i64)> = if call.distinct {
        values.map(|(value, _)| value).collect::<BTreeSet<_>>().into_iter().map(|value| (value, 1)).collect()
    } else {
        values.collect()
    };
    let number: i64 = values.iter().map(|(_, count)| count).sum();
    match call.function.as_str() {
        "count" => Ok(Value::Integer(number)),
        _ if values.is_empty() => Ok(Value::Null),
        "min" => Ok(values.into_iter().map(|(value, _)| value).min().cloned().unwrap_or(Value::Null)),
        "max" => Ok(values.into_iter().map(|(value, _)| value).max().cloned().unwrap_or(Value::Null)),
        "sum" => sum(&values, &call.data_type),
        "avg" => average(&values, number, &types[argument], &call.data_type),
        other => Err(format!("{other} is not determined by the rows alone")),
    }
}

/// The values as whole numbers, each times its number of occurrences.
fn whole(values: &[(&Value, i64)]) -> Result<i128, String> {
    values.iter().try_fold(0i128, |sum, (value, count)| match value {
        Value::Integer(value) => Ok(sum + i128::from(*value) * i128::from(*count)),
        Value::Decimal(value) => Ok(sum + value * i128::from(*count)),
        other => Err(format!("{other:?} is no whole number")),
    })
}

fn doubles(values: &[(&Value, i64)]) -> Result<f64, String> {
    values.iter().try_fold(0.0, |sum, (value, count)| match value {
        Value::Double(value) => Ok(sum + value * *count as f64),
        other => Err(format!("{other:?} is no double")),
    })
}

/// Sums of integers wrap around in their type; a decimal of more than 38 digits is NULL.
fn sum(values: &[(&Value, i64)], result: &DataType) -> Result<Value, String> {
    Ok(match result {
        DataType::Double => Value::Double(doubles(values)?),
        DataType::Float => Value::Double((doubles(values)? as f32).into()),
        DataType::Decimal { .. } => decimal(whole(values)?),
        integer => Value::Integer(wrapped(whole(values)?, integer)?),
    })
}

/// Averages of integers are sums of BIGINT, divided and rounded towards zero. Those of decimals are rounded half away from zero.
fn average(values: &[(&Value, i64)], number: i64, argument: &DataType, result: &DataType) -> Result<Value, String> {
    Ok(match (argument, result) {
        (DataType::Decimal { scale: from, .. }, DataType::Decimal { scale: to, .. }) => {
            let sum = whole(values)? * 10i128.pow(u32::from(to - from));
            let number = i128::from(number);
            let magnitude = (2 * sum.abs() + number) / (2 * number);
            decimal(magnitude * sum.signum())
        }
        (_, DataType::Double) => Value::Double(doubles(values)? / number as f64),
        (_, DataType::Float) => Value::Double(((doubles(values)? / number as f64) as f32).into()),
        (_, integer) => {
            let sum = wrapped(whole(values)?, &DataType::Bigint)?;
            Value::Integer(wrapped(i128::from(sum) / i128::from(number), integer)?)
        }
    })
}

fn decimal(unscaled: i128) -> Value {
    if unscaled.abs() < 10i128.pow(38) { Value::Decimal(unscaled) } else { Value::Null }
}

/// The number modulo the range of the type.
fn wrapped(number: i128, data_type: &DataType) -> Result<i64, String> {
    Ok(match data_type {
        DataType::Tinyint => (number as i8).into(),
        DataType::Smallint => (number as i16).into(),
        DataType::Int => (number as i32).into(),
        DataType::Bigint => number as i64,
        other => return Err(format!("{other} is no integer")),
    })
}
