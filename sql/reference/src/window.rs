//! The windows that hold a time, by definition.

use weir_protocol::job_graph::DataType;
use weir_sql::stream::{Window, WindowShape};

use crate::Value;

/// A window: the times from its start to before its end, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Span {
    /// Whether no row of the window can come any more at this watermark.
    pub(crate) fn is_complete(&self, watermark: i64) -> bool {
        self.end - 1 <= watermark
    }
}

/// Every window that holds this time, a number of milliseconds. Error: windows in a time zone.
pub(crate) fn windows_of(window: &Window, time: i64) -> Result<Vec<Span>, String> {
    if window.zone.as_ref().is_some_and(|zone| zone != "UTC") {
        return Err("the reference has no windows in a time zone".into());
    }
    // The latest start of a window, counted in multiples of this length from the offset, that is not after the time.
    let latest = |every: i64| time - (time - window.offset_ms).rem_euclid(every);
    let holds = |span: &Span| span.start <= time && time < span.end;
    let sliding = |size: i64, slide: i64| {
        let starts = (0..).map(|number| latest(slide) - number * slide).take_while(|start| start + size > time);
        starts.map(|start| Span { start, end: start + size }).filter(holds).collect()
    };
    Ok(match window.shape {
        WindowShape::Tumble { size_ms } => sliding(size_ms, size_ms),
        WindowShape::Hop { size_ms, slide_ms } => sliding(size_ms, slide_ms),
        WindowShape::Cumulate { size_ms, step_ms } => {
            let start = latest(size_ms);
            let ends = (1..=size_ms / step_ms).map(|steps| start + steps * step_ms);
            ends.map(|end| Span { start, end }).filter(holds).collect()
        }
    })
}

/// Units of a time column in a millisecond; less than one are not possible. Error: the column is no time.
fn units(data_type: &DataType) -> Result<i64, String> {
    match data_type {
        DataType::Timestamp(0..=3) | DataType::TimestampLtz(0..=3) => Ok(1),
        DataType::Timestamp(4..=6) | DataType::TimestampLtz(4..=6) => Ok(1_000),
        DataType::Timestamp(_) | DataType::TimestampLtz(_) => Ok(1_000_000),
        other => Err(format!("{other} is no time")),
    }
}

/// The milliseconds of a time; `None` for NULL.
pub(crate) fn milliseconds(value: &Value, data_type: &DataType) -> Result<Option<i64>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Integer(value) => Ok(Some(value.div_euclid(units(data_type)?))),
        other => Err(format!("{other:?} is no time")),
    }
}

/// A time of this many milliseconds as a value of a column.
pub(crate) fn time(milliseconds: i64, data_type: &DataType) -> Result<Value, String> {
    Ok(Value::Integer(milliseconds * units(data_type)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(shape: WindowShape, offset_ms: i64, time: i64) -> Vec<(i64, i64)> {
        let windows = windows_of(&Window { shape, offset_ms, zone: None }, time).unwrap();
        windows.into_iter().map(|span| (span.start, span.end)).collect()
    }

    #[test]
    fn a_time_is_in_every_window_that_begins_before_and_ends_after_it() {
        assert_eq!(spans(WindowShape::Tumble { size_ms: 10 }, 0, -1), [(-10, 0)]);
        assert_eq!(spans(WindowShape::Tumble { size_ms: 10 }, 3, 12), [(3, 13)]);
        assert_eq!(spans(WindowShape::Hop { size_ms: 10, slide_ms: 4 }, 0, 9), [(8, 18), (4, 14), (0, 10)]);
        assert_eq!(spans(WindowShape::Hop { size_ms: 10, slide_ms: 4 }, 0, 10), [(8, 18), (4, 14)]);
        assert_eq!(spans(WindowShape::Cumulate { size_ms: 9, step_ms: 3 }, 0, 12), [(9, 15), (9, 18)]);
    }
}
