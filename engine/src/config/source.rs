//! A text with its lines.

use std::ops::Range;

/// A named text with an index of its lines.
#[derive(Debug, Clone)]
pub struct Source<'t> {
    pub name: &'t str,
    pub text: &'t str,
    /// The start of each line, in bytes.
    starts: Vec<usize>,
}

impl<'t> Source<'t> {
    pub fn new(name: &'t str, text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name, text, starts }
    }

    /// Returns the number of the line with a byte, from 0 on.
    pub(super) fn line(&self, byte: usize) -> usize {
        self.starts.partition_point(|&start| start <= byte) - 1
    }

    /// Returns the range of the lines with a span.
    pub(super) fn lines(&self, span: &Range<usize>) -> Range<usize> {
        let end = self.starts.get(self.line(span.end) + 1).copied().unwrap_or(self.text.len());
        self.starts[self.line(span.start)]..end
    }
}
