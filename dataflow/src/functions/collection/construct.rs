//! Makes arrays, maps and rows of values.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, ListArray, MapArray, StructArray, new_empty_array};
use arrow_buffer::OffsetBuffer;
use arrow_ord::ord::{DynComparator, make_comparator};
use arrow_schema::{DataType as ArrowType, SortOptions};
use arrow_select::interleave::interleave;
use weir_protocol::job_graph::{DataType, ElementType, RowField};

use crate::functions::common_type::common_type;
use crate::functions::operand::{eval_error, kernel_of, type_error};
use crate::functions::{Argument, Kernel, Operand, Resolved};
use crate::operator::OperatorError;
use crate::schema::arrow_type;

/// The common type of these arguments, as elements.
fn elements(given: &[&Argument<'_>]) -> Result<ElementType, String> {
    let types: Vec<DataType> = given.iter().map(|argument| argument.data_type.clone()).collect();
    let shown = || types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let data_type = common_type(&types).ok_or_else(|| format!("takes values that have a common type, not {}", shown()))?;
    Ok(ElementType { data_type, nullable: given.iter().any(|argument| argument.nullable) })
}

pub(super) fn resolve_array(given: &[Argument<'_>]) -> Result<Resolved, String> {
    if given.is_empty() {
        return Err("takes at least 1 argument, not 0".into());
    }
    let element = elements(&given.iter().collect::<Vec<_>>())?;
    let arguments = vec![element.data_type.clone(); given.len()];
    Ok(Resolved { arguments, result: DataType::Array(Box::new(element)), nullable: false })
}

pub(super) fn resolve_map(given: &[Argument<'_>]) -> Result<Resolved, String> {
    if given.is_empty() || given.len() % 2 == 1 {
        return Err(format!("takes pairs of keys and values, not {} arguments", given.len()));
    }
    let side = |first: usize| elements(&given.iter().skip(first).step_by(2).collect::<Vec<_>>());
    let (key, value) = (side(0)?, side(1)?);
    let arguments = (0..given.len()).map(|i| if i % 2 == 0 { key.data_type.clone() } else { value.data_type.clone() }).collect();
    Ok(Resolved { arguments, result: DataType::Map(Box::new(key), Box::new(value)), nullable: false })
}

pub(super) fn resolve_row(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let field = |(i, argument): (usize, &Argument<'_>)| RowField {
        name: format!("EXPR${i}"),
        data_type: argument.data_type.clone(),
        nullable: argument.nullable,
    };
    let arguments = given.iter().map(|argument| argument.data_type.clone()).collect();
    Ok(Resolved { arguments, result: DataType::Row(given.iter().enumerate().map(field).collect()), nullable: false })
}

/// Where the value of an operand stands for a row.
fn place(operand: &Operand, row: usize) -> usize {
    if operand.is_constant() { 0 } else { row }
}

/// Collects chosen values of operands: `(operand, row)`.
fn collect(operands: &[&Operand], chosen: &[(usize, usize)], data_type: &ArrowType) -> Result<ArrayRef, OperatorError> {
    if chosen.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    let arrays: Vec<&dyn Array> = operands.iter().map(|operand| operand.array().as_ref()).collect();
    interleave(&arrays, chosen).map_err(type_error)
}

pub(super) fn array(result: &DataType) -> Box<dyn Kernel> {
    let list_type = arrow_type(result);
    kernel_of(move |operands, rows, _| {
        let ArrowType::List(field) = &list_type else { return Err(type_error(&list_type)) };
        let all: Vec<&Operand> = operands.iter().collect();
        let chosen: Vec<_> = (0..rows).flat_map(|row| operands.iter().enumerate().map(move |(i, o)| (i, place(o, row)))).collect();
        if i32::try_from(chosen.len()).is_err() {
            return Err(eval_error("the arrays of one batch have too many elements"));
        }
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(operands.len(), rows));
        let elements = collect(&all, &chosen, field.data_type())?;
        Ok(Arc::new(ListArray::try_new(field.clone(), offsets, elements, None).map_err(type_error)?))
    })
}

pub(super) fn map(result: &DataType) -> Box<dyn Kernel> {
    let map_type = arrow_type(result);
    kernel_of(move |operands, rows, _| {
        let ArrowType::Map(entries, _) = &map_type else { return Err(type_error(&map_type)) };
        let ArrowType::Struct(fields) = entries.data_type() else { return Err(type_error(&map_type)) };
        let keys: Vec<&Operand> = operands.iter().step_by(2).collect();
        let values: Vec<&Operand> = operands.iter().skip(1).step_by(2).collect();
        let compare = comparators(&keys)?;
        let (mut chosen_keys, mut chosen_values, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(rows));
        for row in 0..rows {
            let start = chosen_keys.len();
            for (i, key) in keys.iter().enumerate() {
                let at = place(key, row);
                if key.array().is_null(at) {
                    return Err(eval_error("a key of a MAP is NULL"));
                }
                let same = |(j, other): &(usize, usize)| compare[*j][i](*other, at) == Ordering::Equal;
                match chosen_keys[start..].iter().position(same) {
                    Some(known) => chosen_values[start + known] = (i, place(values[i], row)),
                    None => {
                        chosen_keys.push((i, at));
                        chosen_values.push((i, place(values[i], row)));
                    }
                }
            }
            lengths.push(chosen_keys.len() - start);
        }
        if i32::try_from(chosen_keys.len()).is_err() {
            return Err(eval_error("the maps of one batch have too many entries"));
        }
        let columns = vec![
            collect(&keys, &chosen_keys, fields[0].data_type())?,
            collect(&values, &chosen_values, fields[1].data_type())?,
        ];
        let pairs = StructArray::try_new(fields.clone(), columns, None).map_err(type_error)?;
        let maps = MapArray::try_new(entries.clone(), OffsetBuffer::from_lengths(lengths), pairs, None, false);
        Ok(Arc::new(maps.map_err(type_error)?))
    })
}

/// Compares keys of each pair of operands.
fn comparators(keys: &[&Operand]) -> Result<Vec<Vec<DynComparator>>, OperatorError> {
    let pair = |left: &Operand, right: &Operand| make_comparator(left.array(), right.array(), SortOptions::default()).map_err(type_error);
    keys.iter().map(|left| keys.iter().map(|right| pair(left, right)).collect()).collect()
}

pub(super) fn row(result: &DataType) -> Box<dyn Kernel> {
    let row_type = arrow_type(result);
    kernel_of(move |operands, rows, _| {
        let ArrowType::Struct(fields) = &row_type else { return Err(type_error(&row_type)) };
        if operands.is_empty() {
            return Ok(Arc::new(StructArray::new_empty_fields(rows, None)));
        }
        let columns = operands.iter().map(|operand| operand.clone().into_column(rows)).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None).map_err(type_error)?))
    })
}
