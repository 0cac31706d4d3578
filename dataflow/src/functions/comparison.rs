//! `= <> < <= > >=`, `IS DISTINCT FROM` and its opposite.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Datum, Scalar};
use arrow_buffer::BooleanBuffer;
use arrow_ord::{cmp, ord};
use arrow_schema::{ArrowError, DataType as ArrowType, SortOptions};
use weir_protocol::job_graph::DataType;

use super::common_type::common_type;
use super::decimal;
use super::operand::{Values, joint_nulls, kernel_of, map_boolean, type_error};
use super::signature::{any_nullable, count};
use super::{Argument, Function, Kernel, Operand, Prepare, Resolve, Resolved};
use crate::operator::OperatorError;

/// The functions of this family.
pub(super) const FUNCTIONS: &[Function] = &[
    comparison("eq", "a = b", "Returns whether the values are equal.", resolve_equality, |_, _| kernel(Op::Eq)),
    comparison("ne", "a <> b", "Returns whether the values differ.", resolve_equality, |_, _| kernel(Op::Ne)),
    comparison("lt", "a < b", "Returns whether a is less.", resolve_order, |_, _| kernel(Op::Lt)),
    comparison("le", "a <= b", "Returns whether a is less or equal.", resolve_order, |_, _| kernel(Op::Le)),
    comparison("gt", "a > b", "Returns whether a is greater.", resolve_order, |_, _| kernel(Op::Gt)),
    comparison("ge", "a >= b", "Returns whether a is greater or equal.", resolve_order, |_, _| kernel(Op::Ge)),
    comparison(
        "is_distinct",
        "a IS DISTINCT FROM b",
        "Returns whether the values differ, where NULL equals NULL only.",
        resolve_distinct,
        |_, _| kernel(Op::Distinct),
    ),
    comparison(
        "is_not_distinct",
        "a IS NOT DISTINCT FROM b",
        "Returns whether the values are equal, where NULL equals NULL only.",
        resolve_distinct,
        |_, _| kernel(Op::NotDistinct),
    ),
];

const fn comparison(name: &'static str, syntax: &'static str, doc: &'static str, resolve: Resolve, kernel: Prepare) -> Function {
    Function { name, version: 1, syntax, doc, takes_zone: false, deterministic: true, resolve, kernel }
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Distinct,
    NotDistinct,
}

impl Op {
    /// Whether NULL gives NULL.
    fn is_strict(self) -> bool {
        !matches!(self, Self::Distinct | Self::NotDistinct)
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Eq | Self::NotDistinct => order.is_eq(),
            Self::Ne | Self::Distinct => order.is_ne(),
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
            Self::Gt => order.is_gt(),
            Self::Ge => order.is_ge(),
        }
    }
}

fn resolve_equality(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    resolve(arguments, Accepted::Equality)
}

fn resolve_order(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    resolve(arguments, Accepted::Order)
}

fn resolve_distinct(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    Ok(Resolved { nullable: false, ..resolve(arguments, Accepted::Equality)? })
}

/// What a comparison asks of the types of its sides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    Equality,
    Order,
}

fn resolve(arguments: &[Argument<'_>], accepted: Accepted) -> Result<Resolved, String> {
    count(arguments, 2, 2)?;
    let common = comparable(arguments[0].data_type, arguments[1].data_type, accepted)?;
    let nullable = any_nullable(arguments);
    Ok(Resolved { arguments: vec![common.clone(), common], result: DataType::Boolean, nullable })
}

/// The type as which two values are compared. A text becomes a time if the other side is one. Flink compares a text with a number
/// only by order, and then as numbers.
pub(super) fn comparable(left: &DataType, right: &DataType, accepted: Accepted) -> Result<DataType, String> {
    let refused = || format!("does not compare {left} with {right}; CAST one of them");
    let is_time =
        |t: &DataType| matches!(t, DataType::Date | DataType::Time(_) | DataType::Timestamp(_) | DataType::TimestampLtz(_));
    let takes_text = |t: &DataType| is_time(t) || (accepted == Accepted::Order && t.is_numeric());
    let common = match (left.is_text(), right.is_text()) {
        (true, false) if takes_text(right) => as_text_is_read(right),
        (false, true) if takes_text(left) => as_text_is_read(left),
        _ => common_type(&[left.clone(), right.clone()]).ok_or_else(refused)?,
    };
    match common {
        DataType::Map(..) | DataType::Multiset(_) => Err(format!("does not compare values of type {common}")),
        DataType::Array(_) | DataType::Row(_) if accepted == Accepted::Order => {
            Err(format!("has no order for values of type {common}"))
        }
        DataType::Array(_) | DataType::Row(_) if holds_map(&common) => {
            Err(format!("does not compare values of type {common}, because it contains a map"))
        }
        // The lengths of texts and bytes don't count in comparisons.
        DataType::Char(_) | DataType::Varchar(_) => Ok(DataType::String),
        DataType::Binary(_) | DataType::Varbinary(_) => Ok(DataType::Bytes),
        other => Ok(other),
    }
}

/// The type that a text takes to be compared with a value. Texts of numbers are read with more digits than the number may have.
fn as_text_is_read(other: &DataType) -> DataType {
    match other {
        DataType::Tinyint | DataType::Smallint => DataType::Int,
        DataType::Decimal { precision, scale } => decimal::wider_type((*precision, *scale), (decimal::MAX_PRECISION, 18)),
        other => other.clone(),
    }
}

fn holds_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) | DataType::Multiset(_) => true,
        DataType::Array(element) => holds_map(&element.data_type),
        DataType::Row(fields) => fields.iter().any(|field| holds_map(&field.data_type)),
        _ => false,
    }
}

/// The kernel of a comparison of two operands of the same type.
pub(super) fn kernel(op: Op) -> Result<Box<dyn Kernel>, String> {
    Ok(kernel_of(move |operands, rows, _| Ok(Arc::new(compare(op, operands, rows)?))))
}

/// Compares two operands of the same type.
pub(super) fn compare(op: Op, operands: &[Operand], rows: usize) -> Result<BooleanArray, OperatorError> {
    let [left, right] = operands else { return Err(type_error("two operands are expected")) };
    if left.is_constant() && right.is_constant() && rows != 1 {
        let left = Operand::Column(left.clone().into_column(rows)?);
        return compare(op, &[left, right.clone()], rows);
    }
    match left.array().data_type() {
        ArrowType::Float32 => compare_floats::<Float32Type>(op, operands, rows),
        ArrowType::Float64 => compare_floats::<Float64Type>(op, operands, rows),
        nested if nested.is_nested() => compare_nested(op, operands, rows),
        _ => {
            let (left, right) = (DatumOf::new(left), DatumOf::new(right));
            let kernel: fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError> = match op {
                Op::Eq => cmp::eq,
                Op::Ne => cmp::neq,
                Op::Lt => cmp::lt,
                Op::Le => cmp::lt_eq,
                Op::Gt => cmp::gt,
                Op::Ge => cmp::gt_eq,
                Op::Distinct => cmp::distinct,
                Op::NotDistinct => cmp::not_distinct,
            };
            // Two constants are compared as arrays of length 1.
            kernel(left.as_datum(), right.as_datum()).map_err(type_error)
        }
    }
}

/// An operand as Arrow's kernels take it.
enum DatumOf {
    Array(ArrayRef),
    Scalar(Scalar<ArrayRef>),
}

impl DatumOf {
    fn new(operand: &Operand) -> Self {
        match operand {
            Operand::Column(array) => Self::Array(array.clone()),
            Operand::Constant(array) => Self::Scalar(Scalar::new(array.clone())),
        }
    }

    fn as_datum(&self) -> &dyn Datum {
        match self {
            Self::Array(array) => array,
            Self::Scalar(scalar) => scalar,
        }
    }
}

/// Compares as Java does: NaN differs from everything, and the zeros are equal.
fn compare_floats<T: ArrowPrimitiveType>(op: Op, operands: &[Operand], rows: usize) -> Result<BooleanArray, OperatorError>
where
    T::Native: PartialOrd,
{
    let [left, right] = operands else { return Err(type_error("two operands are expected")) };
    let (l, r) = (Values::<T>::of(left)?, Values::<T>::of(right)?);
    if op.is_strict() {
        let test =
            |test: fn(&T::Native, &T::Native) -> bool| BooleanBuffer::collect_bool(rows, |row| test(&l.at(row), &r.at(row)));
        let values = match op {
            Op::Eq | Op::NotDistinct => test(|l, r| l == r),
            Op::Ne | Op::Distinct => test(|l, r| l != r),
            Op::Lt => test(|l, r| l < r),
            Op::Le => test(|l, r| l <= r),
            Op::Gt => test(|l, r| l > r),
            Op::Ge => test(|l, r| l >= r),
        };
        return Ok(BooleanArray::new(values, joint_nulls(operands, rows)));
    }
    let is_null = |operand: &Operand, row: usize| operand.array().is_null(if operand.is_constant() { 0 } else { row });
    let differ = |row: usize| match (is_null(left, row), is_null(right, row)) {
        (false, false) => l.at(row) != r.at(row),
        (l, r) => l != r,
    };
    Ok(BooleanArray::new(BooleanBuffer::collect_bool(rows, |row| differ(row) == (op == Op::Distinct)), None))
}

/// Compares arrays and rows by their contents, in which NULL equals NULL.
fn compare_nested(op: Op, operands: &[Operand], rows: usize) -> Result<BooleanArray, OperatorError> {
    let [left, right] = operands else { return Err(type_error("two operands are expected")) };
    let order = ord::make_comparator(left.array(), right.array(), SortOptions::default()).map_err(type_error)?;
    let position = |operand: &Operand, row: usize| if operand.is_constant() { 0 } else { row };
    let nulls = if op.is_strict() { joint_nulls(operands, rows) } else { None };
    map_boolean(rows, nulls, |row| Ok(Some(op.holds(order(position(left, row), position(right, row))))))
}

/// The greater (`Op::Gt`) or the lesser (`Op::Lt`) value by the total order of Java, in which NaN is the greatest number.
pub(super) fn better(op: Op, candidate: &ArrayRef, best: &ArrayRef) -> Result<BooleanArray, OperatorError> {
    let kernel = if op == Op::Gt { cmp::gt } else { cmp::lt };
    // Arrow's kernels use the total order of IEEE 754. Unlike Java's, it puts negative NaNs first, so NaNs are unified.
    let unified = |array: &ArrayRef| -> ArrayRef {
        match array.data_type() {
            ArrowType::Float32 => {
                Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v }))
            }
            ArrowType::Float64 => {
                Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v }))
            }
            _ => array.clone(),
        }
    };
    kernel(&unified(candidate), &unified(best)).map_err(type_error)
}
