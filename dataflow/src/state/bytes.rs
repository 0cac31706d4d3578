//! The envelope of saved state, and a reader of its contents that does not trust them.

use bytes::Bytes;

use crate::operator::OperatorError;

/// Wraps state in an envelope. `kind` is the kind of state, `version` the version of its layout.
///
/// ```text
/// "WS" | kind: u8 | version: u8 | crc32c of the rest: u32 | payload
/// ```
pub fn seal(kind: u8, version: u8, payload: &[u8]) -> Bytes {
    let mut sealed = Vec::with_capacity(HEADER + payload.len());
    sealed.extend_from_slice(b"WS");
    sealed.extend_from_slice(&[kind, version]);
    sealed.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    sealed.extend_from_slice(payload);
    Bytes::from(sealed)
}

const HEADER: usize = 8;

/// Unwraps state that [`seal`] wrapped. Errors: `STATE-CORRUPT`; `STATE-INCOMPATIBLE` if its kind is not `kind`, or if a newer
/// Weir wrote it with a version above `newest`.
pub fn open(kind: u8, newest: u8, sealed: &[u8]) -> Result<StateReader<'_>, OperatorError> {
    let (header, payload) =
        sealed.split_at_checked(HEADER).ok_or_else(|| StateReader::corrupt("it is shorter than its header"))?;
    if &header[..2] != b"WS" {
        return Err(StateReader::corrupt("it does not begin with Weir's magic bytes"));
    }
    if header[2] != kind {
        let message = "the saved state belongs to another kind of operator; give the changed vertex a new id and submit with \
                       --allow-non-restored-state to start it without state";
        return Err(OperatorError::fatal("STATE-INCOMPATIBLE", message));
    }
    if header[3] > newest {
        let message =
            format!("the saved state has version {}, but this Weir reads only up to version {newest}; upgrade Weir", header[3]);
        return Err(OperatorError::fatal("STATE-INCOMPATIBLE", message));
    }
    if header[4..] != crc32c::crc32c(payload).to_le_bytes() {
        return Err(StateReader::corrupt("wrong checksum"));
    }
    Ok(StateReader { rest: payload })
}

/// Reads state from front to back. Every method fails with `STATE-CORRUPT` if it would read past the end.
#[derive(Debug, Clone)]
pub struct StateReader<'a> {
    rest: &'a [u8],
}

impl<'a> StateReader<'a> {
    /// Creates a reader of these bytes.
    pub(crate) fn over(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The error (`STATE-CORRUPT`) for state that is not as it was written.
    pub fn corrupt(what: &str) -> OperatorError {
        OperatorError::fatal("STATE-CORRUPT", format!("saved state is damaged: {what}"))
    }

    /// Reads the next `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], OperatorError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(|| Self::corrupt("it ends early"))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads the next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], OperatorError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    /// Reads a little-endian 32-bit number.
    pub fn u32(&mut self) -> Result<u32, OperatorError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads a little-endian 64-bit number.
    pub fn i64(&mut self) -> Result<i64, OperatorError> {
        self.array().map(i64::from_le_bytes)
    }

    /// Reads the number of elements that follow, each of at least `least` bytes. Fails if the remaining bytes can't hold them.
    pub fn count(&mut self, least: usize) -> Result<usize, OperatorError> {
        let count = self.u32()? as usize;
        if count > self.rest.len() / least.max(1) {
            return Err(Self::corrupt("it holds fewer elements than its count says"));
        }
        Ok(count)
    }

    /// Reads bytes preceded by their number, as [`put_bytes`] writes them.
    pub fn prefixed(&mut self) -> Result<&'a [u8], OperatorError> {
        let length = self.count(1)?;
        self.bytes(length)
    }

    /// Checks that everything was read.
    pub fn end(self) -> Result<(), OperatorError> {
        if self.rest.is_empty() { Ok(()) } else { Err(Self::corrupt("bytes after its end")) }
    }
}

/// Appends bytes preceded by their number.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_another_kind_and_a_newer_version_have_different_errors() {
        let sealed = seal(7, 2, b"abc");
        let mut reader = open(7, 2, &sealed).unwrap();
        assert_eq!(reader.bytes(3).unwrap(), b"abc");
        reader.end().unwrap();
        assert_eq!(open(8, 2, &sealed).unwrap_err().code, "STATE-INCOMPATIBLE");
        assert_eq!(open(7, 1, &sealed).unwrap_err().code, "STATE-INCOMPATIBLE");
        let mut flipped = sealed.to_vec();
        flipped[9] ^= 1;
        assert_eq!(open(7, 2, &flipped).unwrap_err().code, "STATE-CORRUPT");
        assert_eq!(open(7, 2, b"WS").unwrap_err().code, "STATE-CORRUPT");
        assert_eq!(open(7, 2, b"PK345678").unwrap_err().code, "STATE-CORRUPT");
    }

    #[test]
    fn a_count_beyond_the_remaining_bytes_is_refused_before_memory_is_allocated() {
        let sealed = seal(1, 1, &u32::MAX.to_le_bytes());
        assert_eq!(open(1, 1, &sealed).unwrap().count(1).unwrap_err().code, "STATE-CORRUPT");
    }
}
