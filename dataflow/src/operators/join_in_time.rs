//! The join of `join.latest`: each row of input 0 gets the row of input 1 that was the latest of its key at the row's event
//! time, as in Flink's temporal join.
//!
//! A row of input 0 waits until the watermark of both inputs has reached its time. Then no older row of input 1 is still to come,
//! so the result is a function of the inputs, however fast each of them is.

use std::collections::BTreeMap;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef};

use crate::element::{CheckpointBarrier, EventTime};
use crate::key_group::{hash_rows, internal};
use crate::operator::{Collector, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use crate::operators::event_time::times;
use crate::operators::join_latest::{any_null, select};
use crate::state::{KeyedState, RowFormat, StateReader, StateValue, put_bytes};

/// Most rows of an output batch.
const OUTPUT_ROWS: usize = 8_192;

/// What is known of one key.
#[derive(Debug, Clone, Default, PartialEq)]
struct Timeline {
    /// Rows of input 0 that wait for the watermark, in the order of arrival.
    waiting: Vec<Stamped>,
    /// Values of input 1 in the order of time; of equal times, the last to arrive is last.
    versions: Vec<Stamped>,
}

/// An encoded row and its event time.
#[derive(Debug, Clone, PartialEq)]
struct Stamped {
    time: EventTime,
    row: Box<[u8]>,
}

impl Timeline {
    fn add_version(&mut self, time: EventTime, row: &[u8], watermark: EventTime) {
        let place = self.versions.partition_point(|version| version.time <= time);
        self.versions.insert(place, Stamped { time, row: row.into() });
        self.forget_before(watermark);
    }

    /// Drops the versions that no row after the watermark can get. A row that still waits has a time after the watermark.
    fn forget_before(&mut self, watermark: EventTime) {
        let passed = self.versions.partition_point(|version| version.time <= watermark);
        self.versions.drain(..passed.saturating_sub(1));
    }

    fn version_at(&self, time: EventTime) -> Option<&Stamped> {
        let after = self.versions.partition_point(|version| version.time <= time);
        after.checked_sub(1).and_then(|index| self.versions.get(index))
    }

    /// Takes the rows that wait for a time up to the watermark, each with the value of input 1 that it gets.
    fn take_due(&mut self, watermark: EventTime, nothing: &[u8], out: &mut Vec<Joined>) {
        let (due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|row| row.time <= watermark);
        self.waiting = waiting;
        for left in due {
            let right = self.version_at(left.time).map_or_else(|| nothing.into(), |version| version.row.clone());
            out.push(Joined { left, right });
        }
        self.forget_before(watermark);
    }
}

struct Joined {
    left: Stamped,
    right: Box<[u8]>,
}

impl StateValue for Timeline {
    const KIND: u8 = 4;

    fn write(&self, out: &mut Vec<u8>) {
        for rows in [&self.waiting, &self.versions] {
            out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
            for row in rows {
                out.extend_from_slice(&row.time.to_le_bytes());
                put_bytes(out, &row.row);
            }
        }
    }

    fn read(reader: &mut StateReader<'_>) -> Result<Self, OperatorError> {
        let mut rows = || -> Result<Vec<Stamped>, OperatorError> {
            let count = reader.count(12)?;
            (0..count).map(|_| Ok(Stamped { time: reader.i64()?, row: reader.prefixed()?.into() })).collect()
        };
        let timeline = Self { waiting: rows()?, versions: rows()? };
        match timeline.versions.is_sorted_by_key(|version| version.time) {
            true => Ok(timeline),
            false => Err(StateReader::corrupt("the versions of a key are not in the order of time")),
        }
    }
}

/// A key that has rows waiting: its hash and its bytes.
type Waiting = (u64, Box<[u8]>);

pub(super) struct JoinInTime {
    /// The key columns of both inputs.
    keys: [Vec<usize>; 2],
    right_columns: Vec<usize>,
    /// The time columns of both inputs.
    times: [usize; 2],
    lefts: RowFormat,
    rights: RowFormat,
    timelines: KeyedState<Timeline>,
    /// The keys whose rows wait for a time. A key can be in several places, and more than once.
    due: BTreeMap<EventTime, Vec<Waiting>>,
    watermark: EventTime,
    left: SchemaRef,
    output: SchemaRef,
    hashes: Vec<u64>,
}

impl JoinInTime {
    /// Creates the operator. `keys` and `times` are columns of input 0 and input 1, in this order.
    pub(super) fn new(
        context: &OperatorContext,
        keys: [Vec<usize>; 2],
        right_columns: Vec<usize>,
        times: [usize; 2],
        output: SchemaRef,
    ) -> Result<Self, OperatorError> {
        let [left, right] = context.input_schemas.as_slice() else {
            return Err(OperatorError::fatal("CHAIN-SHAPE", "takes two inputs"));
        };
        let types = |schema: &SchemaRef, columns: &[usize]| -> Vec<DataType> {
            columns.iter().map(|column| schema.field(*column).data_type().clone()).collect()
        };
        let all: Vec<usize> = (0..left.fields().len()).collect();
        Ok(Self {
            lefts: RowFormat::of_values(types(left, &all))?,
            rights: RowFormat::of_values(types(right, &right_columns))?,
            timelines: KeyedState::new(context, types(right, &keys[1]))?,
            keys,
            right_columns,
            times,
            due: BTreeMap::new(),
            watermark: EventTime::MIN,
            left: left.clone(),
            output,
            hashes: Vec::new(),
        })
    }

    fn wait(&mut self, batch: &RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let keys = self.hash(batch, 0)?;
        let nulls = any_null(&keys);
        let encoded = self.timelines.encode_keys(&keys, batch.num_rows());
        let rows = self.lefts.encode(batch.columns(), batch.num_rows());
        let mut unmatched = Vec::new();
        for (row, time) in times(batch, self.times[0]).iter().enumerate() {
            let left = Stamped { time: *time, row: rows.row(row).into() };
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                // As in SQL, a key with a NULL column matches no row, so there is nothing to wait for.
                unmatched.push(Joined { left, right: self.rights.null_row().into() });
                continue;
            }
            let (hash, key) = (self.hashes[row], encoded.row(row));
            self.timelines.update(hash, key, |timeline| timeline.waiting.push(left))?;
            self.due.entry(*time).or_default().push((hash, key.into()));
        }
        self.emit(unmatched, out)
    }

    fn remember(&mut self, batch: &RecordBatch) -> Result<(), OperatorError> {
        let keys = self.hash(batch, 1)?;
        let nulls = any_null(&keys);
        let encoded = self.timelines.encode_keys(&keys, batch.num_rows());
        let values = self.rights.encode(&select(batch, &self.right_columns), batch.num_rows());
        let watermark = self.watermark;
        for (row, time) in times(batch, self.times[1]).iter().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                let (hash, value) = (self.hashes[row], values.row(row));
                self.timelines.update(hash, encoded.row(row), |timeline| timeline.add_version(*time, value, watermark))?;
            }
        }
        Ok(())
    }

    /// Hashes the keys of rows of an input, and checks that each row has a time. Error: `TIME-NULL`.
    fn hash(&mut self, batch: &RecordBatch, input: usize) -> Result<Vec<ArrayRef>, OperatorError> {
        if batch.column(self.times[input]).null_count() > 0 {
            let message = format!(
                "a row of input {input} has no time in column {:?}; filter such rows out",
                batch.schema_ref().field(self.times[input]).name()
            );
            return Err(OperatorError::fatal("TIME-NULL", message));
        }
        let keys = select(batch, &self.keys[input]);
        hash_rows(&keys, batch.num_rows(), &mut self.hashes)?;
        Ok(keys)
    }

    /// Emits rows in the order of time; of equal times, in the order of their contents. So the order is the same in every run, if
    /// the watermarks are.
    fn emit(&self, mut joined: Vec<Joined>, out: &mut dyn Collector) -> Result<(), OperatorError> {
        joined.sort_by(|one, other| (one.left.time, &one.left.row).cmp(&(other.left.time, &other.left.row)));
        for rows in joined.chunks(OUTPUT_ROWS) {
            let mut columns = self.lefts.decode(rows.iter().map(|row| row.left.row.as_ref()))?;
            columns.extend(self.rights.decode(rows.iter().map(|row| row.right.as_ref()))?);
            out.collect(RecordBatch::try_new(self.output.clone(), columns).map_err(internal)?)?;
        }
        Ok(())
    }
}

impl Operator for JoinInTime {
    fn process(&mut self, input: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        if input == 1 { self.remember(&batch) } else { self.wait(&batch, out) }
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        self.watermark = self.watermark.max(watermark);
        let later = match watermark.checked_add(1) {
            Some(next) => self.due.split_off(&next),
            None => BTreeMap::new(),
        };
        let mut keys: Vec<Waiting> = std::mem::replace(&mut self.due, later).into_values().flatten().collect();
        keys.sort_unstable();
        keys.dedup();
        let nothing = self.rights.null_row();
        let mut joined = Vec::new();
        for (hash, key) in keys {
            self.timelines.update(hash, &key, |timeline| timeline.take_due(watermark, &nothing, &mut joined))?;
        }
        self.emit(joined, out)?;
        Ok(Some(watermark))
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        Ok(StateSnapshot { key_groups: self.timelines.snapshot(), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        restored.key_groups.iter().try_for_each(|(key_group, bytes)| self.timelines.restore(*key_group, bytes))?;
        for (hash, key, timeline) in self.timelines.iter() {
            // Rows with other columns than now are found here, not when the watermark reaches them.
            let rows = timeline.waiting.iter().map(|row| row.row.as_ref());
            let fits =
                self.lefts.decode(rows).and_then(|_| self.rights.decode(timeline.versions.iter().map(|row| row.row.as_ref())));
            fits.map_err(|_| {
                OperatorError::fatal("STATE-INCOMPATIBLE", "the saved rows have other columns than the inputs of the join now")
            })?;
            for row in &timeline.waiting {
                self.due.entry(row.time).or_default().push((hash, key.into()));
            }
        }
        Ok(())
    }

    fn keeps_column(&self, name: &str) -> bool {
        self.left.index_of(name).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray, TimestampMillisecondArray};
    use proptest::prelude::*;
    use serde_json::json;
    use weir_protocol::job_graph::{DataType as ColumnType, Field};

    use super::*;
    use crate::element::MAX_WATERMARK;
    use crate::operators::tests::{Collected, barrier, build, context, restored_for};
    use crate::schema;

    fn schema_of(names: [&str; 3], value: ColumnType) -> SchemaRef {
        let types = [ColumnType::Bigint, ColumnType::Timestamp(3), value];
        let fields: Vec<_> =
            names.iter().zip(types).map(|(name, data_type)| Field { name: (*name).into(), data_type, nullable: true }).collect();
        schema::to_arrow(&fields).unwrap()
    }

    fn contexts(parallelism: u32) -> Vec<OperatorContext> {
        let inputs = vec![
            (schema_of(["k", "t", "n"], ColumnType::Bigint), vec!["k".to_owned()]),
            (schema_of(["id", "since", "city"], ColumnType::String), vec!["id".to_owned()]),
        ];
        (0..parallelism).map(|subtask| context(parallelism, subtask, inputs.clone())).collect()
    }

    fn join(context: &OperatorContext) -> Box<dyn Operator> {
        let descriptor = json!({"kind": "join.latest", "options": {"keys": ["k"], "right_keys": ["id"], "right_columns": ["city"],
            "time_column": "t", "right_time_column": "since"}});
        build(&descriptor, context).unwrap().0
    }

    fn left(rows: &[(i64, i64, i64)]) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
        ];
        RecordBatch::try_new(contexts(1)[0].input_schemas[0].clone(), columns).unwrap()
    }

    fn right(rows: &[(i64, i64, u8)]) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| format!("c{}", row.2)))),
        ];
        RecordBatch::try_new(contexts(1)[0].input_schemas[1].clone(), columns).unwrap()
    }

    #[test]
    fn a_row_gets_the_version_of_its_time_although_that_arrives_later() {
        let mut operator = join(&contexts(1)[0]);
        let mut out = Collected::default();
        operator.process(0, left(&[(1, 10, 0), (1, 20, 1), (2, 15, 2), (1, 5, 3)]), &mut out).unwrap();
        operator.process(1, right(&[(1, 20, 7), (1, 8, 6), (3, 1, 9)]), &mut out).unwrap();
        assert_eq!(out.lines().len(), 0);
        assert_eq!(operator.on_watermark(19, &mut out).unwrap(), Some(19));
        assert_eq!(out.lines(), [["1", "5", "3", "NULL"], ["1", "10", "0", "c6"], ["2", "15", "2", "NULL"]]);
        operator.on_watermark(MAX_WATERMARK, &mut out).unwrap();
        assert_eq!(out.lines()[3..], [["1", "20", "1", "c7"]]);
    }

    #[test]
    fn a_null_key_has_no_version() {
        let mut operator = join(&contexts(1)[0]);
        let mut out = Collected::default();
        let mut versions = right(&[(1, 1, 1), (2, 1, 2)]).columns().to_vec();
        versions[0] = Arc::new(Int64Array::from(vec![None, Some(2)]));
        operator.process(1, RecordBatch::try_new(contexts(1)[0].input_schemas[1].clone(), versions).unwrap(), &mut out).unwrap();
        let mut rows = left(&[(1, 5, 0), (2, 5, 1)]).columns().to_vec();
        rows[0] = Arc::new(Int64Array::from(vec![None, Some(2)]));
        operator.process(0, RecordBatch::try_new(contexts(1)[0].input_schemas[0].clone(), rows).unwrap(), &mut out).unwrap();
        operator.on_watermark(MAX_WATERMARK, &mut out).unwrap();
        let mut lines = out.lines();
        lines.sort();
        assert_eq!(lines, [["2", "5", "1", "c2"], ["NULL", "5", "0", "NULL"]]);
    }

    #[test]
    fn both_inputs_have_times_and_are_partitioned_by_their_keys() {
        let options = json!({"keys": ["k"], "right_keys": ["id"], "right_columns": ["city"], "time_column": "t"});
        let descriptor = json!({"kind": "join.latest", "options": options});
        assert_eq!(build(&descriptor, &contexts(1)[0]).err().unwrap().code, "OPT-MISSING");
        let mut unkeyed = contexts(2).remove(0);
        unkeyed.key_columns[1].clear();
        let complete = json!({"kind": "join.latest", "options": {"keys": ["k"], "right_keys": ["id"], "right_columns": ["city"],
            "time_column": "t", "right_time_column": "since"}});
        assert_eq!(build(&complete, &unkeyed).err().unwrap().code, "KEY-PARTITIONING");
        assert_eq!(
            schema::describe(&build(&complete, &contexts(1)[0]).unwrap().1),
            "(k BIGINT, t TIMESTAMP(3), n BIGINT, city STRING)"
        );
    }

    #[test]
    fn a_row_without_time_is_refused() {
        let mut columns = left(&[(1, 1, 1)]).columns().to_vec();
        columns[1] = Arc::new(TimestampMillisecondArray::from(vec![None]));
        let batch = RecordBatch::try_new(contexts(1)[0].input_schemas[0].clone(), columns).unwrap();
        assert_eq!(join(&contexts(1)[0]).process(0, batch, &mut Collected::default()).unwrap_err().code, "TIME-NULL");
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_the_speed_of_the_inputs_nor_on_restores(
            lefts in prop::collection::vec((0i64..4, 0i64..40), 0..20),
            rights in prop::collection::btree_map((0i64..4, 0i64..40), any::<u8>(), 0..20),
            turns in prop::collection::vec(0u8..4, 0..60),
            parallelism in 1u32..4,
        ) {
            let lefts: Vec<_> = lefts.iter().enumerate().map(|(n, (key, time))| (*key, *time, n as i64)).collect();
            let rights: Vec<_> = rights.iter().map(|((key, time), city)| (*key, *time, *city)).collect();
            let mut expected: Vec<Vec<String>> = lefts.iter().map(|(key, time, n)| {
                let versions = rights.iter().filter(|(id, since, _)| id == key && since <= time);
                let city = versions.max_by_key(|(_, since, _)| *since).map_or("NULL".to_owned(), |(_, _, city)| format!("c{city}"));
                vec![key.to_string(), time.to_string(), n.to_string(), city]
            }).collect();
            expected.sort();
            // Both inputs arrive in the order of time, each at its own speed. The watermark is the lower of both.
            let (mut ls, mut rs) = (lefts, rights);
            ls.sort_by_key(|row| row.1);
            rs.sort_by_key(|row| row.1);
            let (mut ls, mut rs) = (ls.into_iter().peekable(), rs.into_iter().peekable());
            let mut operator = join(&contexts(1)[0]);
            let mut out = Collected::default();
            for turn in turns {
                match turn {
                    0 => if let Some(row) = ls.next() { operator.process(0, left(&[row]), &mut out).unwrap() },
                    1 => if let Some(row) = rs.next() { operator.process(1, right(&[row]), &mut out).unwrap() },
                    2 => {
                        let times = [ls.peek().map(|row| row.1), rs.peek().map(|row| row.1)];
                        let watermark = times.into_iter().flatten().min().map_or(100, |time| time - 1);
                        operator.on_watermark(watermark, &mut out).unwrap();
                    }
                    _ => {
                        let saved = operator.snapshot(&barrier(1)).unwrap();
                        operator = join(&contexts(1)[0]);
                        operator.restore(restored_for(vec![saved], 1).remove(0)).unwrap();
                    }
                }
            }
            rs.for_each(|row| operator.process(1, right(&[row]), &mut out).unwrap());
            ls.for_each(|row| operator.process(0, left(&[row]), &mut out).unwrap());
            // The rest of the rows wait while the job is rescaled.
            let saved = operator.snapshot(&barrier(2)).unwrap();
            for (context, state) in contexts(parallelism).iter().zip(restored_for(vec![saved], parallelism)) {
                let mut part = join(context);
                part.restore(state).unwrap();
                part.on_watermark(MAX_WATERMARK, &mut out).unwrap();
            }
            let mut found = out.lines();
            found.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
