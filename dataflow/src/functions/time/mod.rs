//! Functions of dates and times.
//!
//! Flink computes with milliseconds since 1970, and divides them towards zero. Some results before 1970 are odd therefore; they are
//! the same here.

pub(super) mod convert;
pub(super) mod extract;
mod format;
pub(super) mod interval;
mod legacy;
pub(super) mod now;
mod parse;
mod pattern;
pub(super) mod round;
pub(super) mod shift;
#[cfg(test)]
mod tests;
mod unit;
pub(super) mod value;

use weir_protocol::job_graph::DataType;

use super::Operand;
use super::operand::{eval_error, type_error};
use super::string::texts;
use crate::operator::OperatorError;
use crate::time_zone::Zone;

/// Whether values are dates or times.
fn is_temporal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date | DataType::Time(_) | DataType::Timestamp(_) | DataType::TimestampLtz(_))
}

/// Reads the session's zone, a constant, from this argument; UTC if it is absent.
fn zone_of(operands: &[Operand], position: usize) -> Result<Zone, OperatorError> {
    if position >= operands.len() {
        return Ok(Zone::UTC);
    }
    let name = texts(operands, position)?;
    name.constant().map_or_else(|| Err(type_error("the time zone is no constant")), |name| Zone::parse(name).map_err(eval_error))
}

/// Milliseconds by which local time is ahead of UTC at this point in time.
fn offset_ms(zone: Zone, utc_ms: i64) -> i64 {
    zone.offset_at(utc_ms.div_euclid(1000)) * 1000
}
