//! Avro's binary form, value by value.

use super::schema::{AvroSchema, Kind, NodeId};
use crate::rows::column::BadValue;

/// How deep a value can be nested that no column holds: a schema can be recursive.
const MAX_DEPTH: u32 = 64;

/// How many values a message can have: this many, and [`VALUES_A_BYTE`]. Some values take no bytes, so a short message could have any
/// number of them.
const VALUES: usize = 1 << 16;
/// How many values there can be for each byte: records in records, down to [`MAX_DEPTH`].
const VALUES_A_BYTE: usize = 128;

/// Reads one value after the other.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// How many values may still come.
    values: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, values: bytes.len().saturating_mul(VALUES_A_BYTE).saturating_add(VALUES) }
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Error: more follows.
    pub(super) fn end(&self) -> Result<(), BadValue> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(BadValue(format!("{left} bytes follow the row"))),
        }
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, BadValue> {
        let (byte, rest) = self.rest.split_first().ok_or_else(ends)?;
        self.rest = rest;
        Ok(*byte)
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Result<bool, BadValue> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(BadValue(format!("a boolean has the byte {other}"))),
        }
    }

    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, BadValue> {
        let mut bits = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            bits |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
        }
        Err(BadValue("a number has more than 64 bits".to_owned()))
    }

    pub(super) fn int(&mut self) -> Result<i32, BadValue> {
        i32::try_from(self.long()?).map_err(|_| BadValue("an int has more than 32 bits".to_owned()))
    }

    pub(super) fn float(&mut self) -> Result<f32, BadValue> {
        self.array().map(f32::from_le_bytes)
    }

    pub(super) fn double(&mut self) -> Result<f64, BadValue> {
        self.array().map(f64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadValue> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(ends)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn fixed(&mut self, length: usize) -> Result<&'a [u8], BadValue> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(ends)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Bytes or text, after their length.
    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], BadValue> {
        let length = self.long()?;
        self.fixed(usize::try_from(length).map_err(|_| BadValue(format!("a length is {length}")))?)
    }

    /// The position of a union's type or an enum's symbol among `count`.
    #[inline]
    pub(super) fn position(&mut self, count: usize, what: &str) -> Result<usize, BadValue> {
        let position = self.long()?;
        let known = usize::try_from(position).ok().filter(|position| *position < count);
        known.ok_or_else(|| BadValue(format!("{what} number {position} was written, but there are {count}")))
    }

    /// Reads the elements of an array or map with `each`.
    pub(super) fn items(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), BadValue>) -> Result<(), BadValue> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // The size of the block in bytes, for readers that skip it.
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                self.count()?;
                each(self)?;
            }
        }
    }

    #[inline]
    fn count(&mut self) -> Result<(), BadValue> {
        let left = self.values.checked_sub(1);
        self.values = left.ok_or_else(|| BadValue("the message has too many values for its length".to_owned()))?;
        Ok(())
    }

    /// Skips a value of this type.
    pub(super) fn skip(&mut self, schema: &AvroSchema, node: NodeId) -> Result<(), BadValue> {
        self.skip_below(schema, node, 0)
    }

    fn skip_below(&mut self, schema: &AvroSchema, node: NodeId, depth: u32) -> Result<(), BadValue> {
        if depth > MAX_DEPTH {
            return Err(BadValue(format!("a value is nested more than {MAX_DEPTH} levels deep")));
        }
        self.count()?;
        match &schema.node(node).kind {
            Kind::Null => Ok(()),
            Kind::Boolean => self.byte().map(drop),
            Kind::Int | Kind::Long | Kind::Enum(_) => self.long().map(drop),
            Kind::Float => self.fixed(4).map(drop),
            Kind::Double => self.fixed(8).map(drop),
            Kind::Bytes | Kind::Text => self.bytes().map(drop),
            Kind::Fixed(size) => self.fixed(*size).map(drop),
            Kind::Array(items) => self.items(|cursor| cursor.skip_below(schema, *items, depth + 1)),
            Kind::Map(values) => self.items(|cursor| {
                cursor.bytes()?;
                cursor.skip_below(schema, *values, depth + 1)
            }),
            Kind::Union(branches) => {
                let branch = branches[self.position(branches.len(), "the type")?];
                self.skip_below(schema, branch, depth + 1)
            }
            Kind::Record(fields) => fields.iter().try_for_each(|field| self.skip_below(schema, field.node, depth + 1)),
        }
    }
}

fn ends() -> BadValue {
    BadValue("the message ends before the row does".to_owned())
}
