//! Calls functions and casts with constants, for tests of their values.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_select::take::take;
use weir_protocol::job_graph::DataType;

use super::{Argument, Clock, Operand, by_sql_name, cast};
use crate::schema::arrow_type;

/// A constant, written as `literal::TYPE`; `NULL::TYPE` is NULL. A NOT NULL constant.
#[derive(Clone)]
pub(crate) struct Value {
    pub text: Option<String>,
    pub data_type: DataType,
}

pub(crate) fn value(written: &str) -> Value {
    let (text, data_type) = written.rsplit_once("::").unwrap();
    Value { text: (text != "NULL").then(|| text.to_owned()), data_type: data_type.parse().unwrap() }
}

/// Computes a call, as `TYPE text`, with `?` behind a nullable type. The call is computed for constants and for columns in every
/// mixture, and all must agree.
pub(crate) fn call(name: &str, arguments: &[&str]) -> String {
    match try_call(name, arguments) {
        Ok(found) => found,
        Err(error) => format!("ERROR {error}"),
    }
}

fn try_call(name: &str, arguments: &[&str]) -> Result<String, String> {
    let function = by_sql_name(name).unwrap();
    let values: Vec<Value> = arguments.iter().map(|written| value(written)).collect();
    let described = describe(&values);
    let resolved = (function.resolve)(&described)?;
    let mut constants = Vec::new();
    for (value, to) in values.iter().zip(&resolved.arguments) {
        let array = cast::read_literal(value.text.as_deref(), &value.data_type)?;
        let mut kernel = cast::prepare(&value.data_type, to, cast::Options::default())?;
        constants.push(kernel.evaluate(&[Operand::Constant(array)], 1, Clock::default()).map_err(|e| e.message)?);
    }
    let values: Vec<Value> = constants
        .iter()
        .zip(&resolved.arguments)
        .map(|(array, data_type)| Value {
            text: cast::write_literal(array, data_type).unwrap_or(None),
            data_type: data_type.clone(),
        })
        .collect();
    let described = describe(&values);
    let again = (function.resolve)(&described)?;
    assert_eq!(
        (&again.arguments, &again.result),
        (&resolved.arguments, &resolved.result),
        "{name} {arguments:?} resolves differently"
    );
    let mut kernel = (function.kernel)(&described, &resolved.result)?;
    let expected = answer(
        kernel.evaluate(&constants.iter().cloned().map(Operand::Constant).collect::<Vec<_>>(), 1, Clock::default()),
        &resolved.result,
    )?;
    for mixture in 1..(1_u32 << constants.len().min(4)) {
        let operands: Vec<Operand> = constants
            .iter()
            .enumerate()
            .map(
                |(i, array)| {
                    if mixture >> i & 1 == 1 { Operand::Column(with_null(array)) } else { Operand::Constant(array.clone()) }
                },
            )
            .collect();
        let column = kernel.evaluate(&operands, 3, Clock::default()).map_err(|e| e.message)?;
        assert_eq!(column.len(), 3, "{name}");
        for row in [0, 2] {
            assert_eq!(
                answer(Ok(column.slice(row, 1)), &resolved.result)?,
                expected,
                "{name} {arguments:?}, mixture {mixture}, row {row}"
            );
        }
    }
    let mark = if resolved.nullable { "?" } else { "" };
    Ok(format!("{}{mark} {expected}", resolved.result))
}

fn describe(values: &[Value]) -> Vec<Argument<'_>> {
    let of = |value: &Value| value.text.is_none();
    values
        .iter()
        .map(|value| Argument { data_type: &value.data_type, nullable: of(value), constant: Some(value.text.as_deref()) })
        .collect()
}

/// The value, NULL, the value.
fn with_null(array: &ArrayRef) -> ArrayRef {
    take(array, &UInt32Array::from(vec![Some(0), None, Some(0)]), None).unwrap()
}

fn answer(array: Result<ArrayRef, crate::operator::OperatorError>, data_type: &DataType) -> Result<String, String> {
    let array = array.map_err(|error| error.message)?;
    assert_eq!(array.len(), 1);
    assert_eq!(array.data_type(), &arrow_type(data_type), "the Arrow type of {data_type}");
    Ok(cast::write_literal(&array, data_type)?.unwrap_or_else(|| "NULL".to_owned()))
}

/// Casts a constant, and returns its text.
pub(crate) fn cast_to(written: &str, to: &str, options: cast::Options) -> String {
    let value = value(written);
    let to: DataType = to.parse().unwrap();
    let array = cast::read_literal(value.text.as_deref(), &value.data_type).unwrap();
    cast_array(&array, &value.data_type, &to, options)
}

/// Casts an array of length 1, and returns the text of its value.
pub(crate) fn cast_array(array: &ArrayRef, from: &DataType, to: &DataType, options: cast::Options) -> String {
    let mut kernel = match cast::prepare(from, to, options) {
        Ok(kernel) => kernel,
        Err(error) => return format!("REFUSED {error}"),
    };
    let cast = match kernel.evaluate(&[Operand::Column(Arc::clone(array))], array.len(), Clock::default()) {
        Ok(cast) => cast,
        Err(error) => return format!("ERROR {error}"),
    };
    assert_eq!(cast.data_type(), &arrow_type(to));
    if to.is_nested() {
        let mut text = cast::prepare(to, &DataType::String, options).unwrap();
        let text = text.evaluate(&[Operand::Column(cast)], 1, Clock::default()).unwrap();
        return answer(Ok(text), &DataType::String).unwrap();
    }
    answer(Ok(cast), to).unwrap()
}
