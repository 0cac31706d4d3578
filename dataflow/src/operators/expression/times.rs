//! Timestamps in expressions are milliseconds, as in columns. DataFusion's default is nanoseconds, which end in the year 2262.
//!
//! Where a value has a finer unit nevertheless, it is rounded down, also before 1970.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowTimestampType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch};
use arrow_schema::{DataType, Schema, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, Result, internal_err};
use datafusion_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion_expr::{ColumnarValue, Expr, ExprSchemable, lit};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{CastExpr, TryCastExpr};

const MILLIS: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);
const SECONDS: DataType = DataType::Timestamp(TimeUnit::Second, None);

/// The same type in milliseconds, if this is a timestamp in a finer unit.
fn in_millis(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, zone) => {
            Some(DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))
        }
        _ => None,
    }
}

fn cast(expr: Expr, to: DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to))
}

/// Makes every timestamp of a parsed expression one of milliseconds. Call it before types are coerced.
pub(super) fn use_millis(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let rewritten = expr.transform_up(|expr| {
        let expr = match expr {
            Expr::ScalarFunction(function) => convert(function, schema)?,
            other => other,
        };
        // A function whose types don't fit is reported when types are coerced.
        let finer = match &expr {
            Expr::ScalarFunction(_) => expr.get_type(schema).ok().as_ref().and_then(in_millis),
            _ => None,
        };
        Ok(Transformed::yes(match finer {
            Some(millis) => cast(expr, millis),
            None => expr,
        }))
    })?;
    casts_to_millis(rewritten.data)
}

/// Makes casts to finer timestamps casts to milliseconds, and casts constants. Coercion of types adds such casts.
pub(super) fn casts_to_millis(expr: Expr) -> Result<Expr> {
    let rewritten = expr.transform_up(|expr| {
        let expr = match expr {
            Expr::Cast(Cast { expr, field }) => match in_millis(field.data_type()) {
                Some(millis) => cast(*expr, millis),
                None => Expr::Cast(Cast { expr, field }),
            },
            Expr::TryCast(TryCast { expr, field }) => match in_millis(field.data_type()) {
                Some(millis) => Expr::TryCast(TryCast::new(expr, millis)),
                None => Expr::TryCast(TryCast { expr, field }),
            },
            other => other,
        };
        // A constant in the type of its column makes IN lists and the like fast.
        Ok(Transformed::yes(match &expr {
            Expr::Cast(Cast { expr: inner, field }) => match inner.as_ref() {
                Expr::Literal(value, _) if coarser(&value.data_type(), field.data_type()).is_none() => {
                    lit(value.cast_to(field.data_type())?)
                }
                _ => expr,
            },
            _ => expr,
        }))
    })?;
    Ok(rewritten.data)
}

/// Replaces a function that computes in nanoseconds, or that rounds times before 1970 up.
fn convert(mut function: ScalarFunction, schema: &DFSchema) -> Result<Expr> {
    let (name, [argument]) = (function.func.name(), function.args.as_slice()) else {
        return Ok(Expr::ScalarFunction(function));
    };
    let Ok(found) = argument.get_type(schema) else { return Ok(Expr::ScalarFunction(function)) };
    let argument = argument.clone();
    let text = matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let time = matches!(found, DataType::Timestamp(..));
    let date = matches!(found, DataType::Date32 | DataType::Date64);
    let unit = match name {
        "to_timestamp_seconds" | "to_unixtime" => SECONDS,
        "to_timestamp" | "to_timestamp_millis" | "to_timestamp_micros" | "to_timestamp_nanos" => MILLIS,
        _ => return Ok(Expr::ScalarFunction(function)),
    };
    let to_unixtime = name == "to_unixtime";
    if text || time || (date && !to_unixtime) {
        let converted = cast(argument, unit);
        return Ok(if to_unixtime { cast(converted, DataType::Int64) } else { converted });
    }
    if name == "to_timestamp" && found.is_integer() {
        return Ok(cast(cast(cast(argument, DataType::Int64), SECONDS), MILLIS));
    }
    if found.is_floating() && !to_unixtime {
        let floor = |argument: Expr| datafusion_functions::math::floor().call(vec![argument]);
        if name == "to_timestamp" {
            let millis = floor(cast(argument, DataType::Float64) * lit(1000.0));
            return Ok(cast(cast(millis, DataType::Int64), MILLIS));
        }
        function.args = vec![floor(argument)];
    }
    Ok(Expr::ScalarFunction(function))
}

/// How many units of `from` make one of `to`, if both are timestamps and `to` is coarser.
fn coarser(from: &DataType, to: &DataType) -> Option<i64> {
    let (DataType::Timestamp(from, from_zone), DataType::Timestamp(to, to_zone)) = (from, to) else { return None };
    let per_second = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    // Another zone means another instant, which Arrow computes.
    let same_instant = from_zone.is_some() == to_zone.is_some();
    (same_instant && per_second(from) > per_second(to)).then(|| per_second(from) / per_second(to))
}

/// A cast to a coarser timestamp that rounds down. Arrow rounds towards 1970.
#[derive(Debug, Clone, Eq)]
pub(super) struct RoundDown {
    expr: Arc<dyn PhysicalExpr>,
    from: DataType,
    to: DataType,
    factor: i64,
}

impl PartialEq for RoundDown {
    fn eq(&self, other: &Self) -> bool {
        self.expr.eq(&other.expr) && self.to == other.to
    }
}

impl Hash for RoundDown {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expr.hash(state);
        self.to.hash(state);
    }
}

impl RoundDown {
    /// The replacement of a cast to a coarser timestamp; `None` for any other expression.
    pub(super) fn of(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Self>> {
        let (inner, to) = match (expr.downcast_ref::<CastExpr>(), expr.downcast_ref::<TryCastExpr>()) {
            (Some(cast), _) => (cast.expr(), cast.cast_type()),
            (_, Some(cast)) => (cast.expr(), cast.cast_type()),
            _ => return Ok(None),
        };
        let from = inner.data_type(schema)?;
        let round = |factor| Self { expr: inner.clone(), from: from.clone(), to: to.clone(), factor };
        Ok(coarser(&from, to).map(round))
    }

    fn round<From: ArrowTimestampType, To: ArrowTimestampType>(&self, array: &dyn Array) -> Result<ArrayRef> {
        let DataType::Timestamp(_, zone) = &self.to else { return internal_err!("{self} is not a timestamp") };
        let Some(array) = array.as_primitive_opt::<From>() else {
            return internal_err!("{self} got a {}", array.data_type());
        };
        let rounded: PrimitiveArray<To> = array.unary(|time| time.div_euclid(self.factor));
        Ok(Arc::new(rounded.with_timezone_opt(zone.clone())))
    }
}

impl fmt::Display for RoundDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAST({} AS {})", self.expr, self.to)
    }
}

impl PhysicalExpr for RoundDown {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.expr.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
        let array = self.expr.evaluate(batch)?.into_array(batch.num_rows())?;
        let (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) = (&self.from, &self.to) else {
            return internal_err!("{self} is not a cast between timestamps");
        };
        let array = match (from, to) {
            (Nanosecond, Microsecond) => self.round::<TimestampNanosecondType, TimestampMicrosecondType>(&array),
            (Nanosecond, Millisecond) => self.round::<TimestampNanosecondType, TimestampMillisecondType>(&array),
            (Nanosecond, Second) => self.round::<TimestampNanosecondType, TimestampSecondType>(&array),
            (Microsecond, Millisecond) => self.round::<TimestampMicrosecondType, TimestampMillisecondType>(&array),
            (Microsecond, Second) => self.round::<TimestampMicrosecondType, TimestampSecondType>(&array),
            (Millisecond, Second) => self.round::<TimestampMillisecondType, TimestampSecondType>(&array),
            _ => internal_err!("{self} does not round"),
        };
        array.map(ColumnarValue::Array)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.expr]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { expr: children[0].clone(), ..self.as_ref().clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
