//! Lines and columns of a text.

use std::cell::{Cell, OnceCell};
use std::iter;

use super::tree::position;

/// The starts of the lines of a text.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    text: &'t str,
    /// Computed on the first use, since most texts have no image.
    starts: OnceCell<Vec<u32>>,
    /// An offset and its column. The next column is counted from there, since a line can be the whole text.
    counted: Cell<(usize, usize)>,
}

impl<'t> Lines<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, starts: OnceCell::new(), counted: Cell::new((0, 1)) }
    }

    pub fn text(&self) -> &'t str {
        self.text
    }

    fn starts(&self) -> &[u32] {
        self.starts.get_or_init(|| {
            let first = iter::once(0);
            // Searching for one byte is several times as fast.
            if !self.text.contains('\r') {
                return first.chain(self.text.match_indices('\n').map(|(at, _)| position(at + 1))).collect();
            }
            let bytes = self.text.as_bytes();
            let ends = bytes.iter().enumerate().filter(|&(at, byte)| match byte {
                b'\n' => true,
                b'\r' => bytes.get(at + 1) != Some(&b'\n'),
                _ => false,
            });
            first.chain(ends.map(|(at, _)| position(at + 1))).collect()
        })
    }

    /// Returns the line, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.starts().partition_point(|&start| start as usize <= offset)
    }

    /// Returns the column in characters, from 1. Offsets in the order of the text take linear time together.
    pub fn column(&self, offset: usize) -> usize {
        let start = self.starts()[self.line(offset) - 1] as usize;
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
