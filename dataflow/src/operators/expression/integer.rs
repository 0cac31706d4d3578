//! Integer arithmetic with one rule for overflow, for constants at planning and for rows at run time alike.

use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{ArrayRef, ArrowNativeTypeOp, PrimitiveArray, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema};
use datafusion_common::{Result, internal_datafusion_err, internal_err};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::expressions::{BinaryExpr, NegativeExpr};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};

/// What happens to integer arithmetic whose result does not fit its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Overflow {
    /// The result wraps around, as in Flink and Java.
    #[default]
    Wrap,
    /// The expression fails with `EXPR-OVERFLOW`.
    Error,
}

/// An operation that DataFusion computes by another rule for constants than for rows, or only by one of the two rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Divide,
    Negate,
    Absolute,
    ShiftLeft,
    ShiftRight,
}

/// An operation on integers of one type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Integer {
    operation: Operation,
    overflow: Overflow,
    data_type: DataType,
    operands: Vec<Arc<dyn PhysicalExpr>>,
}

/// The replacement of `expr` that obeys `overflow`; `None` if `expr` is not integer arithmetic, or obeys already.
pub(super) fn obey(expr: &Arc<dyn PhysicalExpr>, schema: &Schema, overflow: Overflow) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let data_type = expr.data_type(schema)?;
    if !data_type.is_signed_integer() {
        let binary = expr.downcast_ref::<BinaryExpr>().filter(|binary| is_arithmetic(*binary.op()));
        return Ok(binary.map(|binary| fail_on_overflow(binary, overflow)));
    }
    let operation = if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        match (binary.op(), overflow) {
            (Operator::Divide, Overflow::Wrap) => Operation::Divide,
            (Operator::BitwiseShiftLeft, Overflow::Error) => Operation::ShiftLeft,
            (Operator::BitwiseShiftRight, Overflow::Error) => Operation::ShiftRight,
            (op, _) if is_arithmetic(*op) => return Ok(Some(fail_on_overflow(binary, overflow))),
            _ => return Ok(None),
        }
    } else if expr.is::<NegativeExpr>() {
        Operation::Negate
    } else if expr.downcast_ref::<ScalarFunctionExpr>().is_some_and(|function| function.fun().name() == "abs") {
        Operation::Absolute
    } else {
        return Ok(None);
    };
    let operands: Vec<_> = expr.children().into_iter().cloned().collect();
    for operand in &operands {
        if operand.data_type(schema)? != data_type {
            return Ok(None);
        }
    }
    Ok(Some(Arc::new(Integer { operation, overflow, data_type, operands })))
}

fn is_arithmetic(operator: Operator) -> bool {
    matches!(operator, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
}

fn fail_on_overflow(binary: &BinaryExpr, overflow: Overflow) -> Arc<dyn PhysicalExpr> {
    Arc::new(binary.clone().with_fail_on_overflow(overflow == Overflow::Error))
}

impl Integer {
    fn compute<T>(&self, operands: &[ArrayRef]) -> Result<ArrayRef>
    where
        T: ArrowPrimitiveType,
        T::Native: Into<i64> + TryFrom<i128>,
    {
        let mut arrays = Vec::new();
        for operand in operands {
            let array = operand.as_primitive_opt::<T>();
            arrays.push(array.ok_or_else(|| internal_datafusion_err!("{self}: an operand is not {}", self.data_type))?);
        }
        let result: PrimitiveArray<T> = match (arrays.as_slice(), self.operation, self.overflow) {
            ([x], Operation::Negate, Overflow::Wrap) => x.unary(|x| x.neg_wrapping()),
            ([x], Operation::Negate, Overflow::Error) => x.try_unary(|x| x.neg_checked())?,
            ([x], Operation::Absolute, overflow) => x.try_unary(|x| match overflow {
                _ if !x.is_lt(T::Native::ZERO) => Ok(x),
                Overflow::Wrap => Ok(x.neg_wrapping()),
                Overflow::Error => x.neg_checked(),
            })?,
            ([x, y], Operation::Divide, _) => {
                pairwise(x, y, |x, y| if y.is_zero() { Err(ArrowError::DivideByZero) } else { Ok(x.div_wrapping(y)) })?
            }
            ([x, y], Operation::ShiftLeft | Operation::ShiftRight, _) => {
                pairwise(x, y, |x, y| shift::<T>(x, y, self.operation == Operation::ShiftLeft))?
            }
            _ => return internal_err!("{self} has {} operands", operands.len()),
        };
        Ok(Arc::new(result))
    }
}

fn pairwise<T: ArrowPrimitiveType>(
    left: &PrimitiveArray<T>,
    right: &PrimitiveArray<T>,
    operation: impl Fn(T::Native, T::Native) -> std::result::Result<T::Native, ArrowError>,
) -> std::result::Result<PrimitiveArray<T>, ArrowError> {
    let pairs = left.iter().zip(right.iter());
    pairs.map(|(left, right)| left.zip(right).map(|(left, right)| operation(left, right)).transpose()).collect()
}

/// A shift that fails if the distance is not one of the type's bits, or if a left shift changes the value by more than the power
/// of two.
fn shift<T>(value: T::Native, distance: T::Native, left: bool) -> std::result::Result<T::Native, ArrowError>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64> + TryFrom<i128>,
{
    let (value, distance) = (i128::from(value.into()), distance.into());
    let sign = if left { "<<" } else { ">>" };
    let overflows = || ArrowError::ArithmeticOverflow(format!("Overflow happened on: {value} {sign} {distance}"));
    if !(0..size_of::<T::Native>() as i64 * 8).contains(&distance) {
        return Err(overflows());
    }
    let shifted = if left { value << distance } else { value >> distance };
    T::Native::try_from(shifted).map_err(|_| overflows())
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operand = |index: usize| self.operands.get(index).map(ToString::to_string).unwrap_or_default();
        match self.operation {
            Operation::Divide => write!(f, "{} / {}", operand(0), operand(1)),
            Operation::Negate => write!(f, "-({})", operand(0)),
            Operation::Absolute => write!(f, "abs({})", operand(0)),
            Operation::ShiftLeft => write!(f, "{} << {}", operand(0), operand(1)),
            Operation::ShiftRight => write!(f, "{} >> {}", operand(0), operand(1)),
        }
    }
}

impl PhysicalExpr for Integer {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        for operand in &self.operands {
            if operand.nullable(schema)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let mut operands = Vec::new();
        for operand in &self.operands {
            operands.push(operand.evaluate(batch)?.into_array(batch.num_rows())?);
        }
        let computed = match &self.data_type {
            DataType::Int8 => self.compute::<Int8Type>(&operands),
            DataType::Int16 => self.compute::<Int16Type>(&operands),
            DataType::Int32 => self.compute::<Int32Type>(&operands),
            _ => self.compute::<Int64Type>(&operands),
        };
        computed.map(ColumnarValue::Array)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.operands.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { operands: children, ..self.as_ref().clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
