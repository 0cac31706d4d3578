//! Looks into arrays and maps.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, UInt32Array};
use arrow_ord::ord::{DynComparator, make_comparator};
use arrow_schema::SortOptions;
use arrow_select::take::take;
use weir_protocol::job_graph::DataType;

use crate::functions::operand::{eval_error, joint_nulls, kernel_of, map_boolean, map_rows, type_error};
use crate::functions::string::ints;
use crate::functions::{Kernel, Operand};
use crate::operator::OperatorError;
use crate::schema::arrow_type;

/// An array or a map operand: where the elements of each row stand among all elements.
pub(super) struct Spans<'a> {
    operand: &'a Operand,
    offsets: &'a [i32],
}

impl<'a> Spans<'a> {
    pub(super) fn of(operands: &'a [Operand], position: usize) -> Result<Self, OperatorError> {
        let operand = operands.get(position).ok_or_else(|| type_error(format!("argument {} is missing", position + 1)))?;
        let array = operand.array();
        let offsets = match (array.as_list_opt::<i32>(), array.as_map_opt()) {
            (Some(list), _) => list.value_offsets(),
            (_, Some(map)) => map.value_offsets(),
            _ => return Err(type_error(array.data_type())),
        };
        Ok(Self { operand, offsets })
    }

    pub(super) fn list(&self) -> Result<&'a ListArray, OperatorError> {
        self.operand.array().as_list_opt::<i32>().ok_or_else(|| type_error(self.operand.array().data_type()))
    }

    pub(super) fn map(&self) -> Result<&'a MapArray, OperatorError> {
        self.operand.array().as_map_opt().ok_or_else(|| type_error(self.operand.array().data_type()))
    }

    /// The elements of a row; none for NULL.
    pub(super) fn get(&self, row: usize) -> std::ops::Range<usize> {
        let row = if self.operand.is_constant() { 0 } else { row };
        if self.operand.array().is_null(row) { 0..0 } else { self.offsets[row] as usize..self.offsets[row + 1] as usize }
    }
}

pub(super) fn cardinality() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let spans = Spans::of(operands, 0)?;
        Ok(Arc::new(map_rows::<Int32Type>(rows, joint_nulls(operands, rows), |row| Ok(Some(spans.get(row).len() as i32)))?))
    })
}

/// Takes elements by their places; `None` is NULL.
pub(super) fn pick(elements: &ArrayRef, places: impl Iterator<Item = Option<usize>>) -> Result<ArrayRef, OperatorError> {
    let places: UInt32Array = places.map(|place| place.map(|place| place as u32)).collect();
    take(elements, &places, None).map_err(type_error)
}

pub(super) fn at_index() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let (spans, index) = (Spans::of(operands, 0)?, ints(operands, 1)?);
        let place = |row: usize| {
            let index = usize::try_from(index.get(row)?).ok()?.checked_sub(1)?;
            spans.get(row).nth(index)
        };
        pick(spans.list()?.values(), (0..rows).map(place))
    })
}

pub(super) fn at_key() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let spans = Spans::of(operands, 0)?;
        let map = spans.map()?;
        let search = Search::of(map.keys(), operands, 1)?;
        let place = |row: usize| if search.is_null(row) { None } else { search.first(spans.get(row), row) };
        pick(map.values(), (0..rows).map(place))
    })
}

pub(super) fn element() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let spans = Spans::of(operands, 0)?;
        if (0..rows).any(|row| spans.get(row).len() > 1) {
            return Err(eval_error("ELEMENT got an array of more than one element; use an index"));
        }
        pick(spans.list()?.values(), (0..rows).map(|row| spans.get(row).next()))
    })
}

/// Compares elements with the values of another operand.
struct Search<'a> {
    compare: DynComparator,
    sought: &'a Operand,
}

impl<'a> Search<'a> {
    fn of(elements: &ArrayRef, operands: &'a [Operand], position: usize) -> Result<Self, OperatorError> {
        let sought = operands.get(position).ok_or_else(|| type_error(format!("argument {} is missing", position + 1)))?;
        let compare = make_comparator(elements, sought.array(), SortOptions::default()).map_err(type_error)?;
        Ok(Self { compare, sought })
    }

    fn row(&self, row: usize) -> usize {
        if self.sought.is_constant() { 0 } else { row }
    }

    fn is_null(&self, row: usize) -> bool {
        self.sought.array().is_null(self.row(row))
    }

    /// The first of these elements that equals the value of the row. NULL equals NULL.
    fn first(&self, mut elements: std::ops::Range<usize>, row: usize) -> Option<usize> {
        elements.find(|element| (self.compare)(*element, self.row(row)) == Ordering::Equal)
    }
}

pub(super) fn contains() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let spans = Spans::of(operands, 0)?;
        let search = Search::of(spans.list()?.values(), operands, 1)?;
        // Only a missing array gives NULL.
        let nulls = joint_nulls(&operands[..1], rows);
        Ok(Arc::new(map_boolean(rows, nulls, |row| Ok(Some(search.first(spans.get(row), row).is_some())))?))
    })
}

pub(super) fn position() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let spans = Spans::of(operands, 0)?;
        let search = Search::of(spans.list()?.values(), operands, 1)?;
        let column = map_rows::<Int32Type>(rows, joint_nulls(operands, rows), |row| {
            let elements = spans.get(row);
            Ok(Some(search.first(elements.clone(), row).map_or(0, |place| (place - elements.start) as i32 + 1)))
        })?;
        Ok(Arc::new(column))
    })
}

/// The keys (`column` 0) or the values (1) of maps.
pub(super) fn entries(result: &DataType, column: usize) -> Box<dyn Kernel> {
    let list_type = arrow_type(result);
    kernel_of(move |operands, rows, _| {
        let operand = operands.first().ok_or_else(|| type_error("argument 1 is missing"))?;
        let maps = operand.clone().into_column(rows)?;
        let maps = maps.as_map_opt().ok_or_else(|| type_error(operand.array().data_type()))?;
        let arrow_schema::DataType::List(field) = &list_type else { return Err(type_error(&list_type)) };
        let values = if column == 0 { maps.keys() } else { maps.values() };
        let lists = ListArray::try_new(field.clone(), maps.offsets().clone(), values.clone(), maps.nulls().cloned());
        Ok(Arc::new(lists.map_err(type_error)?))
    })
}
