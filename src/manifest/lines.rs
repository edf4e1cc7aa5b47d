//! Lines and columns of a text.

use std::cell::Cell;

/// Where the lines of a text start.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    /// An offset and its column, where the next one is counted from: a line can be the whole text.
    counted: Cell<(usize, usize)>,
}

impl<'t> Lines<'t> {
    pub fn new(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let ends = bytes.iter().enumerate().filter(|&(at, byte)| match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { text, starts, counted: Cell::new((0, 1)) }
    }

    pub fn text(&self) -> &'t str {
        self.text
    }

    /// Counted from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset)
    }

    /// In characters, counted from 1. Offsets in the order of the text take linear time together.
    pub fn column(&self, offset: usize) -> usize {
        let start = self.starts[self.line(offset) - 1];
        let (from, column) = match self.counted.get() {
            counted @ (from, _) if (start..=offset).contains(&from) => counted,
            _ => (start, 1),
        };
        let between = &self.text[from..offset];
        let between = if from == start { between.trim_start_matches('\u{feff}') } else { between };
        let column = column + between.chars().count();
        self.counted.set((offset, column));
        column
    }
}
