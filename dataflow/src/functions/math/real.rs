//! Functions that compute with DOUBLE: roots, logarithms, trigonometry.

use std::sync::Arc;

use arrow_array::types::Float64Type;
use arrow_array::{Float64Array, Int32Array};
use weir_protocol::job_graph::DataType;

use crate::functions::chance;
use crate::functions::operand::{joint_nulls, kernel_of, map_rows, zip_values};
use crate::functions::signature::count;
use crate::functions::string::read;
use crate::functions::typing::typing;
use crate::functions::{Argument, Function, Kernel, Resolved};

macro_rules! of_one {
    ($name:literal, $syntax:literal, $doc:literal, $value:expr) => {
        Function::first($name, $syntax, $doc, one, |_, _| Ok(map($value)))
    };
}

macro_rules! of_two {
    ($name:literal, $syntax:literal, $doc:literal, $value:expr) => {
        Function::first($name, $syntax, $doc, two, |_, _| {
            Ok(kernel_of(|operands, rows, _| {
                Ok(Arc::new(zip_values::<Float64Type, Float64Type, Float64Type>(operands, rows, $value)?))
            }))
        })
    };
}

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    of_one!("sqrt", "SQRT(x)", "The square root; NaN for a negative number.", f64::sqrt),
    of_one!("exp", "EXP(x)", "e to the power of x.", f64::exp),
    of_one!("ln", "LN(x)", "The natural logarithm.", f64::ln),
    of_one!("log10", "LOG10(x)", "The logarithm to base 10.", f64::log10),
    of_one!("log2", "LOG2(x)", "The logarithm to base 2.", |x| x.ln() / std::f64::consts::LN_2),
    of_one!("sin", "SIN(x)", "The sine.", f64::sin),
    of_one!("cos", "COS(x)", "The cosine.", f64::cos),
    of_one!("tan", "TAN(x)", "The tangent.", f64::tan),
    of_one!("cot", "COT(x)", "The cotangent.", |x| 1.0 / x.tan()),
    of_one!("asin", "ASIN(x)", "The arc sine.", f64::asin),
    of_one!("acos", "ACOS(x)", "The arc cosine.", f64::acos),
    of_one!("atan", "ATAN(x)", "The arc tangent.", f64::atan),
    of_one!("sinh", "SINH(x)", "The hyperbolic sine.", f64::sinh),
    of_one!("cosh", "COSH(x)", "The hyperbolic cosine.", f64::cosh),
    of_one!("tanh", "TANH(x)", "The hyperbolic tangent.", f64::tanh),
    of_one!("degrees", "DEGREES(x)", "Radians as degrees.", |x| x * (180.0 / std::f64::consts::PI)),
    of_one!("radians", "RADIANS(x)", "Degrees as radians.", |x| x * (std::f64::consts::PI / 180.0)),
    of_two!("power", "POWER(x, y)", "x to the power of y.", f64::powf),
    of_two!("atan2", "ATAN2(y, x)", "The angle of the point (x, y).", f64::atan2),
    Function::first(
        "log",
        "LOG(x) or LOG(base, x)",
        "The logarithm to a base, which is e unless given.",
        |given| typing(given, 1, 2)?.double()?.double()?.gives(DataType::Double),
        |given, _| {
            if given.len() == 1 {
                return Ok(map(f64::ln));
            }
            Ok(kernel_of(|operands, rows, _| {
                let value = |base: f64, x: f64| x.ln() / base.ln();
                Ok(Arc::new(zip_values::<Float64Type, Float64Type, Float64Type>(operands, rows, value)?))
            }))
        },
    ),
    Function::first("pi", "PI()", "The number pi.", none, |_, _| Ok(constant(std::f64::consts::PI))),
    Function::first("e", "E()", "The base of natural logarithms.", none, |_, _| Ok(constant(std::f64::consts::E))),
    Function::first(
        "rand",
        "RAND([seed])",
        "Random numbers from 0, inclusive, to 1, exclusive: with a seed, those of Java for this seed.",
        |given| typing(given, 0, 1)?.int()?.gives(DataType::Double),
        |given, _| {
            if given.is_empty() {
                return Ok(chance::rand());
            }
            Ok(random(|random, operands, rows| {
                let seed = read::<Int32Array>(operands, 0)?;
                let column = map_rows::<Float64Type>(rows, joint_nulls(operands, rows), |row| {
                    Ok(Some(random.get_or_insert_with(|| JavaRandom::new(seed.value(row).into())).double()))
                })?;
                Ok(Arc::new(column))
            }))
        },
    )
    .volatile(),
    Function::first(
        "rand_integer",
        "RAND_INTEGER([seed, ]bound)",
        "Random whole numbers from 0, inclusive, to the bound, exclusive: with a seed, those of Java for this seed.",
        |given| typing(given, 1, 2)?.int()?.int()?.gives(DataType::Int),
        |given, _| {
            if given.len() == 1 {
                return Ok(chance::rand_integer());
            }
            Ok(random(|random, operands, rows| {
                let (seed, bound) = (read::<Int32Array>(operands, 0)?, read::<Int32Array>(operands, 1)?);
                let column = map_rows::<arrow_array::types::Int32Type>(rows, joint_nulls(operands, rows), |row| {
                    let random = random.get_or_insert_with(|| JavaRandom::new(seed.value(row).into()));
                    let message = || format!("RAND_INTEGER takes a positive bound, not {}", bound.value(row));
                    random.below(bound.value(row)).map(Some).ok_or_else(|| crate::functions::operand::eval_error(message()))
                })?;
                Ok(Arc::new(column))
            }))
        },
    )
    .volatile(),
];

fn one(given: &[Argument<'_>]) -> Result<Resolved, String> {
    typing(given, 1, 1)?.double()?.gives(DataType::Double)
}

fn two(given: &[Argument<'_>]) -> Result<Resolved, String> {
    typing(given, 2, 2)?.double()?.double()?.gives(DataType::Double)
}

fn none(given: &[Argument<'_>]) -> Result<Resolved, String> {
    count(given, 0, 0)?;
    Ok(Resolved { arguments: Vec::new(), result: DataType::Double, nullable: false })
}

fn map(value: fn(f64) -> f64) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let x = read::<Float64Array>(operands, 0)?;
        Ok(Arc::new(map_rows::<Float64Type>(rows, joint_nulls(operands, rows), |row| Ok(Some(value(x.value(row)))))?))
    })
}

fn constant(value: f64) -> Box<dyn Kernel> {
    kernel_of(move |_, rows, _| Ok(Arc::new(Float64Array::from_value(value, rows))))
}

type Draw = fn(
    &mut Option<JavaRandom>,
    &[crate::functions::Operand],
    usize,
) -> Result<arrow_array::ArrayRef, crate::operator::OperatorError>;

/// Draws from a generator that the first row seeds.
fn random(draw: Draw) -> Box<dyn Kernel> {
    let mut random = None;
    kernel_of(move |operands, rows, _| draw(&mut random, operands, rows))
}

/// The generator of `java.util.Random`.
struct JavaRandom(u64);

impl JavaRandom {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;

    fn new(seed: i64) -> Self {
        Self((seed as u64 ^ Self::MULTIPLIER) & Self::MASK)
    }

    /// The next bits, at most 32, as a signed number.
    fn bits(&mut self, count: u32) -> i32 {
        self.0 = self.0.wrapping_mul(Self::MULTIPLIER).wrapping_add(0xB) & Self::MASK;
        (self.0 >> (48 - count)) as i32
    }

    fn double(&mut self) -> f64 {
        let (high, low) = (i64::from(self.bits(26)), i64::from(self.bits(27)));
        ((high << 27) + low) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 to below the bound; `None` if that is not positive.
    fn below(&mut self, bound: i32) -> Option<i32> {
        if bound <= 0 {
            return None;
        }
        if bound & (bound - 1) == 0 {
            return Some(((i64::from(bound) * i64::from(self.bits(31))) >> 31) as i32);
        }
        loop {
            let bits = self.bits(31);
            let value = bits % bound;
            // Numbers of the last, incomplete span would be too frequent.
            if bits.wrapping_sub(value).wrapping_add(bound - 1) >= 0 {
                return Some(value);
            }
        }
    }
}
