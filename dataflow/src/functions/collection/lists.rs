//! Builds arrays from chosen elements of the operands of a call.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, ListArray, new_empty_array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_ord::ord::{DynComparator, make_comparator};
use arrow_schema::{DataType as ArrowType, SortOptions};
use arrow_select::interleave::interleave;
use weir_protocol::job_graph::DataType;

use super::access::Spans;
use crate::functions::operand::{eval_error, joint_nulls, kernel_of, type_error};
use crate::functions::{Kernel, Operand};
use crate::operator::OperatorError;
use crate::schema::arrow_type;

/// An element: the operand that has it, and its place among the values of that operand.
pub(super) type Place = (usize, usize);

/// Appends the chosen elements of a row.
pub(super) type Choose<'a> = Box<dyn FnMut(usize, &mut Vec<Place>) -> Result<(), OperatorError> + 'a>;

/// The operands of a call: of arrays their elements, of others their values.
pub(super) struct Inputs<'a> {
    operands: &'a [Operand],
    pools: Vec<&'a ArrayRef>,
}

impl<'a> Inputs<'a> {
    /// The first `arrays` operands are arrays. The others are values, which can be arrays too.
    pub(super) fn of(operands: &'a [Operand], arrays: usize) -> Self {
        use arrow_array::cast::AsArray;
        let pool = |(position, operand): (usize, &'a Operand)| {
            let list = operand.array().as_list_opt::<i32>().filter(|_| position < arrays);
            list.map_or(operand.array(), ListArray::values)
        };
        Self { operands, pools: operands.iter().enumerate().map(pool).collect() }
    }

    /// The elements of the array at this position of the call. Error: `EXPR-TYPE` if it is none.
    pub(super) fn spans(&self, position: usize) -> Result<Spans<'a>, OperatorError> {
        Spans::of(self.operands, position)
    }

    pub(super) fn operand(&self, position: usize) -> Result<&'a Operand, OperatorError> {
        self.operands.get(position).ok_or_else(|| type_error(format!("argument {} is missing", position + 1)))
    }

    pub(super) fn len(&self) -> usize {
        self.operands.len()
    }

    /// The place of the value of an operand that is no array.
    pub(super) fn value(&self, position: usize, row: usize) -> Place {
        (position, if self.operands[position].is_constant() { 0 } else { row })
    }

    pub(super) fn is_null(&self, (operand, place): Place) -> bool {
        self.pools[operand].is_null(place)
    }

    /// Compares the elements of these operands with each other, NULL before all others.
    pub(super) fn order(&self, positions: &[usize]) -> Result<Order, OperatorError> {
        let pair = |left: usize, right: usize| {
            make_comparator(self.pools[left], self.pools[right], SortOptions::default()).map_err(type_error)
        };
        let all = positions.iter().map(|left| positions.iter().map(|right| pair(*left, *right)).collect());
        Ok(Order(all.collect::<Result<_, _>>()?))
    }
}

/// The order of elements, by the number of their operand in the call of [`Inputs::order`], from 0.
pub(super) struct Order(Vec<Vec<DynComparator>>);

impl Order {
    pub(super) fn compare(&self, one: Place, other: Place) -> Ordering {
        (self.0[one.0][other.0])(one.1, other.1)
    }

    /// The indices of equal elements together, each run in the order of the elements.
    pub(super) fn runs(&self, elements: &[Place]) -> Vec<Vec<usize>> {
        let mut sorted: Vec<usize> = (0..elements.len()).collect();
        sorted.sort_by(|a, b| self.compare(elements[*a], elements[*b]));
        let mut runs: Vec<Vec<usize>> = Vec::new();
        for index in sorted {
            match runs.last_mut() {
                Some(run) if self.compare(elements[run[0]], elements[index]).is_eq() => run.push(index),
                _ => runs.push(vec![index]),
            }
        }
        runs
    }
}

/// A kernel that makes an array for each row. The first `strict` operands make the result NULL if they are. They are the ones whose
/// elements are chosen.
pub(super) fn lists(
    result: &DataType,
    strict: usize,
    prepare: impl for<'a> Fn(&'a Inputs<'a>) -> Result<Choose<'a>, OperatorError> + Send + 'static,
) -> Box<dyn Kernel> {
    let list_type = arrow_type(result);
    kernel_of(move |operands, rows, _| {
        let ArrowType::List(field) = &list_type else { return Err(type_error(&list_type)) };
        let nulls = joint_nulls(&operands[..strict.min(operands.len())], rows);
        let inputs = Inputs::of(operands, strict);
        let (places, lengths) = chosen(&inputs, rows, nulls.as_ref(), &prepare)?;
        let elements = gathered(&inputs, &places, field.data_type())?;
        let lists = ListArray::try_new(field.clone(), OffsetBuffer::from_lengths(lengths), elements, nulls);
        Ok(Arc::new(lists.map_err(|error| eval_error(error.to_string()))?))
    })
}

fn chosen(
    inputs: &Inputs<'_>,
    rows: usize,
    nulls: Option<&NullBuffer>,
    prepare: &dyn for<'a> Fn(&'a Inputs<'a>) -> Result<Choose<'a>, OperatorError>,
) -> Result<(Vec<Place>, Vec<usize>), OperatorError> {
    // The borrow of the inputs by the closure ends with this function.
    let mut choose = prepare(inputs)?;
    let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
    for row in 0..rows {
        let before = places.len();
        if !nulls.is_some_and(|nulls| nulls.is_null(row)) {
            choose(row, &mut places)?;
        }
        lengths.push(places.len() - before);
        if i32::try_from(places.len()).is_err() {
            return Err(eval_error("the arrays of one batch have too many elements"));
        }
    }
    Ok((places, lengths))
}

fn gathered(inputs: &Inputs<'_>, places: &[Place], data_type: &ArrowType) -> Result<ArrayRef, OperatorError> {
    if places.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    // Operands of which no element was chosen may hold something else, such as positions.
    let mut pools: Vec<&dyn Array> = Vec::new();
    let mut numbers = vec![0; inputs.pools.len()];
    for (operand, pool) in inputs.pools.iter().enumerate() {
        if places.iter().any(|place| place.0 == operand) {
            numbers[operand] = pools.len();
            pools.push(pool.as_ref());
        }
    }
    let places: Vec<_> = places.iter().map(|(operand, place)| (numbers[*operand], *place)).collect();
    interleave(&pools, &places).map_err(type_error)
}
