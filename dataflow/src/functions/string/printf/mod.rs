//! PRINTF: the formats of `java.util.Formatter`, without times, hash codes and hexadecimal fractions.

mod number;
mod spec;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use weir_protocol::job_graph::DataType;

use super::{check_length, texts};
use crate::functions::operand::{eval_error, joint_nulls, kernel_of, map_text, type_error};
use crate::functions::signature::{count, types};
use crate::functions::{Function, Kernel, Operand, Resolved};
use crate::operator::OperatorError;
use number::Digits;
use spec::{Piece, Spec};

pub(in crate::functions) const FUNCTIONS: &[Function] = &[Function::first(
    "printf",
    "PRINTF(format, value, …)",
    "The values in the format, as Java's String.format writes numbers, texts and booleans; NULL if they don't fit the format.",
    |given| {
        count(given, 1, usize::MAX)?;
        for (i, argument) in given.iter().enumerate() {
            let fits = |t: &DataType| t.is_text() || (i > 0 && (t.is_numeric() || *t == DataType::Boolean));
            if !fits(argument.data_type) {
                let expected = if i == 0 { "a text" } else { "a text, a number or a boolean; CAST it to STRING" };
                return Err(crate::functions::signature::wrong_argument(i + 1, argument.data_type, expected));
            }
        }
        Ok(Resolved { arguments: types(given), result: DataType::String, nullable: true })
    },
    |given, _| Ok(printf(given[1..].iter().map(|argument| argument.data_type.clone()).collect())),
)];

/// A value to write.
enum Value<'a> {
    Null,
    Text(&'a str),
    Boolean(bool),
    /// A whole number, and how many bits its type has.
    Whole(i64, u32),
    Real(f64),
    Decimal(i128, u8),
}

impl<'a> Value<'a> {
    fn of(array: &'a ArrayRef, data_type: &DataType, row: usize) -> Result<Self, OperatorError> {
        if array.is_null(row) {
            return Ok(Self::Null);
        }
        let value = match data_type {
            DataType::Boolean => array.as_boolean_opt().map(|values| Self::Boolean(values.value(row))),
            DataType::Tinyint => array.as_primitive_opt::<Int8Type>().map(|values| Self::Whole(values.value(row).into(), 8)),
            DataType::Smallint => array.as_primitive_opt::<Int16Type>().map(|values| Self::Whole(values.value(row).into(), 16)),
            DataType::Int => array.as_primitive_opt::<Int32Type>().map(|values| Self::Whole(values.value(row).into(), 32)),
            DataType::Bigint => array.as_primitive_opt::<Int64Type>().map(|values| Self::Whole(values.value(row), 64)),
            DataType::Float => array.as_primitive_opt::<Float32Type>().map(|values| {
                // The shortest text of a FLOAT, as a DOUBLE.
                Self::Real(values.value(row).to_string().parse().unwrap_or(f64::NAN))
            }),
            DataType::Double => array.as_primitive_opt::<Float64Type>().map(|values| Self::Real(values.value(row))),
            DataType::Decimal { scale, .. } => {
                array.as_primitive_opt::<Decimal128Type>().map(|values| Self::Decimal(values.value(row), *scale))
            }
            _ => array.as_string_opt::<i32>().map(|values| Self::Text(values.value(row))),
        };
        value.ok_or_else(|| type_error(array.data_type()))
    }
}

fn printf(arguments: Vec<DataType>) -> Box<dyn Kernel> {
    let mut known: Option<(String, Vec<Piece>)> = None;
    kernel_of(move |operands, rows, _| {
        let formats = texts(operands, 0)?;
        let nulls = joint_nulls(&operands[..1], rows);
        let column = map_text(rows, nulls.as_ref(), |row, out| {
            let format = formats.value(row);
            if known.as_ref().is_none_or(|(text, _)| text != format) {
                let Some(pieces) = spec::parse(format) else { return Ok(false) };
                known = Some((format.to_owned(), pieces));
            }
            let values = operands[1..].iter().zip(&arguments).map(|(operand, data_type)| {
                let place = if matches!(operand, Operand::Constant(_)) { 0 } else { row };
                Value::of(operand.array(), data_type, place)
            });
            let values = values.collect::<Result<Vec<_>, _>>()?;
            let pieces = known.as_ref().map_or(&[][..], |(_, pieces)| pieces);
            write(pieces, &values, out)
        })?;
        Ok(Arc::new(column))
    })
}

/// Writes all pieces. Returns false if a value is missing or does not fit its conversion.
fn write(pieces: &[Piece], values: &[Value<'_>], out: &mut String) -> Result<bool, OperatorError> {
    let (mut next, mut last) = (0, None);
    for piece in pieces {
        let spec = match piece {
            Piece::Text(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Spec(spec) => spec,
        };
        if let Some(literal) = spec.literal() {
            spec.pad(literal.into(), out);
            continue;
        }
        let index = match spec.argument {
            spec::Argument::Next => {
                next += 1;
                next - 1
            }
            spec::Argument::Last => match last {
                Some(last) => last,
                None => return Ok(false),
            },
            spec::Argument::Number(number) => number - 1,
        };
        last = Some(index);
        let Some(value) = values.get(index) else { return Ok(false) };
        check_length(out.len().saturating_add(spec.largest()))?;
        match shown(spec, value)? {
            Some(text) => spec.pad(if spec.upper { text.to_uppercase() } else { text }, out),
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// The value without padding; `None` if it does not fit.
fn shown(spec: &Spec, value: &Value<'_>) -> Result<Option<String>, OperatorError> {
    let cut = |text: String| match spec.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text,
    };
    Ok(match (spec.conversion, value) {
        ('a' | 'h' | 't', _) => {
            return Err(eval_error(format!("PRINTF does not support %{}; use another conversion", spec.conversion)));
        }
        ('b', Value::Null) => Some(cut("false".into())),
        ('b', Value::Boolean(value)) => Some(cut(value.to_string())),
        ('b', _) => Some(cut("true".into())),
        (_, Value::Null) => Some(cut("null".into())),
        ('s', value) => Some(cut(plain(value))),
        ('c', Value::Whole(code, bits @ ..=32)) if *bits > 0 => {
            u32::try_from(*code).ok().and_then(char::from_u32).map(String::from)
        }
        ('d', Value::Whole(value, _)) => Some(spec.signed(*value < 0, spec.grouped(value.unsigned_abs().to_string(), ""))),
        ('x' | 'o', Value::Whole(value, bits)) => {
            let unsigned = *value as u64 & (u64::MAX >> (64 - bits));
            let (digits, prefix) =
                if spec.conversion == 'x' { (format!("{unsigned:x}"), "0x") } else { (format!("{unsigned:o}"), "0") };
            let digits = if spec.alternate { format!("{prefix}{digits}") } else { digits };
            Some(spec.zero_filled(digits))
        }
        ('f' | 'e' | 'g', Value::Real(value)) if !value.is_finite() => {
            let text = if value.is_nan() { "NaN" } else { "Infinity" };
            Some(spec.signed_word(*value < 0.0, text))
        }
        ('f' | 'e' | 'g', Value::Real(value)) => Some(number::approximate(spec, &Digits::of_real(*value))),
        ('f' | 'e' | 'g', Value::Decimal(value, scale)) => Some(number::approximate(spec, &Digits::of_decimal(*value, *scale))),
        _ => None,
    })
}

/// The value as Java's `toString` writes it.
fn plain(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Text(text) => (*text).to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Whole(value, _) => value.to_string(),
        Value::Real(value) => crate::functions::cast::real_text(*value),
        Value::Decimal(value, scale) => number::decimal_text(*value, *scale),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text that Java writes; `None` where it throws.
    fn format(format: &str, values: &[Value<'_>]) -> Option<String> {
        let mut out = String::new();
        write(&spec::parse(format)?, values, &mut out).unwrap().then_some(out)
    }

    #[test]
    fn numbers_have_the_form_that_java_gives_them() {
        for (text, value, expected) in [
            ("%d", Value::Whole(-5, 32), "-5"),
            ("%05d", Value::Whole(-42, 32), "-0042"),
            ("%,d", Value::Whole(1_234_567, 64), "1,234,567"),
            ("%+d", Value::Whole(7, 32), "+7"),
            ("%(d", Value::Whole(-7, 32), "(7)"),
            ("% d", Value::Whole(7, 32), " 7"),
            ("%-5d|", Value::Whole(7, 32), "7    |"),
            ("%5d", Value::Whole(7, 32), "    7"),
            ("%x", Value::Whole(-1, 32), "ffffffff"),
            ("%X", Value::Whole(255, 64), "FF"),
            ("%#x", Value::Whole(255, 64), "0xff"),
            ("%o", Value::Whole(8, 32), "10"),
            ("%.2f", Value::Real(1.005), "1.01"),
            ("%.1f", Value::Real(0.25), "0.3"),
            ("%.0f", Value::Real(2.5), "3"),
            ("%f", Value::Real(1e10), "10000000000.000000"),
            ("%05.1f", Value::Real(-1.25), "-01.3"),
            ("%,.2f", Value::Real(1_234_567.891), "1,234,567.89"),
            ("%.3f", Value::Decimal(12345, 2), "123.450"),
            ("%e", Value::Real(12_345.678), "1.234568e+04"),
            ("%.2E", Value::Real(0.000_123), "1.23E-04"),
            ("%e", Value::Real(0.0), "0.000000e+00"),
            ("%g", Value::Real(0.0001), "0.000100000"),
            ("%g", Value::Real(123_456_789.0), "1.23457e+08"),
            ("%f", Value::Real(f64::NAN), "NaN"),
            ("%+f", Value::Real(f64::INFINITY), "+Infinity"),
            ("%s", Value::Real(1e10), "1.0E10"),
            ("%s", Value::Decimal(-5, 2), "-0.05"),
            ("%b", Value::Null, "false"),
            ("%10s|", Value::Null, "      null|"),
            ("%.3s", Value::Text("größer"), "grö"),
            ("%S", Value::Text("äb"), "ÄB"),
            ("%c", Value::Whole(0x1f600, 32), "😀"),
        ] {
            assert_eq!(format(text, &[value]).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn values_are_found_by_number_and_a_format_that_does_not_fit_gives_nothing() {
        let two = || [Value::Text("a"), Value::Text("b")];
        assert_eq!(format("%2$s %1$s %<s %s%%%n", &two()).as_deref(), Some("b a a a%\n"));
        for wrong in
            ["%", "%q", "%3$s", "%s %s %s", "%-s", "%0d", "%-05d", "%d", "%.2d", "%<s", "%,x", "%99999999999d", "%f", "%+s"]
        {
            assert_eq!(format(wrong, &two()), None, "{wrong}");
        }
    }
}
