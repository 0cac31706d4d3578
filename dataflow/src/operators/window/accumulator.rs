//! Aggregates over windows. Each aggregate has a vector with one entry per slot; a slot is the number of a key.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, Float64Array, Int32Array, Int64Array, StringArray, TimestampMillisecondArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use hashbrown::HashTable;
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::key_group::{canonical_double, hash_i64};
use crate::operator::OperatorError;
use crate::operators::window::key_index::{NO_SLOT, Selection};
use crate::schema;
use crate::state::StateReader;

/// An aggregate as it is written in the options.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AggregateOption {
    pub(super) name: String,
    function: String,
    #[serde(default)]
    column: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Count,
    Sum,
    Min,
    Max,
    Avg,
    CountDistinct,
}

/// An aggregate planned over an input schema.
#[derive(Debug, Clone)]
pub(super) struct Aggregate {
    pub(super) name: String,
    function: Function,
    /// Position of the input column; `None` counts rows.
    pub(super) column: Option<usize>,
    input: DataType,
    nullable: bool,
}

impl Aggregate {
    /// Errors: `AGG-FUNCTION` for an unknown function, `AGG-COLUMN` if the function needs a column and has none, `AGG-TYPE` if
    /// the function can't take the column's type.
    pub(super) fn plan(option: AggregateOption, schema: &Schema) -> Result<Self, OperatorError> {
        let refuse = |code, what: String| Err(OperatorError::fatal(code, format!("aggregate {:?}: {what}", option.name)));
        let function = match option.function.as_str() {
            "count" => Function::Count,
            "sum" => Function::Sum,
            "min" => Function::Min,
            "max" => Function::Max,
            "avg" => Function::Avg,
            "count_distinct" => Function::CountDistinct,
            other => {
                return refuse(
                    "AGG-FUNCTION",
                    format!("no function {other:?}; there are count, sum, min, max, avg, count_distinct"),
                );
            }
        };
        let Some(name) = &option.column else {
            if function != Function::Count {
                return refuse("AGG-COLUMN", format!("{} needs a column", option.function));
            }
            return Ok(Self { name: option.name, function, column: None, input: DataType::Null, nullable: false });
        };
        let index = schema::column_index(schema, name)?;
        let field = schema.field(index);
        let number = matches!(field.data_type(), DataType::Int32 | DataType::Int64 | DataType::Float64);
        let ordered = number || matches!(field.data_type(), DataType::Timestamp(TimeUnit::Millisecond, None) | DataType::Utf8);
        let fits = match function {
            Function::Count => true,
            Function::Sum | Function::Avg => number,
            Function::Min | Function::Max => ordered,
            Function::CountDistinct => ordered || *field.data_type() == DataType::Boolean,
        };
        if !fits {
            let found = schema::type_name(field.data_type());
            return refuse("AGG-TYPE", format!("{} can't take column {name:?} of type {found}", option.function));
        }
        Ok(Self {
            column: Some(index),
            input: field.data_type().clone(),
            nullable: field.is_nullable(),
            name: option.name,
            function,
        })
    }

    /// The output column of the aggregate.
    pub(super) fn field(&self) -> Field {
        let (data_type, nullable) = match self.function {
            Function::Count | Function::CountDistinct => (DataType::Int64, false),
            Function::Sum if self.input == DataType::Float64 => (DataType::Float64, self.nullable),
            Function::Sum => (DataType::Int64, self.nullable),
            Function::Avg => (DataType::Float64, self.nullable),
            Function::Min | Function::Max => (self.input.clone(), self.nullable),
        };
        Field::new(&self.name, data_type, nullable)
    }

    /// Describes the layout of the aggregate's state: equal signatures mean equal layouts.
    pub(super) fn signature(&self) -> String {
        format!("{:?} {:?} {}", self.function, self.input, self.column.is_some())
    }

    pub(super) fn accumulator(&self) -> Accumulator {
        match (self.function, &self.input) {
            (Function::Count, _) => Accumulator::Count(Vec::new()),
            (Function::Sum | Function::Avg, DataType::Float64) => Accumulator::SumDouble { sums: Vec::new(), counts: Vec::new() },
            (Function::Sum | Function::Avg, _) => Accumulator::SumInt { sums: Vec::new(), counts: Vec::new() },
            (Function::Min | Function::Max, DataType::Float64) => Accumulator::BestDouble(Vec::new()),
            (Function::Min | Function::Max, DataType::Utf8) => Accumulator::BestText(Vec::new()),
            (Function::Min | Function::Max, _) => Accumulator::BestInt { values: Vec::new(), seen: Vec::new() },
            (Function::CountDistinct, DataType::Utf8) => Accumulator::DistinctText(Vec::new()),
            (Function::CountDistinct, _) => Accumulator::DistinctInt(Vec::new()),
        }
    }

    /// Adds the selected rows of the input column to `accumulator`. `slots` has the slot of each row.
    pub(super) fn update(
        &self,
        accumulator: &mut Accumulator,
        column: Option<&ArrayRef>,
        selection: Selection<'_>,
        slots: &[u32],
    ) {
        let Some(column) = column else {
            if let Accumulator::Count(counts) = accumulator {
                slots.iter().for_each(|slot| counts[*slot as usize] += 1);
            }
            return;
        };
        let rows = SelectedRows { nulls: column.nulls().filter(|nulls| nulls.null_count() > 0), selection, slots };
        if let Accumulator::Count(counts) = accumulator {
            return rows.each(|slot, _| counts[slot] += 1);
        }
        match column.data_type() {
            DataType::Int32 => {
                let values = column.as_primitive::<Int32Type>().values();
                self.update_ints(accumulator, &rows, |row| i64::from(values[row]));
            }
            DataType::Int64 => {
                let values = column.as_primitive::<Int64Type>().values();
                self.update_ints(accumulator, &rows, |row| values[row]);
            }
            DataType::Timestamp(..) => {
                let values = column.as_primitive::<TimestampMillisecondType>().values();
                self.update_ints(accumulator, &rows, |row| values[row]);
            }
            DataType::Boolean => {
                let values = column.as_boolean().values();
                self.update_ints(accumulator, &rows, |row| i64::from(values.value(row)));
            }
            DataType::Float64 => self.update_doubles(accumulator, &rows, column.as_primitive::<Float64Type>().values()),
            _ => self.update_texts(accumulator, &rows, column.as_string::<i32>()),
        }
    }

    fn update_ints(&self, accumulator: &mut Accumulator, rows: &SelectedRows<'_>, value: impl Fn(usize) -> i64) {
        match accumulator {
            Accumulator::SumInt { sums, counts } => rows.each(|slot, row| {
                sums[slot] += i128::from(value(row));
                counts[slot] += 1;
            }),
            Accumulator::BestInt { values, seen } => {
                if self.function == Function::Min {
                    rows.each(|slot, row| {
                        values[slot] = if seen[slot] { values[slot].min(value(row)) } else { value(row) };
                        seen[slot] = true;
                    });
                } else {
                    rows.each(|slot, row| {
                        values[slot] = if seen[slot] { values[slot].max(value(row)) } else { value(row) };
                        seen[slot] = true;
                    });
                }
            }
            Accumulator::DistinctInt(sets) => rows.each(|slot, row| insert_int(&mut sets[slot], value(row))),
            _ => {}
        }
    }

    fn update_doubles(&self, accumulator: &mut Accumulator, rows: &SelectedRows<'_>, values: &[f64]) {
        match accumulator {
            Accumulator::SumDouble { sums, counts } => rows.each(|slot, row| {
                sums[slot] += values[row];
                counts[slot] += 1;
            }),
            Accumulator::BestDouble(best) => rows.each(|slot, row| self.better_double(&mut best[slot], values[row])),
            Accumulator::DistinctInt(sets) => {
                rows.each(|slot, row| insert_int(&mut sets[slot], canonical_double(values[row]).to_bits() as i64));
            }
            _ => {}
        }
    }

    fn update_texts(&self, accumulator: &mut Accumulator, rows: &SelectedRows<'_>, values: &StringArray) {
        match accumulator {
            Accumulator::BestText(best) => rows.each(|slot, row| self.better_text(&mut best[slot], values.value(row))),
            Accumulator::DistinctText(sets) => rows.each(|slot, row| insert_text(&mut sets[slot], values.value(row))),
            _ => {}
        }
    }

    /// NaN is greater than all numbers; -0 equals 0.
    fn better_double(&self, best: &mut Option<f64>, value: f64) {
        let value = canonical_double(value);
        let is_better = best.is_none_or(|best| {
            let order = value.total_cmp(&best);
            if self.function == Function::Min { order.is_lt() } else { order.is_gt() }
        });
        if is_better {
            *best = Some(value);
        }
    }

    fn better_text(&self, best: &mut Option<Box<str>>, value: &str) {
        let is_better =
            best.as_deref().is_none_or(|best| if self.function == Function::Min { value < best } else { value > best });
        if is_better {
            *best = Some(value.into());
        }
    }

    /// Adds the accumulator `from` of the same aggregate to `into`. `slots` maps each slot of `from` to a slot of `into`, or to
    /// [`NO_SLOT`], which skips it.
    pub(super) fn merge(&self, into: &mut Accumulator, from: &Accumulator, slots: &[u32]) {
        let pairs =
            || slots.iter().enumerate().filter(|(_, slot)| **slot != NO_SLOT).map(|(theirs, ours)| (theirs, *ours as usize));
        match (into, from) {
            (Accumulator::Count(ours), Accumulator::Count(theirs)) => pairs().for_each(|(from, into)| ours[into] += theirs[from]),
            (Accumulator::SumInt { sums, counts }, Accumulator::SumInt { sums: their_sums, counts: their_counts }) => {
                pairs().for_each(|(from, into)| {
                    sums[into] += their_sums[from];
                    counts[into] += their_counts[from];
                });
            }
            (Accumulator::SumDouble { sums, counts }, Accumulator::SumDouble { sums: their_sums, counts: their_counts }) => {
                pairs().for_each(|(from, into)| {
                    sums[into] += their_sums[from];
                    counts[into] += their_counts[from];
                });
            }
            (Accumulator::BestInt { values, seen }, Accumulator::BestInt { values: theirs, seen: they_saw }) => {
                for (from, into) in pairs().filter(|(from, _)| they_saw[*from]) {
                    values[into] = match (seen[into], self.function) {
                        (false, _) => theirs[from],
                        (true, Function::Min) => values[into].min(theirs[from]),
                        (true, _) => values[into].max(theirs[from]),
                    };
                    seen[into] = true;
                }
            }
            (Accumulator::BestDouble(ours), Accumulator::BestDouble(theirs)) => {
                pairs().for_each(|(from, into)| theirs[from].iter().for_each(|v| self.better_double(&mut ours[into], *v)));
            }
            (Accumulator::BestText(ours), Accumulator::BestText(theirs)) => {
                pairs().for_each(|(from, into)| theirs[from].iter().for_each(|v| self.better_text(&mut ours[into], v)));
            }
            (Accumulator::DistinctInt(ours), Accumulator::DistinctInt(theirs)) => {
                pairs().for_each(|(from, into)| theirs[from].iter().for_each(|v| insert_int(&mut ours[into], *v)));
            }
            (Accumulator::DistinctText(ours), Accumulator::DistinctText(theirs)) => {
                pairs().for_each(|(from, into)| theirs[from].iter().for_each(|v| insert_text(&mut ours[into], v)));
            }
            _ => unreachable!("all accumulators of one aggregate have the same variant"),
        }
    }

    /// The output column for these slots. Error: `AGG-OVERFLOW` if a sum does not fit into a bigint.
    pub(super) fn finish(&self, accumulator: &Accumulator, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        let each = slots.iter().map(|slot| *slot as usize);
        Ok(match accumulator {
            Accumulator::Count(counts) => Arc::new(each.map(|slot| Some(counts[slot])).collect::<Int64Array>()),
            Accumulator::SumInt { sums, counts } if self.function == Function::Avg => {
                let average = |slot: usize| (counts[slot] > 0).then(|| sums[slot] as f64 / counts[slot] as f64);
                Arc::new(each.map(average).collect::<Float64Array>())
            }
            Accumulator::SumInt { sums, counts } => {
                let sum = |slot: usize| (counts[slot] > 0).then(|| i64::try_from(sums[slot])).transpose();
                let sums: Result<Int64Array, _> = each.map(sum).collect();
                Arc::new(sums.map_err(|_| {
                    let message = format!("the sum {:?} does not fit into a bigint; sum CAST(… AS DOUBLE) instead", self.name);
                    OperatorError::fatal("AGG-OVERFLOW", message)
                })?)
            }
            Accumulator::SumDouble { sums, counts } => {
                let divide = self.function == Function::Avg;
                let value = |slot: usize| if divide { sums[slot] / counts[slot] as f64 } else { sums[slot] };
                Arc::new(each.map(|slot| (counts[slot] > 0).then(|| value(slot))).collect::<Float64Array>())
            }
            Accumulator::BestInt { values, seen } => {
                let best = each.map(|slot| seen[slot].then(|| values[slot]));
                match self.input {
                    // These values were widened from i32, so they fit.
                    DataType::Int32 => Arc::new(best.map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
                    DataType::Int64 => Arc::new(best.collect::<Int64Array>()),
                    _ => Arc::new(best.collect::<TimestampMillisecondArray>()),
                }
            }
            Accumulator::BestDouble(best) => Arc::new(each.map(|slot| best[slot]).collect::<Float64Array>()),
            Accumulator::BestText(best) => Arc::new(each.map(|slot| best[slot].as_deref()).collect::<StringArray>()),
            Accumulator::DistinctInt(sets) => Arc::new(each.map(|slot| Some(sets[slot].len() as i64)).collect::<Int64Array>()),
            Accumulator::DistinctText(sets) => Arc::new(each.map(|slot| Some(sets[slot].len() as i64)).collect::<Int64Array>()),
        })
    }
}

/// The rows that an update adds, with their slots.
struct SelectedRows<'a> {
    nulls: Option<&'a NullBuffer>,
    selection: Selection<'a>,
    slots: &'a [u32],
}

impl SelectedRows<'_> {
    /// Calls `apply` with slot and row of each selected row that is not null.
    #[inline]
    fn each(&self, mut apply: impl FnMut(usize, usize)) {
        match (self.selection, self.nulls) {
            (Selection::All, None) => self.slots.iter().enumerate().for_each(|(row, slot)| apply(*slot as usize, row)),
            (Selection::All, Some(nulls)) => {
                let valid = self.slots.iter().enumerate().filter(|(row, _)| nulls.is_valid(*row));
                valid.for_each(|(row, slot)| apply(*slot as usize, row));
            }
            (Selection::Rows(rows), None) => {
                rows.iter().zip(self.slots).for_each(|(row, slot)| apply(*slot as usize, *row as usize));
            }
            (Selection::Rows(rows), Some(nulls)) => {
                let valid = rows.iter().zip(self.slots).filter(|(row, _)| nulls.is_valid(**row as usize));
                valid.for_each(|(row, slot)| apply(*slot as usize, *row as usize));
            }
        }
    }
}

/// The values of one aggregate, by slot. Sums of whole numbers are exact: an `i128` does not overflow before 2^64 rows.
#[derive(Clone)]
pub(super) enum Accumulator {
    Count(Vec<i64>),
    SumInt { sums: Vec<i128>, counts: Vec<i64> },
    SumDouble { sums: Vec<f64>, counts: Vec<i64> },
    BestInt { values: Vec<i64>, seen: Vec<bool> },
    BestDouble(Vec<Option<f64>>),
    BestText(Vec<Option<Box<str>>>),
    DistinctInt(Vec<HashTable<i64>>),
    DistinctText(Vec<HashTable<Box<str>>>),
}

fn insert_int(set: &mut HashTable<i64>, value: i64) {
    let hash = hash_i64(value);
    if set.find(hash, |known| *known == value).is_none() {
        set.insert_unique(hash, value, |known| hash_i64(*known));
    }
}

fn insert_text(set: &mut HashTable<Box<str>>, value: &str) {
    let hash = xxh3_64(value.as_bytes());
    if set.find(hash, |known| **known == *value).is_none() {
        set.insert_unique(hash, value.into(), |known| xxh3_64(known.as_bytes()));
    }
}

impl Accumulator {
    /// Makes room for this many slots. New slots are empty.
    pub(super) fn grow(&mut self, slots: usize) {
        match self {
            Self::Count(counts) => counts.resize(slots, 0),
            Self::SumInt { sums, counts } => {
                sums.resize(slots, 0);
                counts.resize(slots, 0);
            }
            Self::SumDouble { sums, counts } => {
                sums.resize(slots, 0.0);
                counts.resize(slots, 0);
            }
            Self::BestInt { values, seen } => {
                values.resize(slots, 0);
                seen.resize(slots, false);
            }
            Self::BestDouble(best) => best.resize(slots, None),
            Self::BestText(best) => best.resize(slots, None),
            Self::DistinctInt(sets) => sets.resize_with(slots, HashTable::new),
            Self::DistinctText(sets) => sets.resize_with(slots, HashTable::new),
        }
    }

    /// Appends the values of these slots.
    pub(super) fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        for slot in slots.iter().map(|slot| *slot as usize) {
            match self {
                Self::Count(counts) => out.extend(counts[slot].to_le_bytes()),
                Self::SumInt { sums, counts } => {
                    out.extend(sums[slot].to_le_bytes());
                    out.extend(counts[slot].to_le_bytes());
                }
                Self::SumDouble { sums, counts } => {
                    out.extend(sums[slot].to_le_bytes());
                    out.extend(counts[slot].to_le_bytes());
                }
                Self::BestInt { values, seen } => {
                    out.push(u8::from(seen[slot]));
                    out.extend(values[slot].to_le_bytes());
                }
                Self::BestDouble(best) => {
                    out.push(u8::from(best[slot].is_some()));
                    out.extend(best[slot].unwrap_or_default().to_le_bytes());
                }
                Self::BestText(best) => {
                    out.push(u8::from(best[slot].is_some()));
                    put_text(out, best[slot].as_deref().unwrap_or_default());
                }
                Self::DistinctInt(sets) => {
                    out.extend((sets[slot].len() as u32).to_le_bytes());
                    sets[slot].iter().for_each(|value| out.extend(value.to_le_bytes()));
                }
                Self::DistinctText(sets) => {
                    out.extend((sets[slot].len() as u32).to_le_bytes());
                    sets[slot].iter().for_each(|value| put_text(out, value));
                }
            }
        }
    }

    /// Reads the value of one slot as `write` wrote it. `grow` must have created the slot.
    pub(super) fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        match self {
            Self::Count(counts) => counts[slot] = reader.i64()?,
            Self::SumInt { sums, counts } => {
                sums[slot] = i128::from_le_bytes(reader.array()?);
                counts[slot] = reader.i64()?;
            }
            Self::SumDouble { sums, counts } => {
                sums[slot] = f64::from_le_bytes(reader.array()?);
                counts[slot] = reader.i64()?;
            }
            Self::BestInt { values, seen } => {
                seen[slot] = flag(reader)?;
                values[slot] = reader.i64()?;
            }
            Self::BestDouble(best) => {
                let seen = flag(reader)?;
                let value = f64::from_le_bytes(reader.array()?);
                best[slot] = seen.then_some(value);
            }
            Self::BestText(best) => {
                let seen = flag(reader)?;
                let value = text(reader)?;
                best[slot] = seen.then(|| value.into());
            }
            Self::DistinctInt(sets) => {
                for _ in 0..reader.count(8)? {
                    insert_int(&mut sets[slot], reader.i64()?);
                }
            }
            Self::DistinctText(sets) => {
                for _ in 0..reader.count(4)? {
                    insert_text(&mut sets[slot], text(reader)?);
                }
            }
        }
        Ok(())
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    crate::state::put_bytes(out, text.as_bytes());
}

fn text<'a>(reader: &mut StateReader<'a>) -> Result<&'a str, OperatorError> {
    std::str::from_utf8(reader.prefixed()?).map_err(|_| StateReader::corrupt("text is not UTF-8"))
}

fn flag(reader: &mut StateReader<'_>) -> Result<bool, OperatorError> {
    match reader.array::<1>()? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(StateReader::corrupt("a boolean is neither 0 nor 1")),
    }
}
