//! Keyed state in memory: one hash table per key group. While a snapshot holds a table, the next write copies it.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use bytes::Bytes;
use hashbrown::HashTable;

use crate::key_group::{hash_rows, key_group_of, key_group_range};
use crate::operator::{KeyGroupSnapshot, OperatorContext, OperatorError};
use crate::state::bytes::put_bytes;
use crate::state::{RowFormat, Rows, StateReader, open, seal};

/// A value that keyed state can hold and save.
pub trait StateValue: Clone + Send + Sync + 'static {
    /// Kind of the envelope of a key group with these values. Other values have another kind.
    const KIND: u8;
    /// Appends the value's bytes to `out`.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads a value that `write` wrote.
    fn read(reader: &mut StateReader<'_>) -> Result<Self, OperatorError>;
}

impl StateValue for Box<[u8]> {
    const KIND: u8 = 1;

    fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self);
    }

    fn read(reader: &mut StateReader<'_>) -> Result<Self, OperatorError> {
        reader.prefixed().map(Into::into)
    }
}

/// One value per key, for the keys of one subtask's key groups.
///
/// A key is given as its bytes from [`KeyedState::encode_keys`] and its hash from [`hash_rows`]. The hash determines the key
/// group.
pub struct KeyedState<V> {
    keys: RowFormat,
    max_parallelism: u32,
    owned: Range<u32>,
    groups: Vec<Arc<Group<V>>>,
    changes: u64,
}

#[derive(Clone)]
struct Group<V> {
    table: HashTable<Entry<V>>,
    version: u64,
}

#[derive(Clone)]
struct Entry<V> {
    hash: u64,
    key: Box<[u8]>,
    value: V,
}

/// Version of the envelope of a key group's bytes.
const VERSION: u8 = 1;

impl<V: StateValue> KeyedState<V> {
    /// Creates empty state for the subtask in `context`, with keys of these types. Error: `SCHEMA-TYPE`.
    pub fn new(context: &OperatorContext, key_types: Vec<DataType>) -> Result<Self, OperatorError> {
        let keys = RowFormat::of_keys(key_types)?;
        let owned = key_group_range(context.max_parallelism, context.parallelism, context.subtask());
        let groups = owned.clone().map(|_| Arc::new(Group { table: HashTable::new(), version: 0 })).collect();
        Ok(Self { keys, max_parallelism: context.max_parallelism, owned, groups, changes: 0 })
    }

    /// Encodes the keys in these columns, one per row.
    pub fn encode_keys(&self, columns: &[ArrayRef], rows: usize) -> Rows {
        self.keys.encode(columns, rows)
    }

    /// The value of a key, if it has one.
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<&V> {
        let group = self.groups.get(self.position(hash).ok()?)?;
        group.table.find(hash, |entry| *entry.key == *key).map(|entry| &entry.value)
    }

    /// Sets the value of a key. Error: `KEY-GROUP` for a key that belongs to another subtask.
    pub fn insert(&mut self, hash: u64, key: &[u8], value: V) -> Result<(), OperatorError> {
        let group = self.change(hash)?;
        match group.table.find_mut(hash, |entry| *entry.key == *key) {
            Some(entry) => entry.value = value,
            None => {
                group.table.insert_unique(hash, Entry { hash, key: key.into(), value }, |entry| entry.hash);
            }
        }
        Ok(())
    }

    /// Changes the value of a key in place. A key without a value gets the default first. Error: `KEY-GROUP`, as for `insert`.
    pub fn update<R>(&mut self, hash: u64, key: &[u8], change: impl FnOnce(&mut V) -> R) -> Result<R, OperatorError>
    where
        V: Default,
    {
        let group = self.change(hash)?;
        if group.table.find(hash, |entry| *entry.key == *key).is_none() {
            group.table.insert_unique(hash, Entry { hash, key: key.into(), value: V::default() }, |entry| entry.hash);
        }
        match group.table.find_mut(hash, |entry| *entry.key == *key) {
            Some(entry) => Ok(change(&mut entry.value)),
            None => Err(OperatorError::fatal("STATE-CORRUPT", "a key that was inserted is not in its table")),
        }
    }

    /// Every key with its hash and value, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8], &V)> {
        self.groups.iter().flat_map(|group| group.table.iter().map(|entry| (entry.hash, entry.key.as_ref(), &entry.value)))
    }

    /// Number of keys of all key groups.
    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.table.len()).sum()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.table.is_empty())
    }

    /// Freezes the current state. The time depends on the number of key groups, not of keys.
    pub fn snapshot(&self) -> Vec<KeyGroupSnapshot> {
        let held = self.owned.clone().zip(&self.groups).filter(|(_, group)| !group.table.is_empty());
        let freeze = |(key_group, group): (u32, &Arc<Group<V>>)| {
            let (version, group) = (group.version, group.clone());
            KeyGroupSnapshot { key_group, version, serialize: Box::new(move || Ok(serialize(&group))) }
        };
        held.map(freeze).collect()
    }

    /// Restores one key group. Errors: `STATE-CORRUPT`, `STATE-INCOMPATIBLE`, `KEY-GROUP` if this subtask does not own the group.
    pub fn restore(&mut self, key_group: u32, bytes: &[u8]) -> Result<(), OperatorError> {
        let mut reader = open(V::KIND, VERSION, bytes)?;
        let count = reader.count(8)?;
        let (mut keys, mut values) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            keys.push(reader.prefixed()?);
            values.push(V::read(&mut reader)?);
        }
        reader.end()?;
        let mut hashes = Vec::new();
        hash_rows(&self.keys.decode(keys.iter().copied())?, count, &mut hashes)?;
        for ((hash, key), value) in hashes.into_iter().zip(keys).zip(values) {
            if key_group_of(hash, self.max_parallelism) != key_group {
                return Err(StateReader::corrupt("a key is in the wrong key group"));
            }
            self.insert(hash, key, value)?;
        }
        Ok(())
    }

    fn position(&self, hash: u64) -> Result<usize, OperatorError> {
        let key_group = key_group_of(hash, self.max_parallelism);
        owned_position(&self.owned, key_group)
    }

    fn change(&mut self, hash: u64) -> Result<&mut Group<V>, OperatorError> {
        let position = self.position(hash)?;
        self.changes += 1;
        let group = Arc::make_mut(&mut self.groups[position]);
        group.version = self.changes;
        Ok(group)
    }
}

/// The position of a key group among the owned ones. Error: `KEY-GROUP` if it is not owned.
pub(crate) fn owned_position(owned: &Range<u32>, key_group: u32) -> Result<usize, OperatorError> {
    if owned.contains(&key_group) {
        return Ok((key_group - owned.start) as usize);
    }
    let message = format!(
        "a row belongs to key group {key_group}, but this subtask owns {}..{}; hash-partition the input by exactly the keys",
        owned.start, owned.end
    );
    Err(OperatorError::fatal("KEY-GROUP", message))
}

fn serialize<V: StateValue>(group: &Group<V>) -> Bytes {
    let mut payload = (group.table.len() as u32).to_le_bytes().to_vec();
    for entry in &group.table {
        put_bytes(&mut payload, &entry.key);
        entry.value.write(&mut payload);
    }
    seal(V::KIND, VERSION, &payload)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::key_group::hash_i64;
    use crate::key_group::subtask_of_key_group;
    use crate::operators::tests::context;

    fn state(parallelism: u32, subtask: u32) -> KeyedState<Box<[u8]>> {
        KeyedState::new(&context(parallelism, subtask, vec![]), vec![DataType::Int64]).unwrap()
    }

    fn key_bytes(key: i64) -> Vec<u8> {
        [&[1], key.to_le_bytes().as_slice()].concat()
    }

    fn insert(state: &mut KeyedState<Box<[u8]>>, key: i64, value: u8) {
        state.insert(hash_i64(key), &key_bytes(key), vec![value].into()).unwrap();
    }

    fn get(state: &KeyedState<Box<[u8]>>, key: i64) -> Option<u8> {
        state.get(hash_i64(key), &key_bytes(key)).map(|value| value[0])
    }

    #[test]
    fn a_snapshot_does_not_change_when_the_state_changes() {
        let mut all = state(1, 0);
        insert(&mut all, 1, 10);
        let frozen = all.snapshot();
        insert(&mut all, 1, 11);
        insert(&mut all, 2, 20);
        let mut before = state(1, 0);
        for group in frozen {
            before.restore(group.key_group, &(group.serialize)().unwrap()).unwrap();
        }
        assert_eq!((get(&before, 1), get(&before, 2)), (Some(10), None));
        assert_eq!((get(&all, 1), get(&all, 2)), (Some(11), Some(20)));
    }

    #[test]
    fn only_changed_key_groups_have_a_new_version() {
        let mut all = state(1, 0);
        (0..200).for_each(|key| insert(&mut all, key, 0));
        let versions = |all: &KeyedState<_>| all.snapshot().iter().map(|g| (g.key_group, g.version)).collect::<BTreeMap<_, _>>();
        let before = versions(&all);
        insert(&mut all, 7, 1);
        let after = versions(&all);
        let changed: Vec<_> =
            after.iter().filter(|(group, version)| before.get(group) != Some(version)).map(|(g, _)| *g).collect();
        assert_eq!(changed, [key_group_of(hash_i64(7), 128)]);
    }

    #[test]
    fn a_key_of_another_subtask_is_refused() {
        let mut all = state(2, 0);
        let key = (0..).find(|key| subtask_of_key_group(128, 2, key_group_of(hash_i64(*key), 128)) == 1).unwrap();
        let error = all.insert(hash_i64(key), &key_bytes(key), vec![].into()).unwrap_err();
        assert_eq!(error.code, "KEY-GROUP");
    }

    proptest! {
        #[test]
        fn state_is_restored_at_any_parallelism(entries in prop::collection::btree_map(any::<i64>(), any::<u8>(), 0..100), parallelism in 1u32..5) {
            let mut all = state(1, 0);
            entries.iter().for_each(|(key, value)| insert(&mut all, *key, *value));
            let mut parts: Vec<_> = (0..parallelism).map(|subtask| state(parallelism, subtask)).collect();
            for group in all.snapshot() {
                let owner = subtask_of_key_group(128, parallelism, group.key_group) as usize;
                parts[owner].restore(group.key_group, &(group.serialize)().unwrap()).unwrap();
            }
            prop_assert_eq!(parts.iter().map(KeyedState::len).sum::<usize>(), entries.len());
            for (key, value) in &entries {
                prop_assert_eq!(parts.iter().find_map(|part| get(part, *key)), Some(*value));
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut all = state(1, 0);
            let _ = all.restore(3, &seal(1, VERSION, &bytes));
            let _ = all.restore(3, &bytes);
        }
    }
}
