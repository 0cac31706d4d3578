//! Which casts exist.

use weir_protocol::job_graph::DataType;

use crate::functions::decimal::precision_and_scale;

/// Whether `from` can be cast to `to`, as in `CAST(a AS to)`. If so, the flag says whether a value that isn't NULL can become NULL
/// by CAST (not TRY_CAST). The error says what to do instead.
pub fn explicit(from: &DataType, to: &DataType) -> Result<bool, String> {
    use DataType as T;
    let refused = |hint: &str| Err(format!("there is no cast from {from} to {to}{hint}"));
    match (from, to) {
        _ if from == to || to.is_text() => Ok(false),
        _ if from.is_interval() || to.is_interval() => refused(""),
        (T::Array(a), T::Array(b)) | (T::Multiset(a), T::Multiset(b)) => explicit(&a.data_type, &b.data_type),
        (T::Map(k, v), T::Map(l, w)) => Ok(explicit(&k.data_type, &l.data_type)? | explicit(&v.data_type, &w.data_type)?),
        (T::Row(a), T::Row(b)) if a.len() == b.len() => {
            let mut fields = a.iter().zip(b).map(|(a, b)| explicit(&a.data_type, &b.data_type));
            fields.try_fold(false, |any, field| Ok(any | field?))
        }
        _ if from.is_nested() || to.is_nested() => refused(""),
        _ if to.is_binary() => {
            if from.is_binary() || from.is_text() {
                Ok(false)
            } else {
                refused("; cast it to STRING first")
            }
        }
        _ if from.is_binary() => refused("; cast it to STRING first"),
        _ if from.is_text() => Ok(false),
        (T::Boolean, T::Boolean) => Ok(false),
        _ if *to == T::Boolean && from.is_numeric() => Ok(false),
        _ if to.is_numeric() && (from.is_numeric() || *from == T::Boolean) => Ok(loses_digits(from, to)),
        _ if from.is_numeric() && matches!(to, T::Timestamp(_) | T::TimestampLtz(_)) => {
            refused("; use TO_TIMESTAMP or TO_TIMESTAMP_LTZ")
        }
        _ if to.is_numeric() && matches!(from, T::Timestamp(_) | T::TimestampLtz(_)) => refused("; use UNIX_TIMESTAMP"),
        (T::Date | T::Timestamp(_) | T::TimestampLtz(_), T::Date) => Ok(false),
        (T::Time(_) | T::Timestamp(_) | T::TimestampLtz(_), T::Time(_)) => Ok(false),
        (T::Date | T::Time(_) | T::Timestamp(_) | T::TimestampLtz(_), T::Timestamp(_) | T::TimestampLtz(_)) => Ok(false),
        _ => refused(""),
    }
}

/// Whether a number can exceed the precision of a decimal, and so become NULL.
fn loses_digits(from: &DataType, to: &DataType) -> bool {
    let DataType::Decimal { precision, scale } = to else { return false };
    match precision_and_scale(from) {
        // Rounding can add a digit before the point.
        Some((p, s)) => p - s + u8::from(s > *scale) > precision - scale,
        None => *from != DataType::Boolean || precision == scale,
    }
}

/// Whether `from` becomes `to` without CAST, where Flink casts implicitly, as in INSERT.
pub fn implicit(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        _ if from == to => true,
        (T::Char(_) | T::Varchar(_) | T::String, T::Varchar(_) | T::String) | (T::Char(_), T::Char(_)) => true,
        (T::Binary(_) | T::Varbinary(_) | T::Bytes, T::Varbinary(_) | T::Bytes) | (T::Binary(_), T::Binary(_)) => true,
        (_, T::Decimal { .. } | T::Double) => from.is_numeric(),
        (_, T::Float) => from.is_integer() || matches!(from, T::Decimal { .. }),
        _ if from.is_integer() && to.is_integer() => from <= to,
        (T::Timestamp(_), T::Date | T::Time(_)) | (T::Time(_), T::Time(_)) => true,
        (T::Timestamp(_) | T::TimestampLtz(_), T::Timestamp(_) | T::TimestampLtz(_)) => true,
        (T::Array(a), T::Array(b)) | (T::Multiset(a), T::Multiset(b)) => implicit(&a.data_type, &b.data_type),
        (T::Map(k, v), T::Map(l, w)) => implicit(&k.data_type, &l.data_type) && implicit(&v.data_type, &w.data_type),
        (T::Row(a), T::Row(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| implicit(&a.data_type, &b.data_type)),
        _ => false,
    }
}
