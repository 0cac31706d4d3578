//! Hashes of texts: MD5, SHA-1, SHA-2. HASH_CODE, which is Java's.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow_array::{ArrayRef, BooleanArray, Int64Array, PrimitiveArray};
use md5::Digest;
use weir_protocol::job_graph::DataType;

use super::operand::{BytesArray, eval_error, joint_nulls, kernel_of, map_rows, map_text};
use super::string::{read, texts};
use super::time::value::Stamps;
use super::typing::typing;
use super::{Argument, Function, Kernel, Operand, Resolved};
use crate::operator::OperatorError;

macro_rules! digest {
    ($name:literal, $syntax:literal, $doc:literal, $bytes:literal, $algorithm:ty) => {
        Function::first(
            $name,
            $syntax,
            $doc,
            |given| hashed(given, $bytes),
            |given, _| Ok(digest(given[0].data_type.is_text(), |bytes, out| hex(&<$algorithm>::digest(bytes), out))),
        )
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    digest!("md5", "MD5(value)", "The MD5 hash of a text or of bytes in 32 hexadecimal digits.", 16, md5::Md5),
    digest!("sha1", "SHA1(value)", "The SHA-1 hash of a text or of bytes in 40 hexadecimal digits.", 20, sha1::Sha1),
    digest!("sha224", "SHA224(value)", "The SHA-224 hash of a text or of bytes in 56 hexadecimal digits.", 28, sha2::Sha224),
    digest!("sha256", "SHA256(value)", "The SHA-256 hash of a text or of bytes in 64 hexadecimal digits.", 32, sha2::Sha256),
    digest!("sha384", "SHA384(value)", "The SHA-384 hash of a text or of bytes in 96 hexadecimal digits.", 48, sha2::Sha384),
    digest!("sha512", "SHA512(value)", "The SHA-512 hash of a text or of bytes in 128 hexadecimal digits.", 64, sha2::Sha512),
    Function::first(
        "sha2",
        "SHA2(value, bits)",
        "The SHA-2 hash of 224, 256, 384 or 512 bits of a text or of bytes in hexadecimal digits.",
        |given| {
            typing(given, 2, 2)?.a("a text or bytes", |t| t.is_text() || t.is_binary())?.bigint()?.gives(DataType::Varchar(128))
        },
        |given, _| Ok(sha2_of(given[0].data_type.is_text())),
    ),
    Function::first("hash_code", "HASH_CODE(value)", "The hash of Java of the value.", resolve_hash_code, |given, _| {
        Ok(hash_code(given[0].data_type))
    }),
];

fn hashed(given: &[Argument<'_>], bytes: u32) -> Result<Resolved, String> {
    typing(given, 1, 1)?.a("a text or bytes", |t| t.is_text() || t.is_binary())?.gives(DataType::Char(bytes * 2))
}

fn hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
}

fn digest(is_text: bool, write: fn(&[u8], &mut String)) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let nulls = joint_nulls(operands, rows);
        let of_bytes = |bytes: &[u8], out: &mut String| {
            write(bytes, out);
            Ok(true)
        };
        Ok(Arc::new(if is_text {
            let values = texts(operands, 0)?;
            map_text(rows, nulls.as_ref(), |row, out| of_bytes(values.value(row).as_bytes(), out))?
        } else {
            let values = read::<BytesArray>(operands, 0)?;
            map_text(rows, nulls.as_ref(), |row, out| of_bytes(values.value(row), out))?
        }))
    })
}

fn sha2_of(is_text: bool) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let bits = read::<Int64Array>(operands, 1)?;
        let of_bytes = |bytes: &[u8], row: usize, out: &mut String| {
            match bits.value(row) {
                224 => hex(&sha2::Sha224::digest(bytes), out),
                256 => hex(&sha2::Sha256::digest(bytes), out),
                384 => hex(&sha2::Sha384::digest(bytes), out),
                512 => hex(&sha2::Sha512::digest(bytes), out),
                other => return Err(eval_error(format!("SHA2 has 224, 256, 384 or 512 bits, not {other}"))),
            }
            Ok(true)
        };
        let nulls = joint_nulls(operands, rows);
        Ok(Arc::new(if is_text {
            let values = texts(operands, 0)?;
            map_text(rows, nulls.as_ref(), |row, out| of_bytes(values.value(row).as_bytes(), row, out))?
        } else {
            let values = read::<BytesArray>(operands, 0)?;
            map_text(rows, nulls.as_ref(), |row, out| of_bytes(values.value(row), row, out))?
        }))
    })
}

fn resolve_hash_code(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let fits = |t: &DataType| !t.is_binary() && !t.is_nested() && !matches!(t, DataType::TimestampLtz(_));
    typing(given, 1, 1)?.a("a text, a number, a boolean, a date, a time or a TIMESTAMP", fits)?.gives(DataType::Int)
}

fn hash_code(data_type: &DataType) -> Box<dyn Kernel> {
    match data_type {
        DataType::Boolean => kernel_of(|operands, rows, _| {
            let values = read::<BooleanArray>(operands, 0)?;
            by_row(operands, rows, |row| if values.value(row) { 1231 } else { 1237 })
        }),
        DataType::Tinyint => of_numbers::<Int8Type>(i32::from),
        DataType::Smallint => of_numbers::<Int16Type>(i32::from),
        DataType::Int => of_numbers::<Int32Type>(|x| x),
        DataType::Bigint => of_numbers::<Int64Type>(of_long),
        DataType::Float => of_numbers::<Float32Type>(|x| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() as i32 }),
        DataType::Double => {
            of_numbers::<Float64Type>(|x| of_long(if x.is_nan() { 0x7ff8_0000_0000_0000 } else { x.to_bits() as i64 }))
        }
        DataType::Decimal { scale, .. } => {
            let scale = i32::from(*scale);
            kernel_of(move |operands, rows, _| {
                let values = read::<PrimitiveArray<Decimal128Type>>(operands, 0)?;
                by_row(operands, rows, |row| of_whole(values.value(row)).wrapping_mul(31).wrapping_add(scale))
            })
        }
        text if text.is_text() => kernel_of(|operands, rows, _| {
            let values = texts(operands, 0)?;
            by_row(operands, rows, |row| {
                let hash =
                    values.value(row).encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
                hash.wrapping_abs()
            })
        }),
        DataType::Date | DataType::Time(_) => kernel_of(|operands, rows, _| {
            let values = Stamps::of(operands, 0)?;
            by_row(operands, rows, |row| values.get(row).millis as i32)
        }),
        _ => kernel_of(|operands, rows, _| {
            let values = Stamps::of(operands, 0)?;
            by_row(operands, rows, |row| {
                let stamp = values.get(row);
                of_long(stamp.millis).wrapping_mul(31).wrapping_add(stamp.nanos as i32)
            })
        }),
    }
}

fn by_row(operands: &[Operand], rows: usize, hash: impl Fn(usize) -> i32) -> Result<ArrayRef, OperatorError> {
    Ok(Arc::new(map_rows::<Int32Type>(rows, joint_nulls(operands, rows), |row| Ok(Some(hash(row))))?))
}

fn of_numbers<T: ArrowPrimitiveType>(hash: fn(T::Native) -> i32) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let values = read::<PrimitiveArray<T>>(operands, 0)?;
        by_row(operands, rows, |row| hash(values.value(row)))
    })
}

/// The hash that Java gives a `Long`.
fn of_long(x: i64) -> i32 {
    (x ^ (x >> 32)) as i32
}

/// The hash that Java gives a `BigInteger`.
fn of_whole(x: i128) -> i32 {
    let words = (0..4).rev().map(|word| (x.unsigned_abs() >> (32 * word)) as u32);
    let hash = words.fold(0_i32, |hash, word| hash.wrapping_mul(31).wrapping_add(word as i32));
    if x < 0 { hash.wrapping_neg() } else { hash }
}

#[cfg(test)]
mod tests {
    use crate::functions::answers::check;

    #[test]
    fn hashes_are_those_of_flink() {
        check(include_str!("hash_answers.tsv"));
    }
}
