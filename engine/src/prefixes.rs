//! A list of prefixes, sorted to find the one above a name without comparing all of them.

use std::ops::Deref;

use super::prefix::{Prefix, boundaries};

/// Prefixes in written order. The first that matches counts.
#[derive(Debug, Clone, Default)]
pub struct Prefixes {
    list: Vec<Prefix>,
    /// Positions in the list, sorted by canonical name; for duplicates the first one alone.
    sorted: Vec<usize>,
    /// Bytes of the longest canonical name.
    longest: usize,
}

impl Deref for Prefixes {
    type Target = [Prefix];

    fn deref(&self) -> &[Prefix] {
        &self.list
    }
}

impl FromIterator<Prefix> for Prefixes {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        let list: Vec<Prefix> = prefixes.into_iter().collect();
        let mut sorted: Vec<usize> = (0..list.len()).collect();
        sorted.sort_by_key(|&position| list[position].canonical());
        sorted.dedup_by_key(|position| list[*position].canonical());
        let longest = list.iter().map(|prefix| prefix.canonical().len()).max().unwrap_or_default();
        Self { list, sorted, longest }
    }
}

impl Prefixes {
    /// Returns the first prefix that a canonical name is at or below.
    pub fn first_above(&self, name: &str) -> Option<&Prefix> {
        self.position_above(name).map(|position| &self.list[position])
    }

    /// Returns the position of that prefix.
    pub fn position_above(&self, name: &str) -> Option<usize> {
        let positions = boundaries(name).take_while(|above| above.len() <= self.longest).filter_map(|above| {
            let found = self.sorted.binary_search_by(|&position| self.list[position].canonical().cmp(above));
            found.ok().map(|found| self.sorted[found])
        });
        positions.min()
    }
}
