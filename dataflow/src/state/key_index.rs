//! Maps keys to dense slot numbers, so that accumulators are plain vectors.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};
use hashbrown::HashTable;

use super::{RowFormat, Rows};
use crate::aggregates::{NO_SLOT, Selection};
use crate::key_group::{hash_i64, hash_rows};
use crate::operator::OperatorError;

/// The keys of a batch, hashed once.
pub(crate) struct BatchKeys {
    pub(crate) hashes: Vec<u64>,
    columns: KeyColumns,
}

enum KeyColumns {
    Int(Vec<i64>, Option<NullBuffer>),
    Rows(Rows),
}

/// Chooses how keys of given column types are stored.
#[derive(Debug, Clone)]
pub(crate) struct KeyLayout {
    pub(crate) format: RowFormat,
}

impl KeyLayout {
    pub(crate) fn new(types: Vec<DataType>) -> Result<Self, OperatorError> {
        Ok(Self { format: RowFormat::of_keys(types)? })
    }

    /// Whether the key is a single column whose values hash as 64-bit integers, so that keys are compared as such.
    fn is_int(&self) -> bool {
        let [data_type] = self.format.types() else { return false };
        matches!(
            data_type,
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Time32(_)
        ) || matches!(data_type, DataType::Timestamp(unit, _) if *unit != TimeUnit::Second)
    }

    pub(crate) fn empty_index(&self) -> KeyIndex {
        if self.is_int() { KeyIndex::Int(IntKeys::default()) } else { KeyIndex::Rows(RowKeys::default()) }
    }

    pub(crate) fn batch_keys(&self, columns: &[ArrayRef], rows: usize) -> Result<BatchKeys, OperatorError> {
        let mut hashes = Vec::new();
        hash_rows(columns, rows, &mut hashes)?;
        let keys = if self.is_int() {
            let column = &columns[0];
            KeyColumns::Int(widened(column.as_ref()), column.nulls().filter(|nulls| nulls.null_count() > 0).cloned())
        } else {
            KeyColumns::Rows(self.format.encode(columns, rows))
        };
        Ok(BatchKeys { hashes, columns: keys })
    }

    /// The key columns of these slots.
    pub(crate) fn columns(&self, index: &KeyIndex, slots: &[u32]) -> Result<Vec<ArrayRef>, OperatorError> {
        match index {
            KeyIndex::Int(IntKeys { keys, null, .. }) => {
                let values = slots.iter().map(|slot| (Some(*slot) != *null).then(|| keys[*slot as usize]));
                Ok(vec![narrowed(values, &self.format.types()[0])])
            }
            KeyIndex::Rows(keys) => self.format.decode(slots.iter().map(|slot| keys.row(*slot as usize))),
        }
    }
}

/// The values of a column as 64-bit integers.
fn widened(column: &dyn Array) -> Vec<i64> {
    fn from<T: ArrowPrimitiveType<Native: Into<i64>>>(column: &dyn Array) -> Vec<i64> {
        column.as_primitive::<T>().values().iter().map(|value| (*value).into()).collect()
    }
    match column.data_type() {
        DataType::Int8 => from::<Int8Type>(column),
        DataType::Int16 => from::<Int16Type>(column),
        DataType::Int32 => from::<Int32Type>(column),
        DataType::Date32 => from::<Date32Type>(column),
        DataType::Time32(_) => from::<Time32MillisecondType>(column),
        DataType::Timestamp(TimeUnit::Millisecond, _) => from::<TimestampMillisecondType>(column),
        DataType::Timestamp(TimeUnit::Microsecond, _) => from::<TimestampMicrosecondType>(column),
        DataType::Timestamp(..) => from::<TimestampNanosecondType>(column),
        _ => from::<Int64Type>(column),
    }
}

/// The column of this type whose values were widened. So they fit.
fn narrowed(values: impl Iterator<Item = Option<i64>>, to: &DataType) -> ArrayRef {
    fn into<T: ArrowPrimitiveType<Native: TryFrom<i64>>>(values: impl Iterator<Item = Option<i64>>, to: &DataType) -> ArrayRef {
        let values = values.map(|value| value.and_then(|value| T::Native::try_from(value).ok()));
        Arc::new(values.collect::<PrimitiveArray<T>>().with_data_type(to.clone()))
    }
    match to {
        DataType::Int8 => into::<Int8Type>(values, to),
        DataType::Int16 => into::<Int16Type>(values, to),
        DataType::Int32 => into::<Int32Type>(values, to),
        DataType::Date32 => into::<Date32Type>(values, to),
        DataType::Time32(_) => into::<Time32MillisecondType>(values, to),
        DataType::Timestamp(TimeUnit::Millisecond, _) => into::<TimestampMillisecondType>(values, to),
        DataType::Timestamp(TimeUnit::Microsecond, _) => into::<TimestampMicrosecondType>(values, to),
        DataType::Timestamp(..) => into::<TimestampNanosecondType>(values, to),
        _ => into::<Int64Type>(values, to),
    }
}

/// Keys in the order of their first appearance. The position of a key is its slot.
#[derive(Clone)]
pub(crate) enum KeyIndex {
    /// Keys of a single whole-number or timestamp column.
    Int(IntKeys),
    /// Keys as bytes of [`RowFormat`].
    Rows(RowKeys),
}

/// Whole-number keys. If NULL has a slot, `keys` holds 0 there.
#[derive(Clone, Default)]
pub(crate) struct IntKeys {
    table: HashTable<(i64, u32)>,
    keys: Vec<i64>,
    null: Option<u32>,
    free: Vec<u32>,
}

impl IntKeys {
    /// The slot of a key. A new key gets a slot if `add`, else the result is [`NO_SLOT`].
    #[inline]
    fn slot(&mut self, hash: u64, key: i64, add: bool) -> u32 {
        if let Some((_, slot)) = self.table.find(hash, |entry| entry.0 == key) {
            return *slot;
        }
        if !add {
            return NO_SLOT;
        }
        let slot = self.new_slot(key);
        self.table.insert_unique(hash, (key, slot), |entry| hash_i64(entry.0));
        slot
    }

    fn null_slot(&mut self, add: bool) -> u32 {
        if self.null.is_none() && add {
            self.null = Some(self.new_slot(0));
        }
        self.null.unwrap_or(NO_SLOT)
    }

    fn new_slot(&mut self, key: i64) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.keys[slot as usize] = key;
            return slot;
        }
        self.keys.push(key);
        self.keys.len() as u32 - 1
    }

    fn remove(&mut self, slot: u32) {
        if self.null == Some(slot) {
            self.null = None;
        } else if let Ok(entry) = self.table.find_entry(hash_i64(self.keys[slot as usize]), |entry| entry.1 == slot) {
            entry.remove();
        }
        self.free.push(slot);
    }
}

/// Keys as bytes, in one buffer.
#[derive(Clone, Default)]
pub(crate) struct RowKeys {
    table: HashTable<u32>,
    hashes: Vec<u64>,
    bytes: Vec<u8>,
    spans: Vec<Range<usize>>,
    free: Vec<u32>,
    /// Number of bytes of removed keys.
    garbage: usize,
}

impl RowKeys {
    fn row(&self, slot: usize) -> &[u8] {
        &self.bytes[self.spans[slot].clone()]
    }

    /// Does the same as [`IntKeys::slot`].
    fn slot(&mut self, hash: u64, key: &[u8], add: bool) -> u32 {
        let same = |slot: &u32| self.hashes[*slot as usize] == hash && self.row(*slot as usize) == key;
        if let Some(slot) = self.table.find(hash, same) {
            return *slot;
        }
        if !add {
            return NO_SLOT;
        }
        let span = self.bytes.len()..self.bytes.len() + key.len();
        self.bytes.extend_from_slice(key);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.hashes[slot as usize] = hash;
                self.spans[slot as usize] = span;
                slot
            }
            None => {
                self.hashes.push(hash);
                self.spans.push(span);
                self.spans.len() as u32 - 1
            }
        };
        self.table.insert_unique(hash, slot, |slot| self.hashes[*slot as usize]);
        slot
    }

    fn remove(&mut self, slot: u32) {
        if let Ok(entry) = self.table.find_entry(self.hashes[slot as usize], |known| *known == slot) {
            entry.remove();
        }
        self.garbage += std::mem::take(&mut self.spans[slot as usize]).len();
        self.free.push(slot);
        if self.garbage > MOST_GARBAGE.max(self.bytes.len() / 2) {
            let mut bytes = Vec::with_capacity(self.bytes.len() - self.garbage);
            for span in &mut self.spans {
                let start = bytes.len();
                bytes.extend_from_slice(&self.bytes[span.clone()]);
                *span = start..bytes.len();
            }
            self.bytes = bytes;
            self.garbage = 0;
        }
    }
}

/// Number of bytes of removed keys up to which they are not worth the work to remove.
const MOST_GARBAGE: usize = 4_096;

impl KeyIndex {
    /// Number of slots, with the free ones.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Int(keys) => keys.keys.len(),
            Self::Rows(keys) => keys.spans.len(),
        }
    }

    /// Removes the key of a slot. A later key gets the slot. An index with free slots can't be merged into another.
    pub(crate) fn remove(&mut self, slot: u32) {
        match self {
            Self::Int(keys) => keys.remove(slot),
            Self::Rows(keys) => keys.remove(slot),
        }
    }

    /// Replaces `slots` by the slot of each selected row's key. Adds new keys.
    pub(crate) fn slots(&mut self, batch: &BatchKeys, selection: Selection<'_>, slots: &mut Vec<u32>) {
        slots.clear();
        match selection {
            Selection::All => self.add_slots(batch, 0..batch.hashes.len(), slots),
            Selection::Rows(rows) => self.add_slots(batch, rows.iter().map(|row| *row as usize), slots),
        }
    }

    fn add_slots(&mut self, batch: &BatchKeys, rows: impl Iterator<Item = usize>, slots: &mut Vec<u32>) {
        match (self, &batch.columns) {
            (Self::Int(index), KeyColumns::Int(values, None)) => {
                slots.extend(rows.map(|row| index.slot(batch.hashes[row], values[row], true)));
            }
            (Self::Int(index), KeyColumns::Int(values, Some(nulls))) => slots.extend(rows.map(|row| {
                if nulls.is_null(row) { index.null_slot(true) } else { index.slot(batch.hashes[row], values[row], true) }
            })),
            (Self::Rows(index), KeyColumns::Rows(keys)) => {
                slots.extend(rows.map(|row| index.slot(batch.hashes[row], keys.row(row), true)));
            }
            _ => unreachable!("an index and the keys of a batch come from the same layout"),
        }
    }

    /// Replaces `slots` by this index's slot for each key of `other`. A new key gets a slot if `add`, else [`NO_SLOT`].
    pub(crate) fn slots_of(&mut self, other: &Self, add: bool, slots: &mut Vec<u32>) {
        slots.clear();
        match (self, other) {
            (Self::Int(index), Self::Int(other)) => slots.extend(other.keys.iter().enumerate().map(|(slot, key)| {
                if other.null == Some(slot as u32) { index.null_slot(add) } else { index.slot(hash_i64(*key), *key, add) }
            })),
            (Self::Rows(index), Self::Rows(other)) => {
                slots.extend(other.hashes.iter().enumerate().map(|(slot, hash)| index.slot(*hash, other.row(slot), add)));
            }
            _ => unreachable!("all indexes of one operator come from the same layout"),
        }
    }
}
