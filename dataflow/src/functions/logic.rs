//! NOT and the tests for NULL, TRUE and FALSE. AND and OR are nodes of a program, because they decide which rows evaluate what.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray};
use arrow_buffer::BooleanBuffer;
use weir_protocol::job_graph::DataType;

use super::operand::{kernel_of, type_error};
use super::signature::{any_nullable, as_given, count, expect, types};
use super::{Argument, Function, Kernel, Operand, Prepare, Resolve, Resolved};
use crate::operator::OperatorError;

/// The functions of this family.
pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "not",
        version: 1,
        syntax: "NOT a",
        doc: "Returns whether a is false.",
        takes_zone: false,
        deterministic: true,
        resolve: resolve_not,
        kernel: not,
    },
    test("is_null", "a IS NULL", "Returns whether a is NULL.", resolve_any, |_, _| tested(Test::Null)),
    test("is_not_null", "a IS NOT NULL", "Returns whether a is not NULL.", resolve_any, |_, _| tested(Test::NotNull)),
    test("is_true", "a IS TRUE", "Returns whether a is true.", resolve_boolean, |_, _| tested(Test::True)),
    test("is_not_true", "a IS NOT TRUE", "Returns whether a is false or NULL.", resolve_boolean, |_, _| tested(Test::NotTrue)),
    test("is_false", "a IS FALSE", "Returns whether a is false.", resolve_boolean, |_, _| tested(Test::False)),
    test("is_not_false", "a IS NOT FALSE", "Returns whether a is true or NULL.", resolve_boolean, |_, _| tested(Test::NotFalse)),
    test("is_unknown", "a IS UNKNOWN", "Returns whether a is NULL.", resolve_boolean, |_, _| tested(Test::Null)),
    test("is_not_unknown", "a IS NOT UNKNOWN", "Returns whether a is true or false.", resolve_boolean, |_, _| {
        tested(Test::NotNull)
    }),
];

const fn test(name: &'static str, syntax: &'static str, doc: &'static str, resolve: Resolve, kernel: Prepare) -> Function {
    Function { name, version: 1, syntax, doc, takes_zone: false, deterministic: true, resolve, kernel }
}

#[derive(Debug, Clone, Copy)]
enum Test {
    Null,
    NotNull,
    True,
    NotTrue,
    False,
    NotFalse,
}

fn resolve_not(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    let resolved = resolve_boolean(arguments)?;
    Ok(Resolved { nullable: any_nullable(arguments), ..resolved })
}

fn resolve_boolean(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    expect(arguments, 0, "a BOOLEAN", |data_type| *data_type == DataType::Boolean)?;
    resolve_any(arguments)
}

fn resolve_any(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    count(arguments, 1, 1)?;
    Ok(Resolved { nullable: false, arguments: types(arguments), ..as_given(arguments, DataType::Boolean) })
}

fn not(_: &[Argument<'_>], _: &DataType) -> Result<Box<dyn Kernel>, String> {
    Ok(kernel_of(|operands, _, _| {
        let array = boolean(only(operands)?)?;
        Ok(Arc::new(BooleanArray::new(!array.values(), array.nulls().cloned())))
    }))
}

fn only(operands: &[Operand]) -> Result<&Operand, OperatorError> {
    operands.first().ok_or_else(|| type_error("one operand is expected"))
}

fn boolean(operand: &Operand) -> Result<&BooleanArray, OperatorError> {
    operand.array().as_boolean_opt().ok_or_else(|| type_error(operand.array().data_type()))
}

fn tested(test: Test) -> Result<Box<dyn Kernel>, String> {
    Ok(kernel_of(move |operands, rows, _| {
        let operand = only(operands)?;
        let valid = match operand.array().logical_nulls() {
            Some(nulls) => nulls.into_inner(),
            None => BooleanBuffer::new_set(operand.array().len()),
        };
        let result = match test {
            Test::NotNull => valid,
            Test::Null => !&valid,
            Test::True => &valid & boolean(operand)?.values(),
            Test::NotTrue => !&(&valid & boolean(operand)?.values()),
            Test::False => &valid & &!boolean(operand)?.values(),
            Test::NotFalse => !&(&valid & &!boolean(operand)?.values()),
        };
        let result = Arc::new(BooleanArray::new(result, None));
        if operand.is_constant() { Operand::Constant(result).into_column(rows) } else { Ok(result) }
    }))
}
