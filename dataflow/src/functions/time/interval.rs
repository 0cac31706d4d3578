//! Intervals, which are lengths of time in months or in milliseconds: their sums, and times moved by them.

use std::sync::Arc;

use arrow_array::Int64Array;
use arrow_array::types::Int64Type;
use weir_protocol::job_graph::DataType;

use super::is_temporal;
use super::shift::{add_millis, add_months};
use super::value::{Stamps, map_stamps};
use crate::functions::operand::{joint_nulls, kernel_of, map_rows};
use crate::functions::signature::{count, wrong_argument};
use crate::functions::string::read;
use crate::functions::typing::typing;
use crate::functions::{Argument, Function, Kernel, Resolved};

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "interval_add",
        "interval + interval",
        "The sum of two intervals of months, or of two of days to seconds.",
        resolve_two,
        |_, _| Ok(combined(i64::wrapping_add)),
    ),
    Function::first(
        "interval_subtract",
        "interval - interval",
        "The difference of two intervals of months, or of two of days to seconds.",
        resolve_two,
        |_, _| Ok(combined(i64::wrapping_sub)),
    ),
    Function::first(
        "interval_multiply",
        "interval * n",
        "The interval n times, n being a whole number.",
        |given| {
            let call = typing(given, 2, 2)?.a("an interval", DataType::is_interval)?.bigint()?;
            call.gives(given[0].data_type.clone())
        },
        |_, _| Ok(combined(i64::wrapping_mul)),
    ),
    Function::first(
        "interval_negate",
        "-interval",
        "The interval with the opposite sign.",
        |given| {
            let call = typing(given, 1, 1)?.a("an interval", DataType::is_interval)?;
            call.gives(given[0].data_type.clone())
        },
        |_, _| {
            Ok(kernel_of(|operands, rows, _| {
                let lengths = read::<Int64Array>(operands, 0)?;
                let negated = |row: usize| Ok(Some(lengths.value(row).wrapping_neg()));
                Ok(Arc::new(map_rows::<Int64Type>(rows, joint_nulls(operands, rows), negated)?))
            }))
        },
    ),
    Function::first(
        "add_interval",
        "time + interval",
        "The time moved by an interval that is computed; see the constant intervals.",
        |given| {
            let call = typing(given, 2, 2)?.a("a date or a time", is_temporal)?.a("an interval", DataType::is_interval)?;
            call.gives(given[0].data_type.clone())
        },
        |given, result| {
            let (result, of_months) = (result.clone(), *given[1].data_type == DataType::IntervalMonths);
            Ok(kernel_of(move |operands, rows, _| {
                let (stamps, lengths) = (Stamps::of(operands, 0)?, read::<Int64Array>(operands, 1)?);
                map_stamps(&result, rows, joint_nulls(operands, rows), |row| {
                    let (stamp, length) = (stamps.get(row), lengths.value(row));
                    if of_months {
                        // Times end long before a million years.
                        let months = length.clamp(-12_000_000, 12_000_000);
                        add_months(&result, stamp, months).map(Some)
                    } else {
                        add_millis(&result, stamp, length).map(Some)
                    }
                })
            }))
        },
    ),
];

fn resolve_two(given: &[Argument<'_>]) -> Result<Resolved, String> {
    count(given, 2, 2)?;
    let call = typing(given, 2, 2)?.a("an interval", DataType::is_interval)?.a("an interval", DataType::is_interval)?;
    if given[0].data_type != given[1].data_type {
        return Err(wrong_argument(2, given[1].data_type, &given[0].data_type.to_string()));
    }
    call.gives(given[0].data_type.clone())
}

fn combined(value: fn(i64, i64) -> i64) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let (one, other) = (read::<Int64Array>(operands, 0)?, read::<Int64Array>(operands, 1)?);
        let combined = |row: usize| Ok(Some(value(one.value(row), other.value(row))));
        Ok(Arc::new(map_rows::<Int64Type>(rows, joint_nulls(operands, rows), combined)?))
    })
}
