//! A reader of one JSON text, which decodes what it is asked for and skips the rest.

use std::ops::Range;

use thiserror::Error;

use super::blocks;
use super::text::{Quoted, Text, plain_bytes};

/// A position in a JSON text, and the reading of values from there on.
///
/// What is read is checked. In what is skipped, only strings and brackets are: the rest may be invalid.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// A value that is read from JSON.
pub trait Read<'a>: Sized {
    /// Reads the value at the reader's position.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault>;
}

/// Reads a text that has one value.
///
/// # Errors
///
/// Returns an error if the text is not JSON, or the value is of another kind.
pub fn parse<'a, T: Read<'a>>(text: &'a str) -> Result<T, InvalidJson> {
    let mut reader = Reader { text, at: 0 };
    let value = T::read(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|fault| fault.of(text))
}

/// Why JSON can't be read, and the position in bytes.
#[derive(Debug)]
pub struct Fault {
    problem: Problem,
    at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum Problem {
    #[error("EOF while parsing {0}")]
    End(&'static str),
    #[error("trailing characters")]
    Trailing,
    #[error("expected {expected}, found {found}")]
    Kind { expected: &'static str, found: &'static str },
    #[error("expected {0}")]
    Expected(&'static str),
    #[error("invalid escape in a string")]
    Escape,
    #[error("control character in a string")]
    Control,
    #[error("duplicate key `{0}`")]
    Duplicate(&'static str),
    #[error("{0}")]
    Limit(&'static str),
}

impl Fault {
    /// Returns the error for the text of the reader.
    pub fn of(self, text: &str) -> InvalidJson {
        let before = &text.as_bytes()[..self.at.min(text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        InvalidJson {
            problem: self.problem,
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: 1 + before.len() - line_start,
        }
    }
}

/// Why a text can't be read as JSON, and where; the column counts bytes. It does not quote the text, which may be long.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{problem} at line {line} column {column}")]
pub struct InvalidJson {
    problem: Problem,
    line: usize,
    column: usize,
}

/// A value that is read later, or compared with another one byte for byte.
#[derive(Debug, Clone)]
pub struct Raw<'a> {
    whole: &'a str,
    range: Range<usize>,
}

impl<'a> Raw<'a> {
    /// Returns the text of the value.
    pub fn text(&self) -> &'a str {
        self.whole.get(self.range.clone()).unwrap_or_default()
    }

    /// Reads the value. The position of an error is that in the whole text.
    pub fn parse<T: Read<'a>>(&self) -> Result<T, InvalidJson> {
        self.read_with(T::read)
    }

    pub fn read_with<T>(&self, read: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>) -> Result<T, InvalidJson> {
        let mut reader = Reader { text: self.whole, at: self.range.start };
        read(&mut reader).map_err(|fault| fault.of(self.whole))
    }
}

impl<'a> Read<'a> for Raw<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        reader.with_raw(Reader::skip)
    }
}

impl<'a> Read<'a> for Quoted<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        reader.string()
    }
}

impl<'a> Read<'a> for Text<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        reader.string().map(Quoted::text)
    }
}

/// A value that is skipped.
#[derive(Debug, Clone, Copy)]
pub struct Skipped;

impl<'a> Read<'a> for Skipped {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        reader.skip().map(|()| Self)
    }
}

/// `null` is `None`.
impl<'a, T: Read<'a>> Read<'a> for Option<T> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        if reader.is_null()? { Ok(None) } else { T::read(reader).map(Some) }
    }
}

impl<'a> Reader<'a> {
    /// Reads an object. The function gets each key, with the reader before the value, which it reads or skips.
    pub fn object(&mut self, mut each: impl FnMut(Quoted<'a>, &mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.open(b'{', "an object")?;
        if self.next_is(b'}') {
            return Ok(());
        }
        loop {
            self.open(b'"', "a key")?;
            let key = self.rest_of_string()?;
            if !self.next_is(b':') {
                return Err(self.expected("`:`", "an object"));
            }
            each(key, self)?;
            if !self.next_is(b',') {
                return if self.next_is(b'}') { Ok(()) } else { Err(self.expected("`,` or `}`", "an object")) };
            }
        }
    }

    /// Reads a list. The function reads each entry.
    pub fn list(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.open(b'[', "a list")?;
        if self.next_is(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if !self.next_is(b',') {
                return if self.next_is(b']') { Ok(()) } else { Err(self.expected("`,` or `]`", "a list")) };
            }
        }
    }

    /// Reads a list, or skips `null`.
    pub fn list_or_null(&mut self, each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        if self.is_null()? { Ok(()) } else { self.list(each) }
    }

    /// Reads a string.
    pub fn string(&mut self) -> Result<Quoted<'a>, Fault> {
        self.open(b'"', "a string")?;
        self.rest_of_string()
    }

    /// Skips a value.
    pub fn skip(&mut self) -> Result<(), Fault> {
        match self.value()? {
            b'"' => {
                self.at += 1 + plain_bytes(self.bytes(self.at + 1));
                if self.peek() == Some(b'"') {
                    self.at += 1;
                    return Ok(());
                }
                self.at = blocks::end_of_string(self.text.as_bytes(), self.at).ok_or(self.end_in("a string"))?;
            }
            opening @ (b'{' | b'[') => {
                let (closing, of) = if opening == b'{' { (b'}', "an object") } else { (b']', "a list") };
                let end = blocks::end_of_nested(self.text.as_bytes(), self.at + 1).ok_or(self.end_in(of))?;
                self.at = end - 1;
                if !self.next_is(closing) {
                    return Err(self.fault(Problem::Expected(if opening == b'{' { "`}`" } else { "`]`" })));
                }
            }
            _ => {
                let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                let rest = self.bytes(self.at);
                let (word, _) = rest.split_at(rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len()));
                if !matches!(word, b"null" | b"true" | b"false" | [b'-' | b'0'..=b'9', ..]) {
                    return Err(self.fault(Problem::Expected("a value")));
                }
                self.at += word.len();
            }
        }
        Ok(())
    }

    /// Reads a value with the function, and returns where it is.
    pub fn with_raw(&mut self, read: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<Raw<'a>, Fault> {
        self.value()?;
        let start = self.at;
        read(self)?;
        Ok(Raw { whole: self.text, range: start..self.at })
    }

    /// Reads a value with the function. If that fails, the value is skipped.
    pub fn attempt<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Result<T, InvalidJson>, Fault> {
        let start = self.at;
        match read(self) {
            Ok(value) => Ok(Ok(value)),
            Err(fault) => {
                self.at = start;
                self.skip()?;
                Ok(Err(fault.of(self.text)))
            }
        }
    }

    /// Returns an error for a limit that is exceeded at this position.
    pub fn limit(&self, message: &'static str) -> Fault {
        self.fault(Problem::Limit(message))
    }

    /// Returns an error for a key that the object has twice.
    pub fn duplicate(&self, key: &'static str) -> Fault {
        self.fault(Problem::Duplicate(key))
    }

    /// Skips `null`, or returns false.
    pub fn is_null(&mut self) -> Result<bool, Fault> {
        if self.value()? != b'n' {
            return Ok(false);
        }
        self.skip().map(|()| true)
    }

    /// Returns the first byte of the next value.
    fn value(&mut self) -> Result<u8, Fault> {
        self.skip_space();
        self.peek().ok_or(self.end_in("a value"))
    }

    /// Checks that nothing follows.
    fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.peek().is_none() { Ok(()) } else { Err(self.fault(Problem::Trailing)) }
    }

    /// Skips the first byte of a value of this kind.
    fn open(&mut self, first: u8, expected: &'static str) -> Result<(), Fault> {
        let found = self.value()?;
        if found == first {
            self.at += 1;
            return Ok(());
        }
        let found = match found {
            b'{' => "an object",
            b'[' => "a list",
            b'"' => "a string",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            b'-' | b'0'..=b'9' => "a number",
            _ => return Err(self.fault(Problem::Expected(expected))),
        };
        Err(self.fault(Problem::Kind { expected, found }))
    }

    /// Reads a string behind its opening quote.
    fn rest_of_string(&mut self) -> Result<Quoted<'a>, Fault> {
        let start = self.at;
        self.at += plain_bytes(self.bytes(start));
        let has_escapes = self.peek() != Some(b'"');
        if has_escapes {
            self.skip_escapes()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Quoted { text, has_escapes })
    }

    /// Skips the rest of a string from its first escape on, up to its closing quote.
    #[cold]
    fn skip_escapes(&mut self) -> Result<(), Fault> {
        loop {
            match self.bytes(self.at) {
                [b'"', ..] => return Ok(()),
                [b'\\', b'u', digits @ ..]
                    if digits.first_chunk::<4>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) =>
                {
                    self.at += 6;
                }
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
                [b'\\', _, ..] => return Err(self.fault(Problem::Escape)),
                [] | [b'\\'] => return Err(self.end_in("a string")),
                [..] => return Err(self.fault(Problem::Control)),
            }
            self.at += plain_bytes(self.bytes(self.at));
        }
    }

    fn next_is(&mut self, wanted: u8) -> bool {
        self.skip_space();
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Returns the bytes from a position on.
    fn bytes(&self, from: usize) -> &'a [u8] {
        self.text.as_bytes().get(from..).unwrap_or_default()
    }

    fn expected(&self, expected: &'static str, of: &'static str) -> Fault {
        if self.peek().is_none() { self.end_in(of) } else { self.fault(Problem::Expected(expected)) }
    }

    /// Returns an error for a text that ends in a value.
    fn end_in(&self, of: &'static str) -> Fault {
        Fault { problem: Problem::End(of), at: self.text.len() }
    }

    fn fault(&self, problem: Problem) -> Fault {
        Fault { problem, at: self.at }
    }
}
