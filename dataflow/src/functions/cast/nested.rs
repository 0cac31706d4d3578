//! Casts of arrays, maps, bags and rows, element by element.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, StructArray, new_null_array};
use arrow_schema::DataType as ArrowType;
use arrow_select::concat::concat;
use weir_protocol::job_graph::DataType;

use super::{Convert, Options, converter as element_converter};
use crate::functions::operand::{eval_error, type_error};
use crate::schema::arrow_type;

pub(super) fn converter(from: &DataType, to: &DataType, options: Options) -> Result<Convert, String> {
    let strict = strict_converter(from, to, Options { or_null: false, ..options })?;
    if !options.or_null {
        return Ok(strict);
    }
    // A value is NULL as a whole if one of its elements can't be converted. That is rare, so the whole array is tried first.
    let null = arrow_type(to);
    Ok(Box::new(move |array| {
        if let Ok(converted) = strict(array) {
            return Ok(converted);
        }
        let rows: Vec<ArrayRef> =
            (0..array.len()).map(|row| strict(&array.slice(row, 1)).unwrap_or_else(|_| new_null_array(&null, 1))).collect();
        let rows: Vec<&dyn Array> = rows.iter().map(|row| &**row).collect();
        concat(&rows).map_err(type_error)
    }))
}

fn strict_converter(from: &DataType, to: &DataType, options: Options) -> Result<Convert, String> {
    use DataType as T;
    let to_type = arrow_type(to);
    Ok(match (from, to) {
        (T::Array(a), T::Array(b)) => {
            let convert = element_converter(&a.data_type, &b.data_type, options)?;
            Box::new(move |array| {
                let lists = array.as_list_opt::<i32>().ok_or_else(|| type_error(array.data_type()))?;
                let ArrowType::List(field) = &to_type else { return Err(type_error(&to_type)) };
                let values = convert(lists.values())?;
                let lists = ListArray::try_new(field.clone(), lists.offsets().clone(), values, lists.nulls().cloned());
                Ok(Arc::new(lists.map_err(|e| eval_error(e.to_string()))?))
            })
        }
        (T::Map(k, v), T::Map(l, w)) => {
            let key = element_converter(&k.data_type, &l.data_type, options)?;
            let value = element_converter(&v.data_type, &w.data_type, options)?;
            entries(to_type, key, value)
        }
        (T::Multiset(a), T::Multiset(b)) => {
            let key = element_converter(&a.data_type, &b.data_type, options)?;
            entries(to_type, key, Box::new(|array| Ok(array.clone())))
        }
        (T::Row(a), T::Row(b)) => {
            let fields = a.iter().zip(b).map(|(a, b)| element_converter(&a.data_type, &b.data_type, options));
            let fields = fields.collect::<Result<Vec<_>, _>>()?;
            Box::new(move |array| {
                let rows = array.as_struct_opt().ok_or_else(|| type_error(array.data_type()))?;
                let ArrowType::Struct(names) = &to_type else { return Err(type_error(&to_type)) };
                let columns = rows.columns().iter().zip(&fields).map(|(column, convert)| convert(column));
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                let rows = StructArray::try_new_with_length(names.clone(), columns, rows.nulls().cloned(), rows.len());
                Ok(Arc::new(rows.map_err(|e| eval_error(e.to_string()))?))
            })
        }
        _ => return Err(format!("there is no cast from {from} to {to}")),
    })
}

fn entries(to: ArrowType, key: Convert, value: Convert) -> Convert {
    Box::new(move |array| {
        let maps = array.as_map_opt().ok_or_else(|| type_error(array.data_type()))?;
        let ArrowType::Map(field, sorted) = &to else { return Err(type_error(&to)) };
        let ArrowType::Struct(fields) = field.data_type() else { return Err(type_error(&to)) };
        let failed = |e: arrow_schema::ArrowError| eval_error(e.to_string());
        let columns = vec![key(maps.keys())?, value(maps.values())?];
        let entries = StructArray::try_new(fields.clone(), columns, None).map_err(failed)?;
        let maps = MapArray::try_new(field.clone(), maps.offsets().clone(), entries, maps.nulls().cloned(), *sorted);
        Ok(Arc::new(maps.map_err(failed)?))
    })
}
