//! IF, IFNULL, NULLIF, GREATEST and LEAST.
//!
//! A program evaluates calls of IF and IFNULL like its nodes CASE and COALESCE, so that each operand is computed only for the rows
//! that need it.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_select::zip::zip;
use weir_protocol::job_graph::DataType;

use super::comparison::{Accepted, Op, better, comparable, compare};
use super::operand::{joint_nulls, kernel_of, type_error};
use super::signature::{any_nullable, count, expect};
use super::{Argument, Function, Kernel, Operand, Prepare, Resolve, Resolved, common_type, merged_type};
use crate::operator::OperatorError;

/// The functions of this family.
pub(super) const FUNCTIONS: &[Function] = &[
    conditional("if", "IF(condition, a, b)", "Returns a if the condition is true, else b.", resolve_if, |_, _| choose(condition)),
    conditional("ifnull", "IFNULL(a, b)", "Returns a, or b if a is NULL.", resolve_ifnull, |_, _| choose(is_present)),
    conditional("nullif", "NULLIF(a, b)", "Returns a, or NULL if a equals b.", resolve_nullif, nullif),
    conditional("greatest", "GREATEST(a, ..)", "Returns the greatest value, or NULL if one is NULL.", resolve_extreme, |_, _| {
        extreme(Op::Gt)
    }),
    conditional("least", "LEAST(a, ..)", "Returns the least value, or NULL if one is NULL.", resolve_extreme, |_, _| {
        extreme(Op::Lt)
    }),
];

const fn conditional(name: &'static str, syntax: &'static str, doc: &'static str, resolve: Resolve, kernel: Prepare) -> Function {
    Function { name, version: 1, syntax, doc, takes_zone: false, deterministic: true, resolve, kernel }
}

fn resolve_if(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    count(arguments, 3, 3)?;
    expect(arguments, 0, "a BOOLEAN", |data_type| *data_type == DataType::Boolean)?;
    let (a, b) = (arguments[1].data_type, arguments[2].data_type);
    let result = common_type(&[a.clone(), b.clone()]).ok_or_else(|| format!("has no common type for {a} and {b}; CAST one"))?;
    let nullable = arguments[1].nullable || arguments[2].nullable;
    Ok(Resolved { arguments: vec![DataType::Boolean, result.clone(), result.clone()], result, nullable })
}

fn resolve_ifnull(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    count(arguments, 2, 2)?;
    let (a, b) = (arguments[0].data_type, arguments[1].data_type);
    let result = merged_type(&[a.clone(), b.clone()]).ok_or_else(|| format!("has no common type for {a} and {b}; CAST one"))?;
    let nullable = arguments.iter().all(|argument| argument.nullable);
    Ok(Resolved { arguments: vec![result.clone(), result.clone()], result, nullable })
}

/// The result has the type of `a`, but the comparison may need a wider one. So `a` keeps its type only if `b` has it too; otherwise
/// the planner writes CASE.
fn resolve_nullif(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    count(arguments, 2, 2)?;
    let common = comparable(arguments[0].data_type, arguments[1].data_type, Accepted::Equality)?;
    Ok(Resolved {
        arguments: vec![arguments[0].data_type.clone(), common],
        result: arguments[0].data_type.clone(),
        nullable: true,
    })
}

fn resolve_extreme(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    count(arguments, 1, usize::MAX)?;
    let types: Vec<DataType> = arguments.iter().map(|argument| argument.data_type.clone()).collect();
    let result = merged_type(&types).ok_or("takes values that can be compared with each other")?;
    if result.is_nested() {
        return Err(format!("has no order for values of type {result}"));
    }
    Ok(Resolved { arguments: vec![result.clone(); arguments.len()], result, nullable: any_nullable(arguments) })
}

/// Which rows take the second to last operand rather than the last.
type Choice = fn(&[Operand]) -> BooleanBuffer;

fn condition(operands: &[Operand]) -> BooleanBuffer {
    use arrow_array::cast::AsArray;
    let Some(array) = operands.first().and_then(|operand| operand.array().as_boolean_opt()) else {
        return BooleanBuffer::new_unset(0);
    };
    match array.nulls() {
        Some(nulls) => nulls.inner() & array.values(),
        None => array.values().clone(),
    }
}

fn is_present(operands: &[Operand]) -> BooleanBuffer {
    let Some(array) = operands.first().map(Operand::array) else { return BooleanBuffer::new_unset(0) };
    array.logical_nulls().map_or_else(|| BooleanBuffer::new_set(array.len()), NullBuffer::into_inner)
}

fn choose(choice: Choice) -> Result<Box<dyn Kernel>, String> {
    Ok(kernel_of(move |operands, rows, _| {
        let [.., yes, no] = operands else { return Err(type_error("operands are missing")) };
        let mask: ArrayRef = Arc::new(BooleanArray::new(choice(operands), None));
        let mask = if mask.len() == rows { mask } else { Operand::Constant(mask).into_column(rows)? };
        let (yes, no) = (yes.clone().into_column(rows)?, no.clone().into_column(rows)?);
        let mask = mask.as_any().downcast_ref::<BooleanArray>().ok_or_else(|| type_error("a mask"))?;
        zip(mask, &yes, &no).map_err(type_error)
    }))
}

fn nullif(arguments: &[Argument<'_>], _: &DataType) -> Result<Box<dyn Kernel>, String> {
    let [a, b] = arguments else { return Err("takes 2 arguments".into()) };
    let mut widen = super::cast::prepare(a.data_type, b.data_type, super::cast::Options::default())?;
    Ok(kernel_of(move |operands, rows, clock| {
        let [a, b] = operands else { return Err(type_error("two operands are expected")) };
        let column = a.clone().into_column(rows)?;
        let wide = Operand::Column(widen.evaluate(&[Operand::Column(column.clone())], rows, clock)?);
        let equal = compare(Op::Eq, &[wide, b.clone()], rows)?;
        let keep = match equal.nulls() {
            Some(nulls) => !&(nulls.inner() & equal.values()),
            None => !equal.values(),
        };
        with_nulls(&column, &NullBuffer::new(keep))
    }))
}

/// The array with more NULLs.
fn with_nulls(array: &ArrayRef, keep: &NullBuffer) -> Result<ArrayRef, OperatorError> {
    if keep.null_count() == 0 {
        return Ok(array.clone());
    }
    let indices = UInt32Array::new((0..array.len() as u32).collect(), Some(keep.clone()));
    arrow_select::take::take(array, &indices, None).map_err(type_error)
}

fn extreme(op: Op) -> Result<Box<dyn Kernel>, String> {
    Ok(kernel_of(move |operands, rows, _| {
        let (first, rest) = operands.split_first().ok_or_else(|| type_error("operands are missing"))?;
        let mut best = first.clone().into_column(rows)?;
        for candidate in rest {
            let candidate = candidate.clone().into_column(rows)?;
            let mask = better(op, &candidate, &best)?;
            best = zip(&mask, &candidate, &best).map_err(type_error)?;
        }
        match joint_nulls(operands, rows) {
            Some(nulls) => with_nulls(&best, &nulls),
            None => Ok(best),
        }
    }))
}
