//! Base64 with padding (RFC 4648), the text form of bytes.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the text form of `bytes`.
pub(crate) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for position in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * position) & 63) as usize];
            out.push(if position <= chunk.len() { digit } else { b'=' });
        }
    }
}

/// Appends the bytes of a text form. `None`, and nothing is appended, if it is none.
pub(crate) fn decode(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let start = out.len();
    let decoded = decode_chunks(out, text);
    if decoded.is_none() {
        out.truncate(start);
    }
    decoded
}

fn decode_chunks(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    let digits = &text[..text.len() - padding];
    for chunk in digits.chunks(4) {
        let mut bits = 0_u32;
        for position in 0..4 {
            bits = bits << 6 | chunk.get(position).map_or(Some(0), |digit| value_of(*digit))?;
        }
        let length = chunk.len() - 1;
        // The bits after the last byte carry nothing.
        if bits & (0x00ff_ffff >> (8 * length)) != 0 {
            return None;
        }
        out.extend_from_slice(&bits.to_be_bytes()[1..=length]);
    }
    Some(())
}

fn value_of(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(&mut out, text).map(|()| out)
    }

    #[test]
    fn the_examples_of_the_standard_are_written_and_read() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            append(&mut out, bytes.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), text);
            assert_eq!(decoded(text.as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
        for wrong in ["Z", "Zg", "Zg=", "Zg===", "Z===", "Zh==", "Zm9=", "Zg==Zg==", "Z g=", "====", "Zm9-"] {
            assert_eq!(decoded(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn bytes_are_read_back_and_no_text_panics(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let mut text = Vec::new();
            append(&mut text, &bytes);
            prop_assert_eq!(decoded(&text), Some(bytes.clone()));
            let _ = decoded(&bytes);
        }
    }
}
