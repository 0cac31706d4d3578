//! `join.latest`: enriches the rows of input 0 with the latest row of input 1 of the same key.
//!
//! Without time columns, the latest row is the last that has arrived, so the result depends on the speed of the inputs. With time
//! columns ([`join_in_time`](super::join_in_time)) it depends on event time alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::{Schema, SchemaRef};
use weir_protocol::job_graph::OperatorDescriptor;

use crate::element::CheckpointBarrier;
use crate::key_group::{hash_rows, internal};
use crate::operator::{Collector, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use crate::operators::event_time::time_column;
use crate::operators::join_in_time::JoinInTime;
use crate::operators::keyed_by;
use crate::options::Options;
use crate::registry::BuiltOperator;
use crate::schema;
use crate::state::{KeyedState, RowFormat};

/// As in SQL, a key with a NULL column matches no row.
struct JoinLatest {
    left_keys: Vec<usize>,
    right_keys: Vec<usize>,
    right_columns: Vec<usize>,
    values: RowFormat,
    latest: KeyedState<Box<[u8]>>,
    left: SchemaRef,
    output: SchemaRef,
    hashes: Vec<u64>,
}

pub(super) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let [left, right] = context.input_schemas.as_slice() else {
        let message = format!("takes two inputs, not {}", context.input_schemas.len());
        return Err(OperatorError::fatal("CHAIN-SHAPE", message));
    };
    let options = Options::of(descriptor);
    let columns_of = |names: &[String], schema: &Schema| -> Result<Vec<usize>, OperatorError> {
        names.iter().map(|name| schema::column_index(schema, name)).collect()
    };
    let (keys, right_keys) = (options.strings("keys")?, options.strings("right_keys")?);
    if keys.is_empty() || keys.len() != right_keys.len() {
        return Err(options.out_of_range("right_keys", "must name as many columns as keys, at least one"));
    }
    keyed_by(context, 0, &keys)?;
    keyed_by(context, 1, &right_keys)?;
    let (left_keys, right_keys) = (columns_of(&keys, left)?, columns_of(&right_keys, right)?);
    for (l, r) in left_keys.iter().zip(&right_keys) {
        let (l, r) = (left.field(*l), right.field(*r));
        if l.data_type() != r.data_type() {
            let (lt, rt) = (schema::type_name(l.data_type()), schema::type_name(r.data_type()));
            let message = format!("key {:?} has type {lt}, but {:?} has type {rt}; CAST one of them", l.name(), r.name());
            return Err(OperatorError::fatal("KEY-TYPE", message));
        }
    }
    let right_columns = columns_of(&options.strings("right_columns")?, right)?;
    let mut fields = left.fields().to_vec();
    fields.extend(right_columns.iter().map(|column| Arc::new(right.field(*column).clone().with_nullable(true))));
    let mut names = BTreeSet::new();
    if let Some(twice) = fields.iter().find(|field| !names.insert(field.name().clone())) {
        let message = format!("both inputs have a column {:?}; rename one with a project operator", twice.name());
        return Err(OperatorError::fatal("SCHEMA-DUPLICATE", message));
    }
    let output = Arc::new(Schema::new(fields));
    let times = (options.optional_string("time_column")?, options.optional_string("right_time_column")?);
    if let (Some(left_time), Some(right_time)) = times {
        let times = [time_column(left, left_time)?, time_column(right, right_time)?];
        let join = JoinInTime::new(context, [left_keys, right_keys], right_columns, times, output.clone())?;
        return Ok(BuiltOperator::Transform(Box::new(join), output));
    }
    if times != (None, None) {
        return Err(options.out_of_range("right_time_column", "must be given exactly if time_column is given"));
    }
    let types = |columns: &[usize]| columns.iter().map(|column| right.field(*column).data_type().clone()).collect();
    let join = JoinLatest {
        values: RowFormat::of_values(types(&right_columns))?,
        latest: KeyedState::new(context, types(&right_keys))?,
        left_keys,
        right_keys,
        right_columns,
        left: left.clone(),
        output: output.clone(),
        hashes: Vec::new(),
    };
    Ok(BuiltOperator::Transform(Box::new(join), output))
}

impl JoinLatest {
    fn remember(&mut self, batch: &RecordBatch) -> Result<(), OperatorError> {
        let keys = select(batch, &self.right_keys);
        hash_rows(&keys, batch.num_rows(), &mut self.hashes)?;
        let nulls = any_null(&keys);
        let keys = self.latest.encode_keys(&keys, batch.num_rows());
        let values = self.values.encode(&select(batch, &self.right_columns), batch.num_rows());
        for (row, hash) in self.hashes.iter().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                self.latest.insert(*hash, keys.row(row), values.row(row).into())?;
            }
        }
        Ok(())
    }

    fn enrich(&mut self, batch: &RecordBatch) -> Result<RecordBatch, OperatorError> {
        let keys = select(batch, &self.left_keys);
        hash_rows(&keys, batch.num_rows(), &mut self.hashes)?;
        let nulls = any_null(&keys);
        let keys = self.latest.encode_keys(&keys, batch.num_rows());
        let nothing = self.values.null_row();
        let latest = |row: usize, hash: u64| {
            let matches = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let found = matches.then(|| self.latest.get(hash, keys.row(row))).flatten();
            found.map_or(nothing.as_slice(), |value| value.as_ref())
        };
        let right = self.values.decode(self.hashes.iter().enumerate().map(|(row, hash)| latest(row, *hash)))?;
        let columns = batch.columns().iter().cloned().chain(right).collect();
        RecordBatch::try_new(self.output.clone(), columns).map_err(internal)
    }
}

pub(super) fn select(batch: &RecordBatch, columns: &[usize]) -> Vec<ArrayRef> {
    columns.iter().map(|column| batch.column(*column).clone()).collect()
}

/// The combined nulls of these columns: a row is valid if none of its columns is null. `None` if all rows are valid.
pub(super) fn any_null(columns: &[ArrayRef]) -> Option<NullBuffer> {
    columns.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.nulls()))
}

impl Operator for JoinLatest {
    fn process(&mut self, input: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        if input == 1 {
            return self.remember(&batch);
        }
        let enriched = self.enrich(&batch)?;
        out.collect(enriched)
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        Ok(StateSnapshot { key_groups: self.latest.snapshot(), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        restored.key_groups.iter().try_for_each(|(key_group, bytes)| self.latest.restore(*key_group, bytes))
    }

    fn keeps_column(&self, name: &str) -> bool {
        self.left.index_of(name).is_ok()
    }
}
