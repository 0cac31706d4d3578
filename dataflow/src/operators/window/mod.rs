//! `window.tumbling` and `window.hopping`: aggregates over windows of event time.
//!
//! Rows are aggregated into panes as they arrive. When the watermark passes the end of a window, its panes are merged into its
//! result. With `allowed_lateness_ms` the panes are kept that much longer, and a late row makes its windows emit the changed keys
//! again.

mod accumulator;
mod assign;
mod key_index;
mod pane;
mod saved;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use weir_protocol::job_graph::OperatorDescriptor;

use crate::element::{CheckpointBarrier, EventTime, MIN_WATERMARK};
use crate::key_group::internal;
use crate::key_group::key_group_range;
use crate::operator::{Collector, KeyGroupSnapshot, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use crate::operators::keyed_by;
use crate::operators::watermark::{time_column, times};
use crate::operators::window::accumulator::{Aggregate, AggregateOption};
use crate::operators::window::assign::{MAX_TIME, WindowAssigner};
use crate::operators::window::key_index::{BatchKeys, KeyLayout, Selection};
use crate::operators::window::pane::{Layout, Pane};
use crate::operators::window::saved::{FrozenPanes, key_columns, open_watermark, seal_watermark};
use crate::options::Options;
use crate::registry::{BuiltOperator, only_input};
use crate::schema;
use crate::state::owned_position;

/// Approximate number of rows in an output batch, which can hold several windows.
const OUTPUT_ROWS: usize = 8_192;

struct WindowOperator {
    layout: Arc<Layout>,
    assigner: WindowAssigner,
    time_column: usize,
    key_columns: Vec<usize>,
    time_type: DataType,
    with_end: bool,
    output: SchemaRef,
    panes: BTreeMap<EventTime, Arc<Pane>>,
    watermark: EventTime,
    late: u64,
    owned: Range<u32>,
    /// For each owned key group: the number of its last change, and its number of keys, counted per pane.
    groups: Vec<GroupInfo>,
    changes: u64,
    slots: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct GroupInfo {
    version: u64,
    entries: u64,
}

pub(super) fn build_tumbling(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let size = Options::of(descriptor).millis("size_ms", 1)?;
    build(descriptor, context, size, size)
}

pub(super) fn build_hopping(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let options = Options::of(descriptor);
    build(descriptor, context, options.millis("size_ms", 1)?, options.millis("slide_ms", 1)?)
}

fn build(
    descriptor: &OperatorDescriptor,
    context: &OperatorContext,
    size: i64,
    slide: i64,
) -> Result<BuiltOperator, OperatorError> {
    let input = only_input(context)?;
    let options = Options::of(descriptor);
    let assigner = WindowAssigner::new(size, slide, options.optional_millis("allowed_lateness_ms", 0)?.unwrap_or(0))?;
    let time = time_column(input, options.string("time_column")?)?;
    let keys = options.strings("keys")?;
    keyed_by(context, 0, &keys)?;
    let key_columns: Vec<_> = keys.iter().map(|key| schema::column_index(input, key)).collect::<Result<_, _>>()?;
    let wanted: Vec<AggregateOption> = options.parse("aggregates")?.ok_or_else(|| options.missing("aggregates"))?;
    let aggregates: Vec<_> = wanted.into_iter().map(|option| Aggregate::plan(option, input)).collect::<Result<_, _>>()?;

    let time_type = input.field(time).data_type().clone();
    let window_end = options.optional_string("window_end")?;
    let mut fields =
        vec![Field::new(options.optional_string("window_start")?.unwrap_or("window_start"), time_type.clone(), false)];
    fields.extend(window_end.map(|name| Field::new(name, time_type.clone(), false)));
    fields.extend(key_columns.iter().map(|column| input.field(*column).clone()));
    fields.extend(aggregates.iter().map(Aggregate::field));
    let mut names = BTreeSet::new();
    if let Some(twice) = fields.iter().find(|field| !names.insert(field.name())) {
        let message = format!("two output columns are named {:?}; rename one", twice.name());
        return Err(OperatorError::fatal("SCHEMA-DUPLICATE", message));
    }
    let output = Arc::new(Schema::new(fields));
    let owned = key_group_range(context.max_parallelism, context.parallelism, context.subtask());
    let key_types = key_columns.iter().map(|column| input.field(*column).data_type().clone()).collect();
    let operator = WindowOperator {
        layout: Arc::new(Layout { keys: KeyLayout::new(key_types)?, aggregates, max_parallelism: context.max_parallelism }),
        assigner,
        time_column: time,
        key_columns,
        time_type,
        with_end: window_end.is_some(),
        output: output.clone(),
        panes: BTreeMap::new(),
        watermark: MIN_WATERMARK,
        late: 0,
        groups: vec![GroupInfo::default(); owned.len()],
        owned,
        changes: 0,
        slots: Vec::new(),
    };
    Ok(BuiltOperator::Transform(Box::new(operator), output))
}

impl Operator for WindowOperator {
    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        if batch.column(self.time_column).null_count() > 0 {
            let message = "a row has no event time; filter out rows where the time column IS NULL";
            return Err(OperatorError::fatal("TIME-NULL", message));
        }
        let times = times(&batch, self.time_column);
        let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else { return Ok(()) };
        if *first < -MAX_TIME || *last > MAX_TIME {
            let worst = if *first < -MAX_TIME { first } else { last };
            return Err(OperatorError::fatal(
                "TIME-RANGE",
                format!("event time {worst} ms is out of range; is it in milliseconds?"),
            ));
        }
        self.changes += 1;
        let (first, last) = (self.assigner.pane_start(*first), self.assigner.pane_start(*last));
        let keys = self.layout.keys.batch_keys(&key_columns(&batch, &self.key_columns), batch.num_rows())?;
        let mut again = Vec::new();
        if first == last {
            self.take_pane(first, &batch, &keys, Selection::All, &mut again)?;
        } else {
            let (order, runs) = self.sort_by_pane(times, first, last);
            for (start, rows) in runs {
                self.take_pane(start, &batch, &keys, Selection::Rows(&order[rows]), &mut again)?;
            }
        }
        self.emit(again, out)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        if watermark <= self.watermark {
            return Ok(Some(watermark));
        }
        let mut ready = Vec::new();
        let mut ready_rows = 0;
        let mut start = self.assigner.first_not_due(self.watermark);
        while let Some((pane, _)) = self.panes.range(start..).next() {
            start = start.max(self.assigner.first_window(*pane));
            if self.assigner.due(start) > watermark {
                break;
            }
            let window = self.window(start, None)?;
            ready_rows += window.num_rows();
            ready.push(window);
            if ready_rows >= OUTPUT_ROWS {
                self.emit(std::mem::take(&mut ready), out)?;
                ready_rows = 0;
            }
            start += self.assigner.slide;
        }
        self.emit(ready, out)?;
        self.watermark = watermark;
        self.changes += 1;
        while let Some(entry) = self.panes.first_entry() {
            if !self.assigner.is_late(*entry.key(), watermark) {
                break;
            }
            for group in &entry.remove().groups {
                let info = &mut self.groups[(*group - self.owned.start) as usize];
                info.version = self.changes;
                info.entries -= 1;
            }
        }
        Ok(Some(watermark))
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let frozen = Arc::new(FrozenPanes {
            layout: self.layout.clone(),
            signature: self.layout.signature(self.assigner.pane),
            panes: self.panes.iter().map(|(start, pane)| (*start, pane.clone())).collect(),
            by_group: OnceLock::new(),
        });
        let held = self.owned.clone().zip(&self.groups).filter(|(_, info)| info.entries > 0);
        let freeze = |(key_group, info): (u32, &GroupInfo)| {
            let frozen = frozen.clone();
            KeyGroupSnapshot { key_group, version: info.version, serialize: Box::new(move || frozen.serialize(key_group)) }
        };
        Ok(StateSnapshot {
            operator_state: Some(seal_watermark(self.watermark)),
            key_groups: held.map(freeze).collect(),
            before_durable: None,
        })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        let watermarks = restored.operator_state.iter().map(|(_, bytes)| open_watermark(bytes));
        // Take the lowest watermark of the former subtasks: windows that the slowest had not emitted must still be emitted.
        self.watermark = watermarks.collect::<Result<Vec<_>, _>>()?.into_iter().min().unwrap_or(MIN_WATERMARK);
        let signature = self.layout.signature(self.assigner.pane);
        for (key_group, bytes) in &restored.key_groups {
            let position = owned_position(&self.owned, *key_group)?;
            self.groups[position].entries += self.layout.restore(signature, *key_group, bytes, &mut self.panes)?;
        }
        Ok(())
    }

    fn keeps_column(&self, name: &str) -> bool {
        let first_key = 1 + usize::from(self.with_end);
        self.output.index_of(name).is_ok_and(|index| (first_key..first_key + self.key_columns.len()).contains(&index))
    }

    fn late_records(&self) -> u64 {
        self.late
    }
}

impl WindowOperator {
    /// Adds rows of one pane. If its windows have already been emitted, adds the changed keys of each to `again`.
    fn take_pane(
        &mut self,
        start: EventTime,
        batch: &RecordBatch,
        keys: &BatchKeys,
        selection: Selection<'_>,
        again: &mut Vec<RecordBatch>,
    ) -> Result<(), OperatorError> {
        if self.assigner.is_late(start, self.watermark) {
            self.late += match selection {
                Selection::All => batch.num_rows(),
                Selection::Rows(rows) => rows.len(),
            } as u64;
            return Ok(());
        }
        let layout = self.layout.clone();
        let pane = Arc::make_mut(self.panes.entry(start).or_insert_with(|| Arc::new(layout.empty_pane())));
        let known = pane.index.len();
        layout.update(pane, batch, keys, selection, &mut self.slots);
        for group in &pane.groups[known..] {
            self.groups[owned_position(&self.owned, *group)?].entries += 1;
        }
        for slot in &self.slots {
            self.groups[(pane.groups[*slot as usize] - self.owned.start) as usize].version = self.changes;
        }
        let mut window = self.assigner.first_window(start);
        while window <= self.assigner.last_window(start) && self.assigner.due(window) <= self.watermark {
            if self.assigner.due(window) + self.assigner.lateness > self.watermark {
                let touched: BTreeSet<u32> = self.slots.iter().copied().collect();
                let touched: Vec<u32> = touched.into_iter().collect();
                let only = layout.keys_of(&self.panes[&start], &touched)?;
                again.push(self.window(window, Some(only))?);
            }
            window += self.assigner.slide;
        }
        Ok(())
    }

    /// Row numbers sorted by pane, with the range of each pane. Rows of a pane keep their order.
    fn sort_by_pane(&self, times: &[i64], first: EventTime, last: EventTime) -> (Vec<u32>, Vec<(EventTime, Range<usize>)>) {
        let pane_of = |time: i64| (time - first) / self.assigner.pane;
        let panes = pane_of(last) as usize + 1;
        let mut order: Vec<u32> = (0..times.len() as u32).collect();
        let mut runs = Vec::new();
        if panes <= 4 * times.len() {
            let mut starts = vec![0usize; panes + 1];
            times.iter().for_each(|time| starts[pane_of(*time) as usize + 1] += 1);
            (1..=panes).for_each(|pane| starts[pane] += starts[pane - 1]);
            let stretches = starts.windows(2).enumerate().filter(|(_, ends)| ends[0] < ends[1]);
            runs.extend(stretches.map(|(pane, ends)| (first + pane as i64 * self.assigner.pane, ends[0]..ends[1])));
            for (row, time) in times.iter().enumerate() {
                let place = &mut starts[pane_of(*time) as usize];
                order[*place] = row as u32;
                *place += 1;
            }
        } else {
            order.sort_by_key(|row| pane_of(times[*row as usize]));
            let mut begin = 0;
            for stretch in order.chunk_by(|a, b| pane_of(times[*a as usize]) == pane_of(times[*b as usize])) {
                runs.push((self.assigner.pane_start(times[stretch[0] as usize]), begin..begin + stretch.len()));
                begin += stretch.len();
            }
        }
        (order, runs)
    }

    /// The result rows of a window: for all keys, or only for the keys in `only`, whose values are empty.
    fn window(&self, start: EventTime, only: Option<Pane>) -> Result<RecordBatch, OperatorError> {
        let mut panes = self.panes.range(start..start + self.assigner.size).map(|(_, pane)| pane);
        let columns = match (panes.next(), panes.next(), only) {
            (Some(single), None, None) => self.layout.finish(single)?,
            (first, second, only) => {
                let only_known = only.is_some();
                let mut merged = only.unwrap_or_else(|| self.layout.empty_pane());
                let mut slots = Vec::new();
                for pane in first.into_iter().chain(second).chain(panes) {
                    self.layout.merge(&mut merged, pane, only_known, &mut slots);
                }
                self.layout.finish(&merged)?
            }
        };
        let rows = columns.first().map_or(1, |column| column.len());
        let mut all = vec![self.time_array(start, rows)];
        if self.with_end {
            all.push(self.time_array(start + self.assigner.size, rows));
        }
        all.extend(columns);
        RecordBatch::try_new(self.output.clone(), all).map_err(internal)
    }

    fn time_array(&self, time: EventTime, rows: usize) -> ArrayRef {
        match self.time_type {
            DataType::Int64 => Arc::new(Int64Array::from_value(time, rows)),
            _ => Arc::new(TimestampMillisecondArray::from_value(time, rows)),
        }
    }

    /// Emits windows as batches of about [`OUTPUT_ROWS`].
    fn emit(&self, windows: Vec<RecordBatch>, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let all = match windows.as_slice() {
            [] => return Ok(()),
            [single] => single.clone(),
            several => concat_batches(&self.output, several).map_err(internal)?,
        };
        let mut from = 0;
        while from < all.num_rows() {
            let rows = OUTPUT_ROWS.min(all.num_rows() - from);
            out.collect(all.slice(from, rows))?;
            from += rows;
        }
        Ok(())
    }
}
