//! Narrow reading of JSON, and writing: known fields are borrowed, and all others are skipped unread.
//!
//! Skipped fields cost time but no memory, whatever their depth. A duplicate known key is an error, because a JSON pointer could
//! not say which of the two it means. No error quotes the input, which may be long.

mod blocks;
mod reader;
mod text;
mod write;

pub use self::reader::{Fault, InvalidJson, Raw, Read, Reader, Skipped, parse};
pub use self::text::{Quoted, Text};
pub use self::write::{push_escaped, push_number, push_string, quote_json};

/// Reads the value of a known field.
///
/// # Errors
///
/// Returns an error if the field has a value already, or its value is invalid.
pub fn once<'a, T: Read<'a>>(field: &mut Option<T>, key: &'static str, reader: &mut Reader<'a>) -> Result<(), Fault> {
    if field.is_some() {
        return Err(reader.duplicate(key));
    }
    *field = Some(T::read(reader)?);
    Ok(())
}

/// Declares a struct that is read from a JSON object. A known key that is there twice is an error.
macro_rules! object {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident<$lifetime:lifetime> {
        $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $type:ty = $key:expr,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        $visibility struct $name<$lifetime> {
            $($(#[$field_meta])* $field_visibility $field: $type,)*
        }

        impl<$lifetime> $crate::json::Read<$lifetime> for $name<$lifetime> {
            fn read(reader: &mut $crate::json::Reader<$lifetime>) -> Result<Self, $crate::json::Fault> {
                $(let mut $field: Option<$type> = None;)*
                reader.object(|key, reader| match &*key.key() {
                    $(key if key == $key => $crate::json::once(&mut $field, $key, reader),)*
                    _ => reader.skip(),
                })?;
                Ok(Self { $($field: $field.unwrap_or_default(),)* })
            }
        }
    };
}
pub(super) use object;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn errors_name_the_problem_and_its_place() {
        type Pairs = fn(&str) -> Result<(), InvalidJson>;
        let nested: Pairs = |text| {
            object! { struct Outer<'a> { inner: Option<Inner<'a>> = "inner", } }
            object! { struct Inner<'a> { name: Option<Text<'a>> = "name", } }
            parse::<Outer>(text).map(|outer| drop(outer.inner.and_then(|inner| inner.name)))
        };
        for (text, expected) in [
            ("", "EOF while parsing a value at line 1 column 1"),
            ("{", "EOF while parsing a value at line 1 column 2"),
            ("{\"inner\"", "EOF while parsing an object at line 1 column 9"),
            ("{\"inner\":{\"name\":\"é", "EOF while parsing a string at line 1 column 21"),
            ("{\"a\":[{\"inner\"}", "EOF while parsing a list at line 1 column 16"),
            ("{\"a\":\"\\\"", "EOF while parsing a string at line 1 column 9"),
            ("{}\n x", "trailing characters at line 2 column 2"),
            ("[]", "expected an object, found a list at line 1 column 1"),
            ("{\"inner\": -1}", "expected an object, found a number at line 1 column 11"),
            ("{\"inner\":{\"name\":true}}", "expected a string, found a boolean at line 1 column 18"),
            ("{\"inner\":{\"name\":?}}", "expected a string at line 1 column 18"),
            ("{\"a\":nul}", "expected a value at line 1 column 6"),
            ("{\"a\":[}}", "expected `]` at line 1 column 7"),
            ("{\"a\" 1}", "expected `:` at line 1 column 6"),
            ("{\"a\":1 2}", "expected `,` or `}` at line 1 column 8"),
            ("{a:1}", "expected a key at line 1 column 2"),
            ("{\"inner\":{\"name\":\"\\x\"}}", "invalid escape in a string at line 1 column 19"),
            ("{\"inner\":{\"name\":\"\\u12G4\"}}", "invalid escape in a string at line 1 column 19"),
            ("{\"inner\":{\"name\":\"a\nb\"}}", "control character in a string at line 1 column 20"),
            ("{\"inner\":{\"name\":\"a\",\n\"n\\u0061me\":\"b\"}}", "duplicate key `name` at line 2 column 13"),
        ] {
            assert_eq!(nested(text).expect_err(text).to_string(), expected, "{text}");
        }
        for text in ["{}", " { \"inner\" : null , \"a\\\"\":[ ] } ", "{\"inner\":{\"name\":null,\"x\":{}}}"] {
            assert_eq!(nested(text), Ok(()), "{text}");
        }
    }

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
            let quoted: Quoted = parse(text).expect("a string");
            let expected: String = serde_json::from_str(text).expect("a string");
            assert_eq!((&*quoted.decoded(), quoted.decoded_bytes()), (&*expected, expected.len()), "{text}");
        }
        for (text, expected) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ud83dx\ude00""#, "\u{fffd}x\u{fffd}"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
        ] {
            let quoted: Quoted = parse(text).expect("a string");
            assert_eq!((&*quoted.decoded(), quoted.decoded_bytes()), (expected, expected.len()), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_skipped_value_ends_where_the_json_crate_ends_it(
            text in r#"([\[\]{}",: ]|\{"a":|\},|\],|"[a-zé]{0,40}"|\\"|\\u00e9|null|true|-?[0-9]{1,3}(\.5)?(e9)?){0,30}"#,
        ) {
            if serde_json::from_str::<IgnoredAny>(&text).is_ok() {
                prop_assert!(parse::<Skipped>(&text).is_ok());
                let list = format!("[{text},{text}]");
                let mut found = 0;
                let reader = parse::<Raw>(&list).and_then(|list| list.read_with(|reader| reader.list(|reader| {
                    found += usize::from(Raw::read(reader)?.text() == text.trim());
                    Ok(())
                })));
                prop_assert_eq!((reader, found), (Ok(()), 2));
            } else {
                let _ = parse::<Skipped>(&text);
            }
        }
    }
}
