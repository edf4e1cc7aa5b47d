//! A text with its lines.

use std::ops::Range;

/// Bytes of a line that are shown before a place and behind it. The renderer shows fewer.
const SHOWN_BYTES: usize = 1024;
/// Bytes of a text whose characters are counted at once.
const BLOCK_BYTES: usize = 4096;

/// A named text with an index of its lines.
#[derive(Debug, Clone)]
pub struct Source<'t> {
    pub name: &'t str,
    pub text: &'t str,
    /// The start of each line, in bytes.
    starts: Vec<usize>,
    /// The number of characters before each block, since a line can be the whole text.
    characters: Vec<usize>,
}

impl<'t> Source<'t> {
    pub fn new(name: &'t str, text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut characters = vec![0];
        for block in text.as_bytes().chunks(BLOCK_BYTES) {
            characters.push(characters.last().copied().unwrap_or_default() + starts_of_characters(block));
        }
        Self { name, text, starts, characters }
    }

    /// Returns the number of the line with a byte, from 0 on.
    pub(super) fn line(&self, byte: usize) -> usize {
        self.starts.partition_point(|&start| start <= byte) - 1
    }

    /// Returns the column of a byte in characters, from 0 on.
    pub(super) fn column(&self, byte: usize) -> usize {
        self.characters_before(byte) - self.characters_before(self.starts[self.line(byte)])
    }

    fn characters_before(&self, byte: usize) -> usize {
        let block = byte / BLOCK_BYTES;
        self.characters[block] + starts_of_characters(&self.text.as_bytes()[block * BLOCK_BYTES..byte])
    }

    /// Returns the range of the lines with a span, without the far ends of long lines.
    pub(super) fn around(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.starts[self.line(span.start)];
        let end = self.starts.get(self.line(span.end) + 1).copied().unwrap_or(self.text.len());
        let near_start = self.text.floor_char_boundary(span.start.saturating_sub(SHOWN_BYTES));
        let near_end = self.text.ceil_char_boundary(span.end + SHOWN_BYTES);
        start.max(near_start)..end.min(near_end)
    }
}

/// Counts the characters that start in some bytes of UTF-8.
fn starts_of_characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| !(0x80..0xc0).contains(*byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_counted_in_characters() {
        let text = format!("é{}\nab\n{}", "aé".repeat(BLOCK_BYTES), "€".repeat(BLOCK_BYTES));
        let source = Source::new("", &text);
        let places = text.char_indices().map(|(byte, _)| byte).chain([text.len()]);
        let mut column = 0;
        for byte in places {
            assert_eq!(source.column(byte), column, "byte {byte}");
            column = if text[byte..].starts_with('\n') { 0 } else { column + 1 };
        }
    }
}
