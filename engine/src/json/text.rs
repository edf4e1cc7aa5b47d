//! Strings of JSON, borrowed where they have no escapes.

use std::borrow::Cow;

use wide::u8x16;

use crate::bounds::MAX_TEXT_BYTES;
use crate::chunk;

/// A string, borrowed from the input if it has no escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A string as the input has it, between its quotes. The reader has checked its escapes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quoted<'a> {
    pub(super) text: &'a str,
    pub(super) has_escapes: bool,
}

impl<'a> Quoted<'a> {
    /// Bytes of the longest known key, if each character were an escape.
    const LONGEST_KEY: usize = 6 * 64;

    /// Returns the decoded string. One that is too long to be valid keeps its escapes.
    pub fn text(self) -> Text<'a> {
        Text(if self.text.len() > MAX_TEXT_BYTES { Cow::Borrowed(self.text) } else { self.decoded() })
    }

    /// Returns the decoded string. Half a surrogate pair becomes U+FFFD, as in Go.
    #[inline]
    pub fn decoded(self) -> Cow<'a, str> {
        if self.has_escapes { Cow::Owned(self.without_escapes()) } else { Cow::Borrowed(self.text) }
    }

    #[cold]
    fn without_escapes(self) -> String {
        let mut text = String::with_capacity(self.decoded_bytes());
        for (literal, escaped) in self.pieces() {
            text.push_str(literal);
            text.extend(escaped);
        }
        text
    }

    /// Returns the bytes of the decoded string.
    pub fn decoded_bytes(self) -> usize {
        if !self.has_escapes {
            return self.text.len();
        }
        self.pieces().map(|(literal, escaped)| literal.len() + escaped.map_or(0, char::len_utf8)).sum()
    }

    /// Returns the key of an object to compare with known keys. One that is longer than all of them is not decoded.
    #[inline]
    pub fn key(self) -> Cow<'a, str> {
        if self.text.len() > Self::LONGEST_KEY { Cow::Borrowed(self.text) } else { self.decoded() }
    }

    /// Returns literal texts, each with the escape behind it.
    fn pieces(self) -> impl Iterator<Item = (&'a str, Option<char>)> {
        let mut rest = self.text;
        std::iter::from_fn(move || {
            let Some((literal, escape)) = rest.split_once('\\') else {
                let literal = std::mem::take(&mut rest);
                return (!literal.is_empty()).then_some((literal, None));
            };
            let (escaped, after) = match escape.strip_prefix('u') {
                Some(hex) => unicode(hex),
                None => (simple(escape.bytes().next().unwrap_or_default()), escape.get(1..).unwrap_or_default()),
            };
            rest = after;
            Some((literal, Some(escaped)))
        })
    }
}

/// Returns the character of `\uXXXX`, with its second half if there is one, and the rest.
fn unicode(text: &str) -> (char, &str) {
    let unit = |text: &str| text.get(..4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
    let after = text.get(4..).unwrap_or_default();
    let first = unit(text).unwrap_or_default();
    let second = after.strip_prefix("\\u").and_then(unit);
    match char::decode_utf16([first].into_iter().chain(second)).next() {
        Some(Ok(character)) => (character, if character.len_utf16() == 2 { &after[6..] } else { after }),
        _ => (char::REPLACEMENT_CHARACTER, after),
    }
}

fn simple(escape: u8) -> char {
    match escape {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        other => char::from(other),
    }
}

/// Returns the number of bytes up to a quote, a backslash or a control character, which a string has only escaped.
pub(super) fn plain_bytes(text: &[u8]) -> usize {
    let (vectors, _) = text.as_chunks();
    let plain = |vector: &[u8; 16]| {
        let bytes = u8x16::new(*vector);
        let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
        let is_control = bytes.min(u8x16::splat(b' ' - 1)).simd_eq(bytes);
        (is(b'"') | is(b'\\') | is_control).to_bitmask().trailing_zeros() as usize
    };
    for (at, vector) in vectors.iter().enumerate() {
        let plain = plain(vector);
        if plain < 16 {
            return 16 * at + plain;
        }
    }
    // All bytes before the rest are plain, so the last vector may have some of them. Zeros behind the text are not.
    (text.len().saturating_sub(16) + plain(&chunk::last(text))).min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_bytes_end_at_each_byte_that_needs_an_escape() {
        for before in 0..20 {
            for byte in 0..=u8::MAX {
                let text = [vec![0xff; before], vec![byte; 2], vec![b'x'; 9]].concat();
                let expected = if matches!(byte, b'"' | b'\\' | ..b' ') { before } else { text.len() };
                assert_eq!(plain_bytes(&text), expected, "{byte} behind {before}");
            }
        }
    }
}
