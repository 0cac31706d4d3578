//! Chance: where random values come from, and the functions RAND, RAND_INTEGER and UUID.
//!
//! A task has no source of randomness of its own. Values are hashes of the id of its attempt, which the leader makes, of the call and
//! of a count. So a simulation draws the same values again, while two subtasks, calls or attempts draw different ones.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{Float64Array, Int32Array};
use weir_protocol::job_graph::DataType;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::operand::{eval_error, joint_nulls, kernel_of, map_rows, map_text};
use super::string::read;
use super::{Function, Kernel, Resolved};

/// Where the random values of an operator, or of one call in it, begin.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chance(u128);

impl Chance {
    /// The chance of an operator; `origin` differs from that of all others.
    pub fn new(origin: &str) -> Self {
        Self(xxh3_128(origin.as_bytes()))
    }

    /// The chance of one of the calls of the operator.
    pub(crate) fn of_call(self, number: u32) -> Self {
        Self(self.draw(number.into()))
    }

    fn draw(self, number: u64) -> u128 {
        xxh3_128_with_seed(&self.0.to_le_bytes(), number)
    }
}

/// Counts what a call has drawn.
#[derive(Default)]
struct Draws(u64);

impl Draws {
    fn next(&mut self, chance: Chance) -> u128 {
        self.0 += 1;
        chance.draw(self.0)
    }
}

pub(super) const FUNCTIONS: &[Function] = &[Function::first(
    "uuid",
    "UUID()",
    "A random UUID of version 4, another one for each row.",
    |given| {
        super::signature::count(given, 0, 0)?;
        Ok(Resolved { arguments: Vec::new(), result: DataType::Char(36), nullable: false })
    },
    |_, _| Ok(uuid()),
)
.volatile()];

fn uuid() -> Box<dyn Kernel> {
    let mut draws = Draws::default();
    kernel_of(move |_, rows, clock| {
        let column = map_text(rows, None, |_, out| {
            // The version and the variant have fixed bits.
            let bits = draws.next(clock.chance) & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
            let digits = format!("{bits:032x}");
            for (index, digit) in digits.chars().enumerate() {
                out.push_str(if matches!(index, 8 | 12 | 16 | 20) { "-" } else { "" });
                let _ = out.write_char(digit);
            }
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}

/// Random numbers from 0, inclusive, to 1, exclusive.
pub(super) fn rand() -> Box<dyn Kernel> {
    let mut draws = Draws::default();
    kernel_of(move |_, rows, clock| {
        let number = |_| (draws.next(clock.chance) >> 75) as f64 / (1_u64 << 53) as f64;
        Ok(Arc::new((0..rows).map(number).collect::<Float64Array>()))
    })
}

/// Random whole numbers from 0, inclusive, to the bound, exclusive.
pub(super) fn rand_integer() -> Box<dyn Kernel> {
    let mut draws = Draws::default();
    kernel_of(move |operands, rows, clock| {
        let bounds = read::<Int32Array>(operands, 0)?;
        let column = map_rows::<Int32Type>(rows, joint_nulls(operands, rows), |row| {
            let bound = bounds.value(row);
            let below = u64::try_from(bound).ok().filter(|bound| *bound > 0);
            let below = below.ok_or_else(|| eval_error(format!("RAND_INTEGER takes a positive bound, not {bound}")))?;
            // Of 64 random bits, the part of the range that they name: the bias is below one in four billion.
            let bits = (draws.next(clock.chance) >> 64) as u64;
            Ok(Some(((u128::from(bits) * u128::from(below)) >> 64) as i32))
        })?;
        Ok(Arc::new(column))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow_array::ArrayRef;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;

    use super::*;
    use crate::functions::{Clock, Operand};

    fn evaluate(kernel: &mut dyn Kernel, operands: &[Operand], rows: usize, origin: &str) -> ArrayRef {
        let clock = Clock { chance: Chance::new(origin), ..Clock::default() };
        kernel.evaluate(operands, rows, clock).unwrap()
    }

    #[test]
    fn each_uuid_is_new_and_of_version_4() {
        let mut kernel = uuid();
        let mut seen = BTreeSet::new();
        for _ in 0..2 {
            let batch = evaluate(kernel.as_mut(), &[], 500, "a");
            seen.extend((0..500).map(|row| batch.as_string::<i32>().value(row).to_owned()));
        }
        assert_eq!(seen.len(), 1000);
        for uuid in &seen {
            let bytes = uuid.as_bytes();
            assert_eq!((uuid.len(), bytes[14]), (36, b'4'), "{uuid}");
            assert!(b"89ab".contains(&bytes[19]), "{uuid}");
            assert!([8, 13, 18, 23].iter().all(|index| bytes[*index] == b'-'), "{uuid}");
        }
    }

    #[test]
    fn the_same_origin_draws_the_same_and_another_one_draws_others() {
        let draw = |origin| evaluate(rand().as_mut(), &[], 1000, origin).as_primitive::<Float64Type>().values().to_vec();
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
        assert_ne!(Chance::new("a").of_call(0).0, Chance::new("a").of_call(1).0);
        let mean = draw("a").iter().sum::<f64>() / 1000.0;
        assert!(draw("a").iter().all(|number| (0.0..1.0).contains(number)) && (0.45..0.55).contains(&mean), "{mean}");
    }

    #[test]
    fn whole_numbers_reach_every_value_below_the_bound() {
        let bound = Operand::Constant(Arc::new(Int32Array::from(vec![7])));
        let drawn = evaluate(rand_integer().as_mut(), &[bound], 1000, "a");
        let seen: BTreeSet<_> = drawn.as_primitive::<Int32Type>().values().iter().copied().collect();
        assert_eq!(seen, (0..7).collect());
        let none = Operand::Constant(Arc::new(Int32Array::from(vec![0])));
        assert_eq!(rand_integer().evaluate(&[none], 1, Clock::default()).unwrap_err().code, "EXPR-EVAL");
    }
}
