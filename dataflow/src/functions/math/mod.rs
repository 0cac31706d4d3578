//! Functions of numbers.

pub(super) mod digits;
pub(super) mod real;
pub(super) mod round;
pub(super) mod sign;
#[cfg(test)]
mod tests;
