//! Numbers with a point, in decimal digits. As in Java, they are rounded half up from their shortest form.

use super::spec::Spec;

/// A number as decimal digits.
pub(super) struct Digits {
    negative: bool,
    /// The digits, the first of which is not zero unless the number is.
    digits: Vec<u8>,
    /// The power of ten of the first digit.
    exponent: i32,
}

impl Digits {
    pub(super) fn of_real(value: f64) -> Self {
        let shortest = format!("{:e}", value.abs());
        let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
        let digits = mantissa.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
        Self { negative: value.is_sign_negative(), digits, exponent: exponent.parse().unwrap_or(0) }
    }

    pub(super) fn of_decimal(value: i128, scale: u8) -> Self {
        let digits: Vec<u8> = value.unsigned_abs().to_string().bytes().map(|digit| digit - b'0').collect();
        let exponent = if value == 0 { 0 } else { digits.len() as i32 - 1 - i32::from(scale) };
        Self { negative: value < 0, digits, exponent }
    }

    fn is_zero(&self) -> bool {
        self.digits.iter().all(|digit| *digit == 0)
    }

    /// The first `count` digits, rounded half up, and the power of ten of the first.
    fn rounded(&self, count: i64) -> (Vec<u8>, i32) {
        let Ok(count) = usize::try_from(count) else { return (Vec::new(), self.exponent) };
        let up = self.digits.get(count).is_some_and(|next| *next >= 5);
        let mut digits: Vec<u8> = self.digits.iter().copied().take(count).collect();
        digits.resize(count, 0);
        let mut exponent = self.exponent;
        if up {
            match digits.iter().rposition(|digit| *digit < 9) {
                Some(last) => {
                    digits[last] += 1;
                    digits[last + 1..].fill(0);
                }
                None => {
                    digits.fill(0);
                    digits.insert(0, 1);
                    exponent += 1;
                }
            }
        }
        (digits, exponent)
    }

    /// The digits before and behind the point, with `places` behind it.
    fn fixed(&self, places: usize) -> (String, String) {
        let (digits, exponent) = self.rounded(i64::from(self.exponent) + 1 + places as i64);
        let digit = |power: i64| {
            let index = usize::try_from(i64::from(exponent) - power).ok();
            char::from(b'0' + index.and_then(|index| digits.get(index)).copied().unwrap_or(0))
        };
        let whole = (0..=i64::from(exponent.max(0))).rev().map(digit).collect();
        let fraction = (1..=places as i64).map(|place| digit(-place)).collect();
        (whole, fraction)
    }

    /// One digit before the point, `places` behind it, and the exponent with two digits.
    fn scientific(&self, places: usize) -> String {
        let (digits, exponent) = self.rounded(places as i64 + 1);
        let exponent = if self.is_zero() { 0 } else { exponent };
        let shown: String = digits.iter().take(places + 1).map(|digit| char::from(b'0' + digit)).collect();
        let (first, rest) = shown.split_at(1.min(shown.len()));
        let point = if rest.is_empty() { "" } else { "." };
        format!("{first}{point}{rest}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    }
}

/// The number by `%f`, `%e` or `%g`, with its sign.
pub(super) fn approximate(spec: &Spec, number: &Digits) -> String {
    let places = spec.precision.unwrap_or(6);
    let fixed = |places: usize| {
        let (whole, fraction) = number.fixed(places);
        let point = if fraction.is_empty() && !spec.alternate { "" } else { "." };
        spec.grouped(whole, &format!("{point}{fraction}"))
    };
    let text = match spec.conversion {
        'f' => fixed(places),
        'e' => number.scientific(places),
        _ => {
            let precision = places.max(1);
            let (_, exponent) = number.rounded(precision as i64);
            match exponent {
                _ if number.is_zero() => fixed(precision - 1),
                -4.. if (exponent as i64) < precision as i64 => fixed((precision as i64 - 1 - i64::from(exponent)) as usize),
                _ => number.scientific(precision - 1),
            }
        }
    };
    spec.signed(number.negative, text)
}

/// A decimal as text, with all digits behind the point.
pub(super) fn decimal_text(value: i128, scale: u8) -> String {
    let number = Digits::of_decimal(value, scale);
    let (whole, fraction) = number.fixed(scale.into());
    let (sign, point) = (if value < 0 { "-" } else { "" }, if fraction.is_empty() { "" } else { "." });
    format!("{sign}{whole}{point}{fraction}")
}
