//! `watermark`: derives watermarks from columns. Watermarks from upstream are dropped, except
//! [`MAX_WATERMARK`](crate::element::MAX_WATERMARK).

mod bounded;
mod of_column;
mod splits;
#[cfg(test)]
mod tests;

use weir_protocol::job_graph::OperatorDescriptor;

use crate::operator::{Operator, OperatorContext, OperatorError};
use crate::operators::event_time::time_column;
use crate::operators::watermark::bounded::BoundedWatermarks;
use crate::operators::watermark::of_column::WatermarksOfColumn;
use crate::options::Options;
use crate::registry::{BuiltOperator, only_input};

/// Default of `interval_ms`: Flink's `pipeline.auto-watermark-interval`.
const INTERVAL_MS: i64 = 200;

pub(super) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let input = only_input(context)?;
    let options = Options::of(descriptor);
    let column = time_column(input, options.string("column")?)?;
    let idle_timeout_ms = options.optional_millis("idle_timeout_ms", 0)?.unwrap_or(0).unsigned_abs();
    let operator: Box<dyn Operator> = match options.optional_string("watermark_column")? {
        None => Box::new(BoundedWatermarks::new(column, options.millis("out_of_orderness_ms", 0)?, idle_timeout_ms)),
        Some(_) if options.raw("out_of_orderness_ms").is_some() => {
            return Err(options.out_of_range("out_of_orderness_ms", "can't be combined with watermark_column"));
        }
        Some(name) => {
            let interval_ms = options.optional_millis("interval_ms", 0)?.unwrap_or(INTERVAL_MS);
            let name_of_time = input.field(column).name().clone();
            Box::new(WatermarksOfColumn::new((column, name_of_time), time_column(input, name)?, interval_ms, idle_timeout_ms))
        }
    };
    Ok(BuiltOperator::Transform(operator, input.clone()))
}

/// Notices when no rows have arrived for a while.
#[derive(Debug)]
struct Activity {
    /// 0: never idle.
    idle_timeout_ms: u64,
    rows_since_tick: bool,
    active_at_ms: Option<u64>,
    idle: bool,
}

impl Activity {
    fn new(idle_timeout_ms: u64) -> Self {
        Self { idle_timeout_ms, rows_since_tick: false, active_at_ms: None, idle: false }
    }

    fn on_rows(&mut self) {
        self.rows_since_tick = true;
        self.idle = false;
    }

    /// Takes note of the wall clock. Returns for how long there have been no rows, in milliseconds.
    fn on_tick(&mut self, now_ms: u64) -> u64 {
        if std::mem::take(&mut self.rows_since_tick) || self.active_at_ms.is_none() {
            self.active_at_ms = Some(now_ms);
        }
        let silent_for = now_ms.saturating_sub(self.active_at_ms.unwrap_or(now_ms));
        self.idle = self.idle_timeout_ms > 0 && silent_for >= self.idle_timeout_ms;
        silent_for
    }

    fn is_idle(&self) -> bool {
        self.idle
    }
}
