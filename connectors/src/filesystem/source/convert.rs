//! Converts a column of a Parquet file to the type of the schema, without loss or not at all.
//!
//! Only digits below the unit of a time are dropped, as from text: times are rounded down, also before 1970.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType,
};
use arrow_array::{Array, ArrayRef, ListArray, MapArray, PrimitiveArray, StructArray, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, FieldRef, TimeUnit};
use weir_dataflow::schema::{column_type, type_name};

/// Integers up to this size have an exact double, and an exact float.
const EXACT_IN_DOUBLE: u64 = 1 << 53;
const EXACT_IN_FLOAT: u64 = 1 << 24;

/// Number of decimal digits that every double keeps.
const DIGITS_OF_DOUBLE: u8 = 15;

/// How the values of a column become those of another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Conversion {
    /// The types are equal.
    None,
    /// Each value has an equal value in the other type, or is an error.
    Cast,
    /// All values are null.
    Nulls,
    /// Integers become doubles or floats if those are exact.
    Exact,
    /// Integers are milliseconds since 1970.
    Milliseconds,
    /// Times are rounded down to the unit.
    Time,
    /// Times of day are rounded down to milliseconds.
    TimeOfDay,
    List(Box<Self>),
    Map(Box<Self>, Box<Self>),
    /// For each field, the position of the field that it is made from.
    Row(Vec<(usize, Self)>),
}

/// The conversion between two types; `None` if it could lose something.
pub(super) fn conversion(from: &DataType, to: &DataType) -> Option<Conversion> {
    use DataType::*;
    let decimal = |from: &DataType| match from {
        Decimal32(precision, scale) | Decimal64(precision, scale) => Some((*precision, *scale)),
        Decimal128(precision, scale) | Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    };
    match (from, to) {
        _ if from == to => Some(Conversion::None),
        (Dictionary(_, values), _) => conversion(values, to).map(|inner| match inner {
            Conversion::None => Conversion::Cast,
            other => other,
        }),
        (Null, _) => Some(Conversion::Nulls),
        (List(from) | LargeList(from) | FixedSizeList(from, _), List(to)) => {
            Some(Conversion::List(Box::new(conversion(from.data_type(), to.data_type())?)))
        }
        (Map(from, _), Map(to, _)) => {
            let (Struct(from), Struct(to)) = (from.data_type(), to.data_type()) else { return None };
            let part = |index: usize| conversion(from.get(index)?.data_type(), to.get(index)?.data_type()).map(Box::new);
            Some(Conversion::Map(part(0)?, part(1)?))
        }
        (Struct(from), Struct(to)) => {
            let field = |field: &FieldRef| {
                let (place, found) = from.find(field.name())?;
                Some((place, conversion(found.data_type(), field.data_type())?))
            };
            Some(Conversion::Row(to.iter().map(field).collect::<Option<_>>()?))
        }
        (_, Int8 | Int16 | Int32 | Int64 | Decimal128(..)) if from.is_integer() => Some(Conversion::Cast),
        (_, Float64 | Float32) if from.is_integer() => Some(Conversion::Exact),
        (_, Timestamp(TimeUnit::Millisecond, _)) if from.is_integer() => Some(Conversion::Milliseconds),
        (Timestamp(..) | Date32 | Date64, Timestamp(..)) => Some(Conversion::Time),
        (Date64, Date32) => Some(Conversion::Cast),
        (Time32(_) | Time64(_), Time32(TimeUnit::Millisecond)) => Some(Conversion::TimeOfDay),
        (Float16, Float32) | (Float16 | Float32, Float64) => Some(Conversion::Cast),
        (_, Float64) if decimal(from).is_some() => (decimal(from)?.0 <= DIGITS_OF_DOUBLE).then_some(Conversion::Cast),
        (_, Int8 | Int16 | Int32 | Int64) if decimal(from).is_some() => (decimal(from)?.1 <= 0).then_some(Conversion::Cast),
        (_, Decimal128(_, scale)) if decimal(from).is_some() => (decimal(from)?.1 <= *scale).then_some(Conversion::Cast),
        (_, Utf8) if from.is_primitive() => Some(Conversion::Cast),
        (Boolean | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView, Utf8) => Some(Conversion::Cast),
        (LargeBinary | BinaryView | FixedSizeBinary(_), Binary) => Some(Conversion::Cast),
        _ => None,
    }
}

/// What to do about a column of type `from`.
pub(super) fn advice(from: &DataType) -> String {
    use DataType::*;
    if let Some(known) = column_type(from) {
        return format!("declare it {known}");
    }
    let advice = match from {
        Dictionary(_, values) => return advice(values),
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => {
            "declare it STRING, which keeps every digit, or DOUBLE if it has at most 15 digits"
        }
        Float16 => "declare it FLOAT",
        Timestamp(..) => "declare it TIMESTAMP(3) or STRING",
        Date64 => "declare it DATE",
        Time32(_) | Time64(_) => "declare it TIME(3)",
        LargeUtf8 | Utf8View => "declare it STRING, and CAST it in a projection",
        LargeBinary | BinaryView | FixedSizeBinary(_) => "declare it BYTES",
        UInt8 => "declare it SMALLINT",
        UInt16 => "declare it INT",
        _ if from.is_integer() => "declare it BIGINT, and CAST it in a projection",
        _ if from.is_primitive() => "declare it STRING",
        _ => "no column type fits it; leave it out of the schema",
    };
    advice.to_owned()
}

/// Converts `column`. The error says which value has no equal in the other type.
pub(super) fn convert(conversion: &Conversion, column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let column = match column.data_type() {
        DataType::Dictionary(_, values) => &cast(column, values)?,
        _ => column,
    };
    match conversion {
        Conversion::None => Ok(Arc::clone(column)),
        Conversion::Cast => cast(column, to),
        Conversion::Nulls => Ok(new_null_array(to, column.len())),
        Conversion::Milliseconds => cast(&cast(column, &DataType::Int64)?, to),
        Conversion::Time => in_unit(column, to),
        Conversion::TimeOfDay => {
            let per_milli = match column.data_type() {
                DataType::Time64(TimeUnit::Microsecond) => 1_000,
                DataType::Time64(_) => 1_000_000,
                // Casts to milliseconds multiply.
                _ => return cast(column, to),
            };
            let numbers = cast(column, &DataType::Int64)?;
            let millis: PrimitiveArray<Int64Type> = numbers.as_primitive::<Int64Type>().unary(|time| time.div_euclid(per_milli));
            cast(&cast(&(Arc::new(millis) as ArrayRef), &DataType::Int32)?, to)
        }
        Conversion::Exact => {
            let limit = if *to == DataType::Float32 { EXACT_IN_FLOAT } else { EXACT_IN_DOUBLE };
            let integers = cast(column, &DataType::Int64)?;
            let inexact = integers.as_primitive::<Int64Type>().iter().flatten().find(|value| value.unsigned_abs() > limit);
            if let Some(value) = inexact {
                let name = if *to == DataType::Float32 { "float" } else { "double" };
                return Err(ArrowError::CastError(format!("{value} has no exact {name}; declare the column BIGINT")));
            }
            let integers = integers.as_primitive::<Int64Type>();
            Ok(match to {
                DataType::Float32 => Arc::new(integers.unary::<_, Float32Type>(|value| value as f32)),
                _ => Arc::new(integers.unary::<_, Float64Type>(|value| value as f64)),
            })
        }
        Conversion::List(_) | Conversion::Map(..) | Conversion::Row(_) => convert_nested(conversion, column, to),
    }
}

fn convert_nested(conversion: &Conversion, column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let nulls = column.nulls().cloned();
    let unlike = || ArrowError::CastError(format!("{} is not {}", column.data_type(), type_name(to)));
    match (conversion, to) {
        (Conversion::List(inner), DataType::List(item)) => {
            let lists = match column.data_type() {
                DataType::LargeList(from) | DataType::FixedSizeList(from, _) => &cast(column, &DataType::List(from.clone()))?,
                _ => column,
            };
            let lists = lists.as_list_opt::<i32>().ok_or_else(unlike)?;
            let items = convert(inner, lists.values(), item.data_type())?;
            Ok(Arc::new(ListArray::try_new(item.clone(), lists.offsets().clone(), items, lists.nulls().cloned())?))
        }
        (Conversion::Map(key, value), DataType::Map(entry, ordered)) => {
            let DataType::Struct(fields) = entry.data_type() else { return Err(unlike()) };
            let maps = column.as_map_opt().ok_or_else(unlike)?;
            let keys = convert(key, maps.keys(), fields[0].data_type())?;
            let values = convert(value, maps.values(), fields[1].data_type())?;
            let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
            Ok(Arc::new(MapArray::try_new(entry.clone(), maps.offsets().clone(), entries, nulls, *ordered)?))
        }
        (Conversion::Row(places), DataType::Struct(fields)) => {
            let rows = column.as_struct_opt().ok_or_else(unlike)?;
            let field = |(field, (place, inner)): (&FieldRef, &(usize, Conversion))| {
                convert(inner, rows.column(*place), field.data_type())
            };
            let columns = fields.iter().zip(places).map(field).collect::<Result<_, _>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, column.len())?))
        }
        _ => Err(unlike()),
    }
}

fn cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, to, &options)
}

/// Dates and timestamps in the unit of the timestamp type `to`, rounded down.
fn in_unit(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let DataType::Timestamp(unit, _) = to else {
        return Err(ArrowError::CastError(format!("{} is not a timestamp", type_name(to))));
    };
    let (numbers, from_seconds) = match column.data_type() {
        DataType::Date32 => (cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?, None),
        DataType::Date64 => (cast(column, &DataType::Int64)?, Some(TimeUnit::Millisecond)),
        DataType::Timestamp(unit, _) => (cast(column, &DataType::Int64)?, Some(*unit)),
        other => return Err(ArrowError::CastError(format!("{other} is not a time; {} was expected", type_name(to)))),
    };
    // The factor between two units is whole in one direction.
    let per_second = |unit: TimeUnit| match unit {
        TimeUnit::Second => 1_i64,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let (multiply, divide) = match from_seconds {
        None => (86_400 * per_second(*unit), 1),
        Some(from) => ((per_second(*unit) / per_second(from)).max(1), (per_second(from) / per_second(*unit)).max(1)),
    };
    let converted = |time: i64| {
        time.div_euclid(divide)
            .checked_mul(multiply)
            .ok_or_else(|| ArrowError::CastError(format!("{time} is out of the range of {}", type_name(to))))
    };
    fn build<T: ArrowPrimitiveType<Native = i64>>(
        numbers: &ArrayRef,
        to: &DataType,
        converted: impl Fn(i64) -> Result<i64, ArrowError>,
    ) -> Result<ArrayRef, ArrowError> {
        let times: PrimitiveArray<T> = numbers.as_primitive::<Int64Type>().try_unary(converted)?;
        Ok(Arc::new(times.with_data_type(to.clone())))
    }
    match unit {
        TimeUnit::Microsecond => build::<TimestampMicrosecondType>(&numbers, to, converted),
        TimeUnit::Nanosecond => build::<TimestampNanosecondType>(&numbers, to, converted),
        _ => build::<TimestampMillisecondType>(&numbers, to, converted),
    }
}
