//! A list of prefixes, indexed to find the one above a name without comparing all of them.

use std::ops::Deref;

use super::hashing::ByName;
use super::prefix::{Prefix, boundaries};

/// Prefixes in written order. The first that matches counts.
#[derive(Debug, Clone, Default)]
pub struct Prefixes {
    list: Vec<Prefix>,
    /// Positions in the list, by canonical name; for duplicates the first one alone.
    positions: ByName<usize>,
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
        let mut positions = ByName::default();
        for (position, prefix) in list.iter().enumerate() {
            positions.entry(prefix.canonical().into()).or_insert(position);
        }
        let longest = list.iter().map(|prefix| prefix.canonical().len()).max().unwrap_or_default();
        Self { list, positions, longest }
    }
}

impl Prefixes {
    /// Returns the first prefix that a canonical name is at or below.
    pub fn first_above(&self, name: &str) -> Option<&Prefix> {
        self.position_above(name).map(|position| &self.list[position])
    }

    /// Returns the position of that prefix.
    pub fn position_above(&self, name: &str) -> Option<usize> {
        let above = boundaries(name).take_while(|above| above.len() <= self.longest);
        above.filter_map(|above| self.positions.get(above)).min().copied()
    }
}
