//! The operator of windows.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;

use crate::aggregates::Selection;
use crate::element::{CheckpointBarrier, EventTime, MIN_WATERMARK};
use crate::key_group::{internal, key_group_range};
use crate::operator::{Collector, KeyGroupSnapshot, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use crate::operators::keyed::{Layout, key_columns};
use crate::operators::window::assign::{MAX_TIME, Shape, WindowAssigner};
use crate::operators::window::output::{Window, WindowOutput};
use crate::operators::window::pane::{BatchRows, Pane};
use crate::operators::window::runs::Runs;
use crate::operators::window::saved::{FrozenPanes, PaneKey, Panes, Signature};
use crate::operators::window::spec::Windows;
use crate::registry::BuiltOperator;
use crate::state::{StateReader, owned_position};
use crate::time_zone::LocalTime;

/// Approximate number of rows in an output batch, which can hold several windows.
const OUTPUT_ROWS: usize = 8_192;

/// Aggregates rows into panes, and emits windows.
pub(super) struct WindowOperator {
    layout: Arc<Layout>,
    signature: Signature,
    windows: Windows,
    key_columns: Vec<usize>,
    /// Whether rows can be partial aggregates.
    takes_partials: bool,
    output: WindowOutput,
    panes: Panes,
    watermark: EventTime,
    late: u64,
    owned: Range<u32>,
    /// For each owned key group: the number of its last change, and its number of keys, counted per pane.
    groups: Vec<GroupInfo>,
    changes: u64,
    /// Number of rows that have arrived. After a restore it is higher than any that the state holds.
    arrivals: i64,
    slots: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct GroupInfo {
    version: u64,
    entries: u64,
}

/// Windows that are to be emitted, in batches of about [`OUTPUT_ROWS`].
#[derive(Default)]
struct Ready {
    windows: Vec<RecordBatch>,
    rows: usize,
}

impl WindowOperator {
    pub(super) fn new(
        layout: Arc<Layout>,
        signature: Signature,
        windows: Windows,
        key_columns: Vec<usize>,
        output: WindowOutput,
        context: &OperatorContext,
    ) -> Self {
        let owned = key_group_range(context.max_parallelism, context.parallelism, context.subtask());
        Self {
            layout,
            signature,
            windows,
            key_columns,
            takes_partials: false,
            output,
            panes: Panes::new(),
            watermark: MIN_WATERMARK,
            late: 0,
            groups: vec![GroupInfo::default(); owned.len()],
            owned,
            changes: 0,
            arrivals: 0,
            slots: Vec::new(),
        }
    }

    /// The same operator, over rows that can be partial aggregates.
    pub(super) fn over_partials(mut self) -> Self {
        self.takes_partials = true;
        self
    }

    pub(super) fn built(self) -> BuiltOperator {
        let schema = self.output.schema.clone();
        BuiltOperator::Transform(Box::new(self), schema)
    }
}

impl Operator for WindowOperator {
    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let runs = Runs::of(&batch, &mut self.windows)?;
        self.changes += 1;
        let keys = self.layout.keys.batch_keys(&key_columns(&batch, &self.key_columns), batch.num_rows())?;
        let (inputs, partials) =
            if self.takes_partials { self.layout.inputs_and_partials(&batch) } else { (self.layout.inputs(&batch), None) };
        let rows = BatchRows { keys: &keys, inputs: &inputs, first_arrival: self.arrivals, partials: partials.as_ref() };
        self.arrivals += batch.num_rows() as i64;
        let mut again = Ready::default();
        match runs {
            Runs::One(pane) => self.take_pane(pane, &rows, Selection::All, &mut again)?,
            Runs::Several(order, runs) => {
                for (pane, range) in runs {
                    self.take_pane(pane, &rows, Selection::Rows(&order[range]), &mut again)?;
                }
            }
        }
        self.emit(again, out)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        if watermark <= self.watermark {
            return Ok(Some(watermark));
        }
        self.changes += 1;
        match self.windows.clone() {
            Windows::Grid { assigner, .. } => self.fire_grid(&assigner, watermark, out)?,
            Windows::Attached { zone, .. } => self.fire_attached(&zone, watermark, out)?,
        }
        self.watermark = watermark;
        Ok(Some(watermark))
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let frozen = Arc::new(FrozenPanes {
            layout: self.layout.clone(),
            signature: self.signature.clone(),
            panes: self.panes.iter().map(|(key, pane)| (*key, pane.clone())).collect(),
            by_group: OnceLock::new(),
        });
        let held = self.owned.clone().zip(&self.groups).filter(|(_, info)| info.entries > 0);
        let freeze = |(key_group, info): (u32, &GroupInfo)| {
            let frozen = frozen.clone();
            KeyGroupSnapshot { key_group, version: info.version, serialize: Box::new(move || frozen.serialize(key_group)) }
        };
        Ok(StateSnapshot {
            operator_state: Some(self.signature.seal_watermark(self.watermark)),
            key_groups: held.map(freeze).collect(),
            before_durable: None,
            late_operator_state: None,
        })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        let watermarks = restored.operator_state.iter().map(|(_, bytes)| self.signature.open_watermark(bytes));
        // Take the lowest watermark of the former subtasks: windows that the slowest had not emitted must still be emitted.
        self.watermark = watermarks.collect::<Result<Vec<_>, _>>()?.into_iter().min().unwrap_or(MIN_WATERMARK);
        for (key_group, bytes) in &restored.key_groups {
            let position = owned_position(&self.owned, *key_group)?;
            self.groups[position].entries += self.layout.restore(&self.signature, *key_group, bytes, &mut self.panes)?;
        }
        let possible = |time: EventTime| (-2 * MAX_TIME..=2 * MAX_TIME).contains(&time);
        if self.panes.keys().any(|(one, other)| !possible(*one) || !possible(*other)) {
            return Err(StateReader::corrupt("the time of a window is out of range"));
        }
        let accumulators = self.panes.values().flat_map(|pane| &pane.accumulators);
        self.arrivals = accumulators.map(|accumulator| accumulator.last_arrival()).max().unwrap_or(-1).saturating_add(1);
        Ok(())
    }

    fn keeps_column(&self, name: &str) -> bool {
        let first_key = if self.output.window_first { self.output.columns.len() } else { 0 };
        self.output.schema.index_of(name).is_ok_and(|index| (first_key..first_key + self.key_columns.len()).contains(&index))
    }

    fn late_records(&self) -> u64 {
        self.late
    }
}

impl WindowOperator {
    /// Adds rows of one pane. If its windows have already been emitted, adds the changed keys of each to `again`.
    fn take_pane(
        &mut self,
        key: PaneKey,
        rows: &BatchRows<'_>,
        selection: Selection<'_>,
        again: &mut Ready,
    ) -> Result<(), OperatorError> {
        let (is_late, key) = match &self.windows {
            Windows::Grid { assigner, .. } if assigner.is_late(key.0, self.watermark) => (true, key),
            // Windows that this pane would have been merged for are past.
            Windows::Grid { assigner, .. } if self.is_merged(assigner, key.0) => (false, (first_pane(assigner, key.0), 0)),
            Windows::Grid { .. } => (false, key),
            Windows::Attached { zone, .. } => (zone.passed_at(key.0 - 1) <= self.watermark, key),
        };
        if is_late {
            self.late += match rows.partials {
                Some(partials) => partials.rows(selection),
                None => selection.rows(rows.keys.hashes.len()).count() as u64,
            };
            return Ok(());
        }
        let layout = self.layout.clone();
        let pane = Arc::make_mut(self.panes.entry(key).or_insert_with(|| Arc::new(layout.empty_pane())));
        let known = pane.index.len();
        layout.update(pane, rows, selection, &mut self.slots)?;
        for group in &pane.groups[known..] {
            self.groups[owned_position(&self.owned, *group)?].entries += 1;
        }
        for slot in &self.slots {
            self.groups[(pane.groups[*slot as usize] - self.owned.start) as usize].version = self.changes;
        }
        self.emit_again(key.0, again)
    }

    /// Whether a pane of cumulating windows has been merged into the first pane of its windows.
    fn is_merged(&self, assigner: &WindowAssigner, pane_start: EventTime) -> bool {
        matches!(assigner.shape, Shape::Cumulating { .. }) && assigner.due(assigner.first_window(pane_start)) <= self.watermark
    }

    /// Adds the changed keys of each window that has been emitted and still accepts rows.
    fn emit_again(&mut self, pane_start: EventTime, again: &mut Ready) -> Result<(), OperatorError> {
        let Windows::Grid { assigner, .. } = &self.windows else { return Ok(()) };
        if assigner.lateness == 0 {
            return Ok(());
        }
        let mut end = assigner.first_window(pane_start);
        while end <= assigner.last_window(pane_start) && assigner.due(end) <= self.watermark {
            if assigner.due(end) + assigner.lateness > self.watermark {
                let touched: BTreeSet<u32> = self.slots.iter().copied().collect();
                let touched: Vec<u32> = touched.into_iter().collect();
                let only = self.layout.keys_of(&self.panes[&(pane_start, 0)], &touched)?;
                again.push(self.window(assigner, end, Some(only))?);
            }
            end += assigner.interval();
        }
        Ok(())
    }

    /// Emits the windows of a grid that are due, and drops the panes of which no window will be emitted any more.
    fn fire_grid(
        &mut self,
        assigner: &WindowAssigner,
        watermark: EventTime,
        out: &mut dyn Collector,
    ) -> Result<(), OperatorError> {
        let mut ready = Ready::default();
        let mut end = assigner.first_not_due(self.watermark);
        while let Some(((pane, _), _)) = self.panes.range((assigner.window_start(end), 0)..).next() {
            end = end.max(assigner.first_window(*pane));
            if assigner.due(end) > watermark {
                break;
            }
            if matches!(assigner.shape, Shape::Cumulating { .. }) {
                self.merge_pane(end - assigner.interval(), assigner.window_start(end))?;
            }
            ready.push(self.window(assigner, end, None)?);
            if ready.rows >= OUTPUT_ROWS {
                self.emit(std::mem::take(&mut ready), out)?;
            }
            end += assigner.interval();
        }
        self.emit(ready, out)?;
        while let Some(entry) = self.panes.first_entry() {
            if !assigner.is_late(entry.key().0, watermark) {
                break;
            }
            let pane = entry.remove();
            self.forget(&pane)?;
        }
        Ok(())
    }

    /// Emits and drops the attached windows that are due.
    fn fire_attached(&mut self, zone: &LocalTime, watermark: EventTime, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let mut ready = Ready::default();
        while let Some(entry) = self.panes.first_entry() {
            let (end, start) = *entry.key();
            if zone.passed_at(end - 1) > watermark {
                break;
            }
            let pane = entry.remove();
            self.forget(&pane)?;
            let window = Window { start, end, last_moment: zone.to_epoch(end - 1) };
            ready.push(self.output.batch(&window, self.layout.finish(&pane)?)?);
            if ready.rows >= OUTPUT_ROWS {
                self.emit(std::mem::take(&mut ready), out)?;
            }
        }
        self.emit(ready, out)
    }

    /// Takes the keys of a removed pane out of the books.
    fn forget(&mut self, pane: &Pane) -> Result<(), OperatorError> {
        for group in &pane.groups {
            let info = &mut self.groups[owned_position(&self.owned, *group)?];
            info.version = self.changes;
            info.entries -= 1;
        }
        Ok(())
    }

    /// Merges the pane that starts at `from` into the one that starts at `into`, so that cumulating windows need to merge each pane
    /// only once.
    fn merge_pane(&mut self, from: EventTime, into: EventTime) -> Result<(), OperatorError> {
        if from == into {
            return Ok(());
        }
        let Some(pane) = self.panes.remove(&(from, 0)) else { return Ok(()) };
        self.forget(&pane)?;
        let layout = self.layout.clone();
        let target = Arc::make_mut(self.panes.entry((into, 0)).or_insert_with(|| Arc::new(layout.empty_pane())));
        let known = target.index.len();
        layout.merge(target, &pane, false, &mut self.slots);
        for group in &target.groups[known..] {
            self.groups[owned_position(&self.owned, *group)?].entries += 1;
        }
        Ok(())
    }

    /// The result rows of a window of a grid: for all keys, or only for the keys in `only`, whose values are empty.
    fn window(&self, assigner: &WindowAssigner, end: EventTime, only: Option<Pane>) -> Result<RecordBatch, OperatorError> {
        let start = assigner.window_start(end);
        // Cumulating windows have been merged into the first pane.
        let until = if matches!(assigner.shape, Shape::Cumulating { .. }) { start + assigner.interval() } else { end };
        let mut panes: Vec<_> = self.panes.range((start, 0)..(until, 0)).map(|(_, pane)| pane).collect();
        if matches!(self.signature, Signature::Named(_)) {
            // Flink begins with the newest pane, which shows in LISTAGG.
            panes.reverse();
        }
        let results = match (panes.as_slice(), only) {
            ([single], None) => self.layout.finish(single)?,
            (several, only) => {
                let only_known = only.is_some();
                let mut merged = only.unwrap_or_else(|| self.layout.empty_pane());
                let mut slots = Vec::new();
                for pane in several {
                    self.layout.merge(&mut merged, pane, only_known, &mut slots);
                }
                self.layout.finish(&merged)?
            }
        };
        self.output.batch(&Window { start, end, last_moment: assigner.last_moment(end) }, results)
    }

    fn emit(&self, ready: Ready, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let all = match ready.windows.as_slice() {
            [] => return Ok(()),
            [single] => single.clone(),
            several => concat_batches(&self.output.schema, several).map_err(internal)?,
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

impl Ready {
    fn push(&mut self, window: RecordBatch) {
        self.rows += window.num_rows();
        self.windows.push(window);
    }
}

/// Start of the first pane of the windows that hold this pane; only for cumulating windows, which share their start.
fn first_pane(assigner: &WindowAssigner, pane_start: EventTime) -> EventTime {
    assigner.window_start(assigner.first_window(pane_start))
}
