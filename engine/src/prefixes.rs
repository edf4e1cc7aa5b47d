//! A list of prefixes in which the one above a name is found without a look at all of them.

use std::ops::Deref;

use super::policy::boundaries;
use super::prefix::Prefix;

/// Prefixes in the order in which they were written. The first that matches counts.
#[derive(Debug, Clone, Default)]
pub struct Prefixes {
    list: Vec<Prefix>,
    /// Positions in the list, by canonical name, of several the first one alone.
    sorted: Vec<usize>,
    /// Bytes.
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
    /// The first prefix that a canonical name is at or below.
    pub fn first_above(&self, name: &str) -> Option<&Prefix> {
        self.position_above(name).map(|position| &self.list[position])
    }

    /// Where that prefix stands.
    pub fn position_above(&self, name: &str) -> Option<usize> {
        let positions = boundaries(name).take_while(|above| above.len() <= self.longest).filter_map(|above| {
            let found = self.sorted.binary_search_by(|&position| self.list[position].canonical().cmp(above));
            found.ok().map(|found| self.sorted[found])
        });
        positions.min()
    }
}
