//! Decimal arithmetic: the result types of Flink, and computation with unscaled values of up to 38 digits.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, Decimal128Array};
use arrow_buffer::i256;
use arrow_schema::DataType as ArrowType;
use weir_protocol::job_graph::DataType;

use super::Operand;
use super::operand::type_error;
use crate::operator::OperatorError;

/// Most digits of a decimal.
pub const MAX_PRECISION: u8 = DataType::MAX_DECIMAL_PRECISION;

/// Powers of ten that an i128 holds.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut i = 1;
    while i < 39 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// Precision and scale of an exact number; of an integer, those that hold all its values.
pub fn precision_and_scale(data_type: &DataType) -> Option<(u8, u8)> {
    Some(match data_type {
        DataType::Tinyint => (3, 0),
        DataType::Smallint => (5, 0),
        DataType::Int => (10, 0),
        DataType::Bigint => (19, 0),
        DataType::Decimal { precision, scale } => (*precision, *scale),
        _ => return None,
    })
}

/// The type of a result with this many digits. Beyond 38 digits, the scale is cut, but not below 6. The flag says whether values
/// can exceed the precision, and so become NULL.
fn fitted(precision: u8, scale: u8) -> (DataType, bool) {
    if precision <= MAX_PRECISION {
        return (DataType::Decimal { precision, scale }, false);
    }
    let integral = precision - scale;
    let scale = MAX_PRECISION.saturating_sub(integral).max(scale.min(6));
    (DataType::Decimal { precision: MAX_PRECISION, scale }, true)
}

/// The type of a sum or a difference.
pub fn sum_type((p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (DataType, bool) {
    let scale = s1.max(s2);
    fitted((p1 - s1).max(p2 - s2) + scale + 1, scale)
}

/// The type of a product.
pub fn product_type((p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (DataType, bool) {
    fitted(p1 + p2 + 1, s1 + s2)
}

/// The type of a quotient.
pub fn quotient_type((p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (DataType, bool) {
    let scale = (s1 + p2 + 1).max(6);
    fitted(p1 - s1 + s2 + scale, scale)
}

/// The type of a remainder.
pub fn remainder_type((p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (DataType, bool) {
    let scale = s1.max(s2);
    fitted((p1 - s1).min(p2 - s2) + scale, scale)
}

/// The narrowest type that holds all values of both; digits after the point give way to those before it.
pub fn wider_type((p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> DataType {
    let integral = (p1 - s1).max(p2 - s2);
    let scale = s1.max(s2).min(MAX_PRECISION - integral);
    DataType::Decimal { precision: integral + scale, scale }
}

/// Ten to this power, if an i128 holds it.
pub fn power_of_ten(exponent: u32) -> Option<i128> {
    POWERS.get(exponent as usize).copied()
}

/// The value, if it has at most this many digits.
pub fn within(value: i128, precision: u8) -> Option<i128> {
    let limit = power_of_ten(precision.into())?;
    (-limit < value && value < limit).then_some(value)
}

/// Changes the scale, rounding half away from zero; `None` if the result has more digits than `precision`.
pub fn rescale(value: i128, from: u8, to: u8, precision: u8) -> Option<i128> {
    if to >= from {
        return within(value.checked_mul(power_of_ten((to - from).into())?)?, precision);
    }
    within(divide_rounded(value, power_of_ten((from - to).into())?), precision)
}

/// Divides, rounding half away from zero. The divisor is positive.
fn divide_rounded(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value / divisor, value % divisor);
    // Doubling the rest could overflow.
    if rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs() { quotient + value.signum() } else { quotient }
}

/// Like [`rescale`], from a value that has up to 76 digits.
fn rescale_wide(value: i256, from: u8, to: u8, precision: u8) -> Option<i128> {
    let value = if to >= from {
        value.checked_mul(i256::from_i128(power_of_ten((to - from).into())?))?
    } else {
        let divisor = i256::from_i128(10).checked_pow((from - to).into())?;
        let (quotient, rest) = (value.checked_div(divisor)?, value.checked_rem(divisor)?);
        let rounds_up = rest.wrapping_abs() >= divisor.wrapping_sub(rest.wrapping_abs());
        let away = if value.is_negative() { i256::MINUS_ONE } else { i256::ONE };
        if rounds_up { quotient.wrapping_add(away) } else { quotient }
    };
    within(value.to_i128()?, precision)
}

/// `left + right` at the result's scale.
pub fn add(left: (i128, u8), right: (i128, u8), scale: u8, precision: u8) -> Option<i128> {
    let common = left.1.max(right.1);
    let aligned = |(value, from): (i128, u8)| value.checked_mul(power_of_ten((common - from).into())?);
    if let (Some(l), Some(r)) = (aligned(left), aligned(right))
        && let Some(sum) = l.checked_add(r)
    {
        return rescale(sum, common, scale, precision);
    }
    let aligned =
        |(value, from): (i128, u8)| i256::from_i128(value).checked_mul(i256::from_i128(power_of_ten((common - from).into())?));
    rescale_wide(aligned(left)?.checked_add(aligned(right)?)?, common, scale, precision)
}

/// `left * right` at the result's scale.
pub fn multiply(left: (i128, u8), right: (i128, u8), scale: u8, precision: u8) -> Option<i128> {
    let from = left.1 + right.1;
    match left.0.checked_mul(right.0) {
        Some(product) if scale <= from => rescale_down(product, from, scale, precision),
        _ => {
            let product = i256::from_i128(left.0).checked_mul(i256::from_i128(right.0))?;
            rescale_wide(product, from, scale, precision)
        }
    }
}

/// [`rescale`] to a smaller or equal scale; the difference may exceed 38 digits.
fn rescale_down(value: i128, from: u8, to: u8, precision: u8) -> Option<i128> {
    match power_of_ten((from - to).into()) {
        Some(divisor) => within(divide_rounded(value, divisor), precision),
        None => Some(0),
    }
}

/// `left / right` at the result's scale, rounded half away from zero. The divisor is not zero.
pub fn divide(left: (i128, u8), right: (i128, u8), scale: u8, precision: u8) -> Option<i128> {
    let shift = i32::from(scale) + i32::from(right.1) - i32::from(left.1);
    let negative = (left.0 < 0) != (right.0 < 0);
    let (dividend, mut divisor) = (left.0.unsigned_abs(), right.0.unsigned_abs());
    if shift < 0 {
        divisor = divisor.saturating_mul(10_u128.checked_pow(shift.unsigned_abs())?);
    }
    let (mut quotient, mut rest) = (dividend / divisor, dividend % divisor);
    for _ in 0..shift.max(0) {
        // The rest is below 10^38, so ten times the rest may exceed u128.
        let (digit, next) = match rest.checked_mul(10) {
            Some(tenfold) => (tenfold / divisor, tenfold % divisor),
            None => tenfold_division(rest, divisor),
        };
        quotient = quotient.checked_mul(10)?.checked_add(digit)?;
        rest = next;
    }
    if rest >= divisor - rest {
        quotient += 1;
    }
    let quotient = i128::try_from(quotient).ok()?;
    within(if negative { -quotient } else { quotient }, precision)
}

/// Ten times `rest` by `divisor`, as quotient and rest, for a `rest` below the divisor.
fn tenfold_division(rest: u128, divisor: u128) -> (u128, u128) {
    let (mut digit, mut sum) = (0, 0_u128);
    for _ in 0..10 {
        // Both are below the divisor, which has at most 38 digits, so the sum fits.
        sum += rest;
        if sum >= divisor {
            sum -= divisor;
            digit += 1;
        }
    }
    (digit, sum)
}

/// The remainder of `left / right`, with the sign of `left`. The divisor is not zero.
pub fn remainder(left: (i128, u8), right: (i128, u8), scale: u8, precision: u8) -> Option<i128> {
    let common = left.1.max(right.1);
    let aligned =
        |(value, from): (i128, u8)| i256::from_i128(value).checked_mul(i256::from_i128(power_of_ten((common - from).into())?));
    rescale_wide(aligned(left)?.checked_rem(aligned(right)?)?, common, scale, precision)
}

/// An operand of exact numbers as unscaled values.
pub enum Unscaled<'a> {
    Column(Cow<'a, [i128]>),
    Constant(i128),
}

impl<'a> Unscaled<'a> {
    /// Reads a decimal or an integer. Values of NULL rows are unspecified. Also returns the scale.
    pub fn of(operand: &'a Operand) -> Result<(Self, u8), OperatorError> {
        let array = operand.array();
        let scale = match array.data_type() {
            ArrowType::Decimal128(_, scale) => u8::try_from(*scale).map_err(type_error)?,
            _ => 0,
        };
        let values: Cow<'a, [i128]> = match array.data_type() {
            ArrowType::Decimal128(..) => Cow::Borrowed(array.as_primitive::<Decimal128Type>().values()),
            ArrowType::Int8 => widened::<Int8Type>(array),
            ArrowType::Int16 => widened::<Int16Type>(array),
            ArrowType::Int32 => widened::<Int32Type>(array),
            ArrowType::Int64 => widened::<Int64Type>(array),
            other => return Err(type_error(other)),
        };
        let constant = operand.is_constant().then(|| values.first().copied().unwrap_or_default());
        Ok((constant.map_or(Self::Column(values), Self::Constant), scale))
    }

    /// The value of this row.
    #[inline]
    pub fn at(&self, row: usize) -> i128 {
        match self {
            Self::Column(values) => values[row],
            Self::Constant(value) => *value,
        }
    }
}

fn widened<'a, T: ArrowPrimitiveType>(array: &dyn Array) -> Cow<'a, [i128]>
where
    T::Native: Into<i128>,
{
    Cow::Owned(array.as_primitive::<T>().values().iter().map(|value| (*value).into()).collect())
}

/// Gives an array of unscaled values its type.
pub fn with_type(values: Decimal128Array, data_type: &DataType) -> Result<Decimal128Array, OperatorError> {
    let DataType::Decimal { precision, scale } = data_type else { return Err(type_error(data_type)) };
    values.with_precision_and_scale(*precision, *scale as i8).map_err(type_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NINES: i128 = POWERS[38] - 1;

    #[test]
    fn results_round_half_away_from_zero_and_are_none_beyond_the_precision() {
        assert_eq!(rescale(12_345, 3, 2, 5), Some(1_235));
        assert_eq!(rescale(-12_345, 3, 2, 5), Some(-1_235));
        assert_eq!(rescale(12_344, 3, 2, 5), Some(1_234));
        assert_eq!(rescale(99_999, 3, 2, 4), None);
        assert_eq!(rescale(NINES, 0, 1, 38), None);
        assert_eq!(rescale(NINES, 38, 0, 38), Some(1));
        assert_eq!(add((NINES, 0), (1, 0), 0, 38), None);
        assert_eq!(add((5, 0), (-POWERS[37] * 5, 38), 6, 38), Some(4_500_000));
        assert_eq!(multiply((NINES, 0), (10, 0), 0, 38), None);
        assert_eq!(multiply((POWERS[37] + 1, 37), (POWERS[37] + 1, 37), 35, 38), Some(POWERS[35]));
    }

    #[test]
    fn quotients_are_exact_for_the_largest_operands() {
        assert_eq!(divide((1, 0), (3, 0), 11, 21), Some(33_333_333_333));
        assert_eq!(divide((2, 0), (3, 0), 11, 21), Some(66_666_666_667));
        assert_eq!(divide((-2, 0), (3, 0), 1, 21), Some(-7));
        assert_eq!(divide((POWERS[37], 37), (POWERS[37] * 3, 37), 6, 38), Some(333_333));
        assert_eq!(divide((NINES, 0), (3, 37), 6, 38), None);
        assert_eq!(divide((NINES, 0), (NINES, 0), 38, 38), None);
        assert_eq!(divide((NINES, 0), (NINES, 0), 37, 38), Some(POWERS[37]));
        assert_eq!(divide((NINES - 1, 38), (NINES, 0), 37, 38), Some(0));
        assert_eq!(remainder((-75, 1), (2, 0), 1, 2), Some(-15));
        assert_eq!(remainder((NINES, 0), (7, 38), 38, 38), Some(2));
    }

    #[test]
    fn the_types_of_results_are_flinks() {
        let decimal = |precision, scale| DataType::Decimal { precision, scale };
        assert_eq!(sum_type((5, 2), (10, 3)), (decimal(11, 3), false));
        assert_eq!(sum_type((38, 18), (38, 10)), (decimal(38, 9), true));
        assert_eq!(product_type((4, 3), (19, 0)), (decimal(24, 3), false));
        assert_eq!(product_type((38, 18), (38, 18)), (decimal(38, 6), true));
        assert_eq!(quotient_type((10, 0), (2, 1)), (decimal(17, 6), false));
        assert_eq!(quotient_type((5, 2), (19, 0)), (decimal(25, 22), false));
        assert_eq!(quotient_type((38, 18), (38, 18)), (decimal(38, 6), true));
        assert_eq!(remainder_type((38, 10), (20, 5)), (decimal(25, 10), false));
        assert_eq!(wider_type((38, 2), (38, 20)), decimal(38, 2));
        assert_eq!(wider_type((10, 2), (19, 0)), decimal(21, 2));
    }
}
