//! Functions that make maps, or take them apart. Of equal keys the last one counts.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, StructArray, new_empty_array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_ord::ord::{DynComparator, make_comparator};
use arrow_schema::{DataType as ArrowType, SortOptions};
use arrow_select::interleave::interleave;
use weir_protocol::job_graph::{DataType, ElementType, RowField};

use super::access::Spans;
use crate::functions::common_type::common_type;
use crate::functions::operand::{eval_error, joint_nulls, kernel_of, type_error};
use crate::functions::signature::{count, types, wrong_argument};
use crate::functions::typing::typing;
use crate::functions::{Argument, Function, Kernel, Resolved};
use crate::operator::OperatorError;
use crate::schema::arrow_type;

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "map_entries",
        "MAP_ENTRIES(map)",
        "The entries of a map as an array of rows of key and value.",
        |given| match given.first().map(|argument| argument.data_type) {
            Some(DataType::Map(key, value)) => {
                let field = |name: &str, element: &ElementType| RowField {
                    name: name.into(),
                    data_type: element.data_type.clone(),
                    nullable: element.nullable,
                };
                let row = DataType::Row(vec![field("key", key), field("value", value)]);
                let element = ElementType { data_type: row, nullable: true };
                typing(given, 1, 1)?.any()?.gives(DataType::Array(Box::new(element)))
            }
            _ => typing(given, 1, 1)?.a("a map", |_| false)?.gives(DataType::Int),
        },
        |_, result| Ok(entries(result)),
    ),
    Function::first(
        "map_from_arrays",
        "MAP_FROM_ARRAYS(keys, values)",
        "A map of the keys of one array and the values of another of the same length.",
        |given| match given {
            [Argument { data_type: DataType::Array(key), .. }, Argument { data_type: DataType::Array(value), .. }] => {
                let result = DataType::Map(key.clone(), value.clone());
                typing(given, 2, 2)?.any()?.any()?.gives(result)
            }
            _ => {
                let array = |t: &DataType| matches!(t, DataType::Array(_));
                typing(given, 2, 2)?.a("an array", array)?.a("an array", array)?.gives(DataType::Int)
            }
        },
        |_, result| Ok(from_arrays(result)),
    ),
    Function::first(
        "map_from_entries",
        "MAP_FROM_ENTRIES(array)",
        "A map of an array of rows, each of a key and a value; NULL if a row is NULL.",
        |given| {
            let call = typing(given, 1, 1)?.a("an array of rows of two fields", |t| pair(t).is_some())?;
            let Some([key, value]) = pair(given[0].data_type) else {
                return Err(wrong_argument(1, given[0].data_type, "an array of rows of two fields"));
            };
            let element = |field: &RowField| ElementType { data_type: field.data_type.clone(), nullable: field.nullable };
            let result = DataType::Map(Box::new(element(key)), Box::new(element(value)));
            let rows_can_be_null = matches!(given[0].data_type, DataType::Array(row) if row.nullable);
            let resolved = call.gives(result)?;
            Ok(Resolved { nullable: resolved.nullable || rows_can_be_null, ..resolved })
        },
        |_, result| Ok(from_entries(result)),
    ),
    Function::first(
        "map_union",
        "MAP_UNION(map, …)",
        "A map of the entries of all maps; NULL if one is NULL.",
        |given| {
            count(given, 1, usize::MAX)?;
            if let Some(position) = given.iter().position(|argument| !matches!(argument.data_type, DataType::Map(..))) {
                return Err(wrong_argument(position + 1, given[position].data_type, "a map"));
            }
            let types = types(given);
            let result = common_type(&types).ok_or("takes maps that have a common type")?;
            let DataType::Map(key, value) = &result else { return Err("takes maps".into()) };
            let argument = |from: DataType| match from {
                DataType::Map(k, v) => DataType::Map(
                    Box::new(ElementType { data_type: key.data_type.clone(), nullable: k.nullable }),
                    Box::new(ElementType { data_type: value.data_type.clone(), nullable: v.nullable }),
                ),
                other => other,
            };
            let arguments = types.into_iter().map(argument).collect();
            Ok(Resolved { arguments, result: result.clone(), nullable: given.iter().any(|argument| argument.nullable) })
        },
        |_, result| Ok(union(result)),
    ),
];

/// The fields of the rows of an array, if they have two.
fn pair(data_type: &DataType) -> Option<&[RowField; 2]> {
    match data_type {
        DataType::Array(element) => match &element.data_type {
            DataType::Row(fields) => fields.as_slice().try_into().ok(),
            _ => None,
        },
        _ => None,
    }
}

fn entries(result: &DataType) -> Box<dyn Kernel> {
    let list_type = arrow_type(result);
    kernel_of(move |operands, rows, _| {
        let operand = operands.first().ok_or_else(|| type_error("argument 1 is missing"))?;
        let maps = operand.clone().into_column(rows)?;
        let maps = maps.as_map_opt().ok_or_else(|| type_error(operand.array().data_type()))?;
        let ArrowType::List(field) = &list_type else { return Err(type_error(&list_type)) };
        let ArrowType::Struct(fields) = field.data_type() else { return Err(type_error(&list_type)) };
        let pairs = StructArray::try_new(fields.clone(), maps.entries().columns().to_vec(), None).map_err(type_error)?;
        let lists = ListArray::try_new(field.clone(), maps.offsets().clone(), Arc::new(pairs), maps.nulls().cloned());
        Ok(Arc::new(lists.map_err(type_error)?))
    })
}

/// An entry: the operand that has it, and its place among all entries of that operand.
type Place = (usize, usize);

/// Makes maps of chosen keys and values.
struct Maps<'a> {
    keys: Vec<&'a dyn Array>,
    values: Vec<&'a dyn Array>,
    compare: Vec<Vec<DynComparator>>,
    chosen_keys: Vec<Place>,
    chosen_values: Vec<Place>,
    lengths: Vec<usize>,
}

impl<'a> Maps<'a> {
    fn of(keys: Vec<&'a dyn Array>, values: Vec<&'a dyn Array>) -> Result<Self, OperatorError> {
        let pair =
            |left: &&dyn Array, right: &&dyn Array| make_comparator(*left, *right, SortOptions::default()).map_err(type_error);
        let compare = keys.iter().map(|left| keys.iter().map(|right| pair(left, right)).collect());
        let compare = compare.collect::<Result<_, _>>()?;
        Ok(Self { keys, values, compare, chosen_keys: Vec::new(), chosen_values: Vec::new(), lengths: Vec::new() })
    }

    /// Adds the map of the next row. Error: `EXPR-EVAL` for a key that is NULL.
    fn push(&mut self, entries: &[(Place, Place)]) -> Result<(), OperatorError> {
        if entries.iter().any(|((operand, place), _)| self.keys[*operand].is_null(*place)) {
            return Err(eval_error("a key of a MAP is NULL"));
        }
        let order = |a: &usize, b: &usize| {
            let (left, right) = (entries[*a].0, entries[*b].0);
            (self.compare[left.0][right.0])(left.1, right.1)
        };
        // Equal keys stand together, the last behind the others.
        let mut sorted: Vec<usize> = (0..entries.len()).collect();
        sorted.sort_by(order);
        let mut kept: Vec<(usize, usize)> = Vec::new();
        for index in sorted {
            match kept.last_mut() {
                Some((first, last)) if order(first, &index).is_eq() => *last = index,
                _ => kept.push((index, index)),
            }
        }
        // A key stands where it occurs first.
        kept.sort_unstable();
        self.lengths.push(kept.len());
        for (first, last) in kept {
            self.chosen_keys.push(entries[first].0);
            self.chosen_values.push(entries[last].1);
        }
        if i32::try_from(self.chosen_keys.len()).is_err() {
            return Err(eval_error("the maps of one batch have too many entries"));
        }
        Ok(())
    }

    fn finish(self, map_type: &ArrowType, nulls: Option<NullBuffer>) -> Result<ArrayRef, OperatorError> {
        let ArrowType::Map(entries, _) = map_type else { return Err(type_error(map_type)) };
        let ArrowType::Struct(fields) = entries.data_type() else { return Err(type_error(map_type)) };
        let gather = |arrays: &[&dyn Array], places: &[Place], data_type: &ArrowType| {
            if places.is_empty() { Ok(new_empty_array(data_type)) } else { interleave(arrays, places).map_err(type_error) }
        };
        let columns = vec![
            gather(&self.keys, &self.chosen_keys, fields[0].data_type())?,
            gather(&self.values, &self.chosen_values, fields[1].data_type())?,
        ];
        let pairs = StructArray::try_new(fields.clone(), columns, None).map_err(type_error)?;
        let maps = MapArray::try_new(entries.clone(), OffsetBuffer::from_lengths(self.lengths), pairs, nulls, false);
        Ok(Arc::new(maps.map_err(type_error)?))
    }
}

fn from_arrays(result: &DataType) -> Box<dyn Kernel> {
    let map_type = arrow_type(result);
    kernel_of(move |operands, rows, _| {
        let (keys, values) = (Spans::of(operands, 0)?, Spans::of(operands, 1)?);
        let nulls = joint_nulls(operands, rows);
        let mut maps = Maps::of(vec![keys.list()?.values().as_ref()], vec![values.list()?.values().as_ref()])?;
        for row in 0..rows {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                maps.push(&[])?;
                continue;
            }
            let (keys, values) = (keys.get(row), values.get(row));
            if keys.len() != values.len() {
                let message = format!("MAP_FROM_ARRAYS got {} keys and {} values", keys.len(), values.len());
                return Err(eval_error(message));
            }
            let entries: Vec<_> = keys.zip(values).map(|(key, value)| ((0, key), (0, value))).collect();
            maps.push(&entries)?;
        }
        maps.finish(&map_type, nulls)
    })
}

fn from_entries(result: &DataType) -> Box<dyn Kernel> {
    let map_type = arrow_type(result);
    kernel_of(move |operands, rows, _| {
        let spans = Spans::of(operands, 0)?;
        let pairs = spans.list()?.values();
        let pairs =
            pairs.as_struct_opt().filter(|pairs| pairs.num_columns() == 2).ok_or_else(|| type_error(pairs.data_type()))?;
        let has_null = |row: usize| spans.get(row).any(|place| pairs.is_null(place));
        let valid = joint_nulls(operands, rows);
        let valid: Vec<bool> =
            (0..rows).map(|row| valid.as_ref().is_none_or(|valid| valid.is_valid(row)) && !has_null(row)).collect();
        let mut maps = Maps::of(vec![pairs.column(0).as_ref()], vec![pairs.column(1).as_ref()])?;
        for (row, valid) in valid.iter().enumerate() {
            let places = if *valid { spans.get(row) } else { 0..0 };
            let entries: Vec<_> = places.map(|place| ((0, place), (0, place))).collect();
            maps.push(&entries)?;
        }
        maps.finish(&map_type, Some(NullBuffer::from(valid)))
    })
}

fn union(result: &DataType) -> Box<dyn Kernel> {
    let map_type = arrow_type(result);
    kernel_of(move |operands, rows, _| {
        let spans = (0..operands.len()).map(|position| Spans::of(operands, position)).collect::<Result<Vec<_>, _>>()?;
        let keys = spans.iter().map(|spans| Ok(spans.map()?.keys().as_ref())).collect::<Result<Vec<_>, OperatorError>>()?;
        let values = spans.iter().map(|spans| Ok(spans.map()?.values().as_ref())).collect::<Result<Vec<_>, OperatorError>>()?;
        let nulls = joint_nulls(operands, rows);
        let mut maps = Maps::of(keys, values)?;
        for row in 0..rows {
            let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            let of = |(position, spans): (usize, &Spans<'_>)| {
                let places = if is_null { 0..0 } else { spans.get(row) };
                places.map(move |place| ((position, place), (position, place)))
            };
            let entries: Vec<_> = spans.iter().enumerate().flat_map(of).collect();
            maps.push(&entries)?;
        }
        maps.finish(&map_type, nulls)
    })
}
