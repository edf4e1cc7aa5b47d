//! Narrow reading of JSON: known fields are borrowed, and all others are skipped unread.
//!
//! Skipped fields cost time but no memory. A duplicate known key is an error, because a JSON pointer could not say which of
//! the two it means. No error quotes the input, which may be long.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::bounds::MAX_TEXT_BYTES;

/// A string, borrowed from the input if it has no escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    /// Reads the raw value, because the JSON reader would decode into a buffer of its own.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Quoted::deserialize(deserializer).map(Quoted::text)
    }
}

/// A string as the input has it, between its quotes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quoted<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Quoted<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
        inner.map(Self).ok_or_else(|| D::Error::custom("expected a string"))
    }
}

impl<'a> Quoted<'a> {
    /// Bytes of the longest known key, if each character were an escape.
    const LONGEST_KEY: usize = 6 * 64;

    /// Returns the decoded string. One that is too long to be valid keeps its escapes.
    pub fn text(self) -> Text<'a> {
        Text(if self.0.len() > MAX_TEXT_BYTES { Cow::Borrowed(self.0) } else { self.decoded() })
    }

    /// Returns the decoded string. Half a surrogate pair becomes U+FFFD, as in Go.
    pub fn decoded(self) -> Cow<'a, str> {
        if !self.0.contains('\\') {
            return Cow::Borrowed(self.0);
        }
        let mut text = String::with_capacity(self.decoded_bytes());
        for (literal, escaped) in self.pieces() {
            text.push_str(literal);
            text.extend(escaped);
        }
        Cow::Owned(text)
    }

    /// Returns the bytes of the decoded string.
    pub fn decoded_bytes(self) -> usize {
        self.pieces().map(|(literal, escaped)| literal.len() + escaped.map_or(0, char::len_utf8)).sum()
    }

    /// Returns the key of an object to compare with known keys. One that is longer than all of them is not decoded.
    pub fn key(self) -> Cow<'a, str> {
        if self.0.len() > Self::LONGEST_KEY { Cow::Borrowed(self.0) } else { self.decoded() }
    }

    /// Returns literal texts, each with the escape behind it. The JSON reader has checked the syntax.
    fn pieces(self) -> impl Iterator<Item = (&'a str, Option<char>)> {
        let mut rest = self.0;
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

/// A list, or null, that is read once and not stored. The function gets each entry, and may stop with a message.
pub struct Each<T, F>(F, PhantomData<T>);

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), &'static str>> Each<T, F> {
    pub fn new(visit: F) -> Self {
        Self(visit, PhantomData)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), &'static str>> DeserializeSeed<'de> for Each<T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), &'static str>> Visitor<'de> for Each<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(entry) = seq.next_element()? {
            (self.0)(entry).map_err(A::Error::custom)?;
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(E::custom("expected a list, found a string"))
    }
}

/// Stores the value of a known field.
///
/// # Errors
///
/// Returns an error if the field has a value already.
pub fn once<T, E: Error>(field: &mut Option<T>, key: &str, value: impl FnOnce() -> Result<T, E>) -> Result<(), E> {
    if field.is_some() {
        return Err(E::custom(format_args!("duplicate key `{key}`")));
    }
    *field = Some(value()?);
    Ok(())
}

/// Declares a struct that is read from a JSON object. Unlike serde's derived code, it rejects an array.
macro_rules! object {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident<$lifetime:lifetime $(, $param:ident)?> {
        $($field_visibility:vis $field:ident: $type:ty = $key:pat,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        $visibility struct $name<$lifetime $(, $param)?> {
            $($field_visibility $field: $type,)*
        }

        impl<$lifetime $(, $param: ::serde::Deserialize<$lifetime>)?> ::serde::Deserialize<$lifetime>
            for $name<$lifetime $(, $param)?>
        {
            fn deserialize<D: ::serde::Deserializer<$lifetime>>(deserializer: D) -> Result<Self, D::Error> {
                struct ObjectVisitor<T>(::std::marker::PhantomData<T>);

                impl<$lifetime $(, $param: ::serde::Deserialize<$lifetime>)?> ::serde::de::Visitor<$lifetime>
                    for ObjectVisitor<$name<$lifetime $(, $param)?>>
                {
                    type Value = $name<$lifetime $(, $param)?>;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter) -> ::std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: ::serde::de::MapAccess<$lifetime>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        $(let mut $field: Option<$type> = None;)*
                        while let Some(key) = map.next_key::<$crate::json::Quoted>()? {
                            let key = key.key();
                            match &*key {
                                $($key => $crate::json::once(&mut $field, &key, || map.next_value())?,)*
                                _ => {
                                    map.next_value::<::serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok($name { $($field: $field.unwrap_or_default(),)* })
                    }

                    fn visit_str<E: ::serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
                        Err(E::custom("expected an object, found a string"))
                    }
                }

                deserializer.deserialize_any(ObjectVisitor(::std::marker::PhantomData))
            }
        }
    };
}
pub(super) use object;

/// Returns the levels of objects and lists of a text, which need not be JSON.
pub(super) fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_decoded_as_the_json_crate_does() {
        for text in [
            r#""""#,
            r#""a""#,
            r#""\n\r\t\b\f\"\\\/""#,
            r#""a\u003cb\u00e9\u2028""#,
            r#""\ud83d\ude00x\ud83d\ude00""#,
            "\"é\\u0000é\"",
        ] {
            let quoted: Quoted = serde_json::from_str(text).expect("a string");
            let expected: String = serde_json::from_str(text).expect("a string");
            assert_eq!((&*quoted.decoded(), quoted.decoded_bytes()), (&*expected, expected.len()), "{text}");
        }
        for (text, expected) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ud83dx\ude00""#, "\u{fffd}x\u{fffd}"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
        ] {
            let quoted: Quoted = serde_json::from_str(text).expect("a string");
            assert_eq!((&*quoted.decoded(), quoted.decoded_bytes()), (expected, expected.len()), "{text}");
        }
    }

    #[test]
    fn brackets_in_strings_have_no_depth() {
        for (text, expected) in [("", 0), (r#"{"[[":["\"[["]}"#, 2), ("[[]]{}", 2), ("]]][", 1), (r#""\\"[["#, 2)] {
            assert_eq!(depth(text), expected, "{text}");
        }
    }
}
