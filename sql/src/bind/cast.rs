//! Conversions between types.

use weir_dataflow::functions::cast;
use weir_protocol::job_graph::DataType;

use super::expression::Expressions;
use crate::expression::{ExprKind, Typed};
use crate::script::SqlError;

impl Expressions<'_> {
    /// The value in the type that a function or a column takes. The caller knows that the conversion exists.
    pub(super) fn coerce(&self, value: Typed, to: &DataType) -> Result<Typed, SqlError> {
        if value.kind == ExprKind::UntypedNull {
            return Ok(Typed::null(to.clone()));
        }
        if is_same_value(&value.data_type, to) {
            return Ok(value);
        }
        if let ExprKind::Literal(_) = value.kind
            && value.data_type.is_integer()
            && to.is_integer()
        {
            return Ok(Typed { data_type: to.clone(), ..value });
        }
        self.explicit_cast(value, to.clone(), false)
    }

    /// The value converted as CAST or TRY_CAST do it. Error: `SQL-TYPE` if there is no such conversion.
    pub(super) fn explicit_cast(&self, value: Typed, to: DataType, or_null: bool) -> Result<Typed, SqlError> {
        if value.kind == ExprKind::UntypedNull {
            return Ok(Typed::null(to));
        }
        if value.data_type == to {
            return Ok(value);
        }
        let may_give_null = cast::explicit(&value.data_type, &to).map_err(|what| SqlError::new("SQL-TYPE", what))?;
        let nullable = value.nullable || or_null || may_give_null;
        let zone = needs_zone(&value.data_type, &to).then(|| self.environment.zone.to_owned());
        Ok(Typed { kind: ExprKind::Cast { value: Box::new(value), or_null, zone }, data_type: to, nullable })
    }
}

/// Whether a value of one type is one of the other without any change.
fn is_same_value(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Bytes, Char, String, Time, Timestamp, TimestampLtz, Varbinary, Varchar};
    // Digits after the second are held in milliseconds, microseconds or nanoseconds.
    let unit = |precision: u8| precision.div_ceil(3).max(1);
    match (from, to) {
        (Char(_) | Varchar(_), String) | (Binary(_) | Varbinary(_), Bytes) => true,
        (Char(a) | Varchar(a), Varchar(b)) | (Binary(a) | Varbinary(a), Varbinary(b)) => a <= b,
        (Timestamp(a), Timestamp(b)) | (TimestampLtz(a), TimestampLtz(b)) => a <= b && unit(*a) == unit(*b),
        (Time(a), Time(b)) => a <= b,
        (a, b) => a == b,
    }
}

/// Whether the conversion between points in time and anything local depends on the zone.
fn needs_zone(from: &DataType, to: &DataType) -> bool {
    matches!(from, DataType::TimestampLtz(_)) != matches!(to, DataType::TimestampLtz(_))
}
