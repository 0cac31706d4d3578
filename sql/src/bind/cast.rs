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
        if value.data_type == *to {
            return Ok(value);
        }
        let widens = is_same_value(&value.data_type, to) || (value.data_type.is_integer() && to.is_integer());
        if matches!(value.kind, ExprKind::Literal(_)) && widens {
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

/// Whether a constant of one type is one of the other without any change of its text.
fn is_same_value(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Bytes, Char, String, Varbinary, Varchar};
    match (from, to) {
        (a, b) if a == b => true,
        (Char(_) | Varchar(_), String) | (Binary(_) | Varbinary(_), Bytes) => true,
        (Char(a) | Varchar(a), Varchar(b)) | (Binary(a) | Varbinary(a), Varbinary(b)) => a <= b,
        _ => false,
    }
}

/// Whether the conversion between points in time and anything local depends on the zone.
fn needs_zone(from: &DataType, to: &DataType) -> bool {
    matches!(from, DataType::TimestampLtz(_)) != matches!(to, DataType::TimestampLtz(_))
}
