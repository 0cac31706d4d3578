//! Functions of arrays, maps and rows.

mod access;
pub(super) mod arrays;
mod construct;
mod lists;
pub(super) mod maps;
#[cfg(test)]
mod tests;

use weir_protocol::job_graph::{DataType, ElementType};

use super::signature::wrong_argument;
use super::typing::typing;
use super::{Argument, Function, Resolved};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::first("array", "ARRAY[value, …]", "An array of the values.", construct::resolve_array, |_, result| {
        Ok(construct::array(result))
    }),
    Function::first(
        "map",
        "MAP[key, value, …]",
        "A map of the keys and values; of equal keys the last one counts.",
        construct::resolve_map,
        |_, result| Ok(construct::map(result)),
    ),
    Function::first("row", "ROW(value, …)", "A row of the values.", construct::resolve_row, |_, result| {
        Ok(construct::row(result))
    }),
    Function::first(
        "cardinality",
        "CARDINALITY(collection)",
        "The number of elements of an array, or of entries of a map.",
        |given| {
            let call = typing(given, 1, 1)?
                .a("an array or a map", |t| matches!(t, DataType::Array(_) | DataType::Map(..) | DataType::Multiset(_)))?;
            call.gives(DataType::Int)
        },
        |_, _| Ok(access::cardinality()),
    ),
    Function::first(
        "at",
        "collection[index or key]",
        "The element of an array at an index, counted from 1, or the value of a map for a key; NULL if there is none.",
        resolve_at,
        |given, _| Ok(if matches!(given[0].data_type, DataType::Array(_)) { access::at_index() } else { access::at_key() }),
    ),
    Function::first(
        "element",
        "ELEMENT(array)",
        "The only element of an array; NULL if it is empty. More elements are an error.",
        |given| {
            let call = typing(given, 1, 1)?.a("an array", |t| matches!(t, DataType::Array(_)))?;
            call.gives_nullable(element_of(given)?.data_type.clone())
        },
        |_, _| Ok(access::element()),
    ),
    Function::first(
        "array_contains",
        "ARRAY_CONTAINS(array, value)",
        "Whether the array has this element, which can be NULL.",
        |given| {
            let resolved = resolve_search(given, DataType::Boolean)?;
            Ok(Resolved { nullable: given[0].nullable, ..resolved })
        },
        |_, _| Ok(access::contains()),
    ),
    Function::first(
        "array_position",
        "ARRAY_POSITION(array, value)",
        "The position, counted from 1, of the first such element; 0 if there is none.",
        |given| resolve_search(given, DataType::Int),
        |_, _| Ok(access::position()),
    ),
    Function::first(
        "map_keys",
        "MAP_KEYS(map)",
        "The keys of a map as an array.",
        |given| match given.first().map(|argument| argument.data_type) {
            Some(DataType::Map(key, _)) => typing(given, 1, 1)?.any()?.gives(DataType::Array(key.clone())),
            _ => typing(given, 1, 1)?.a("a map", |_| false)?.gives(DataType::Int),
        },
        |_, result| Ok(access::entries(result, 0)),
    ),
    Function::first(
        "map_values",
        "MAP_VALUES(map)",
        "The values of a map as an array.",
        |given| match given.first().map(|argument| argument.data_type) {
            Some(DataType::Map(_, value)) => typing(given, 1, 1)?.any()?.gives(DataType::Array(value.clone())),
            _ => typing(given, 1, 1)?.a("a map", |_| false)?.gives(DataType::Int),
        },
        |_, result| Ok(access::entries(result, 1)),
    ),
];

/// The element type of argument 0, an array.
fn element_of<'a>(given: &[Argument<'a>]) -> Result<&'a ElementType, String> {
    match given.first().map(|argument| argument.data_type) {
        Some(DataType::Array(element)) => Ok(element),
        Some(other) => Err(wrong_argument(1, other, "an array")),
        None => Err("lacks argument 1, an array".into()),
    }
}

fn resolve_at(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let call = typing(given, 2, 2)?.a("an array or a map", |t| matches!(t, DataType::Array(_) | DataType::Map(..)))?;
    match given[0].data_type {
        DataType::Map(key, value) => {
            let resolved = call.any()?.gives_nullable(value.data_type.clone())?;
            let sought = sought(given, &key.data_type)?;
            Ok(Resolved { arguments: vec![given[0].data_type.clone(), sought], ..resolved })
        }
        _ => {
            if let Some(Some(index)) = given[1].constant
                && index.parse::<i64>().is_ok_and(|index| index < 1)
            {
                return Err(format!("takes an index from 1 on, not {index}"));
            }
            call.int()?.gives_nullable(element_of(given)?.data_type.clone())
        }
    }
}

/// Types the search for an element, which is cast to the type of the elements.
fn resolve_search(given: &[Argument<'_>], result: DataType) -> Result<Resolved, String> {
    let call = typing(given, 2, 2)?.a("an array", |t| matches!(t, DataType::Array(_)))?.any()?;
    let element = &element_of(given)?.data_type;
    let (resolved, sought) = (call.gives(result)?, sought(given, element)?);
    Ok(Resolved { arguments: vec![given[0].data_type.clone(), sought], ..resolved })
}

/// The type to which argument 1 is cast, which is sought among values of type `among`. Texts are not cast: they could become equal.
/// Exact numbers are rounded to the digits of a DECIMAL, as in Flink.
fn sought(given: &[Argument<'_>], among: &DataType) -> Result<DataType, String> {
    let found = given[1].data_type;
    let is_decimal = |data_type: &DataType| matches!(data_type, DataType::Decimal { .. });
    if among.is_text() && found.is_text() {
        return Ok(found.clone());
    }
    match super::common_type::common_type(&[among.clone(), found.clone()]) {
        Some(common) if common == *among => Ok(common),
        Some(_) if is_decimal(among) && (found.is_integer() || is_decimal(found)) => Ok(among.clone()),
        _ => Err(wrong_argument(2, found, &among.to_string())),
    }
}
