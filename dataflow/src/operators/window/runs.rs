//! Finds out which rows of a batch belong to which pane.

use std::borrow::Cow;
use std::ops::Range;

use arrow_array::RecordBatch;

use crate::element::EventTime;
use crate::operator::OperatorError;
use crate::operators::event_time::{no_time, times};
use crate::operators::window::assign::{MAX_TIME, WindowAssigner};
use crate::operators::window::saved::PaneKey;
use crate::operators::window::spec::Windows;

/// The rows of a batch by pane: row numbers, and which of them belong to which pane. A pane's rows keep their order.
pub(in crate::operators) enum Runs {
    One(PaneKey),
    Several(Vec<u32>, Vec<(PaneKey, Range<usize>)>),
}

impl Runs {
    /// Finds the pane of each row. Errors: `TIME-NULL`, `TIME-RANGE`.
    pub(in crate::operators) fn of(batch: &RecordBatch, windows: &mut Windows) -> Result<Self, OperatorError> {
        match windows {
            Windows::Grid { assigner, time_column } => {
                let times = valid_times(batch, *time_column)?;
                if assigner.is_utc() {
                    return Ok(grid_runs(assigner, &times));
                }
                let local: Vec<EventTime> = times.iter().map(|time| assigner.local(*time)).collect();
                Ok(grid_runs(assigner, &local))
            }
            Windows::Attached { start, end, .. } => {
                let (starts, ends) = (valid_times(batch, *start)?, valid_times(batch, *end)?);
                let keys: Vec<PaneKey> = ends.iter().copied().zip(starts.iter().copied()).collect();
                Ok(runs_of(&keys))
            }
        }
    }
}

/// The times of a column, all of them present and in range. Errors: `TIME-NULL`, `TIME-RANGE`.
fn valid_times(batch: &RecordBatch, column: usize) -> Result<Cow<'_, [EventTime]>, OperatorError> {
    if batch.column(column).null_count() > 0 {
        return Err(no_time(batch.schema_ref().field(column).name()));
    }
    let times = times(batch, column);
    let outermost = times.iter().min().into_iter().chain(times.iter().max());
    match outermost.copied().find(|time| !(-MAX_TIME..=MAX_TIME).contains(time)) {
        Some(worst) => {
            let message = format!("event time {worst} ms is out of range; is it in milliseconds?");
            Err(OperatorError::fatal("TIME-RANGE", message))
        }
        None => Ok(times),
    }
}

/// The panes of rows with these local times.
fn grid_runs(assigner: &WindowAssigner, times: &[EventTime]) -> Runs {
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else {
        return Runs::Several(Vec::new(), Vec::new());
    };
    let (first, last) = (assigner.pane_start(*first), assigner.pane_start(*last));
    if first == last {
        return Runs::One((first, 0));
    }
    let pane_of = |time: i64| (time - first) / assigner.pane;
    let panes = pane_of(last).saturating_add(1);
    if panes > 4 * times.len() as i64 {
        let keys: Vec<PaneKey> = times.iter().map(|time| (assigner.pane_start(*time), 0)).collect();
        return runs_of(&keys);
    }
    let panes = panes as usize;
    let mut starts = vec![0usize; panes + 1];
    times.iter().for_each(|time| starts[pane_of(*time) as usize + 1] += 1);
    (1..=panes).for_each(|pane| starts[pane] += starts[pane - 1]);
    let stretches = starts.windows(2).enumerate().filter(|(_, ends)| ends[0] < ends[1]);
    let runs = stretches.map(|(pane, ends)| ((first + pane as i64 * assigner.pane, 0), ends[0]..ends[1])).collect();
    let mut order = vec![0; times.len()];
    for (row, time) in times.iter().enumerate() {
        let place = &mut starts[pane_of(*time) as usize];
        order[*place] = row as u32;
        *place += 1;
    }
    Runs::Several(order, runs)
}

/// The runs of rows with these panes.
fn runs_of(keys: &[PaneKey]) -> Runs {
    if let Some(first) = keys.first()
        && keys.iter().all(|key| key == first)
    {
        return Runs::One(*first);
    }
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    order.sort_by_key(|row| keys[*row as usize]);
    let (mut runs, mut begin) = (Vec::new(), 0);
    for stretch in order.chunk_by(|one, other| keys[*one as usize] == keys[*other as usize]) {
        runs.push((keys[stretch[0] as usize], begin..begin + stretch.len()));
        begin += stretch.len();
    }
    Runs::Several(order, runs)
}
