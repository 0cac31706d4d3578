//! Functions of the clock. The planner adds the session's zone to those that tell local time.

use std::sync::Arc;

use arrow_array::Int64Array;
use weir_protocol::job_graph::DataType;

use super::value::{Stamp, map_stamps};
use super::{offset_ms, zone_of};
use crate::calendar::DAY_MS;
use crate::functions::operand::kernel_of;
use crate::functions::signature::count;
use crate::functions::typing::{Prepare, Resolve, typing};
use crate::functions::{Function, Kernel, Resolved};
use crate::time_zone::Zone;

const INSTANT: Resolve = |given| {
    count(given, 0, 0)?;
    Ok(Resolved { arguments: Vec::new(), result: DataType::TimestampLtz(3), nullable: false })
};
const NOW: Prepare = |_, result| Ok(clock(result.clone(), |local_ms| local_ms));
const NOW_DOC: &str = "The time at which the row is processed.";

const DATE: Resolve = |given| typing(given, 0, 1)?.text()?.gives_not_null(DataType::Date);
const TIME: Resolve = |given| typing(given, 0, 1)?.text()?.gives_not_null(DataType::Time(0));
const LOCAL: Resolve = |given| typing(given, 0, 1)?.text()?.gives_not_null(DataType::Timestamp(3));
// TIME(0) has whole seconds.
const TIME_OF_DAY: Prepare = |_, result| Ok(clock(result.clone(), |local_ms| local_ms.rem_euclid(DAY_MS) / 1000 * 1000));
const TIME_DOC: &str = "The local time of day at which the row is processed.";

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first("current_timestamp", "CURRENT_TIMESTAMP", NOW_DOC, INSTANT, NOW).volatile(),
    Function::first("now", "NOW()", NOW_DOC, INSTANT, NOW).volatile(),
    Function::first("current_row_timestamp", "CURRENT_ROW_TIMESTAMP()", NOW_DOC, INSTANT, NOW).volatile(),
    Function::first("proctime", "PROCTIME()", NOW_DOC, INSTANT, NOW).volatile(),
    Function::first("localtimestamp", "LOCALTIMESTAMP", "The local time at which the row is processed.", LOCAL, NOW)
        .with_zone()
        .volatile(),
    Function::first("current_date", "CURRENT_DATE", "The local date at which the row is processed.", DATE, |_, result| {
        Ok(clock(result.clone(), |local_ms| local_ms.div_euclid(DAY_MS)))
    })
    .with_zone()
    .volatile(),
    Function::first("current_time", "CURRENT_TIME", TIME_DOC, TIME, TIME_OF_DAY).with_zone().volatile(),
    Function::first("localtime", "LOCALTIME", TIME_DOC, TIME, TIME_OF_DAY).with_zone().volatile(),
    Function::first(
        "unix_timestamp_now",
        "UNIX_TIMESTAMP()",
        "The seconds since 1970 at which the row is processed.",
        |given| {
            count(given, 0, 0)?;
            Ok(Resolved { arguments: Vec::new(), result: DataType::Bigint, nullable: false })
        },
        |_, _| {
            Ok(kernel_of(|_, rows, clock| {
                let seconds = i64::try_from(clock.now_ms / 1000).unwrap_or(i64::MAX);
                Ok(Arc::new(Int64Array::from_value(seconds, rows)))
            }))
        },
    )
    .volatile(),
];

/// Tells `value` of the local milliseconds, or of those of UTC if no zone is given.
fn clock(result: DataType, value: fn(i64) -> i64) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, clock| {
        let now = i64::try_from(clock.now_ms).unwrap_or(i64::MAX);
        let zone = zone_of(operands, 0)?;
        let local = if zone == Zone::UTC { now } else { now.saturating_add(offset_ms(zone, now)) };
        let stamp = Stamp::of_millis(value(local));
        map_stamps(&result, rows, None, |_| Ok(Some(stamp)))
    })
}
