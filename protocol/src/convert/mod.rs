//! Converts between wire types and domain types. No other module names fields of `pb` types.
//!
//! Encoding can't fail. Decoding fails with a coded [`DecodeError`] and never panics. It needs memory proportional to its input,
//! and every caller limits the input before (message size limits, file size limits). `prost` limits the nesting.

mod checkpoint;
mod job_graph;
mod link;

use bytes::Bytes;

/// The bytes can't be decoded. A retry can't help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not protobuf, or are cut short.
    #[error("PB-MALFORMED: {what} is not well-formed: {reason}")]
    Malformed {
        /// The kind of data.
        what: &'static str,
        /// The decoder's message.
        reason: String,
    },
    /// A required part is missing.
    #[error("PB-MISSING: {field} is missing")]
    Missing {
        /// Message and field.
        field: &'static str,
    },
    /// A value is outside its range, e.g. an enum value of a newer version, or an id of the wrong length.
    #[error("PB-RANGE: {field} has the unusable value {value}")]
    Range {
        /// Message and field.
        field: &'static str,
        /// The value found.
        value: String,
    },
    /// The bytes are of another kind: they do not begin with the magic.
    #[error("PB-MAGIC: this is not {what}")]
    Magic {
        /// The expected kind of data.
        what: &'static str,
    },
    /// The format version is one that this build can't read.
    #[error("PB-VERSION: {what} has format version {found}; this build reads up to {supported}. Upgrade this process first")]
    Version {
        /// The kind of data.
        what: &'static str,
        found: u32,
        /// The newest version that this build reads.
        supported: u32,
    },
    /// There are more bytes than allowed.
    #[error("PB-TOO-LARGE: {what} has {size} bytes; the limit is {limit}")]
    TooLarge {
        /// The kind of data.
        what: &'static str,
        size: usize,
        limit: usize,
    },
}

impl DecodeError {
    /// The stable code, e.g. `PB-MAGIC`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "PB-MALFORMED",
            Self::Missing { .. } => "PB-MISSING",
            Self::Range { .. } => "PB-RANGE",
            Self::Magic { .. } => "PB-MAGIC",
            Self::Version { .. } => "PB-VERSION",
            Self::TooLarge { .. } => "PB-TOO-LARGE",
        }
    }
}

fn required<T>(value: Option<T>, field: &'static str) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Missing { field })
}

fn id_bytes(id: u128) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

fn id_from(bytes: &Bytes, field: &'static str) -> Result<u128, DecodeError> {
    let array: [u8; 16] = bytes
        .as_ref()
        .try_into()
        .map_err(|_| DecodeError::Range { field, value: format!("of {} bytes instead of 16", bytes.len()) })?;
    Ok(u128::from_be_bytes(array))
}

fn enum_from<E: TryFrom<i32>>(value: i32, field: &'static str) -> Result<E, DecodeError> {
    E::try_from(value).map_err(|_| DecodeError::Range { field, value: value.to_string() })
}

fn unspecified(field: &'static str) -> DecodeError {
    DecodeError::Range { field, value: "UNSPECIFIED".to_owned() }
}

fn all<P, D: From<P>>(items: Vec<P>) -> Vec<D> {
    items.into_iter().map(D::from).collect()
}

fn try_all<P, D: TryFrom<P, Error = DecodeError>>(items: Vec<P>) -> Result<Vec<D>, DecodeError> {
    items.into_iter().map(D::try_from).collect()
}

#[cfg(test)]
mod tests;
