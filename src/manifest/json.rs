//! Reads JSON into documents: one value, or several in a row, as clients of the API server accept them.

use std::borrow::Cow;
use std::ops::Range;

use super::resolve::{Style, Tag};
use super::tree::{Content, Document, Id};
use super::yaml::{self, Fault, MAX_DEPTH, TOO_DEEP};

/// Returns the JSON documents of a text up to the first error, or `None` for YAML.
pub(super) fn documents(text: &str) -> Option<(Vec<Document<'_>>, Option<Fault>)> {
    if !Reader::is_likely(text) {
        return None;
    }
    let mut reader = Reader::new(text);
    let mut documents = Vec::new();
    let fault = loop {
        match reader.next_document() {
            Ok(Some(document)) => documents.push(document),
            Ok(None) => break None,
            // The start of the next value is unknown.
            Err(fault) => break Some(fault),
        }
    };
    // It may be YAML in braces. The JSON error counts if JSON reads further.
    let is_json = fault.as_ref().is_none_or(|fault| {
        let (mut read, mut offset) = (0, text.len());
        yaml::each(text, |document| match document {
            Ok(document) => read += usize::from(document.root().is_some()),
            Err(fault) => offset = offset.min(fault.offset),
        });
        fault.offset > offset && documents.len() >= read
    });
    is_json.then_some((documents, fault))
}

pub(super) struct Reader<'t> {
    text: &'t str,
    at: usize,
}

/// An object or array that is still open.
struct Open {
    id: Id,
    is_object: bool,
    is_empty: bool,
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 } }
    }

    /// Returns whether clients of the API server would read the text as JSON.
    pub fn is_likely(text: &str) -> bool {
        text.trim_start_matches('\u{feff}').trim_start().starts_with('{')
    }

    /// Returns the next value, or `None` at the end.
    pub fn next_document(&mut self) -> Result<Option<Document<'t>>, Fault> {
        self.skip_space();
        if self.peek().is_none() {
            return Ok(None);
        }
        let mut document = Document::new(self.text);
        let mut open: Vec<Open> = Vec::new();
        loop {
            self.value(&mut document, &mut open)?;
            // The tokens that may follow a value, up to the start of the next one.
            loop {
                let Some(parent) = open.last_mut() else { return Ok(Some(document)) };
                let is_first = std::mem::take(&mut parent.is_empty);
                let (is_object, id) = (parent.is_object, parent.id);
                self.skip_space();
                let end = if is_object { b'}' } else { b']' };
                match self.peek() {
                    Some(byte) if byte == end => {
                        self.at += 1;
                        document.close(id);
                        open.pop();
                        continue;
                    }
                    Some(b',') if !is_first => self.at += 1,
                    _ if is_first => {}
                    _ => return Err(self.fault(&format!("expected `,` or `{}`", char::from(end)))),
                }
                if is_object {
                    self.key(&mut document)?;
                }
                break;
            }
        }
    }

    fn key(&mut self, document: &mut Document<'t>) -> Result<(), Fault> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.fault("expected a key in double quotes"));
        }
        self.string(document)?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.fault("expected `:`"));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, document: &mut Document<'t>, open: &mut Vec<Open>) -> Result<(), Fault> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string(document),
            Some(byte @ (b'{' | b'[')) => {
                if open.len() >= MAX_DEPTH as usize {
                    return Err(self.fault(TOO_DEEP));
                }
                let is_object = byte == b'{';
                let content = if is_object { Content::Mapping } else { Content::Sequence };
                let id = document.push(content, self.at..self.at + 1, true);
                self.at += 1;
                open.push(Open { id, is_object, is_empty: true });
                Ok(())
            }
            _ => self.literal(document),
        }
    }

    /// Reads `true`, `false`, `null`, or a number.
    fn literal(&mut self, document: &mut Document<'t>) -> Result<(), Fault> {
        let rest = &self.text[self.at..];
        let len = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
        let literal = &rest[..len];
        // The reader of the field checks its grammar.
        if serde_json::from_str::<serde::de::IgnoredAny>(literal).is_err() {
            return Err(self.fault("expected a JSON value"));
        }
        let tag = if literal == "null" { Tag::Absent } else { Tag::NoString };
        let content = Content::Scalar { value: literal, style: Style::Plain, tag };
        document.push(content, self.at..self.at + len, true);
        self.at += len;
        Ok(())
    }

    fn string(&mut self, document: &mut Document<'t>) -> Result<(), Fault> {
        let start = self.at;
        let mut end = start + 1;
        let mut has_escape = false;
        loop {
            match self.text.as_bytes().get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escape = true;
                    end += 2;
                }
                Some(0..=0x1f) | None => return Err(Fault { offset: start, message: "unclosed string".to_owned() }),
                Some(_) => end += 1,
            }
        }
        let span: Range<usize> = start..end + 1;
        let value =
            if !has_escape { Cow::Borrowed(&self.text[start + 1..end]) } else { Cow::Owned(self.unescape(&span)?) };
        self.at = span.end;
        document.push(Content::Scalar { value: &value, style: Style::DoubleQuoted, tag: Tag::Absent }, span, true);
        Ok(())
    }

    fn unescape(&self, span: &Range<usize>) -> Result<String, Fault> {
        let fault = || Fault { offset: span.start, message: "the string has an invalid escape".to_owned() };
        let literal = self.text.get(span.clone()).ok_or_else(fault)?;
        serde_json::from_str(literal).or_else(|_| lossy(literal).ok_or_else(fault))
    }

    fn skip_space(&mut self) {
        let bytes = &self.text.as_bytes()[self.at..];
        self.at += bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault(&self, message: &str) -> Fault {
        Fault { offset: self.at, message: message.to_owned() }
    }
}

/// A string with half a surrogate pair, which Go reads as U+FFFD.
fn lossy(literal: &str) -> Option<String> {
    Some(serde_json::from_str::<LossyString>(literal).ok()?.0)
}

struct LossyString(String);

impl<'de> serde::Deserialize<'de> for LossyString {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl serde::de::Visitor<'_> for Bytes {
            type Value = LossyString;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                // Half a pair has three bytes, and each counts.
                Ok(LossyString(String::from_utf8_lossy(bytes).replace("\u{fffd}\u{fffd}\u{fffd}", "\u{fffd}")))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}
