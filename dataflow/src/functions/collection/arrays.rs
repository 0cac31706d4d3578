//! Functions that make arrays of arrays: append, slice, sort, sets of elements. Elements are equal if they are the same value; NULL
//! equals NULL.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::BooleanArray;
use weir_protocol::job_graph::{DataType, ElementType};

use super::access::pick;
use super::element_of;
use super::lists::{Inputs, Place, lists};
use crate::functions::common_type::common_type;
use crate::functions::operand::{Reader, joint_nulls, kernel_of, map_text};
use crate::functions::signature::{count, wrong_argument};
use crate::functions::string::{check_length, texts};
use crate::functions::typing::typing;
use crate::functions::{Argument, Function, Kernel, Resolved};

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "array_append",
        "ARRAY_APPEND(array, value)",
        "The array with the value, which can be NULL, behind its elements.",
        resolve_with_value,
        |_, result| Ok(with_value(result, false)),
    ),
    Function::first(
        "array_prepend",
        "ARRAY_PREPEND(array, value)",
        "The array with the value, which can be NULL, before its elements.",
        resolve_with_value,
        |_, result| Ok(with_value(result, true)),
    ),
    Function::first(
        "array_concat",
        "ARRAY_CONCAT(array, …)",
        "The elements of all arrays, one array after the other; NULL if one is NULL.",
        |given| {
            count(given, 1, usize::MAX)?;
            resolve_arrays(given)
        },
        |given, result| Ok(concat(result, given.len())),
    ),
    Function::first(
        "array_distinct",
        "ARRAY_DISTINCT(array)",
        "The distinct elements of the array, in the order of their first occurrence.",
        |given| {
            count(given, 1, 1)?;
            resolve_arrays(given)
        },
        |_, result| Ok(set(result, |in_first, _| in_first)),
    ),
    Function::first(
        "array_except",
        "ARRAY_EXCEPT(array, array)",
        "The distinct elements of the first array that the second does not have.",
        resolve_two,
        |_, result| Ok(set(result, |in_first, in_second| in_first && !in_second)),
    ),
    Function::first(
        "array_intersect",
        "ARRAY_INTERSECT(array, array)",
        "The distinct elements that both arrays have, in the order of the first.",
        resolve_two,
        |_, result| Ok(set(result, |in_first, in_second| in_first && in_second)),
    ),
    Function::first(
        "array_union",
        "ARRAY_UNION(array, array)",
        "The distinct elements of both arrays, those of the first before those of the second.",
        resolve_two,
        |_, result| Ok(set(result, |_, _| true)),
    ),
    Function::first(
        "array_remove",
        "ARRAY_REMOVE(array, value)",
        "The array without the elements that equal the value, which can be NULL.",
        |given| {
            let resolved = super::resolve_search(given, given.first().map_or(DataType::Int, |array| array.data_type.clone()))?;
            Ok(Resolved { nullable: given[0].nullable, ..resolved })
        },
        |_, result| Ok(remove(result)),
    ),
    Function::first(
        "array_reverse",
        "ARRAY_REVERSE(array)",
        "The elements of the array in reverse order.",
        |given| {
            count(given, 1, 1)?;
            resolve_arrays(given)
        },
        |_, result| {
            Ok(lists(result, 1, |inputs| {
                let spans = inputs.spans(0)?;
                Ok(Box::new(move |row, out| {
                    out.extend(spans.get(row).rev().map(|place| (0, place)));
                    Ok(())
                }))
            }))
        },
    ),
    Function::first(
        "array_slice",
        "ARRAY_SLICE(array, start[, end])",
        "The elements from position `start` to position `end`, both included and counted from 1, or from the end if negative; 0 is the \
         first. Without `end`, to the last.",
        |given| {
            let array = |t: &DataType| matches!(t, DataType::Array(_));
            let call = typing(given, 2, 3)?.a("an array", array)?.int()?.int()?;
            call.gives(given[0].data_type.clone())
        },
        |given, result| Ok(slice(result, given.len())),
    ),
    Function::first(
        "array_sort",
        "ARRAY_SORT(array[, ascending[, nulls_first]])",
        "The elements in order: ascending with NULLs first, unless `ascending` is false, then descending with NULLs last. \
         `nulls_first` says where NULLs stand.",
        |given| {
            let (array, flag) = (|t: &DataType| matches!(t, DataType::Array(_)), |t: &DataType| *t == DataType::Boolean);
            let call = typing(given, 1, 3)?.a("an array", array)?.a("a BOOLEAN", flag)?.a("a BOOLEAN", flag)?;
            call.gives(given[0].data_type.clone())
        },
        |given, result| Ok(sort(result, given.len())),
    ),
    Function::first(
        "array_max",
        "ARRAY_MAX(array)",
        "The greatest element; NULL if there is none but NULLs.",
        resolve_extreme,
        |_, _| Ok(extreme(Ordering::Greater)),
    ),
    Function::first(
        "array_min",
        "ARRAY_MIN(array)",
        "The least element; NULL if there is none but NULLs.",
        resolve_extreme,
        |_, _| Ok(extreme(Ordering::Less)),
    ),
    Function::first(
        "array_join",
        "ARRAY_JOIN(array, delimiter[, replacement])",
        "The texts of the array with the delimiter between them. NULLs are left out, or replaced.",
        |given| {
            let texts = |t: &DataType| matches!(t, DataType::Array(element) if element.data_type.is_text());
            typing(given, 2, 3)?.a("an array of texts", texts)?.texts()?.gives(DataType::String)
        },
        |given, _| Ok(join(given.len() == 3)),
    ),
];

fn not_an_array(given: &[Argument<'_>]) -> Option<String> {
    let position = given.iter().position(|argument| !matches!(argument.data_type, DataType::Array(_)))?;
    Some(wrong_argument(position + 1, given[position].data_type, "an array"))
}

/// Types a call of arrays whose elements have a common type, which are the elements of the result.
fn resolve_arrays(given: &[Argument<'_>]) -> Result<Resolved, String> {
    if let Some(what) = not_an_array(given) {
        return Err(what);
    }
    let types: Vec<_> = given.iter().map(|argument| argument.data_type.clone()).collect();
    let result = common_type(&types).ok_or_else(|| {
        let shown: Vec<_> = types.iter().map(ToString::to_string).collect();
        format!("takes arrays that have a common type, not {}", shown.join(", "))
    })?;
    let DataType::Array(element) = &result else { return Err("takes arrays".into()) };
    let arguments = types.into_iter().map(|from| with_elements(from, &element.data_type)).collect();
    Ok(Resolved { arguments, result: result.clone(), nullable: given.iter().any(|argument| argument.nullable) })
}

/// The array type with elements of another type. Whether they can be NULL stays, so that no cast is needed for that alone.
fn with_elements(array: DataType, data_type: &DataType) -> DataType {
    match array {
        DataType::Array(element) => {
            DataType::Array(Box::new(ElementType { data_type: data_type.clone(), nullable: element.nullable }))
        }
        other => other,
    }
}

fn resolve_two(given: &[Argument<'_>]) -> Result<Resolved, String> {
    count(given, 2, 2)?;
    resolve_arrays(given)
}

/// Types a call that adds a value to an array. It becomes of the type of the elements; but texts get a common type, so that none is cut.
fn resolve_with_value(given: &[Argument<'_>]) -> Result<Resolved, String> {
    count(given, 2, 2)?;
    let (element, value) = (element_of(given)?, given[1]);
    let data_type = if element.data_type.is_text() {
        common_type(&[element.data_type.clone(), value.data_type.clone()])
            .ok_or_else(|| wrong_argument(2, value.data_type, &element.data_type.to_string()))?
    } else {
        super::sought(given, &element.data_type)?
    };
    let result = ElementType { data_type: data_type.clone(), nullable: element.nullable || value.nullable };
    Ok(Resolved {
        arguments: vec![with_elements(given[0].data_type.clone(), &data_type), data_type],
        result: DataType::Array(Box::new(result)),
        nullable: given[0].nullable || value.nullable,
    })
}

fn resolve_extreme(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let ordered = |t: &DataType| matches!(t, DataType::Array(element) if !element.data_type.is_nested());
    typing(given, 1, 1)?.a("an array whose elements have an order", ordered)?.gives_nullable(element_of(given)?.data_type.clone())
}

fn with_value(result: &DataType, first: bool) -> Box<dyn Kernel> {
    lists(result, 1, move |inputs| {
        let spans = inputs.spans(0)?;
        inputs.operand(1)?;
        Ok(Box::new(move |row, out| {
            let value = inputs.value(1, row);
            out.extend(first.then_some(value));
            out.extend(spans.get(row).map(|place| (0, place)));
            out.extend((!first).then_some(value));
            Ok(())
        }))
    })
}

fn concat(result: &DataType, arrays: usize) -> Box<dyn Kernel> {
    lists(result, arrays, |inputs| {
        let spans = (0..inputs.len()).map(|position| inputs.spans(position)).collect::<Result<Vec<_>, _>>()?;
        Ok(Box::new(move |row, out| {
            for (position, spans) in spans.iter().enumerate() {
                out.extend(spans.get(row).map(|place| (position, place)));
            }
            Ok(())
        }))
    })
}

/// The distinct elements of one or two arrays for which `keep` holds, by whether each array has them.
fn set(result: &DataType, keep: fn(bool, bool) -> bool) -> Box<dyn Kernel> {
    lists(result, 2, move |inputs| {
        let positions: Vec<_> = (0..inputs.len()).collect();
        let spans = positions.iter().map(|position| inputs.spans(*position)).collect::<Result<Vec<_>, _>>()?;
        let order = inputs.order(&positions)?;
        Ok(Box::new(move |row, out| {
            let of = |position: usize| spans[position].get(row).map(move |place| (position, place));
            let elements: Vec<Place> = positions.iter().flat_map(|position| of(*position)).collect();
            let kept = order.runs(&elements).into_iter().filter(|run| {
                let has = |position: usize| run.iter().any(|index| elements[*index].0 == position);
                keep(has(0), has(1))
            });
            let mut first: Vec<usize> = kept.map(|run| run[0]).collect();
            first.sort_unstable();
            out.extend(first.into_iter().map(|index| elements[index]));
            Ok(())
        }))
    })
}

fn remove(result: &DataType) -> Box<dyn Kernel> {
    lists(result, 1, |inputs| {
        let (spans, order) = (inputs.spans(0)?, inputs.order(&[0, 1])?);
        Ok(Box::new(move |row, out| {
            let value = inputs.value(1, row);
            out.extend(spans.get(row).map(|place| (0, place)).filter(|element| order.compare(*element, value).is_ne()));
            Ok(())
        }))
    })
}

fn slice(result: &DataType, arguments: usize) -> Box<dyn Kernel> {
    lists(result, arguments, move |inputs| {
        let spans = inputs.spans(0)?;
        let start = Reader::<arrow_array::Int32Array>::of(inputs.operand(1)?)?;
        let end = if arguments == 3 { Some(Reader::<arrow_array::Int32Array>::of(inputs.operand(2)?)?) } else { None };
        Ok(Box::new(move |row, out| {
            let elements = spans.get(row);
            let length = elements.len() as i64;
            // From the end, the last element is -1. Zero stands for the first.
            let position = |given: i32| match i64::from(given) {
                given @ ..0 => given + length + 1,
                given => given.max(1),
            };
            let first = position(start.value(row)).max(1);
            let last = end.as_ref().map_or(length, |end| position(end.value(row))).min(length);
            if first <= last {
                let places = elements.start + first as usize - 1..elements.start + last as usize;
                out.extend(places.map(|place| (0, place)));
            }
            Ok(())
        }))
    })
}

fn sort(result: &DataType, arguments: usize) -> Box<dyn Kernel> {
    lists(result, arguments, |inputs| {
        let (spans, order) = (inputs.spans(0)?, inputs.order(&[0])?);
        let flag = |position: usize| match inputs.operand(position) {
            Ok(operand) => Reader::<BooleanArray>::of(operand).map(Some),
            Err(_) => Ok(None),
        };
        let (ascending, nulls_first) = (flag(1)?, flag(2)?);
        Ok(Box::new(move |row, out| {
            let ascending = ascending.as_ref().is_none_or(|flag| flag.value(row));
            let nulls_first = nulls_first.as_ref().map_or(ascending, |flag| flag.value(row));
            let (mut nulls, mut values): (Vec<Place>, Vec<Place>) =
                spans.get(row).map(|place| (0, place)).partition(|place| inputs.is_null(*place));
            values.sort_by(|a, b| if ascending { order.compare(*a, *b) } else { order.compare(*b, *a) });
            let (first, last) = if nulls_first { (&mut nulls, &mut values) } else { (&mut values, &mut nulls) };
            out.append(first);
            out.append(last);
            Ok(())
        }))
    })
}

/// The element that is before, or behind, all others that are not NULL.
fn extreme(wanted: Ordering) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let inputs = Inputs::of(operands, 1);
        let (spans, order) = (inputs.spans(0)?, inputs.order(&[0])?);
        let best = |row: usize| {
            let values = spans.get(row).filter(|place| !inputs.is_null((0, *place)));
            values.reduce(|best, place| if order.compare((0, place), (0, best)) == wanted { place } else { best })
        };
        pick(spans.list()?.values(), (0..rows).map(best))
    })
}

fn join(replaces: bool) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let inputs = Inputs::of(operands, 1);
        let (spans, delimiter) = (inputs.spans(0)?, texts(operands, 1)?);
        let replacement = if replaces { Some(texts(operands, 2)?) } else { None };
        let elements = crate::functions::Operand::Column(spans.list()?.values().clone());
        let elements = Reader::<crate::functions::operand::TextArray>::of(&elements)?;
        let column = map_text(rows, joint_nulls(operands, rows).as_ref(), |row, out| {
            let shown = spans.get(row).filter_map(|place| {
                elements.get(place).or_else(|| replacement.as_ref().map(|replacement| replacement.value(row)))
            });
            for (index, text) in shown.enumerate() {
                out.push_str(if index == 0 { "" } else { delimiter.value(row) });
                out.push_str(text);
                check_length(out.len())?;
            }
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}
