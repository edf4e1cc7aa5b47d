//! Writing JSON into one buffer.

use std::io::Write as _;

use super::text::plain_bytes;

/// Appends a string in quotes.
pub fn push_string(to: &mut Vec<u8>, text: &str) {
    to.push(b'"');
    push_escaped(to, text);
    to.push(b'"');
}

/// Appends the inside of a string.
pub fn push_escaped(to: &mut Vec<u8>, mut text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    loop {
        let (plain, special) = text.split_at(plain_bytes(text.as_bytes()));
        to.extend_from_slice(plain.as_bytes());
        let Some((&byte, rest)) = special.as_bytes().split_first() else { return };
        match byte {
            b'"' | b'\\' => to.extend([b'\\', byte]),
            b'\n' => to.extend(*b"\\n"),
            b'\r' => to.extend(*b"\\r"),
            b'\t' => to.extend(*b"\\t"),
            _ => to.extend([b'\\', b'u', b'0', b'0', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]),
        }
        text = &special[special.len() - rest.len()..];
    }
}

/// Appends a number.
pub fn push_number(to: &mut Vec<u8>, number: usize) {
    // Writing to a Vec never fails.
    let _ = write!(to, "{number}");
}

/// Turns the bytes from `start` on, which are JSON without line breaks, into the inside of a string that has them.
pub fn quote_json(to: &mut Vec<u8>, start: usize) {
    let end = to.len();
    let mut at = start;
    while at < end {
        // From a quote or a backslash up to the next one.
        let plain = plain_bytes(&to[at + 1..end]);
        if matches!(to[at], b'"' | b'\\') {
            to.push(b'\\');
        }
        to.extend_from_within(at..=at + plain);
        at += 1 + plain;
    }
    to.copy_within(end.., start);
    to.truncate(start + to.len() - end);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in "([\u{0}-\u{7f}é]|[a-z]{9}){0,20}") {
            let mut json = Vec::new();
            push_string(&mut json, &text);
            let read: String = serde_json::from_slice(&json).expect("JSON");
            prop_assert_eq!(&read, &text);

            let mut quoted = [b"[\"", &*json].concat();
            quote_json(&mut quoted, 2);
            quoted.extend(*b"\"]");
            let read: [String; 1] = serde_json::from_slice(&quoted).expect("JSON");
            prop_assert_eq!(read[0].as_bytes(), json);
        }
    }
}
