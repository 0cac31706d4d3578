//! The option `window` of `window.agg` and `window.assign`.

use arrow_schema::Schema;
use serde::Deserialize;

use crate::operator::OperatorError;
use crate::operators::event_time::time_column;
use crate::operators::window::assign::{Shape, WindowAssigner};
use crate::options::Options;
use crate::schema;
use crate::time_zone::LocalTime;

/// Which windows there are.
#[derive(Debug, Clone)]
pub(in crate::operators) enum Windows {
    /// Windows of a regular grid. Rows are placed by their event time.
    Grid { assigner: WindowAssigner, time_column: usize },
    /// Rows carry the start and the end of their window in these columns.
    Attached { start: usize, end: usize, zone: LocalTime },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum WindowOption {
    Tumble {
        size_ms: i64,
        #[serde(default)]
        offset_ms: i64,
    },
    Hop {
        size_ms: i64,
        slide_ms: i64,
        #[serde(default)]
        offset_ms: i64,
    },
    Cumulate {
        size_ms: i64,
        step_ms: i64,
        #[serde(default)]
        offset_ms: i64,
    },
    Attached {
        start: String,
        end: String,
    },
}

/// Reads the options `window`, `time_column` and `zone`. Also returns a text that identifies the windows. Errors: `OPT-MISSING`,
/// `OPT-TYPE`, `OPT-VALUE`, `TIME-TYPE`.
pub(in crate::operators) fn read(options: Options<'_>, input: &Schema) -> Result<(Windows, String), OperatorError> {
    let option: WindowOption = options.parse("window")?.ok_or_else(|| options.missing("window"))?;
    let zone_name = options.optional_string("zone")?.unwrap_or("UTC");
    let zone = LocalTime::of(zone_name).map_err(|what| options.out_of_range("zone", &what))?;
    let in_zone = if zone.is_utc() { String::new() } else { format!(" in {zone_name}") };
    let (shape, size, offset, text) = match option {
        WindowOption::Attached { start, end } => {
            let windows = Windows::Attached { start: time_column(input, &start)?, end: time_column(input, &end)?, zone };
            return Ok((windows, format!("attached windows{in_zone}")));
        }
        WindowOption::Tumble { size_ms, offset_ms } => {
            (Shape::Sliding { slide: size_ms }, size_ms, offset_ms, format!("TUMBLE of {size_ms} ms"))
        }
        WindowOption::Hop { size_ms, slide_ms, offset_ms } => {
            let text = format!("HOP of {size_ms} ms every {slide_ms} ms");
            (Shape::Sliding { slide: slide_ms }, size_ms, offset_ms, text)
        }
        WindowOption::Cumulate { size_ms, step_ms, offset_ms } => {
            let text = format!("CUMULATE of {size_ms} ms by {step_ms} ms");
            (Shape::Cumulating { step: step_ms }, size_ms, offset_ms, text)
        }
    };
    check_durations(options, shape, size, offset)?;
    let name = options.string("time_column")?;
    let time_column = time_column(input, name)?;
    let data_type = input.field(time_column).data_type();
    if !zone.is_utc() && !matches!(data_type, arrow_schema::DataType::Timestamp(_, Some(_))) {
        let found = schema::type_name(data_type);
        let what = format!("applies to a time column of type TIMESTAMP_LTZ, but {name:?} is of type {found}");
        return Err(options.out_of_range("zone", &what));
    }
    let assigner = WindowAssigner::new(shape, size, offset, 0, zone)?;
    Ok((Windows::Grid { assigner, time_column }, format!("{text}, offset {offset} ms{in_zone}")))
}

fn check_durations(options: Options<'_>, shape: Shape, size: i64, offset: i64) -> Result<(), OperatorError> {
    const MOST: i64 = weir_protocol::job_graph::catalog::MAX_DURATION_MS;
    let (Shape::Sliding { slide: interval } | Shape::Cumulating { step: interval }) = shape;
    if !(1..=MOST).contains(&size) || interval < 1 {
        return Err(options.out_of_range("window", &format!("its durations must lie between 1 and {MOST} ms")));
    }
    if interval > size || size % interval != 0 {
        let what = format!("its size ({size} ms) is not a multiple of its slide or step ({interval} ms)");
        return Err(options.out_of_range("window", &what));
    }
    if offset.unsigned_abs() > MOST.unsigned_abs() {
        return Err(options.out_of_range("window", &format!("its offset must lie between -{MOST} and {MOST} ms")));
    }
    Ok(())
}
