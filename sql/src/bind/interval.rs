//! `INTERVAL '…' unit`: lengths of time, and the operators on them.

use sqlparser::ast::{BinaryOperator, DateTimeField, Expr, Interval, UnaryOperator, Value};
use sqlparser::tokenizer::Location;
use weir_protocol::job_graph::DataType;

use super::expression::{Expressions, operator};
use crate::expression::{ExprKind, Typed};
use crate::script::SqlError;

/// A length of time: months, whose length varies, or milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Months(i64),
    Millis(i64),
}

impl Length {
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Months(months) => Self::Months(-months),
            Self::Millis(millis) => Self::Millis(-millis),
        }
    }

    /// The constant interval of this length.
    pub(super) fn literal(self) -> Typed {
        match self {
            Self::Months(months) => Typed::literal(months.to_string(), DataType::IntervalMonths),
            Self::Millis(millis) => Typed::literal(millis.to_string(), DataType::IntervalMillis),
        }
    }

    /// The length of a constant interval; `None` for other expressions.
    fn of(value: &Typed) -> Option<Self> {
        let ExprKind::Literal(Some(text)) = &value.kind else { return None };
        match value.data_type {
            DataType::IntervalMonths => text.parse().ok().map(Self::Months),
            DataType::IntervalMillis => text.parse().ok().map(Self::Millis),
            _ => None,
        }
    }
}

impl Expressions<'_> {
    /// An operator with an interval on one side or on both.
    pub(super) fn with_interval(&self, op: &BinaryOperator, left: Typed, right: Typed, at: Location) -> Result<Typed, SqlError> {
        match (op, left.data_type.is_interval(), right.data_type.is_interval()) {
            (BinaryOperator::Plus, true, true) => self.call("interval_add", vec![left, right], at),
            (BinaryOperator::Minus, true, true) => self.call("interval_subtract", vec![left, right], at),
            (BinaryOperator::Plus, true, false) => self.moved(right, left, at),
            (BinaryOperator::Plus, false, _) => self.moved(left, right, at),
            (BinaryOperator::Minus, false, _) => {
                let back = self.negated_interval(right, at)?;
                self.moved(left, back, at)
            }
            (BinaryOperator::Multiply, true, false) => self.call("interval_multiply", vec![left, right], at),
            (BinaryOperator::Multiply, false, true) => self.call("interval_multiply", vec![right, left], at),
            _ => self.call(operator(op, at)?, vec![left, right], at),
        }
    }

    pub(super) fn negated_interval(&self, interval: Typed, at: Location) -> Result<Typed, SqlError> {
        match Length::of(&interval) {
            Some(length) => Ok(length.negated().literal()),
            None => self.call("interval_negate", vec![interval], at),
        }
    }

    /// A time moved by an interval.
    fn moved(&self, value: Typed, interval: Typed, at: Location) -> Result<Typed, SqlError> {
        match Length::of(&interval) {
            Some(Length::Months(months)) => {
                self.call("add_months", vec![value, Typed::literal(months.to_string(), DataType::Int)], at)
            }
            Some(Length::Millis(millis)) => {
                self.call("add_millis", vec![value, Typed::literal(millis.to_string(), DataType::Bigint)], at)
            }
            None => self.call("add_interval", vec![value, interval], at),
        }
    }
}

/// The length of an interval literal, also in brackets and with a sign; `None` for other expressions. Error: `SQL-TYPE`.
pub(super) fn length(expr: &Expr) -> Result<Option<Length>, SqlError> {
    match expr {
        Expr::Interval(interval) => literal(interval).map(Some),
        Expr::Nested(inner) => length(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Ok(length(expr)?.map(Length::negated)),
        _ => Ok(None),
    }
}

/// Longest interval, in milliseconds: 10,000 years.
const MAX_MILLIS: i64 = 10_000 * 366 * 86_400_000;

fn literal(interval: &Interval) -> Result<Length, SqlError> {
    let Expr::Value(value) = interval.value.as_ref() else {
        return Err(SqlError::unsupported("an INTERVAL whose length is not a constant text"));
    };
    let (Value::SingleQuotedString(text) | Value::Number(text, _)) = &value.value else {
        return Err(SqlError::new("SQL-TYPE", "an INTERVAL needs a text such as '10'").at(value.span.start));
    };
    let Some(unit) = &interval.leading_field else {
        return Err(SqlError::new("SQL-PARSE", "an INTERVAL needs a unit such as MINUTE").at(value.span.start));
    };
    let (sign, digits) = match text.trim().strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.trim().trim_start_matches('+')),
    };
    let parsed = match &interval.last_field {
        None => single(digits, unit),
        Some(last) => range(digits, unit, last),
    };
    let within = |length: &Length| {
        matches!(length, Length::Months(n) if *n <= 120_000) || matches!(length, Length::Millis(n) if *n <= MAX_MILLIS)
    };
    match parsed.filter(within) {
        Some(length) if sign < 0 => Ok(length.negated()),
        Some(length) => Ok(length),
        None => {
            let to = interval.last_field.as_ref().map(|last| format!(" TO {last}")).unwrap_or_default();
            Err(SqlError::new("SQL-TYPE", format!("'{text}' is no INTERVAL {unit}{to}")).at(value.span.start))
        }
    }
}

/// Length of a unit in milliseconds.
fn unit_millis(unit: &DateTimeField) -> Option<i64> {
    Some(match unit {
        DateTimeField::Week(_) | DateTimeField::Weeks => 7 * 86_400_000,
        DateTimeField::Day | DateTimeField::Days => 86_400_000,
        DateTimeField::Hour | DateTimeField::Hours => 3_600_000,
        DateTimeField::Minute | DateTimeField::Minutes => 60_000,
        DateTimeField::Second | DateTimeField::Seconds => 1_000,
        _ => return None,
    })
}

fn single(text: &str, unit: &DateTimeField) -> Option<Length> {
    match unit {
        DateTimeField::Year | DateTimeField::Years => Some(Length::Months(whole(text)?.checked_mul(12)?)),
        DateTimeField::Quarter => Some(Length::Months(whole(text)?.checked_mul(3)?)),
        DateTimeField::Month | DateTimeField::Months => Some(Length::Months(whole(text)?)),
        DateTimeField::Second | DateTimeField::Seconds => Some(Length::Millis(seconds(text)?)),
        other => Some(Length::Millis(whole(text)?.checked_mul(unit_millis(other)?)?)),
    }
}

fn whole(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 12 && text.chars().all(|c| c.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Seconds with a fraction, in milliseconds; what is finer is cut off.
fn seconds(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || fraction.len() > 9 || !fraction.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let millis: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    whole(seconds)?.checked_mul(1_000)?.checked_add(millis)
}

/// `'1-2' YEAR TO MONTH`, `'1 02:03:04.5' DAY TO SECOND` and the ranges between.
fn range(text: &str, first: &DateTimeField, last: &DateTimeField) -> Option<Length> {
    if matches!((first, last), (DateTimeField::Year, DateTimeField::Month)) {
        let (years, months) = text.split_once('-')?;
        return Some(Length::Months(whole(years)?.checked_mul(12)?.checked_add(whole(months).filter(|m| *m < 12)?)?));
    }
    const UNITS: [(DateTimeField, i64); 4] =
        [(DateTimeField::Day, i64::MAX), (DateTimeField::Hour, 24), (DateTimeField::Minute, 60), (DateTimeField::Second, 60)];
    let from = UNITS.iter().position(|(unit, _)| unit == first)?;
    let to = UNITS.iter().position(|(unit, _)| unit == last)?;
    if from >= to {
        return None;
    }
    let parts: Vec<_> = text.split([' ', ':']).collect();
    if parts.len() != to - from + 1 {
        return None;
    }
    let mut total = 0_i64;
    for (index, (part, (unit, most))) in parts.iter().zip(&UNITS[from..=to]).enumerate() {
        let millis = match unit {
            DateTimeField::Second => seconds(part)?,
            unit => whole(part)?.checked_mul(unit_millis(unit)?)?,
        };
        if index > 0 && millis >= most.checked_mul(unit_millis(unit)?)? {
            return None;
        }
        total = total.checked_add(millis)?;
    }
    Some(Length::Millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::parse_expression;

    #[test]
    fn intervals_have_these_lengths() {
        for (text, expected) in [
            ("INTERVAL '10' MINUTE", Length::Millis(600_000)),
            ("INTERVAL '1.5' SECOND", Length::Millis(1_500)),
            ("INTERVAL '-2' DAY", Length::Millis(-172_800_000)),
            ("-INTERVAL '2' HOUR", Length::Millis(-7_200_000)),
            ("INTERVAL '3' MONTH", Length::Months(3)),
            ("INTERVAL '1-2' YEAR TO MONTH", Length::Months(14)),
            ("INTERVAL '1 02:03:04.5' DAY TO SECOND", Length::Millis(93_784_500)),
            ("INTERVAL '10:30' MINUTE TO SECOND", Length::Millis(630_000)),
        ] {
            assert_eq!(length(&parse_expression(text).unwrap()).unwrap(), Some(expected), "{text}");
        }
        for wrong in ["INTERVAL 'x' MINUTE", "INTERVAL '1:99' HOUR TO MINUTE", "INTERVAL '99999999999' DAY", "INTERVAL '' DAY"] {
            assert_eq!(length(&parse_expression(wrong).unwrap()).unwrap_err().code, "SQL-TYPE", "{wrong}");
        }
    }
}
