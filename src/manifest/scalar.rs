//! Writes another text into a scalar, in the scalar's style.

use std::fmt::Write as _;

use super::resolve::{self, Resolved, Style};

/// A scalar in the text.
#[derive(Debug, Clone)]
pub(super) struct Written<'t> {
    pub raw: &'t str,
    /// Its value.
    pub value: String,
    pub style: Style,
}

impl Written<'_> {
    /// Returns the new source for `raw` whose value is `text`, or `None` if other bytes must change too.
    pub fn with(&self, text: &str) -> Option<String> {
        match self.style {
            _ if self.raw.is_empty() => None,
            Style::Plain => Some(self.plain(text)),
            Style::SingleQuoted if text.chars().all(is_printable) => Some(format!("'{}'", text.replace('\'', "''"))),
            Style::SingleQuoted | Style::DoubleQuoted => Some(double_quoted(text)),
            Style::Block => self.block(text),
        }
    }

    fn plain(&self, text: &str) -> String {
        let kept = if self.raw == self.value { common_prefix(&self.value, text) } else { 0 };
        if can_be_plain(text, kept) { text.to_owned() } else { double_quoted(text) }
    }

    /// Only for one line, and with the same line ends.
    fn block(&self, text: &str) -> Option<String> {
        let line = self.value.trim_end_matches('\n');
        let after = self.raw.strip_prefix(line)?;
        let text = text.strip_suffix(&self.value[line.len()..])?;
        let is_line = !text.is_empty() && !text.starts_with([' ', '\t']) && text.chars().all(is_printable);
        (is_line && !line.contains('\n')).then(|| [text, after].concat())
    }
}

/// Writes a scalar where there was none, or an alias.
pub(super) fn new(text: &str) -> String {
    if can_be_plain(text, 0) { text.to_owned() } else { double_quoted(text) }
}

/// Writes a scalar for any context, also within braces. The first `kept` bytes were in a plain scalar at this position.
fn can_be_plain(text: &str, kept: usize) -> bool {
    let start_is_safe = match text.as_bytes() {
        _ if kept > 0 => true,
        [b'-', next, ..] => is_safe(*next),
        [first, ..] => first.is_ascii_alphanumeric() || matches!(first, b'_' | b'.' | b'/'),
        [] => false,
    };
    start_is_safe
        && text.bytes().skip(kept).all(is_safe)
        && !text.ends_with(':')
        && resolve::plain(text) == Resolved::String
}

fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b':' | b'@' | b'=' | b'+')
}

/// Returns the length of the common start of two texts, in bytes.
fn common_prefix(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}

/// Writes text that is valid as YAML and as JSON.
pub(super) fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            _ if is_printable(character) => quoted.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

/// One line without an escape.
fn is_printable(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}
