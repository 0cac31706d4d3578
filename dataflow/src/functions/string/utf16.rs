//! Texts as Java sees them, in units of UTF-16, for functions that count or cut these.

/// Whether each character is one unit, so that characters can be counted instead.
pub(super) fn is_basic(text: &str) -> bool {
    text.bytes().all(|byte| byte < 0xf0)
}

/// Number of units.
pub(super) fn unit_count(text: &str) -> usize {
    // A character of four bytes has two units, each other one.
    text.bytes().map(|byte| usize::from(!(0x80..0xc0).contains(&byte)) + usize::from(byte >= 0xf0)).sum()
}

/// The units of a text.
pub(super) fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// Appends units to a text. Half of a pair becomes `?`, as when Java encodes it.
pub(super) fn append(units: &[u16], out: &mut String) {
    out.extend(char::decode_utf16(units.iter().copied()).map(|unit| unit.unwrap_or('?')));
}
