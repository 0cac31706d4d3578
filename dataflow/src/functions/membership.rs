//! `IN` over a list of constants.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType as ArrowType, TimeUnit};
use hashbrown::HashTable;
use weir_protocol::job_graph::DataType;
use xxhash_rust::xxh3::xxh3_64;

use super::comparison::{Accepted, Op, comparable, compare};
use super::operand::{BytesArray, TextArray, joint_nulls, kernel_of, map_boolean, type_error};
use super::signature::{any_nullable, count};
use super::{Argument, Function, Kernel, Operand, Resolved};
use crate::operator::OperatorError;

/// The functions of this family.
pub(super) const FUNCTIONS: &[Function] = &[Function {
    name: "in",
    version: 1,
    syntax: "a IN (b, ..)",
    doc: "Returns whether a is equal to one of the values; NULL if it is to none but one of the values, or a, is NULL.",
    takes_zone: false,
    deterministic: true,
    resolve,
    kernel,
}];

fn resolve(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    count(arguments, 2, usize::MAX)?;
    let mut common = arguments[0].data_type.clone();
    for argument in &arguments[1..] {
        let accepted = if common.is_nested() { Accepted::Equality } else { Accepted::Order };
        common = comparable(&common, argument.data_type, accepted)?;
    }
    Ok(Resolved { arguments: vec![common; arguments.len()], result: DataType::Boolean, nullable: any_nullable(arguments) })
}

fn kernel(arguments: &[Argument<'_>], _: &DataType) -> Result<Box<dyn Kernel>, String> {
    let constants = arguments[1..].iter().all(|argument| argument.constant.is_some());
    // The set is built from the first batch: constants never change.
    let mut set = None;
    Ok(kernel_of(move |operands, rows, _| {
        let [value, list @ ..] = operands else { return Err(type_error("operands are missing")) };
        let found = if constants && has_set(value.array().data_type()) {
            let set = match &mut set {
                Some(set) => set,
                empty => empty.insert(ConstantSet::of(list)?),
            };
            set.contains(value, rows)?
        } else {
            any_equal(value, list, rows)?
        };
        Ok(Arc::new(found))
    }))
}

/// Compares with each value of the list in turn.
fn any_equal(value: &Operand, list: &[Operand], rows: usize) -> Result<BooleanArray, OperatorError> {
    let mut found = BooleanArray::new(arrow_buffer::BooleanBuffer::new_unset(rows), None);
    let value = Operand::Column(value.clone().into_column(rows)?);
    for candidate in list {
        let equal = compare(Op::Eq, &[value.clone(), candidate.clone()], rows)?;
        found = map_boolean(rows, None, |row| {
            let (a, b) = (found.is_valid(row).then(|| found.value(row)), equal.is_valid(row).then(|| equal.value(row)));
            Ok(match (a, b) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            })
        })?;
    }
    Ok(found)
}

fn has_set(data_type: &ArrowType) -> bool {
    integer_at(data_type).is_some() || matches!(data_type, ArrowType::Utf8 | ArrowType::Binary)
}

/// A set of constants.
struct ConstantSet {
    integers: HashTable<i128>,
    bytes: HashTable<Vec<u8>>,
    has_null: bool,
}

impl ConstantSet {
    fn of(list: &[Operand]) -> Result<Self, OperatorError> {
        let mut set = Self { integers: HashTable::new(), bytes: HashTable::new(), has_null: false };
        for constant in list {
            let array = constant.array();
            if array.is_null(0) {
                set.has_null = true;
            } else if let Some(read) = integer_at(array.data_type()) {
                let value = read(array, 0);
                set.integers.entry(hash_integer(value), |known| *known == value, |known| hash_integer(*known)).or_insert(value);
            } else {
                let value = bytes_at(array)?(0);
                let entry = set.bytes.entry(xxh3_64(value), |known| known == value, |known| xxh3_64(known));
                entry.or_insert_with(|| value.to_vec());
            }
        }
        Ok(set)
    }

    fn contains(&self, value: &Operand, rows: usize) -> Result<BooleanArray, OperatorError> {
        let array = value.array();
        let position = |row: usize| if value.is_constant() { 0 } else { row };
        let nulls: Option<NullBuffer> = joint_nulls(std::slice::from_ref(value), rows);
        let answer = |found: bool| Ok(if found || !self.has_null { Some(found) } else { None });
        if let Some(read) = integer_at(array.data_type()) {
            return map_boolean(rows, nulls, |row| {
                let value = read(array, position(row));
                answer(self.integers.find(hash_integer(value), |known| *known == value).is_some())
            });
        }
        let read = bytes_at(array)?;
        map_boolean(rows, nulls, |row| {
            let value = read(position(row));
            answer(self.bytes.find(xxh3_64(value), |known| known == value).is_some())
        })
    }
}

fn hash_integer(value: i128) -> u64 {
    // The upper bits of a product with a large odd number depend on all bits of the value.
    let folded = (value as u64) ^ ((value >> 64) as u64).rotate_left(32);
    let product = u128::from(folded).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (product >> 64) as u64 ^ product as u64
}

type ReadInteger = fn(&ArrayRef, usize) -> i128;

/// Reads a value that is held as an integer.
fn integer_at(data_type: &ArrowType) -> Option<ReadInteger> {
    fn at<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &ArrayRef, row: usize) -> i128 {
        array.as_primitive::<T>().value(row).into()
    }
    Some(match data_type {
        ArrowType::Int8 => at::<Int8Type>,
        ArrowType::Int16 => at::<Int16Type>,
        ArrowType::Int32 => at::<Int32Type>,
        ArrowType::Int64 => at::<Int64Type>,
        ArrowType::Decimal128(..) => at::<Decimal128Type>,
        ArrowType::Date32 => at::<Date32Type>,
        ArrowType::Time32(TimeUnit::Millisecond) => at::<Time32MillisecondType>,
        ArrowType::Timestamp(TimeUnit::Millisecond, _) => at::<TimestampMillisecondType>,
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => at::<TimestampMicrosecondType>,
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => at::<TimestampNanosecondType>,
        _ => return None,
    })
}

/// Reads a text or bytes.
type ReadBytes<'a> = Box<dyn Fn(usize) -> &'a [u8] + 'a>;

fn bytes_at(array: &ArrayRef) -> Result<ReadBytes<'_>, OperatorError> {
    if let Some(texts) = array.as_any().downcast_ref::<TextArray>() {
        return Ok(Box::new(|row| texts.value(row).as_bytes()));
    }
    let bytes = array.as_any().downcast_ref::<BytesArray>().ok_or_else(|| type_error(array.data_type()))?;
    Ok(Box::new(|row| bytes.value(row)))
}
